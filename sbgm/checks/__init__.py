"""Checks of the exercises: `checks.dsm_target(dsm_target)` raises a WrongAnswer that names the likely mistake.

An untouched stub (one that raises NotImplementedError) is neither right nor wrong: its check says so and goes on.
Each check calls the function on several random inputs, dtypes and shapes, and looks at values, gradients or the law of
what it draws.
"""

from __future__ import annotations

from sbgm.checks import chapter_02, chapter_03
from sbgm.checks.chapter_02 import dsm_loss, dsm_target, sliced_loss
from sbgm.checks.chapter_03 import langevin_step, largest_stable_step, log_acceptance
from sbgm.checks.comparison import WrongAnswer
from sbgm.checks.exercise import Exercise, Verdict

_CHAPTERS = (chapter_02, chapter_03)

__all__ = [
    "Exercise",
    "Verdict",
    "WrongAnswer",
    "dsm_loss",
    "dsm_target",
    "exercises",
    "langevin_step",
    "largest_stable_step",
    "log_acceptance",
    "sliced_loss",
]


def exercises() -> dict[str, Exercise]:
    """Every exercise by name, as the chapters set them."""
    found = (value for chapter in _CHAPTERS for value in vars(chapter).values() if isinstance(value, Exercise))
    return {e.name: e for e in found}
