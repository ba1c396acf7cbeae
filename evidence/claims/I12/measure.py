"""I12: samples of CIFAR-10 evolve from noise to images (Fig. 4), by a kernel distance in histograms of edges (HOG)."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from controls import blobs
from features import some_images
from ledger import Measurement, Record, record, seed
from samples import CPU, HOW_DRAWN, SIGMA_L, Drawing, Machine, as_rows, draw, evolution, how_narrow
from sbgm import derived_generator
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import hog_features, kernel_distance, quantise
from sbgm.noise import perturb

OPTIONS = {"folder": "samples", "draws": True}
NETWORK = "cifar10_ncsn"
N_CONTROL = 250
BATCH_SIZE = 12
N_SHOWN = 8
"""Chains that are kept with the record, for Fig. 4."""


def measure(
    folder: Path, n_samples: int = 24, n_steps: int = 100, n_reference: int = 5_000, machine: Machine = CPU
) -> Record:
    """Measure I12: the distance of chains to CIFAR-10's test images after each level, as they are and denoised.

    Args:
        folder: of samples.
        n_samples: chains.
        n_steps: T, Langevin steps a level.
        n_reference: test images to compare with.
        machine: where the network runs.
    """
    training = load_images("cifar10")  # missing images are told before the drawing
    sizes = {"n_samples": n_samples, "n_steps": n_steps, "batch_size": BATCH_SIZE}
    drawing = Drawing(NETWORK, precision="fp32", seed=seed("I12"), **sizes)  # half of bf16's time on the CPU that drew
    drawn = draw(drawing, folder, machine)
    reference = hog_features(some_images("cifar10", "test", n_reference))
    generator = derived_generator(seed("I12"), 0, 1)
    photographs = training[torch.randperm(len(training), generator=generator)[:N_CONTROL]]
    network = load_network(NETWORK)
    noisy = [perturb(photographs, sigma, generator=generator) for sigma in network.sigmas.tolist()]
    low = functional.interpolate(functional.avg_pool2d(photographs, 4), scale_factor=4, mode="bilinear")
    smooth = blobs(N_CONTROL, tuple(low.shape[1:]), generator)
    wrong = {name: [perturb(x, SIGMA_L, generator=generator)] for name, x in (("low", low), ("smooth", smooth))}
    images = {"states": drawn.states, "denoised": drawn.denoised, "real": noisy, **wrong}
    curves = {name: [kernel_distance(hog_features(x), reference) for x in levels] for name, levels in images.items()}
    return record(
        "I12",
        measurements(as_rows(curves)),
        as_rows(curves) | {f"{name} of chains": quantise(images[name][:, :N_SHOWN]) for name in drawn._fields},
        data=f"{NETWORK}, {n_samples} chains; {n_reference:,} of CIFAR-10's test images",
        note="The denoised state is x + σ²s(x, σ). The ten distances are taken for independent.",
        narrower=how_narrow(network),
        networks=[NETWORK],
        facts=drawing.facts(*HOW_DRAWN) | {"n_reference": n_reference, "n_control": N_CONTROL},
    )


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of I12, from the distances after each level, σ_1 first, of photographs in 8×8, and of blobs."""
    return evolution("I12", "HOG distance", "photographs", "low-resolution photographs", kept)
