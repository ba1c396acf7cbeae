"""F2: annealed Langevin dynamics with the gradients of energies, beside what exact scores give.

What is done is kept; a run that was stopped goes on with the next energy.
"""

from pathlib import Path

from energies import EnergyMLP
from ledger import Record, script_options, show
from shares import draw_shares, record_shares


def measure(folder: Path) -> Record:
    """Measure F2: the share of ten energies, trained by denoising score matching."""
    shares = draw_shares("F2", EnergyMLP, folder)
    return record_shares("F2", "energies", shares, narrower="in two dimensions, on one mixture")


def main() -> None:
    """Measure F2 as the command line says, and print its record."""
    show(measure(**script_options(__doc__, "F2", claims=["F2"])))
