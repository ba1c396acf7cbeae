"""A second training of the MNIST network: its numbers, which the page gives beside those of the network that ships.

`python evidence/second_training.py runs/second` measures a run's folder, or a file of weights, as the claims' own
commands measure the network that ships, with the same noise, images and masks, and writes second_training.csv beside
this file. The words of the claims rest on their records alone. Samples and fills are kept; a measurement that was
stopped goes on with the next batch. The run is one command:

    sbgm train mnist --out runs/second --seed 1 --steps 31229 --schedule cosine --warm-up 200 \\
      --precision bf16 --compile --threads 1
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas

from claims.I1 import measure as I1
from claims.I4 import measure as I4
from claims.I6 import measure as I6
from claims.I7 import measure as I7
from claims.I8 import measure as I8
from claims.N1 import measure as N1
from command_line import script_options
from errors import level_by_level, slope, spread
from ledger import Measurement, attach, declared, seed
from recipes import N_PERCEPTRONS
from samples import CPU, I1_SEED, Drawing, Machine, as_rows, draw, judged_distance, require_enough_digits
from sbgm.images.data import load_images
from sbgm.images.weights import load_network

FILE = Path(__file__).with_suffix(".csv")


def of_training(
    weights: str,
    folder: Path,
    machine: Machine = CPU,
    *,
    n_samples: int = 1_000,
    n_images: int = 50,
    n_steps: int = 100,
) -> dict[str, list[Measurement]]:
    """What the claims measure, of one network on MNIST, by claim.

    Args:
        weights: a shipped network's name, a file, or a run's folder.
        folder: of samples and fills.
        machine: where the network runs.
        n_samples: by Algorithm 1, more than 128.
        n_images: digits that are filled in, two at least.
        n_steps: T, Langevin steps a level.
    """
    drawing = Drawing(weights, n_samples=n_samples, n_steps=n_steps, batch_size=machine.n_chains, seed=I1_SEED)
    drawn = draw(drawing, folder, machine)
    samples = drawn.states[-1]
    curves = {kind: [judged_distance(x) for x in states] for kind, states in drawn._asdict().items()}
    annealed = judged_distance(samples[: I6.N_SAMPLES])
    over_nearer = I6.over_nearer(annealed, I6.control_distances(I6.N_SAMPLES, 1))
    fills = Drawing(weights, n_steps=n_steps, seed=seed("I8"))
    return of_levels(weights) | {
        "I1": I1.measurements({"samples": samples}),
        "I4": I4.measurements(as_rows(curves | {"real": I4.real_digits()} | I4.no_digits())),
        "I6": [declared("I6", "annealed over the nearer control", over_nearer)],
        "I7": I7.measurements(samples),
        "I8": I8.measurements(I8.filled_in(fills, folder, n_images, machine)),
    }


def of_levels(weights: str) -> dict[str, list[Measurement]]:
    """What N1, N2 and N5 measure of their RefineNet."""
    network = load_network(weights)
    images = load_images("mnist", "test")[: N1.N_IMAGES]
    generator = N1.generator_for(N_PERCEPTRONS)
    of_network = level_by_level(network, images, network.sigmas, generator=generator)
    lengths, _, norms, _ = of_network
    constant = lengths / network.sigmas[:, None] ** 2
    return {
        "N1": N1.of_refinenet(of_network),
        "N2": [declared("N2", "slope, RefineNet", slope(network.sigmas, norms))],
        "N5": [
            declared("N5", "max/min, α ∝ σ², RefineNet", spread(lengths)),
            declared("N5", "constant α, RefineNet", spread(constant)),
        ],
    }


def table_of(measured: Mapping[str, Sequence[Measurement]]) -> pandas.DataFrame:
    """A row a number: its claim, label, value and standard error."""
    rows = [[claim_id, m.label, m.value, m.se] for claim_id, numbers in measured.items() for m in numbers]
    return pandas.DataFrame(rows, columns=["claim", "label", "value", "se"])


def main() -> None:
    """Draw with the network, measure, print the numbers, and write them."""
    more = {"weights": {"help": "a run's folder, or a file of weights"}}
    options = script_options(__doc__, "samples", draws=True, more=more)
    require_enough_digits(n_samples=1_000)
    measured = of_training(**options)
    for claim_id, numbers in measured.items():
        print(claim_id, *numbers, sep="\n  ")
    attach(FILE, table_of(measured), {}, networks=[])


if __name__ == "__main__":
    main()
