"""The checks that wrong samplers fail: of a Gaussian law, and of detailed balance on two close, unequal modes."""

import math
from collections.abc import Callable

from torch import Generator, Tensor

from sbgm import GaussianMixture
from sbgm.measure import estimate, moments
from seeds import seeded

CLOSE_MODES = GaussianMixture([0.2, 0.8], [[-1.5, -1.5], [1.5, 1.5]])


def check_gaussian(x: Tensor, variance: float) -> None:
    """Raise unless x, (B, 1), looks like N(0, variance): within 4 s.e. of mean, variance and kurtosis."""
    measured = moments(x)
    assert abs(measured.mean.value) < 4 * math.sqrt(variance / len(x))
    assert abs(measured.variance.value - variance) < 4 * variance * math.sqrt(2 / len(x))
    assert abs(measured.kurtosis.value - 3) < 4 * math.sqrt(24 / len(x))


def check_detailed_balance(one_step: Callable[[Tensor, Generator], Tensor], n: int = 400_000) -> None:
    """Raise unless, from exact samples x, one step to y gives (x, y) and (y, x) the same law (within 4 s.e.).

    The law is compared through the flux between three pairs of sets and three antisymmetric functions.
    """
    x = CLOSE_MODES.sample(n, generator=seeded(3))
    y = one_step(x, seeded(4))
    u, v = x.sum(dim=1) / math.sqrt(2), y.sum(dim=1) / math.sqrt(2)  # along the line through the means
    sets = [lambda t: t < -1.0, lambda t: (t >= -1.0) & (t < 1.5), lambda t: t >= 1.5]
    differences = [
        (sets[i](u) & sets[j](v)).double() - (sets[j](u) & sets[i](v)).double() for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    differences += [(v - u).double(), (v**3 - u**3).double(), (u * v * v - v * u * u).double()]
    for difference in differences:
        mean = estimate(difference)
        assert abs(mean.value) < 4 * mean.se
