"""Checks of the exercises: `checks.dsm_target(dsm_target)` raises a WrongAnswer that names the likely mistake.

An untouched stub, which raises a bare NotImplementedError, is neither right nor wrong: its check says so and goes on.
Each check calls the function on several random inputs, dtypes and shapes, and looks at values, gradients or the law of
what it draws.
"""

from __future__ import annotations

from sbgm.course import (
    chapter_01,
    chapter_02,
    chapter_03,
    chapter_04,
    chapter_05,
    chapter_06,
    chapter_07,
    chapter_08,
    chapter_09,
    chapter_10,
)
from sbgm.course.chapter_01 import gaussian_score, log_ratio, mixture_score
from sbgm.course.chapter_02 import dsm_loss, dsm_target, sliced_loss
from sbgm.course.chapter_03 import langevin_step, largest_stable_step, log_acceptance
from sbgm.course.chapter_04 import annealed_langevin, geometric_ladder, step_sizes
from sbgm.course.chapter_05 import objective_on_line, psnr, score_near_line
from sbgm.course.chapter_06 import instance_norm_plus, ncsn_loss, score_from_denoiser
from sbgm.course.chapter_07 import denoised, dequantised, nearest
from sbgm.course.chapter_08 import fill_spread, inpaint_step
from sbgm.course.chapter_09 import frechet, inception_formula, squared_mmd
from sbgm.course.chapter_10 import consistent_step, flow_step, ladder_problem, ladder_ratio, levels_needed
from sbgm.course.exercise import Exercise, Verdict, WrongAnswer

_CHAPTERS = (
    chapter_01,
    chapter_02,
    chapter_03,
    chapter_04,
    chapter_05,
    chapter_06,
    chapter_07,
    chapter_08,
    chapter_09,
    chapter_10,
)

__all__ = [
    "Exercise",
    "Verdict",
    "WrongAnswer",
    "annealed_langevin",
    "consistent_step",
    "denoised",
    "dequantised",
    "dsm_loss",
    "dsm_target",
    "exercises",
    "fill_spread",
    "flow_step",
    "frechet",
    "gaussian_score",
    "geometric_ladder",
    "inception_formula",
    "inpaint_step",
    "instance_norm_plus",
    "ladder_problem",
    "ladder_ratio",
    "langevin_step",
    "largest_stable_step",
    "levels_needed",
    "log_acceptance",
    "log_ratio",
    "mixture_score",
    "ncsn_loss",
    "nearest",
    "objective_on_line",
    "psnr",
    "score_from_denoiser",
    "score_near_line",
    "sliced_loss",
    "squared_mmd",
    "step_sizes",
]


def exercises() -> dict[str, Exercise]:
    """Every exercise by name, as the chapters set them."""
    found = (value for chapter in _CHAPTERS for value in vars(chapter).values() if isinstance(value, Exercise))
    return {e.name: e for e in found}
