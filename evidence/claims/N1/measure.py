"""N1, and what N2 and N5 take from it: losses and lengths of scores at each level, of networks for images.

Five perceptrons on 8×8 digits and their twins with λ = 1 are trained once, and kept for F3 and I5 as well.
"""

from pathlib import Path

import torch
from torch import Tensor

from errors import estimates, level_by_level, of_networks, off_dimension, ratio, spread
from ledger import Measurement, Record, declared, record, reported, seed
from recipes import N_PERCEPTRONS, perceptrons
from samples import narrower_width
from sbgm import derived_generator
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import Estimate
from sbgm.networks import ImageMLP

OPTIONS = {"folder": "perceptrons"}
N_IMAGES = 1_000
REFINENET = "mnist_ncsn"
D = 784
"""Pixels of MNIST."""


def generator_for(part: int) -> torch.Generator:
    """Of the noise that one network sees, which its twin sees as well."""
    return derived_generator(seed("N1"), part)


def of_networks_at(networks: list[ImageMLP], images: Tensor) -> Tensor:
    """`level_by_level` of each network: (networks, 4, L, 2)."""
    parts = [
        level_by_level(network, images, network.sigmas, generator=generator_for(part))
        for part, network in enumerate(networks)
    ]
    return torch.stack(parts)


def measure(folder: Path) -> Record:
    """Measure N1: λℓ at each level of a RefineNet and of five perceptrons, and of their twins with λ = 1."""
    mnist = load_images("mnist", "test")[:N_IMAGES]
    held_out = load_images("digits", "test")
    trained = perceptrons(folder)
    twins = perceptrons(folder, "one")
    refinenet = load_network(REFINENET)

    tensors = {
        "refinenet": level_by_level(refinenet, mnist, refinenet.sigmas, generator=generator_for(N_PERCEPTRONS)),
        "held_out": of_networks_at(trained, held_out),
        "training": of_networks_at(trained, load_images("digits")),
        "twins": of_networks_at(twins, held_out),
    }
    return record(
        "N1",
        measurements(tensors),
        tensors,
        narrower=f"{narrower_width()}one training; the perceptrons, not at their optimum on held-out digits, "
        "decide nothing but the comparison of λ",
        data=f"{len(mnist):,} MNIST test digits, 360 held-out and 1,437 training digits of 8×8 pixels",
        note="Of the RefineNet ± is of the images, of the perceptrons of five trainings.",
        networks=[REFINENET],
        facts={"n_networks": N_PERCEPTRONS},
    )


def measurements(tensors: dict[str, Tensor]) -> list[Measurement]:
    """The measurements of N1, from (4, L, 2) of the RefineNet and (networks, 4, L, 2) of perceptrons and twins."""
    by_twin = tensors["twins"][:, 1, :3, 0] / tensors["held_out"][:, 1, :3, 0]
    least = by_twin.min(dim=1).values
    spreads = torch.tensor([spread(levels[1]).value for levels in tensors["held_out"]])
    numbers = [
        *of_refinenet(tensors["refinenet"]),
        declared("N1", "twins' λℓ over it at the three largest σ, the least", of_networks(least)),
        reported("perceptrons: largest over smallest λℓ", of_networks(spreads)),
    ]
    for name, images in (("held_out", "held-out digits"), ("training", "training digits")):
        off = torch.tensor([off_dimension(levels[3], 64).value for levels in tensors[name]])
        numbers.append(reported(f"perceptrons: sum off D, {images}", of_networks(off)))
    return numbers


def of_refinenet(levels: Tensor) -> list[Measurement]:
    """The measurements of N1 that are the RefineNet's, from (4, L, 2)."""
    _, losses, _, sums = levels
    largest = max(estimates(losses))
    zero = Estimate(D / 2, 0)  # λℓ of a score of zero
    return [
        declared("N1", "RefineNet: largest over smallest λℓ", spread(losses)),
        declared("N1", "control: RefineNet: largest λℓ over that of a score of zero", ratio(largest, zero)),
        declared("N1", "control: RefineNet, E‖σs‖² + 2λℓ off D, the largest", off_dimension(sums, D)),
        reported("RefineNet: smallest λℓ", min(estimates(losses))),
        reported("RefineNet: largest λℓ", largest),
    ]
