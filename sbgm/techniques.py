"""The techniques of NCSNv2 as formulas: ladder and step size from the data (Song & Ermon 2020).

"Improved Techniques for Training Score-Based Generative Models". Technique 3, the output divided by σ, is an argument
of `RefineNet`; technique 5, averaged weights, one of the training.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sbgm._validate import check_at_least, check_batch, check_count, check_inside, check_positive

GOLDEN = (math.sqrt(5) - 1) / 2


@torch.no_grad()
def largest_distance(x: Tensor, *, block: int = 2_048) -> float:
    """The largest Euclidean distance between two examples, which technique 1 takes for σ_1.

    A chain can then come from any image to any other while the noise is at its largest. NCSNv2 takes 50 for CIFAR-10;
    over all pairs of its training images it is 53.4, and 16.9 for MNIST.

    The pairs are gone through block by block, those farthest from the mean first: ‖a − b‖ ≤ ‖a − m‖ + ‖b − m‖, so that
    the search ends where no pair that is left can be farther apart.

    Args:
        x: (B, *shape) data, B ≥ 2.
        block: examples on each side of the blocks; memory is its square.
    """
    if len(check_batch(x)) < 2:
        raise ValueError(f"x must hold at least two examples, got {len(x)}")
    check_count(block, "block")
    rows = x.flatten(1)
    rows = rows - rows.mean(dim=0)
    from_mean, order = rows.norm(dim=1).sort(descending=True)
    rows, largest = rows[order], 0.0
    for i in range(0, len(rows), block):
        if float(2 * from_mean[i]) <= largest:
            break
        for j in range(i, len(rows), block):
            if float(from_mean[i] + from_mean[j]) <= largest:
                break
            a, b = rows[i : i + block], rows[j : j + block]
            farthest = int(torch.cdist(a, b).argmax())
            difference = a[farthest // len(b)] - b[farthest % len(b)]  # cdist rounds more than this does
            largest = max(largest, float(difference.norm()))
    return largest


def overlap(ratio: float, dimensions: int) -> float:
    """How much of level i's noise falls where level i − 1's does, for γ = σ_{i−1}/σ_i in D dimensions (technique 2).

    Φ(√(2D)(γ − 1) + 3γ) − Φ(√(2D)(γ − 1) − 3γ): the length of Gaussian noise in D dimensions is nearly normal around
    √D σ with standard deviation σ/√2, and this is the probability that level i's lies within three such deviations of
    level i − 1's mean.

    Args:
        ratio: γ ≥ 1.
        dimensions: D.
    """
    check_at_least(ratio, "ratio", 1)
    shift = math.sqrt(2 * check_count(dimensions, "dimensions")) * (ratio - 1)
    return _normal_cdf(shift + 3 * ratio) - _normal_cdf(shift - 3 * ratio)


def level_ratio(dimensions: int, target: float = 0.5) -> float:
    """The ratio γ of neighbouring levels at which `overlap` is the target (technique 2).

    At D = 3072, .5 gives 1.0398. In few dimensions (below 5 for .5) no ratio brings the overlap that far down.

    Args:
        dimensions: D.
        target: in (0, .997), the overlap of a level with itself being .9973.

    Raises:
        ValueError: no ratio does that.
    """
    largest = overlap(1.0, dimensions)
    check_inside(target, "target", 0, largest)
    low, high = 1.0, 2.0
    while overlap(high, dimensions) > target:
        low, high = high, 2 * high
        if high > 1e6:
            raise ValueError(f"dimensions must be more than {dimensions} for an overlap as small as target = {target}")
    for _ in range(200):  # bisection, to the last bit
        middle = (low + high) / 2
        if overlap(middle, dimensions) > target:
            low = middle
        else:
            high = middle
    return high


def count_levels(sigma_max: float, sigma_min: float, dimensions: int, target: float = 0.5) -> int:
    """The number of levels L of a geometric ladder with the ratio of technique 2: 1 + ln(σ_1/σ_L)/ln γ, rounded.

    CIFAR-10 (50 → .01, D = 3072) gives 219; NCSNv2 publishes 232, whose overlap is .57.
    """
    sigma_max, sigma_min = check_positive(sigma_max, "sigma_max"), check_positive(sigma_min, "sigma_min")
    if sigma_min >= sigma_max:
        raise ValueError(f"sigma_min must be smaller than sigma_max = {sigma_max}, got {sigma_min}")
    return max(2, 1 + round(math.log(sigma_max / sigma_min) / math.log(level_ratio(dimensions, target))))


def variance_ratio(step_size: float, sigma_min: float, ratio: float, n_steps: int) -> float:
    """How wide chains are after T steps of a level, s_T²/σ_i², if they came at the level before's width (technique 4).

    (1 − η)^{2T} (γ² − b) + b, with η = ε/(2σ_L²) and b = 2η/(1 − (1 − η)²) = 1/(1 − η/2), for data that are a point
    (NCSNv2's Proposition 3, which writes ε for h = ε/2). It is the same at every level, and above 1.

    Args:
        step_size: ε, in the paper's convention.
        sigma_min: σ_L.
        ratio: γ = σ_{i−1}/σ_i ≥ 1.
        n_steps: T.
    """
    eta = check_positive(step_size, "step_size") / (2 * check_positive(sigma_min, "sigma_min") ** 2)
    if eta >= 2:
        raise ValueError(f"step_size must be smaller than 4σ_L² = {4 * sigma_min**2:g}, got {step_size}")
    check_at_least(ratio, "ratio", 1)
    settled = 1 / (1 - eta / 2)
    return (1 - eta) ** (2 * check_count(n_steps, "n_steps")) * (ratio**2 - settled) + settled


def best_step_size(sigma_min: float, ratio: float, n_steps: int) -> float:
    """The ε, in the paper's convention, that brings `variance_ratio` nearest to 1 (technique 4).

    CIFAR-10 (σ_L = .01, T = 5, 232 levels from 50) gives 1.24e-5, the published 6.2e-6 of x + hs + √(2h) z.

    Args:
        sigma_min: σ_L.
        ratio: γ = σ_{i−1}/σ_i > 1.
        n_steps: T.
    """
    if check_positive(ratio, "ratio") <= 1:
        raise ValueError(f"ratio must be larger than 1, got {ratio}")
    check_count(n_steps, "n_steps")
    largest = 2 * check_positive(sigma_min, "sigma_min") ** 2  # η = 1; beyond it chains overshoot

    def width(eta: float) -> float:
        return variance_ratio(largest * eta, sigma_min, ratio, n_steps)

    low, high = 1e-9, 1.0
    for _ in range(100):  # golden section: the ratio falls, then rises
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if width(left) < width(right):
            high = right
        else:
            low = left
    return largest * (low + high) / 2


def step_size_of(h: float) -> float:
    """The paper's ε of x + (ε/2) s + √ε z from the h of x + h s + √(2h) z, the convention of code and of NCSNv2: 2h."""
    return 2 * check_positive(h, "h")


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
