"""What the theory says: closed forms for Gaussian data and a mixture of two Gaussians."""

from __future__ import annotations

import math

from sbgm.guard import Fraction, Ladder, NonNegative, Positive, as_list, checked

__all__ = [
    "half_plane_mass",
    "langevin_variance",
    "largest_stable_step",
]


@checked
def langevin_variance(step_size: Positive, variance: Positive = 1.0) -> float:
    """The stationary variance of Langevin dynamics (Eq. 4) on N(0, vI): v/(1 − ε/(4v)).

    A step multiplies a chain's distance from the mean by 1 − ε/(2v) and adds variance ε; the fixed point of
    V = (1 − ε/(2v))² V + ε is the above. The stationary law is Gaussian: its kurtosis is 3 at every ε.

    Args:
        step_size: ε, a float.
        variance: v, a float.

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
        sigmas: σ_1 > … > σ_L > 0, a tensor (L,) or a list.
        variance: v of the data, a float, in squared units; 0 gives the bound that is safe for any data.

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
def half_plane_mass(weight: Fraction, mean: Positive, std: Positive = 1.0) -> float:
    """The mass of (1 − w) N((−m, −m), s²I) + w N((m, m), s²I) where x₁ + x₂ > 0: w Φ(√2 m/s) + (1 − w) Φ(−√2 m/s).

    That half-plane holds the points nearest to (m, m), so that the mass is what `measure.mode_weights` estimates.

    Args:
        weight: w, a float in (0, 1).
        mean, std: m and s, positive floats.

    Example:
        >>> [round(sbgm.theory.half_plane_mass(0.8, mean), 3) for mean in (1.0, 2.0, 5.0)]
        [0.753, 0.799, 0.8]
    """
    tail = 0.5 * math.erfc(mean / std)  # Φ(−√2 m/s)
    return weight * (1 - tail) + (1 - weight) * tail
