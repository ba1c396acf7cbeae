"""Numbers with their standard errors: means, moments and shares."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from torch import Tensor

from sbgm.guard import (
    Check,
    Count,
    Finite,
    Fraction,
    Whole,
    checked,
    require_batch,
    require_floats,
    widened,
)


def rows(columns: str, *, least: int = 1) -> Check:
    """State in an annotation, `Annotated[Tensor, rows("K")]`, that a tensor must be (N, K), N ≥ `least`."""
    wanted = f"(N, {columns})" if least == 1 else f"(N, {columns}) with N of at least {least}"

    def check(value: Tensor, name: str) -> None:
        if require_batch(value, name).ndim != 2 or len(value) < least:
            raise ValueError(f"{name} must be of shape {wanted}, got shape {tuple(value.shape)}")

    return check


def require_alike(first: Tensor, second: Tensor, first_name: str, second_name: str) -> None:
    """Raise unless two tensors that are compared hold floating-point numbers and are of one shape."""
    require_floats(first, first_name)
    require_floats(second, second_name)
    if first.shape != second.shape:
        raise ValueError(
            f"{first_name} must have the shape of {second_name}, {tuple(second.shape)}, got {tuple(first.shape)}"
        )


def _logits(value: Tensor, name: str) -> None:
    rows("K")(value, name)
    p = widened(value)
    if bool(((p >= 0) & (p <= 1)).all()) and bool(((p.sum(dim=1) - 1).abs() < 0.01).all()):
        raise ValueError(f"{name} must be logits, the numbers before the softmax, and these rows are probabilities")


Logits = Annotated[Tensor, _logits]


class Estimate(NamedTuple):
    """A measured number and its standard error; as text "3.24 ± 0.11", where ± is twice the standard error."""

    value: float
    se: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ± {2 * self.se:.2g}"


@checked
def estimate(values: Finite) -> Estimate:
    """Mean of independent, finite values and its standard error, sd/√n: (n,) with n ≥ 2.

    Raises:
        ValueError: values hold fewer than two numbers, or have another shape: those of a matrix may hang together.
    """
    return estimated(values)


def estimated(values: Tensor) -> Estimate:
    """The mean and its standard error as by `estimate`, where a value may also be NaN or infinite."""
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values must be two or more independent numbers, (n,), got shape {tuple(values.shape)}")
    values = values.cpu().double()
    return Estimate(float(values.mean()), float(values.std() / math.sqrt(len(values))))


class Moments(NamedTuple):
    """Mean, variance and kurtosis (3 for a Gaussian), each with its standard error for independent points."""

    mean: Estimate
    variance: Estimate
    kurtosis: Estimate


@checked
def moments(x: Finite) -> Moments:
    """Moments of one-dimensional points, (B,) or (B, 1): several, since a wrong sampler can get the variance right.

    The standard errors are those of the delta method, from the points themselves.

    Raises:
        ValueError: x holds fewer than two points, or points of more dimensions.
    """
    if x.numel() != x.shape[:1].numel() or x.numel() < 2:
        raise ValueError(f"x must be two or more points of one dimension, (B,) or (B, 1), got shape {tuple(x.shape)}")
    x = x.flatten().cpu().double()
    centred = x - x.mean()
    m2, m3, m4 = (centred.pow(k).mean() for k in (2, 3, 4))
    # the influence function of m4/m2², with the mean estimated
    influence = (centred.pow(4) - 4 * m3 * centred - m4) / m2**2 - 2 * m4 / m2**3 * (centred.square() - m2)
    kurtosis = Estimate(float(m4 / m2**2), estimated(influence).se)  # NaN where all points are one
    return Moments(estimate(x), estimate(centred.square()), kurtosis)


class Share(NamedTuple):
    """A share of n samples and its 95 % interval; as text "88.2 % (86.1 % to 90.1 %, 1,000 samples)"."""

    value: float
    low: float
    high: float
    n: int

    @property
    def se(self) -> float:
        """The standard error √(p(1 − p)/n); 0 where the share is 0 or 1, so the interval says more there."""
        return math.sqrt(self.value * (1 - self.value) / self.n)

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%}, {self.n:,} samples)".replace("%", " %")


@checked
def share(count: Whole, n: Count, *, confidence: Fraction = 0.95) -> Share:
    """The share count/n with Wilson's interval, which is honest near 0 and 1 too: independent samples, binomial.

    Args:
        count: samples that have the property, 0 … n.
        n: number of samples, at least one.
        confidence: the probability that the interval covers.

    Raises:
        ValueError: count is larger than n.
    """
    from scipy.stats import binomtest

    if count > n:
        raise ValueError(f"count must be between 0 and n with n of at least 1, got {count} of {n}")
    interval = binomtest(count, n).proportion_ci(confidence, method="wilson")
    return Share(count / n, float(interval.low), float(interval.high), n)
