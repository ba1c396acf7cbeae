"""Points and the modes of a mixture: shares, spreads, and the switches of chains between modes."""

from __future__ import annotations

import torch
from torch import Tensor

from sbgm.checked import check_batch, check_positive

__all__ = [
    "SwitchCounter",
    "check_means",
    "component_stds",
    "distance_to_modes",
    "mode_weights",
    "points_and_means",
]


def distance_to_modes(x: Tensor, means: Tensor) -> Tensor:
    """Euclidean distance from each point to its nearest mean: (B, D) and (K, D) -> (B,)."""
    return torch.cdist(*points_and_means(x, means)).amin(dim=1)


def mode_weights(x: Tensor, means: Tensor) -> Tensor:
    """The share of points nearest to each mean: (B, D) and (K, D) -> (K,), with sum 1.

    A share w of B independent points has the standard error √(w(1 − w)/B).
    """
    nearest = torch.cdist(*points_and_means(x, means)).argmin(dim=1)
    return torch.bincount(nearest, minlength=len(means)) / len(x)


def component_stds(x: Tensor, means: Tensor) -> Tensor:
    """The spread of the points nearest to each mean, around it, in one coordinate: (B, D) and (K, D) -> (K,).

    It estimates √V for components N(μ_k, V I) that do not overlap, with the relative standard error 1/√(2 n D) for n
    points of a component; NaN where no point is near.
    """
    x, means = points_and_means(x, means)
    nearest = torch.cdist(x, means).argmin(dim=1)
    return torch.stack([(x[nearest == k] - mean).square().mean().sqrt() for k, mean in enumerate(means)])


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
        check_means(means)
        check_positive(radius, "radius")
        if len(means) > 1 and radius > float(torch.pdist(means).min()) / 2:
            raise ValueError(f"radius must be at most half the distance of two means, got {radius}")
        self.means, self.radius = means, radius
        self.switches: Tensor | None = None
        self._mode: Tensor | None = None

    def update(self, x: Tensor) -> None:
        """Take in the chains' next positions, (B, D)."""
        distance, nearest = torch.cdist(*points_and_means(x, self.means)).min(dim=1)
        mode = torch.where(distance <= self.radius, nearest, -1)
        if self._mode is None:
            self._mode, self.switches = mode, torch.zeros_like(mode)
            return
        self.switches += (mode >= 0) & (self._mode >= 0) & (mode != self._mode)
        self._mode = torch.where(mode >= 0, mode, self._mode)


def check_means(means: Tensor) -> Tensor:
    """Return `means` if it is a finite (K, D) tensor; raise otherwise."""
    if check_batch(means, "means").ndim != 2:
        raise ValueError(f"means must have shape (K, D), got {tuple(means.shape)}")
    return means


def points_and_means(x: Tensor, means: Tensor, name: str = "x") -> tuple[Tensor, Tensor]:
    """Points (B, D) and means (K, D) of their device and dtype, checked; `name` is what messages call the points."""
    if check_batch(x, name).shape[1:] != check_means(means).shape[1:]:
        raise ValueError(f"{name} must have the shape (B, {means.shape[1]}) of points near means, got {tuple(x.shape)}")
    return x, means.to(x.device, x.dtype)
