"""Claims that cost more than a cell may: measured once, resumably, by `python -m sbgm evaluate`, and recorded."""

from __future__ import annotations

import importlib
from pathlib import Path

from sbgm._validate import check_choice
from sbgm.claims import Settled

HOMES = {"M2": "m2"}
"""The recorded claims, and the module here whose `evaluate(folder, **options)` measures each."""


def evaluate(claim_id: str, folder: Path, **options: int) -> Settled:
    """Measure a recorded claim and write its record to `claims.results_folder()`, only if all that was expected holds.

    Args:
        claim_id: a key of HOMES.
        folder: where the measurement is kept, and resumed from.
        options: passed on; each claim's `evaluate` says what it takes.

    Raises:
        ValueError: the claim is not a recorded one.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    home = HOMES[check_choice(claim_id, "claim_id", tuple(HOMES))]
    return importlib.import_module(f"sbgm.experiments.recorded.{home}").evaluate(folder, **options)
