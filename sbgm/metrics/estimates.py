"""Means of independent numbers with their standard errors, and the moments of one-dimensional points."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from sbgm._validate import check_finite


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
