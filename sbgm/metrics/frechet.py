"""The Fréchet distance of two sets of features, each taken for a Gaussian: what FID is in Inception's features."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sbgm._validate import check_batch
from sbgm.metrics.measured import Measured


class FeatureStatistics(NamedTuple):
    """What the Fréchet distance needs of n features: their mean (F,) and unbiased covariance (F, F), float64."""

    mean: Tensor
    covariance: Tensor
    n: int


def feature_statistics(features: Tensor) -> FeatureStatistics:
    """The mean and covariance of features, (N, F) with N > F.

    Raises:
        ValueError: N ≤ F, where the covariance is singular and the distance meaningless.
    """
    return _statistics(features, "features")


def frechet_distance(
    samples: Tensor | FeatureStatistics,
    reference: Tensor | FeatureStatistics,
    *,
    name: str = "Fréchet distance",
    against: str = "reference images",
    features: str = "given features",
) -> Measured:
    """‖m − m'‖² + tr C + tr C' − 2 tr (C C')^{1/2}, the squared Wasserstein distance of N(m, C) and N(m', C').

    The estimate is too large, by an amount that falls as 1/N: compare distances at equal numbers of samples, and with
    the distance of as many real images. The standard error, an infinitesimal jackknife, leaves this bias out.

    Args:
        samples: (N, F) features, or their `feature_statistics`.
        reference: (N', F) features of real images, or their statistics.
        name, against, features: for the result's text.

    Returns:
        The distance. A set given by its statistics adds nothing to the standard error, which is None if both are.

    Raises:
        ValueError: the numbers of features differ, or a set has no more images than features.
    """
    a, b = _statistics(samples, "samples"), _statistics(reference, "reference")
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"samples must have the {len(b.mean):,} features of reference, got {len(a.mean):,}")
    root_trace, transport = _root_trace(a.covariance, b.covariance)
    value = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * root_trace
    variances = []
    if samples is not a:
        variances.append(_variance(samples, a, b, transport))
    if reference is not b:
        variances.append(_variance(reference, b, a, _root_trace(b.covariance, a.covariance)[1]))
    se = math.sqrt(sum(variances)) if variances else None
    return Measured(name, max(0.0, float(value)), se, a.n, b.n, against, features)


def _statistics(features: Tensor | FeatureStatistics, name: str) -> FeatureStatistics:
    """The mean and covariance of features, or what is given of them, checked."""
    if isinstance(features, FeatureStatistics):
        _check_enough(features.n, len(features.mean), name)
        return features
    points = _points(features, name)
    _check_enough(len(points), points.shape[1], name)
    covariance = points.T.cov().reshape(points.shape[1], -1)  # that of one feature comes without a shape
    return FeatureStatistics(points.mean(dim=0), covariance, len(points))


def _root_trace(own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """tr (C C')^{1/2}, and T = C^{-1/2} (C^{1/2} C' C^{1/2})^{1/2} C^{-1/2}, which is twice its derivative by C.

    C C' is not symmetric, but its eigenvalues are those of C^{1/2} C' C^{1/2}, which is and has none below 0.
    """
    values, vectors = torch.linalg.eigh(own)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps  # features that never change have none
    roots, vectors = values[kept].sqrt(), vectors[:, kept]
    inner = roots[:, None] * (vectors.T @ other @ vectors) * roots
    inner_values, inner_vectors = torch.linalg.eigh(inner)
    inner_roots = inner_values.clamp(min=0).sqrt()
    half = (vectors / roots) @ inner_vectors * inner_roots.sqrt()
    return inner_roots.sum(), half @ half.T


def _variance(points: Tensor, own: FeatureStatistics, other: FeatureStatistics, transport: Tensor) -> float:
    """The variance of the distance that comes from one set of points, to first order.

    Weighing a point x more moves the distance by 2(m − m')·(x − m) + (x − m)ᵀ(1 − T)(x − m), up to a constant.
    """
    centred = points.detach().cpu().double() - own.mean
    influence = 2 * centred @ (own.mean - other.mean) + (centred.square() - centred * (centred @ transport)).sum(dim=1)
    return float(influence.var() / own.n)


def _check_enough(n: int, n_features: int, name: str) -> None:
    if n <= n_features:
        raise ValueError(
            f"{name} must be of more images than there are features, since the covariance of fewer is singular, "
            f"got {n:,} images with {n_features:,} features each"
        )


def _points(features: Tensor, name: str) -> Tensor:
    """Features as float64 on the CPU, checked: (N, F)."""
    if check_batch(features, name).ndim != 2:
        raise ValueError(f"{name} must be of shape (N, F), got shape {tuple(features.shape)}")
    return features.detach().cpu().double()
