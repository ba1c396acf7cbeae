"""I11, Section 5: a score network trained on images without any noise, and plain Langevin dynamics."""

from __future__ import annotations

from pathlib import Path

from sbgm import claims
from sbgm.claims import check
from sbgm.experiments.raw_images import RAW, load_raw
from sbgm.experiments.recorded.i6 import N_SHOWN, drawings
from sbgm.experiments.recorded.recording import command, digit_distance, enter
from sbgm.experiments.recorded.samples import CPU, Drawing, Machine, draw
from sbgm.metrics import Measured, quantise


def evaluate(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I11: 10 T steps of Langevin dynamics with the network trained on raw images, beside the samples of I6.

    Args:
        folder, n_samples, n_steps, machine: as for I6.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    _, one_level = drawings(n_samples, n_steps)
    raw = Drawing(RAW, n_samples, 10 * n_steps, precision="fp32")
    images = draw(raw, folder, machine, load=load_raw).states[-1]
    return enter(
        "I11",
        i11_checks(digit_distance(images), digit_distance(draw(one_level, folder, machine).states[-1])),
        {"samples": quantise(images[:N_SHOWN])},
        data=f"{RAW} and mnist_one_level, {n_samples:,} samples each; 10,000 MNIST test images",
        note="Fréchet distances in the features of our own classifier; the network without noise is Fig. 1's ResNet. "
        "Neither network makes digits; how far two failures are apart says little. I6 has the annealed distance.",
        networks=[RAW, "mnist_one_level", "mnist_classifier"],
        command=command("I11", n_samples=n_samples, n_steps=n_steps),
        facts=raw.facts(),
    )


def i11_checks(raw: Measured, one_level: Measured) -> list[claims.Check]:
    """What I11 expects of the two distances."""
    return [
        check("Fréchet distance, no noise over one level", raw.value / one_level.value, low=1),
        check("Fréchet distance, no noise", raw.value, se=raw.se),
        check("Fréchet distance, one level", one_level.value, se=one_level.se),
    ]
