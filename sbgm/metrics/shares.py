"""Shares of samples by a classifier's word: of each class, and of those it is sure of, with binomial intervals."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from sbgm._validate import check_batch, check_count, check_inside, check_positive


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
