"""Numbers with their standard errors: means, moments, shares, and measured distances."""

from __future__ import annotations

import dataclasses
import math
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from sbgm.checked import check_batch, check_count, check_finite, check_inside, check_positive

__all__ = [
    "Estimate",
    "Measured",
    "Moments",
    "Share",
    "class_shares",
    "confident_share",
    "estimate",
    "moments",
    "share",
]


class Estimate(NamedTuple):
    """A Monte Carlo mean and its standard error."""

    value: float
    se: float


def estimate(values: Tensor) -> Estimate:
    """Mean of independent, finite values and its standard error, sd/√n: (n,) with n ≥ 2."""
    values = check_finite(values, "values").flatten()
    if len(values) < 2:
        raise ValueError(f"values must hold at least two numbers for a standard error, got {len(values)}")
    values = values.cpu().double()
    return Estimate(float(values.mean()), float(values.std() / math.sqrt(len(values))))


class Moments(NamedTuple):
    """Mean, variance and kurtosis (3 for a Gaussian), each with its standard error for independent points."""

    mean: Estimate
    variance: Estimate
    kurtosis: Estimate


def moments(x: Tensor) -> Moments:
    """Moments of one-dimensional points, (B,) or (B, 1): several, since a wrong sampler can get the variance right.

    The standard errors are those of the delta method, from the points themselves.

    Raises:
        ValueError, TypeError: x holds fewer than two points, points of more dimensions, or NaN or infinity.
    """
    if check_finite(x, "x").numel() != x.shape[:1].numel() or x.numel() < 2:
        raise ValueError(f"x must be two or more points of one dimension, (B,) or (B, 1), got shape {tuple(x.shape)}")
    x = x.flatten().cpu().double()
    centred = x - x.mean()
    m2, m4 = centred.square().mean(), centred.pow(4).mean()
    m3 = centred.pow(3).mean()
    variance = centred.square()
    # influence functions: of x̄, of the variance, and of m4/m2² (with the mean estimated)
    kurtosis = (centred.pow(4) - 4 * m3 * centred - m4) / m2**2 - 2 * m4 / m2**3 * (variance - m2)
    root_n = math.sqrt(len(x))
    return Moments(
        Estimate(float(x.mean()), float(x.std()) / root_n),
        Estimate(float(m2), float(variance.std()) / root_n),
        Estimate(float(m4 / m2**2), float(kurtosis.std()) / root_n),
    )


@dataclasses.dataclass(frozen=True)
class Measured:
    """A measurement of samples against a reference; as text it always says of how many and against what.

    str() gives, for instance, "Fréchet distance 3.24 ± 0.11 (1,000 samples against 10,000 MNIST test images, classifier
    features)", where ± is twice the standard error.

    Attributes:
        name: of the measure.
        value: the number.
        se: its standard error; None where there is none.
        n: samples.
        n_reference: images (or points) of the reference.
        reference: what these are.
        features: what samples and reference were compared by.
    """

    name: str
    value: float
    se: float | None
    n: int
    n_reference: int
    reference: str
    features: str

    def __str__(self) -> str:
        spread = "" if self.se is None else f" ± {2 * self.se:.2g}"
        against = f"{self.n:,} samples against {self.n_reference:,} {self.reference}"
        return f"{self.name} {self.value:.3g}{spread} ({against}, {self.features})"


class Share(NamedTuple):
    """A share of n samples and its 95 % interval; as text "88.2 % (86.1 % to 90.1 %, 1,000 samples)"."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%}, {self.n:,} samples)".replace("%", " %")


def share(count: int, n: int, *, confidence: float = 0.95) -> Share:
    """The share count/n with Wilson's interval, which is honest near 0 and 1 too: independent samples, binomial.

    Args:
        count: samples that have the property, 0 … n.
        n: samples, at least one.
        confidence: of the interval.

    Raises:
        ValueError: count is not within 0 … n, or n is 0.
    """
    check_count(count, "count", least=0)
    if check_count(n, "n") < count:
        raise ValueError(f"count must be between 0 and n with n of at least 1, got {count} of {n}")
    z, p = NormalDist().inv_cdf(0.5 + check_inside(confidence, "confidence") / 2), count / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Share(p, 0.0 if count == 0 else centre - half, 1.0 if count == n else centre + half, n)


def class_shares(logits: Tensor) -> list[Share]:
    """The share of samples that a classifier puts in each class: logits (N, K) -> K shares, with sum 1."""
    counts = torch.bincount(_check_logits(logits).argmax(dim=1), minlength=logits.shape[1])
    return [share(count, len(logits)) for count in counts.tolist()]


def confident_share(logits: Tensor, threshold: float = 0.9) -> Share:
    """The share of samples whose most probable class has at least the probability `threshold`: logits (N, K)."""
    confidence = _check_logits(logits).softmax(dim=1).amax(dim=1)
    if check_positive(threshold, "threshold") > 1:
        raise ValueError(f"threshold must be at most 1, got {threshold}")
    return share(int((confidence >= threshold).sum()), len(logits))


def _check_logits(logits: Tensor) -> Tensor:
    if check_batch(logits, "logits").ndim != 2:
        raise ValueError(f"logits must be of shape (N, K), got shape {tuple(logits.shape)}")
    return logits
