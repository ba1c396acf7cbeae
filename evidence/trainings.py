"""How much trainings of the MNIST network differ: numbers of N1, N2, N5, I1, I4, I6 and I7, for files of weights.

`python evidence/trainings.py runs/seed1 runs/seed2 runs/seed3` prints each number for each training, and of two or more
the mean ± twice its standard error by Student's distribution; `data/results/trainings.csv` is that table. It writes no
record. Samples are kept; a run that was stopped goes on with the next batch. Fréchet distances depend on the number of
samples: compare those of as many. The table that ships is of three trainings of 3,000 steps, by `--samples 130 --steps
40 --step-size 5e-5 --precision fp32`; it is older than I4's distances over those of turned digits.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas
import torch

import levels
from claims.I1.measure import i1_measurements
from claims.I6 import measure as I6
from claims.I7.measure import too_near
from claims.N1 import measure as N1
from drawing import CPU, Drawing, Machine, draw, judged_distance, require_enough_digits
from errors import of_networks
from evolution import difference, levels_farther
from ledger import attach, results_folder, script_options
from mnist_samples import SEED
from sbgm.images.data import load_images
from sbgm.images.devices import PRECISIONS
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, in_batches, ratio, shown
from sbgm.measure.classifier import JUDGE, load_classifier


def of_training(weights: str, folder: Path, *, n_samples: int, machine: Machine = CPU, **how: Any) -> dict[str, float]:
    """The numbers of one network on MNIST, by claim and label.

    Args:
        weights: a shipped network's name, a file, or a run's folder.
        folder: of samples.
        n_samples: how many, more than 128.
        machine: where the network runs.
        how: settings of the `drawing.Drawing`, such as `n_steps`.
    """
    sizes = {"n_samples": n_samples, "batch_size": machine.n_chains, "seed": SEED}
    drawn = draw(Drawing(weights, **sizes, **how), folder, machine)
    samples = drawn.states[-1]
    numbers = of_levels(weights)
    for m in i1_measurements(samples):
        if m.kind == "expected":
            numbers[f"I1: {m.label}"] = m.value
    classes = in_batches(load_classifier(JUDGE), shown(samples)).argmax(dim=1)
    for digit, count in enumerate(torch.bincount(classes, minlength=10).tolist()):
        numbers[f"I1: share of {digit}"] = count / n_samples
    controls = I6.control_distances(n_samples, 1)
    for kind, states in drawn._asdict().items():
        distances = [judged_distance(x) for x in states]
        numbers[f"I4: {kind}: distance after σ_1 minus that after σ_L"] = difference(distances[0], distances[-1]).value
        numbers[f"I4: {kind}: levels clearly farther than the one before"] = levels_farther(distances)
        over_turned = ratio(distances[-1], controls["turned"]).value
        numbers[f"I4: {kind}: distance at σ_L over that of turned digits"] = over_turned
    annealed = ratio(judged_distance(samples), min(controls["turned"], controls["joined"]))
    numbers["I6: annealed over the nearer control"] = annealed.value
    for space, near in too_near({"samples": samples}, "mnist")["samples"].items():
        numbers[f"I7: nearer than 99 % of test digits, {space}"] = near.value
    return numbers


def of_levels(weights: str) -> dict[str, float]:
    """The numbers of N1, N2 and N5, on the test digits and with the noise of N1's record."""
    network = load_network(weights)
    images = load_images("mnist", "test")[: N1.N_IMAGES]
    generator = N1.generator_for(levels.N_NETWORKS)
    lengths, losses, norms, sums = levels.level_by_level(network, images, network.sigmas, generator=generator)
    constant = lengths / network.sigmas[:, None] ** 2
    numbers = {
        "N1: largest over smallest λℓ": levels.spread(losses),
        "N1: largest λℓ": max(levels.estimates(losses)),
        "N1, N2, N5: E‖σs‖² + 2λℓ off D, the largest": levels.off_dimension(sums, images[0].numel()),
        "N2: slope": levels.slope(network.sigmas, norms),
        "N5: max/min, α ∝ σ²": levels.spread(lengths),
        "N5: max/min, constant α": levels.spread(constant),
    }
    return {label: number.value for label, number in numbers.items()}


def between(trainings: Sequence[dict[str, float]]) -> dict[str, Estimate]:
    """The mean of each number over two trainings or more, and its standard error by Student's distribution."""
    return {label: of_networks(torch.tensor([numbers[label] for numbers in trainings])) for label in trainings[0]}


def table_of(trainings: Mapping[str, dict[str, float]]) -> pandas.DataFrame:
    """A row a number: its label, its value in each training by name; of two or more also the mean and its ±."""
    table = pandas.DataFrame(trainings).rename_axis("number").reset_index()
    if len(trainings) < 2:
        return table
    means = between(list(trainings.values()))
    return table.assign(mean=[x.value for x in means.values()], plus_minus=[2 * x.se for x in means.values()])


def main() -> None:
    """Draw with each network, measure, print the table, and write it."""
    to = results_folder() / "trainings.csv"
    more = {
        "weights": {"nargs": "+", "help": "files of weights, or folders of runs"},
        "--to": {"type": Path, "default": to, "help": f"the table's file ({to})"},
        "--samples": {"dest": "n_samples", "type": int, "default": 250, "help": "of each network, more than 128 (250)"},
        "--steps": {"dest": "n_steps", "type": int, "default": 100, "help": "T, Langevin steps per level (100)"},
        "--step-size": {"type": float, "default": 2e-5, "help": "ε (2e-5)"},
        "--precision": {"choices": PRECISIONS, "default": CPU.precision, "help": f"of the layers ({CPU.precision})"},
    }
    options = script_options(__doc__, "samples", draws=True, more=more)
    networks = options.pop("weights")
    to = options.pop("to")
    require_enough_digits(samples=options["n_samples"])
    table = table_of({weights: of_training(weights, **options) for weights in networks})
    print(table.to_string(index=False, float_format="{:.4g}".format))
    attach(to, table, {}, networks=[])


if __name__ == "__main__":
    main()
