"""Numbers that settle claims: score error, mode weights, moments, switches between modes, image similarity."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sbgm._validate import check_batch
from sbgm.losses import Score


class Estimate(NamedTuple):
    """A Monte Carlo mean and its standard error."""

    value: float
    se: float


def estimate(values: Tensor) -> Estimate:
    """Mean of independent values and its standard error, sd/√n: (n,) with n ≥ 2."""
    values = values.flatten()
    if len(values) < 2:
        raise ValueError(f"values must hold at least two numbers for a standard error, got {len(values)}")
    values = values.cpu().double()
    return Estimate(float(values.mean()), float(values.std() / math.sqrt(len(values))))


def relative_squared_error(estimated: Tensor, exact: Tensor) -> float:
    """Σ‖s − s*‖² / Σ‖s*‖² over a batch of points: 0 is perfect, 1 is as bad as s = 0.

    Args:
        estimated: (B, *shape) scores of a model.
        exact: (B, *shape) exact scores at the same points.
    """
    if estimated.shape != exact.shape:
        raise ValueError(f"estimated must have the shape of exact, {tuple(exact.shape)}, got {tuple(estimated.shape)}")
    return float((estimated - exact).square().sum() / exact.square().sum())


@torch.no_grad()
def fisher_divergence(score: Score, exact: Score, x: Tensor, sigma: float | Tensor = 0.0) -> Estimate:
    """½E‖s(x, σ) − s*(x, σ)‖² over the points x, with its standard error (the objective that Eq. 1 stands for).

    Args:
        score: the model.
        exact: the exact score, such as `GaussianMixture.score`.
        x: (B, *shape) samples of the distribution that the mean is over.
        sigma: passed on to both.
    """
    check_batch(x)
    return estimate(0.5 * (score(x, sigma) - exact(x, sigma)).flatten(1).square().sum(dim=1))


class RegionErrors(NamedTuple):
    """Relative squared error of a score near the modes of a density and far from all of them."""

    near: float
    far: float


@torch.no_grad()
def region_errors(
    score: Score,
    exact: Score,
    points: Tensor,
    means: Tensor,
    sigma: float = 0.0,
    *,
    near: float = 2.0,
    far: float = 4.0,
) -> RegionErrors:
    """Σ‖s − s*‖² / Σ‖s*‖² over the points within `near` of a mode, and over those beyond `far` from every mode.

    Args:
        score: the model s.
        exact: the exact score s*.
        points: (B, D), such as `plots.grid(100)`.
        means: (K, D), the modes.
        sigma: passed on to both.
        near, far: radii, in units of the data.

    Raises:
        ValueError: no point lies in one of the regions.
    """
    distance = distance_to_modes(points, means)
    errors = []
    for name, inside in (("near", distance < near), ("far", distance > far)):
        if not bool(inside.any()):
            raise ValueError(f"points must reach into both regions, but none is {name} (near {near:g}, far {far:g})")
        errors.append(relative_squared_error(score(points[inside], sigma), exact(points[inside], sigma)))
    return RegionErrors(*errors)


def distance_to_modes(x: Tensor, means: Tensor) -> Tensor:
    """Euclidean distance from each point to its nearest mean: (B, D) and (K, D) -> (B,)."""
    return torch.cdist(check_batch(x), means.to(x.device, x.dtype)).amin(dim=1)


def mode_weights(x: Tensor, means: Tensor) -> Tensor:
    """The share of points nearest to each mean: (B, D) and (K, D) -> (K,), with sum 1.

    A share w of B independent points has the standard error √(w(1 − w)/B).
    """
    nearest = torch.cdist(check_batch(x), means.to(x.device, x.dtype)).argmin(dim=1)
    return torch.bincount(nearest, minlength=len(means)) / len(x)


def component_stds(x: Tensor, means: Tensor) -> Tensor:
    """The spread of the points nearest to each mean, around it, in one coordinate: (B, D) and (K, D) -> (K,).

    It estimates √V for components N(μ_k, V I) that do not overlap, with the relative standard error 1/√(2 n D) for n
    points of a component; NaN where no point is near.
    """
    means = means.to(x.device, x.dtype)
    nearest = torch.cdist(check_batch(x), means).argmin(dim=1)
    return torch.stack([(x[nearest == k] - mean).square().mean().sqrt() for k, mean in enumerate(means)])


class Moments(NamedTuple):
    """Mean, variance and kurtosis (3 for a Gaussian), each with its standard error for independent points."""

    mean: Estimate
    variance: Estimate
    kurtosis: Estimate


def moments(x: Tensor) -> Moments:
    """Moments of one-dimensional points, (B,) or (B, 1): several, since a wrong sampler can get the variance right.

    The standard errors are those of the delta method, from the points themselves.
    """
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


class SwitchCounter:
    """Counts how often chains go from near one mean to near another: fed state by state, it keeps only the last mode.

    A chain belongs to a mode from the moment it comes within `radius` of its mean until it comes as near to another, so
    that jitter on the border counts for nothing.

    Args:
        means: (K, D) means.
        radius: how near is near, in units of the data; at most half the distance of two means.

    Attributes:
        switches: (B,) switches of each chain so far; None before the first state.
    """

    def __init__(self, means: Tensor, radius: float = 1.0) -> None:
        if len(means) > 1 and radius > float(torch.pdist(means).min()) / 2:
            raise ValueError(f"radius must be at most half the distance of two means, got {radius}")
        self.means, self.radius = means, radius
        self.switches: Tensor | None = None
        self._mode: Tensor | None = None

    def update(self, x: Tensor) -> None:
        """Take in the chains' next positions, (B, D)."""
        distance, nearest = torch.cdist(x, self.means.to(x.device, x.dtype)).min(dim=1)
        mode = torch.where(distance <= self.radius, nearest, -1)
        if self._mode is None:
            self._mode, self.switches = mode, torch.zeros_like(mode)
            return
        self.switches += (mode >= 0) & (self._mode >= 0) & (mode != self._mode)
        self._mode = torch.where(mode >= 0, mode, self._mode)


def psnr(noisy: Tensor, clean: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1]: −10 log₁₀ of the mean squared difference (∞ if none)."""
    if noisy.shape != clean.shape:
        raise ValueError(f"noisy must have the shape of clean, {tuple(clean.shape)}, got {tuple(noisy.shape)}")
    error = float((noisy - clean).square().mean())
    return -10 * math.log10(error) if error > 0 else math.inf


def ssim(noisy: Tensor, clean: Tensor) -> float:
    """Structural similarity of images in [0, 1], (C, H, W), by scikit-image: 1 for equal images."""
    from skimage.metrics import structural_similarity

    if noisy.shape != clean.shape:
        raise ValueError(f"noisy must have the shape of clean, {tuple(clean.shape)}, got {tuple(noisy.shape)}")
    return float(structural_similarity(noisy.numpy(), clean.numpy(), channel_axis=0, data_range=1.0))
