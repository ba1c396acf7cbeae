"""L8: annealed Langevin dynamics with learned scores of the mixture, beside what exact scores give.

What is done is kept; a run that was stopped goes on with the next network.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ledger import Measurement, Record
from plane import draw_shares, record_shares, share_measurements
from sbgm import ConditionalMLP

OPTIONS = {"folder": "L8"}


def measure(folder: Path) -> Record:
    """Measure L8: the share of ten noise conditional networks."""
    words = "in two dimensions, on one mixture; the paper means images"
    shares = draw_shares("L8", ConditionalMLP, folder)
    return record_shares("L8", "networks", shares, narrower=words)


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of L8, from the shares of the networks."""
    return share_measurements("L8", "networks", kept["shares"])
