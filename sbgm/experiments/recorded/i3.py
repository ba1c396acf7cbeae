"""I3, Fig. 5: samples of CelebA. No network trained on CelebA ships; this measures one of your own."""

from __future__ import annotations

from pathlib import Path

from sbgm import claims
from sbgm.experiments.recorded.i2 import measure
from sbgm.experiments.recorded.samples import CPU, Drawing, Machine


def evaluate(
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
        ImportError, ConnectionError: Inception is not at hand, see `sbgm.metrics.inception`.
        DataNotFoundError: CelebA is not at hand.
    """
    drawing = Drawing(weights, n_samples, n_steps)
    return measure("I3", "celeba", drawing, folder, n_reference, machine, status="reported")
