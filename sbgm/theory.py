"""What the theory says: closed forms for Gaussian data, and NCSNv2's rules for ladders and step sizes."""

from __future__ import annotations

import math
from typing import Annotated

import torch

from sbgm.guard import Count, Fraction, Ladder, NonNegative, Number, Positive, as_list, at_least, checked

__all__ = [
    "annealed_variance",
    "basin_weight",
    "best_step_size",
    "count_levels",
    "half_plane_mass",
    "langevin_variance",
    "largest_stable_step",
    "level_ratio",
    "metropolis_acceptance",
    "noise_ratio",
    "overlap",
    "step_size_of",
    "steps_between_switches",
    "variance_ratio",
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
def metropolis_acceptance(step_size: Positive, n_points: Count = 801) -> float:
    """The mean acceptance of Metropolis-adjusted Langevin steps in equilibrium on N(0, 1), by quadrature.

    With x, z ~ N(0, 1) and the proposal y = (1 − ε/2)x + √ε z, the log acceptance ratio is (ε/8)(x² − y²). The mean of
    min{1, exp((ε/8)(x² − y²))} is summed over a grid on [−8, 8]².

    Args:
        step_size: ε.
        n_points: grid points a side.

    Example:
        >>> round(sbgm.theory.metropolis_acceptance(0.1), 3), round(sbgm.theory.metropolis_acceptance(2.0), 3)
        (0.997, 0.784)
    """
    axis = torch.linspace(-8, 8, n_points, dtype=torch.float64)
    density = torch.exp(-(axis**2) / 2)
    normal = density / density.sum()
    x = axis[:, None]
    z = axis[None, :]
    mean = (1 - step_size / 2) * x
    y = mean + math.sqrt(step_size) * z
    log_ratio = step_size / 8 * (x**2 - y**2)
    acceptance = torch.exp(log_ratio.clamp(max=0))
    return float(normal @ acceptance @ normal)


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
def noise_ratio(sigmas: Ladder, *, step_size: Positive, n_steps: Count, start: NonNegative = 1 / 3) -> float:
    """The variance of the noise that Algorithm 1 leaves on its samples, over σ_L², for data that are a point.

    The last of `annealed_variance` with v = 0. It counts what each level has not forgotten of the one before, where
    `variance_ratio` takes a level that begins at the right width.

    Args:
        sigmas: σ_1 > … > σ_L > 0.
        step_size: ε.
        n_steps: T, steps a level.
        start: mean square of the starting points; 1/3 for uniform noise and a black pixel.

    Example:
        >>> sbgm.theory.noise_ratio([2.0, 1.0], step_size=2.0, n_steps=1)  # 0·V + 2
        2.0
        >>> round(sbgm.theory.noise_ratio(sbgm.geometric_sigmas(1.0, 0.01, 10), step_size=2e-5, n_steps=100), 2)
        1.05
    """
    variances = annealed_variance(sigmas, step_size=step_size, n_steps=n_steps, variance=0.0, start=start)
    sigma_min = as_list(sigmas)[-1]
    return variances[-1] / sigma_min**2


@checked
def basin_weight(weight: Fraction, mean: Positive = 5.0, extent: Positive = 8.0, std: Positive = 1.0) -> float:
    """The share of chains that Langevin dynamics brings to (m, m) from uniform starts on [−e, e]², where none crosses.

    The target is (1 − w) N((−m, −m), s²I) + w N((m, m), s²I). If they are far apart, the pulls of its components
    balance where both are equally likely, on the line x₁ + x₂ = −c with c = s² ln(w/(1 − w))/(2m), and a chain goes to
    the mode on its side. The share is ½ + c/(2e) to first order in c: ½ + ln 4/160 = .509 for w = 4/5, m = 5, e = 8
    and s = 1, so that w itself hardly counts.

    Args:
        weight: w, in (0, 1).
        mean: m > 0.
        extent: e > 0, half the side of the square.
        std: s > 0, the standard deviation of both components.

    Example:
        >>> round(sbgm.theory.basin_weight(0.8), 3), sbgm.theory.basin_weight(0.5)
        (0.509, 0.5)
    """
    odds = weight / (1 - weight)
    shift = std**2 * math.log(odds) / (2 * mean)
    shift = min(2 * extent, shift)  # a line beyond the corners sends all chains one way
    shift = max(-2 * extent, shift)
    first_order = shift / (2 * extent)
    corner = shift * abs(shift) / (8 * extent**2)  # the line is shorter the nearer it comes to a corner
    return 0.5 + first_order - corner


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
def steps_between_switches(step_size: Positive, weight: Fraction, mean: Positive) -> float:
    """The mean number of Langevin steps between two switches of mode, for small ε, by quadrature.

    The target is (1 − w) N((−m, −m), I) + w N((m, m), I); p(u) is its density along the line through the means, which
    are at u = ±√2 m. The diffusion dx = ½ s dt + dW takes the time 2 ∫ du/p(u), between the means, to go from one to
    the other and back on average (the sum of its two mean hitting times), and a step is ε of time.

    Args:
        step_size: ε.
        weight: w, in (0, 1).
        mean: m > 0.

    Example:
        >>> [f"{sbgm.theory.steps_between_switches(0.1, 0.8, mean):.1e}" for mean in (1.0, 2.0, 5.0)]
        ['2.0e+02', '2.5e+03', '1.0e+12']
    """
    end = math.sqrt(2) * mean
    u = torch.linspace(-end, end, 20_001, dtype=torch.float64)
    height = math.sqrt(2 * math.pi)
    left = torch.exp(-((u + end) ** 2) / 2) / height
    right = torch.exp(-((u - end) ** 2) / 2) / height
    density = (1 - weight) * left + weight * right
    time = torch.trapezoid(1 / density, u)
    return float(time) / step_size


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


@checked
def count_levels(sigma_max: Positive, sigma_min: Positive, dimensions: Count, target: Number = 0.5) -> int:
    """The number of levels L of a geometric ladder with the ratio of technique 2: 1 + ln(σ_1/σ_L)/ln γ, rounded.

    CIFAR-10 (50 → .01, D = 3072) gives 219; NCSNv2 publishes 232, whose overlap is .57.

    Example:
        >>> sbgm.theory.count_levels(50.0, 0.01, 3072)
        219
    """
    if sigma_min >= sigma_max:
        raise ValueError(f"sigma_min must be smaller than sigma_max = {sigma_max}, got {sigma_min}")
    ratio = level_ratio(dimensions, target)
    n_ratios = math.log(sigma_max / sigma_min) / math.log(ratio)
    return max(2, 1 + round(n_ratios))


@checked
def variance_ratio(
    step_size: Positive, sigma_min: Positive, ratio: Annotated[float, at_least(1)], n_steps: Count
) -> float:
    """How wide chains are after T steps of a level, s_T²/σ_i², if they came at the level before's width (technique 4).

    (1 − η)^{2T} (γ² − b) + b, with η = ε/(2σ_L²) and b = 2η/(1 − (1 − η)²) = 1/(1 − η/2), for data that are a point
    (NCSNv2's Proposition 3, which writes ε for h = ε/2). It is the same at every level, and above 1.

    Args:
        step_size: ε, in the paper's convention.
        sigma_min: σ_L.
        ratio: γ = σ_{i−1}/σ_i ≥ 1.
        n_steps: T.

    Example:
        >>> sbgm.theory.variance_ratio(2.0, sigma_min=1.0, ratio=1.5, n_steps=1)  # η = 1 forgets γ, and b = 2
        2.0
    """
    eta = step_size / (2 * sigma_min**2)
    if eta >= 2:
        raise ValueError(f"step_size must be smaller than 4σ_L² = {4 * sigma_min**2:g}, got {step_size}")
    settled = 1 / (1 - eta / 2)
    remembered = (1 - eta) ** (2 * n_steps)
    return remembered * (ratio**2 - settled) + settled


@checked
def best_step_size(sigma_min: Positive, ratio: Positive, n_steps: Count) -> float:
    """The ε, in the paper's convention, that brings `variance_ratio` nearest to 1 (technique 4).

    CIFAR-10 (σ_L = .01, T = 5, 232 levels from 50) gives 1.24e-5, the published 6.2e-6 of x + hs + √(2h) z.

    Args:
        sigma_min: σ_L.
        ratio: γ = σ_{i−1}/σ_i > 1.
        n_steps: T.

    Example:
        >>> f"{sbgm.theory.best_step_size(0.01, ratio=5000 ** (1 / 231), n_steps=5):.2e}"
        '1.24e-05'
    """
    if ratio <= 1:
        raise ValueError(f"ratio must be larger than 1, got {ratio}")
    largest = 2 * sigma_min**2  # η = 1; beyond it chains overshoot

    def width(eta: float) -> float:
        return variance_ratio(largest * eta, sigma_min, ratio, n_steps)

    # Golden section, because the width falls and then rises. It is written out, and not scipy's, because recorded
    # samples depend on the last bit of its result.
    golden = (math.sqrt(5) - 1) / 2
    low = 1e-9
    high = 1.0
    for _ in range(100):
        part = golden * (high - low)
        left = high - part
        right = low + part
        if width(left) < width(right):
            high = right
        else:
            low = left
    return largest * (low + high) / 2


@checked
def step_size_of(h: Positive) -> float:
    """The paper's ε of x + (ε/2) s + √ε z from the h of x + h s + √(2h) z, the convention of code and of NCSNv2: 2h.

    Example:
        >>> sbgm.theory.step_size_of(1e-5)
        2e-05
    """
    return 2 * h


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
