"""L8: annealed Langevin dynamics with learned scores of the mixture, beside what exact scores give.

What is done is kept; a run that was stopped goes on with the next network.
"""

from pathlib import Path

from ledger import Record, script_options, show
from sbgm import ConditionalMLP
from shares import draw_shares, record_shares


def measure(folder: Path) -> Record:
    """Measure L8: the share of ten noise conditional networks."""
    words = "in two dimensions, on one mixture; the paper means images"
    shares = draw_shares("L8", ConditionalMLP, folder)
    return record_shares("L8", "networks", shares, narrower=words)


def main() -> None:
    """Measure L8 as the command line says, and print its record."""
    show(measure(**script_options(__doc__, "L8", claims=["L8"])))
