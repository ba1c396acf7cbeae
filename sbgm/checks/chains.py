"""The exact law of chains of linear steps on Gaussian data: what a right sampler gives, and what a wrong one would."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from torch import Tensor

from sbgm.checks.comparison import Moments


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a chain, x + drift·s(x, σ) + √noise·z."""

    drift: float
    noise: float
    sigma: float


def chain_law(
    offset: Tensor,
    variance: float,
    levels: Sequence[Sequence[Step]],
    *,
    kurtosis: float = 3.0,
    noise_mean: float = 0.0,
    fresh: str = "step",
) -> Moments:
    """The moments of chains on N(0, vI) that all start at one point, with exact scores −x/(v + σ²).

    A step multiplies x by 1 − drift/(v + σ²) and adds √noise·z; `closed_forms.annealed_variance` is the same for the
    variance of Algorithm 1. The fourth cumulant follows with the fourth power of that factor.

    Args:
        offset: (1, D) the start.
        variance: v of the data.
        levels: the steps of each level.
        kurtosis: of z.
        noise_mean: of z, whose variance is counted in the steps' noise.
        fresh: whether a new z is drawn every "step", every "level", or "never" after the first.
    """
    settled, current, fourth = 0.0, 0.0, 0.0  # variance due to earlier draws, weight of the present one, 4th cumulant
    for steps in levels:
        for step in steps:
            if fresh == "step":
                settled, current = settled + current**2, 0.0
            keep = 1 - step.drift / (variance + step.sigma**2)
            offset = keep * offset + noise_mean * math.sqrt(step.noise)
            settled, current = keep**2 * settled, keep * current + math.sqrt(step.noise)
            fourth = keep**4 * fourth + (kurtosis - 3) * step.noise**2
        if fresh == "level":
            settled, current = settled + current**2, 0.0
    total = settled + current**2
    return Moments(offset, total, 3 + fourth / total**2)
