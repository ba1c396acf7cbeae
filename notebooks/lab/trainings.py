"""How much trainings of the MNIST network differ: numbers of N1, N2, N5, I1, I4, I6 and I7, for files of weights.

`python notebooks/lab/trainings.py runs/seed1 runs/seed2 runs/seed3` prints each number for each training, and the mean
± twice its standard error by Student's distribution. It writes no record. Samples are kept; a run that was stopped goes
on with the next batch. Fréchet distances depend on the number of samples: compare those of as many.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

import I6
import N1
from drawing import CPU, Drawing, Machine, draw, judged_distance
from errors import of_networks
from ledger import script_options, seed
from mnist_samples import difference, i1_measurements, levels_farther, too_near
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, ratio

N_SAMPLES = 250


def of_training(
    weights: str, folder: Path, n_samples: int = N_SAMPLES, n_steps: int = 100, machine: Machine = CPU
) -> dict[str, float]:
    """The numbers of one network on MNIST, by claim and label.

    Args:
        weights: a shipped network's name, a file, or a run's folder.
        folder: of samples.
        n_samples: how many, more than 128.
        n_steps: T, Langevin steps a level.
        machine: where the network runs.
    """
    sizes = {"n_samples": n_samples, "batch_size": machine.n_chains, "seed": seed("I1")}
    drawn = draw(Drawing(weights, n_steps=n_steps, **sizes), folder, machine)
    samples = drawn.states[-1]
    numbers = of_levels(weights)
    for m in i1_measurements(samples):
        if m.kind == "expected" and not m.yardstick:
            numbers[f"I1: {m.label}"] = m.value
    for kind, states in drawn._asdict().items():
        distances = [judged_distance(x) for x in states]
        numbers[f"I4: {kind}: distance after σ_1 minus that after σ_L"] = difference(distances[0], distances[-1]).value
        numbers[f"I4: {kind}: levels clearly farther than the one before"] = levels_farther(distances)
    controls = I6.control_distances("I6", n_samples, 1)
    annealed = ratio(judged_distance(samples), min(controls["turned"], controls["joined"]))
    numbers["I6: annealed over the nearer control"] = annealed.value
    for space, near in too_near({"samples": samples}, "mnist")["samples"].items():
        numbers[f"I7: nearer than 99 % of test digits, {space}"] = near.value
    return numbers


def of_levels(weights: str) -> dict[str, float]:
    """The numbers of N1, N2 and N5, on the test digits and with the noise of N1's record."""
    network = load_network(weights)
    images = load_images("mnist", "test")[: N1.N_IMAGES]
    generator = N1.generator_for(N1.N_NETWORKS)
    lengths, losses, norms, sums = N1.level_by_level(network, images, network.sigmas, generator=generator)
    constant = lengths / network.sigmas[:, None] ** 2
    numbers = {
        "N1: largest over smallest λℓ": N1.spread(losses),
        "N1: largest λℓ": max(N1.estimates(losses)),
        "N1, N2, N5: E‖σs‖² + 2λℓ off D, the largest": N1.off_dimension(sums, images[0].numel()),
        "N2: slope": N1.slope(network.sigmas, norms),
        "N5: max/min, α ∝ σ²": N1.spread(lengths),
        "N5: max/min, constant α": N1.spread(constant),
    }
    return {label: number.value for label, number in numbers.items()}


def between(trainings: Sequence[dict[str, float]]) -> dict[str, Estimate]:
    """The mean of each number over two trainings or more, and its standard error by Student's distribution."""
    return {label: of_networks(torch.tensor([numbers[label] for numbers in trainings])) for label in trainings[0]}


if __name__ == "__main__":
    more = {"weights": {"nargs": "+", "help": "files of weights, or folders of runs"}}
    options = script_options(__doc__, "samples", draws=True, more=more)
    chosen = Machine(options.device, options.compile)
    trainings = [of_training(weights, options.folder, machine=chosen) for weights in options.weights]
    means = between(trainings) if len(trainings) > 1 else {}
    for label in trainings[0]:
        values = ", ".join(f"{numbers[label]:.4g}" for numbers in trainings)
        print(f"{label}: {values}" + (f"; mean {means[label]}" if means else ""))
