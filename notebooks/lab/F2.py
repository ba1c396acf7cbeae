"""F2: annealed Langevin dynamics with the gradients of energies, beside what exact scores give.

What is done is kept; a run that was stopped goes on with the next energy.
"""

import sys
from pathlib import Path

from claims import Found, run
from L8 import draw_shares, evidence
from sbgm import EnergyMLP


def measure(folder: Path) -> Found:
    """Measure F2: the share of ten energies, trained by denoising score matching."""
    shares = draw_shares("F2", EnergyMLP, folder)
    return evidence("F2", "energies", shares)._replace(narrower="in two dimensions, on one mixture")


if __name__ == "__main__":
    sys.exit(run("F2", measure))
