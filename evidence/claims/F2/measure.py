"""F2: annealed Langevin dynamics with the gradients of energies, beside what exact scores give.

What is done is kept; a run that was stopped goes on with the next energy.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from energies import EnergyMLP
from ledger import Measurement, Record
from plane import draw_shares, record_shares, share_measurements

OPTIONS = {"folder": "F2"}


def measure(folder: Path) -> Record:
    """Measure F2: the share of ten energies, trained by denoising score matching."""
    shares = draw_shares("F2", EnergyMLP, folder)
    return record_shares("F2", "energies", shares, narrower="in two dimensions, on one mixture")


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of F2, from the shares of the energies."""
    return share_measurements("F2", "energies", kept["shares"])
