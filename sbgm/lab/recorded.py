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
    "I1": "mnist_claims",
    "I2": "colour_claims",
    "I3": "colour_claims",
    "I4": "mnist_claims",
    "I5": "i5",
    "I6": "mnist_claims",
    "I7": "mnist_claims",
    "I8": "i8",
    "I10": "mnist_claims",
    "I11": "mnist_claims",
}
"""The recorded claims, and the module here whose `measure_ID(folder, **options)` measures each."""

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
        options: passed on; each claim's function says what it takes.

    Raises:
        ValueError: the claim is not a recorded one, or does not take one of the options.
        AssertionError: an expectation fails and was not accepted; the message shows it, and nothing is recorded.
    """
    home = HOMES[check_choice(claim_id, "claim_id", tuple(HOMES))]
    measure = getattr(importlib.import_module(f"sbgm.lab.{home}"), f"measure_{claim_id.lower()}")
    taken = list(inspect.signature(measure).parameters)[1:]
    if unknown := [name for name in options if name not in taken]:
        raise ValueError(f"options of {claim_id} must be among {', '.join(taken)}, got {', '.join(unknown)}")
    try:
        return measure(folder, **options)
    except NotReproducedError as error:
        if not accept:
            raise
        return error.enter()
