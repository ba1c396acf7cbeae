"""Claims that cost more than a cell may: measured once, resumably, by `python -m sbgm evaluate`, and recorded."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import Annotated

from sbgm.checked import checked, one_of
from sbgm.lab.claims import NotReproducedError, Settled
from sbgm.lab.figure1 import measure_m2
from sbgm.lab.i5 import measure_i5
from sbgm.lab.i8 import measure_i8
from sbgm.lab.image_claims import measure_colour, measure_digits
from sbgm.lab.n4 import measure_n4

__all__ = [
    "MEASURES",
    "evaluate",
    "folder_name",
]

MEASURES = {
    "M2": measure_m2,
    "N4": measure_n4,
    "I1": partial(measure_digits, "I1"),
    "I2": partial(measure_colour, "I2"),
    "I3": partial(measure_colour, "I3"),
    "I4": partial(measure_digits, "I4"),
    "I5": measure_i5,
    "I6": partial(measure_digits, "I6"),
    "I7": partial(measure_digits, "I7"),
    "I8": measure_i8,
    "I10": partial(measure_digits, "I10"),
    "I11": partial(measure_digits, "I11"),
}
"""The recorded claims, and the function (folder, **options) that measures each."""

KEEP_THEIR_OWN = ("M2", "N4", "I8")
"""Those whose folder nothing else uses; the others find there what any of them has drawn."""


def folder_name(claim_id: str) -> str:
    """The folder in `runs/` that a claim's measurement is kept in."""
    return claim_id if claim_id in KEEP_THEIR_OWN else "samples"


@checked
def evaluate(
    claim_id: Annotated[str, one_of(MEASURES)], folder: Path, *, accept: bool = False, **options: object
) -> Settled:
    """Measure a recorded claim and write its record to `claims.results_folder()`, only if all that was expected holds.

    Args:
        claim_id: a key of MEASURES.
        folder: where the measurement is kept, and resumed from.
        accept: record a claim that did not come out as expected as "not reproduced", with intervals that guard the
            finding.
        options: passed on; each claim's function says which it takes.

    Raises:
        ValueError: the claim does not take one of the options.
        AssertionError: an expectation fails and was not accepted; the message shows it, and nothing is recorded.
    """
    taken = list(inspect.signature(MEASURES[claim_id]).parameters)[1:]
    if unknown := [name for name in options if name not in taken]:
        raise ValueError(f"options of {claim_id} must be among {', '.join(taken)}, got {', '.join(unknown)}")
    try:
        return MEASURES[claim_id](folder, **options)
    except NotReproducedError as error:
        if not accept:
            raise
        return error.enter()
