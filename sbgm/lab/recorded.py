"""Claims that cost more than a cell may: measured once, resumably, by `python -m sbgm evaluate`, and recorded."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from sbgm.checked import check_choice
from sbgm.lab.claims import Settled
from sbgm.lab.recording import NotReproducedError

HOMES = {
    "M2": "m2",
    "N4": "n4",
    "I1": "i1",
    "I2": "i2",
    "I3": "i3",
    "I4": "i4",
    "I5": "i5",
    "I6": "i6",
    "I7": "i7",
    "I8": "i8",
    "I10": "i10",
    "I11": "i11",
}
"""The recorded claims, and the module here whose `evaluate(folder, **options)` measures each."""

SHARE_SAMPLES = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I10", "I11")
"""Those that keep the samples they draw in one folder, where each finds what another has drawn."""


def folder_name(claim_id: str) -> str:
    """The folder in `runs/` that a claim's measurement is kept in."""
    return "samples" if claim_id in SHARE_SAMPLES else claim_id


def evaluate(claim_id: str, folder: Path, *, accept: bool = False, **options: int | str) -> Settled:
    """Measure a recorded claim and write its record to `claims.results_folder()`, only if all that was expected holds.

    Args:
        claim_id: a key of HOMES.
        folder: where the measurement is kept, and resumed from.
        accept: record a claim that did not come out as expected as "not reproduced", with intervals that guard the
            finding.
        options: passed on; each claim's `evaluate` says what it takes.

    Raises:
        ValueError: the claim is not a recorded one, or does not take one of the options.
        AssertionError: an expectation fails and was not accepted; the message shows it, and nothing is recorded.
    """
    home = HOMES[check_choice(claim_id, "claim_id", tuple(HOMES))]
    measure = importlib.import_module(f"sbgm.lab.recorded.{home}").evaluate
    taken = list(inspect.signature(measure).parameters)[1:]
    if unknown := [name for name in options if name not in taken]:
        raise ValueError(f"options of {claim_id} must be among {', '.join(taken)}, got {', '.join(unknown)}")
    try:
        return measure(folder, **options)
    except NotReproducedError as error:
        if not accept:
            raise
        return error.enter()
