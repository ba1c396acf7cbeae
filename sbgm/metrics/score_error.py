"""How far a score is from the exact one: relative squared error, by region, and the Fisher divergence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sbgm._validate import (
    check_at_least,
    check_batch,
    check_callable,
    check_finite,
    check_floating,
    check_positive,
    check_sigma,
)
from sbgm.losses import Score
from sbgm.metrics.estimates import Estimate, estimate
from sbgm.metrics.modes import points_and_means


def relative_squared_error(estimated: Tensor, exact: Tensor) -> float:
    """Σ‖s − s*‖² / Σ‖s*‖² over a batch of points: 0 is perfect, 1 is as bad as s = 0.

    Args:
        estimated: (B, *shape) scores of a model.
        exact: (B, *shape) exact scores at the same points.
    """
    for scores, name in ((estimated, "estimated"), (exact, "exact")):
        check_finite(check_floating(scores, name), name)
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
    check_callable(score, "score")
    check_callable(exact, "exact")
    check_sigma(sigma, check_batch(x))
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
    check_callable(score, "score")
    check_callable(exact, "exact")
    check_at_least(sigma, "sigma", 0)
    check_positive(near, "near")
    check_positive(far, "far")
    distance = torch.cdist(*points_and_means(points, means, "points")).amin(dim=1)
    errors = []
    for name, inside in (("near", distance < near), ("far", distance > far)):
        if not bool(inside.any()):
            raise ValueError(f"points must reach into both regions, but none is {name} (near {near:g}, far {far:g})")
        errors.append(relative_squared_error(score(points[inside], sigma), exact(points[inside], sigma)))
    return RegionErrors(*errors)
