"""What wrong samplers fail: Gaussian laws, an acceptance rate, and detailed balance on two close, unequal modes."""

import math
from collections.abc import Callable, Sequence

from torch import Generator, Tensor

from sbgm import GaussianMixture, final
from sbgm.measure import estimate, moments
from seeds import seeded

CLOSE_MODES = GaussianMixture([0.2, 0.8], [[-1.5, -1.5], [1.5, 1.5]])


def check_gaussian(x: Tensor, variance: float) -> None:
    """Raise unless x, (B, 1), looks like N(0, variance): within 4 s.e. of mean, variance and kurtosis."""
    measured = moments(x)
    assert abs(measured.mean.value) < 4 * math.sqrt(variance / len(x))
    assert abs(measured.variance.value - variance) < 4 * variance * math.sqrt(2 / len(x))
    assert abs(measured.kurtosis.value - 3) < 4 * math.sqrt(24 / len(x))


def annealed_variances(
    ladder: Sequence[float], step_size: float, n_steps: int, variance: float, start: float
) -> list[float]:
    """The variance of Algorithm 1's chains at the end of each level, on N(0, variance I) from a variance of `start`.

    A step of α at σ maps V to r V + α with r = (1 − α/(2(v + σ²)))², so that T steps map it to
    r^T V + α (1 − r^T)/(1 − r).
    """
    ends = []
    for sigma in ladder:
        alpha = step_size * (sigma / ladder[-1]) ** 2
        ratio = (1 - alpha / (2 * (variance + sigma**2))) ** 2
        start = ratio**n_steps * start + alpha * (1 - ratio**n_steps) / (1 - ratio)
        ends.append(start)
    return ends


def acceptance(step_size: float) -> float:
    """The mean acceptance of a Metropolis-adjusted Langevin step of ε in equilibrium on N(0, 1).

    The step goes from x to y = (1 − ε/2)x + √ε z, and the log acceptance ratio is (ε/8)(x² − y²). With the ratio r,
    E min{1, r} = P(r > 1) + E[r; r < 1], and the second term is the first with x and y exchanged: 2 P(|y| < |x|), which
    is 2 P((x − y)(x + y) > 0), for normal x − y and x + y with correlation ρ equal to 1 + (2/π) arcsin ρ.
    """
    covariance = 1 - step_size / 2
    variance = 1 + step_size**2 / 4  # of y
    of_difference = 1 + variance - 2 * covariance
    of_sum = 1 + variance + 2 * covariance
    correlation = (1 - variance) / math.sqrt(of_difference * of_sum)
    return 1 + 2 / math.pi * math.asin(correlation)


def one_step(sampler: Callable, score: Callable = CLOSE_MODES.score, **options: object) -> Callable:
    """A single step of a sampler, as a function of where chains are and of a generator."""
    return lambda x, generator: final(sampler(score, x, **options, n_steps=1, generator=generator))


def check_detailed_balance(step: Callable[[Tensor, Generator], Tensor], n: int = 400_000) -> None:
    """Raise unless, from exact samples x, one step to y gives (x, y) and (y, x) the same law (within 4 s.e.).

    The law is compared through the flux between three pairs of sets and three antisymmetric functions.
    """
    x = CLOSE_MODES.sample(n, generator=seeded(3))
    y = step(x, seeded(4))
    u = x.sum(dim=1) / math.sqrt(2)  # along the line through the means
    v = y.sum(dim=1) / math.sqrt(2)
    sets = [lambda t: t < -1.0, lambda t: (t >= -1.0) & (t < 1.5), lambda t: t >= 1.5]
    differences = [v - u, v**3 - u**3, u * v * v - v * u * u]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        there = sets[i](u) & sets[j](v)
        back = sets[j](u) & sets[i](v)
        differences.append(there.double() - back.double())
    for difference in differences:
        mean = estimate(difference.double())
        assert abs(mean.value) < 4 * mean.se
