"""Numbers that an exercise is set with, different for each group of students. An answer may ask for them."""

import math
from typing import Any

import torch

from sbgm.checked import Whole, checked
from sbgm.theory import level_ratio


@checked
def ladder_problem(variant: Whole = 0) -> dict[str, Any]:
    """Return the numbers of `levels_needed` for a group of students: `sigma_max`, `sigma_min` and `dim`.

    Args:
        variant: 0, 1, 2, …, the group's.
    """
    generator = torch.Generator().manual_seed(10_000 + variant)
    while True:
        sigma_max, hundredths, side = (
            int(torch.randint(*ends, (1,), generator=generator)) for ends in ((10, 100), (1, 6), (12, 97))
        )
        problem = {"sigma_max": sigma_max, "sigma_min": hundredths / 100, "dim": 3 * side**2}
        if 0.6 < exact_levels(problem) % 1 < 0.9:  # so that it does not depend on how exactly γ is known
            return problem


def exact_levels(problem: dict[str, Any], gamma: float | None = None) -> float:
    """1 + ln(σ_1/σ_L)/ln γ, with technique 2's γ unless it is given."""
    gamma = level_ratio(problem["dim"]) if gamma is None else gamma
    return 1 + math.log(problem["sigma_max"] / problem["sigma_min"]) / math.log(gamma)
