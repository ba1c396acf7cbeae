"""The recorded claims on samples in colour: I2 on CIFAR-10, I3 on CelebA."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from sbgm.data import load_images
from sbgm.lab import claims
from sbgm.lab.claims import Check, check
from sbgm.lab.drawing import CPU, Drawing, Machine, draw
from sbgm.lab.recording import command, enter
from sbgm.measure import GaussianBaseline, Measured, quantise
from sbgm.measure.inception import Inception, kid
from sbgm.measure.judging import TITLES, feature_space, reference_for

N_SHOWN = 64


def measure_i2(
    folder: Path,
    n_samples: int = 1_000,
    n_steps: int = 100,
    n_reference: int = 5_000,
    weights: str = "cifar10_ncsn",
    machine: Machine = CPU,
) -> claims.Settled:
    """Measure I2: the kernel distance in Inception's features (KID) of samples, and of a Gaussian's, to test images.

    Args:
        folder: where samples are kept, those of other claims included.
        n_samples: how many of the network.
        n_steps: T, fewer than the paper's 100 for a trial.
        n_reference: test images to compare with, and the Gaussian's samples, which are cheap; the distance's mean does
            not depend on the number.
        weights: a shipped network's name, or a file.
        machine: where and how networks run.

    Raises:
        ImportError, ConnectionError: Inception is not at hand, see `sbgm.measure.inception`.
        DataNotFoundError: CIFAR-10 is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    drawing = Drawing(weights, n_samples, n_steps)
    return measure("I2", "cifar10", drawing, folder, n_reference, machine, status="reproduced")


def measure(
    claim_id: str, data: str, drawing: Drawing, folder: Path, n_reference: int, machine: Machine, *, status: str
) -> claims.Settled:
    """Draw samples of colour images, compare them, and enter the claim."""
    inception = Inception(device=machine.device)
    drawn = draw(drawing, folder, machine)
    space = feature_space(data, inception)
    reference = reference_for(data, space, "test", n_reference)
    gaussian = GaussianBaseline(load_images(data)).sample(
        n_reference, generator=torch.Generator().manual_seed(drawing.seed)
    )

    def distance(features: torch.Tensor) -> Measured:
        return kid(features, reference.features, against=reference.images)

    images = {"samples": drawn.states[-1], "denoised": drawn.denoised[-1], "Gaussian": gaussian}
    distances = {name: distance(space.function(x)) for name, x in images.items()}
    distances["training images"] = distance(reference_for(data, space, "train", drawing.n_samples).features)
    return enter(
        claim_id,
        kid_checks(distances, bounded=claim_id == "I2"),
        {"samples": quantise(drawn.states[-1][:N_SHOWN]), "gaussian": quantise(gaussian[:N_SHOWN])},
        status=status,
        data=f"{drawing.network}, {drawing.n_samples:,} samples; "
        f"{n_reference:,} of the Gaussian and of {TITLES[data]}'s test images",
        note="KID: the kernel distance in Inception's features.",
        networks=[drawing.network],
        command=command(
            claim_id,
            n_samples=drawing.n_samples,
            n_steps=drawing.n_steps,
            n_reference=n_reference,
            weights=drawing.network,
        ),
        facts=drawing.facts() | {"inception": inception.name},
    )


def kid_checks(distances: dict[str, Measured], *, bounded: bool) -> list[Check]:
    """What I2 expects of the distances of samples and of a Gaussian's; the others, and all of I3's, are reported."""
    samples, gaussian = distances["samples"], distances["Gaussian"]
    less = check(  # a difference: a ratio of what can be 0 or negative says nothing
        "KID of samples less that of a Gaussian with the data's covariance",
        samples.value - gaussian.value,
        se=math.hypot(samples.se or 0.0, gaussian.se or 0.0),
        **({"high": 0} if bounded else {}),
    )
    return [less, *(check(f"KID, {name}", d.value, se=d.se) for name, d in distances.items())]


def measure_i3(
    folder: Path,
    n_samples: int = 1_000,
    n_steps: int = 100,
    n_reference: int = 5_000,
    weights: str = "celeba_ncsn",
    machine: Machine = CPU,
) -> claims.Settled:
    """Report the kernel distance in Inception's features (KID) of samples to CelebA's test images.

    Args:
        folder, n_samples, n_steps, n_reference, machine: as for I2.
        weights: the file of a network trained on CelebA.

    Raises:
        ImportError, ConnectionError: Inception is not at hand, see `sbgm.measure.inception`.
        DataNotFoundError: CelebA is not at hand.
    """
    drawing = Drawing(weights, n_samples, n_steps)
    return measure("I3", "celeba", drawing, folder, n_reference, machine, status="reported")
