"""What the theory says: closed forms for Gaussian data, and NCSNv2's rule for ladders."""

from __future__ import annotations

import math
from typing import Annotated

from sbgm.guard import Count, Fraction, Ladder, NonNegative, Number, Positive, as_list, at_least, checked

__all__ = [
    "annealed_variance",
    "half_plane_mass",
    "langevin_variance",
    "largest_stable_step",
    "level_ratio",
    "overlap",
]


@checked
def langevin_variance(step_size: Positive, variance: Positive = 1.0) -> float:
    """The stationary variance of Langevin dynamics (Eq. 4) on N(0, vI): v/(1 − ε/(4v)).

    A step multiplies a chain's distance from the mean by 1 − ε/(2v) and adds variance ε; the fixed point of
    V = (1 − ε/(2v))² V + ε is the above. The stationary law is Gaussian: its kurtosis is 3 at every ε.

    Raises:
        ValueError: ε ≥ 4v, where the chains diverge.

    Example:
        >>> sbgm.theory.langevin_variance(2.0)  # 1/(1 − 2/4)
        2.0
    """
    bound = 4 * variance
    if step_size >= bound:
        raise ValueError(f"step_size must be smaller than 4v = {bound:g}, where chains diverge, got {step_size}")
    return variance / (1 - step_size / bound)


@checked
def largest_stable_step(sigmas: Ladder, variance: NonNegative = 0.0) -> float:
    """The bound on Algorithm 1's step size: ε < 4 σ_L² (1 + v/σ_1²) for Gaussian data of variance v.

    At level i the perturbed data have variance V = v + σ_i², and a step multiplies distances by 1 − α_i/(2V), which is
    below 1 in magnitude only while α_i = ε σ_i²/σ_L² < 4V. The first level is the strictest, since σ_1 is the largest.

    Args:
        sigmas: σ_1 > … > σ_L > 0.
        variance: v of the data, in squared units; 0 gives the bound that is safe for any data.

    Example:
        >>> sbgm.theory.largest_stable_step([20.0, 1.0])
        4.0
        >>> sbgm.theory.largest_stable_step([20.0, 1.0], variance=400.0)  # 4·(1 + 400/20²)
        8.0
    """
    ladder = as_list(sigmas)
    largest = ladder[0]
    smallest = ladder[-1]
    return 4 * smallest**2 * (1 + variance / largest**2)


@checked
def annealed_variance(
    sigmas: Ladder, *, step_size: Positive, n_steps: Count, variance: NonNegative, start: NonNegative
) -> list[float]:
    """The variance of Algorithm 1's chains at the end of each level, for data N(0, vI) and exact scores.

    Within level i a step maps V to (1 − α_i/(2(v + σ_i²)))² V + α_i.

    Args:
        sigmas: σ_1 > … > σ_L > 0.
        step_size: ε.
        n_steps: T, steps a level.
        variance: v of the data.
        start: variance of the starting points around the mean.

    Returns:
        L variances, the last one that of the samples; beyond the stable step they grow without bound.

    Example:
        >>> options = {"variance": 0.0, "start": 9.0}  # a point; ε = 2σ_L² then forgets the start, and V = α_i
        >>> sbgm.theory.annealed_variance([2.0, 1.0], step_size=2.0, n_steps=1, **options)
        [8.0, 2.0]
    """
    ladder = as_list(sigmas)
    smallest = ladder[-1]
    current = start
    at_ends = []
    for sigma in ladder:
        alpha = step_size * sigma**2 / smallest**2
        noisy_variance = variance + sigma**2
        shrink = (1 - alpha / (2 * noisy_variance)) ** 2
        for _ in range(n_steps):
            current = shrink * current + alpha
        at_ends.append(current)
    return at_ends


@checked
def half_plane_mass(weight: Fraction, mean: Positive, std: Positive = 1.0) -> float:
    """The mass of (1 − w) N((−m, −m), s²I) + w N((m, m), s²I) where x₁ + x₂ > 0: w Φ(√2 m/s) + (1 − w) Φ(−√2 m/s).

    That half-plane holds the points nearest to (m, m), so that the mass is what `measure.mode_weights` estimates.

    Example:
        >>> [round(sbgm.theory.half_plane_mass(0.8, mean), 3) for mean in (1.0, 2.0, 5.0)]
        [0.753, 0.799, 0.8]
    """
    tail = 0.5 * math.erfc(mean / std)  # Φ(−√2 m/s)
    return weight * (1 - tail) + (1 - weight) * tail


@checked
def overlap(ratio: Annotated[float, at_least(1)], dimensions: Count) -> float:
    """How much of level i's noise falls where level i − 1's does, for γ = σ_{i−1}/σ_i in D dimensions (technique 2).

    Φ(√(2D)(γ − 1) + 3γ) − Φ(√(2D)(γ − 1) − 3γ): the length of Gaussian noise in D dimensions is nearly normal around
    √D σ with standard deviation σ/√2, and this is the probability that level i's lies within three such deviations of
    level i − 1's mean.

    Args:
        ratio: γ ≥ 1.
        dimensions: D.

    Example:
        >>> round(sbgm.theory.overlap(1.0, 3072), 3), round(sbgm.theory.overlap(1.04, 3072), 2)
        (0.997, 0.49)
    """
    shift = math.sqrt(2 * dimensions) * (ratio - 1)
    reach = 3 * ratio
    return _normal_cdf(shift + reach) - _normal_cdf(shift - reach)


@checked
def level_ratio(dimensions: Count, target: Number = 0.5) -> float:
    """The ratio γ of neighbouring levels at which `overlap` is the target (technique 2).

    At D = 3072, .5 gives 1.0398. In few dimensions (below 5 for .5) no ratio brings the overlap that far down.

    Args:
        dimensions: D.
        target: in (0, .997), the overlap of a level with itself being .9973.

    Raises:
        ValueError: no ratio does that.

    Example:
        >>> round(sbgm.theory.level_ratio(3072), 3)
        1.04
    """
    from scipy.optimize import brentq  # which takes long to load

    largest = overlap(1.0, dimensions)
    limit = 1e6
    if not 0 < target < largest:
        raise ValueError(f"target must be in (0, {largest:.4g}), got {target:g}")
    if overlap(limit, dimensions) > target:
        raise ValueError(f"dimensions must be more than {dimensions} for an overlap as small as target = {target}")
    ratio = brentq(lambda ratio: overlap(ratio, dimensions) - target, 1.0, limit, xtol=1e-15)
    return ratio  # pyright: ignore[reportReturnType] - the tuple comes with full_output alone


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
