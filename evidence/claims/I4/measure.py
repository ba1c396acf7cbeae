"""I4: from noise to images (Fig. 4), by the distance of chains to real digits after each level."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from controls import blobs
from ledger import Measurement, Record, record, reported, seed
from samples import (
    CPU,
    FEATURES,
    SIGMA_L,
    Machine,
    as_rows,
    digit_distance,
    evolution,
    judged_distance,
    levels_farther,
    mnist_samples,
    wrong_digits,
)
from sbgm import derived_generator
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import Estimate
from sbgm.noise import perturb

OPTIONS = {"folder": "samples", "draws": True}
N_CONTROL = 1_000


def measure(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> Record:
    """Measure I4: the distance of the chains to real digits after each level.

    Args:
        folder, n_samples, n_steps, machine: see `mnist_samples`.
    """
    drawn, words = mnist_samples(folder, n_samples, n_steps, machine)
    curves = {
        "states": [judged_distance(x) for x in drawn.states],
        "denoised": [judged_distance(x) for x in drawn.denoised],
        "real": real_digits(),
        **no_digits(),
    }
    of_first = [digit_distance(x) for x in drawn.states]
    note = f"The denoised state is x + σ²s(x, σ); {FEATURES}. The ten distances are taken for independent."
    of_first_label = "levels clearly farther by the first classifier, states as they are"
    numbers = [*measurements(as_rows(curves)), reported(of_first_label, levels_farther(of_first))]
    return record("I4", numbers, as_rows(curves), note=note, **words)


def real_digits() -> list[Estimate]:
    """The distances of training digits with the noise of each level, which a measure of this kind must order."""
    generator = derived_generator(seed("I4"))
    images = load_images("mnist")
    digits = images[torch.randperm(len(images), generator=generator)[:N_CONTROL]]
    sigmas = load_network("mnist_ncsn").sigmas.tolist()
    return [judged_distance(perturb(digits, sigma, generator=generator)) for sigma in sigmas]


def no_digits() -> dict[str, list[Estimate]]:
    """The distance of turned digits and that of random blobs, all with noise σ_L, in a list each."""
    generator = derived_generator(seed("I4"), 0, 1)
    turned = wrong_digits(N_CONTROL, generator)["turned"]
    smooth = perturb(blobs(N_CONTROL, tuple(turned.shape[1:]), generator), SIGMA_L, generator=generator)
    return {"turned": [judged_distance(turned)], "smooth": [judged_distance(smooth)]}


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of I4, from the distances after each level, σ_1 first, and those of `no_digits`."""
    return evolution("I4", "Fréchet distance", "digits", "turned digits", kept)
