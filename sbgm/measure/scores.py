"""Chains near the modes of a mixture, scores against the exact one, and a network's loss level by level."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from sbgm.guard import (
    Batch,
    Count,
    Finite,
    Generator,
    Ladder,
    Score,
    as_list,
    checked,
    require_batch,
    score_at,
    widened,
)
from sbgm.measure.estimates import Estimate, estimated, require_alike
from sbgm.noise import randn_like

# --- points and modes ------------------------------------------------------------------------------------------------


def _means(means: Tensor, name: str) -> None:
    if require_batch(means, name).ndim != 2:
        raise ValueError(f"{name} must have shape (K, D), got {tuple(means.shape)}")


Means = Annotated[Tensor, _means]  # (K, D)


@checked
def distance_to_modes(x: Batch, means: Means) -> Tensor:
    """Euclidean distance from each point to its nearest mean: (B, D) and (K, D) -> (B,)."""
    return nearest_modes(x, means)[0]


@checked
def mode_weights(x: Batch, means: Means) -> Tensor:
    """The share of points nearest to each mean: (B, D) and (K, D) -> (K,), with sum 1.

    A share w of B independent points has the standard error √(w(1 − w)/B).
    """
    return torch.bincount(nearest_modes(x, means)[1], minlength=len(means)) / len(x)


@checked
def component_stds(x: Batch, means: Means) -> Tensor:
    """The spread of the points nearest to each mean, around it, in one coordinate: (B, D) and (K, D) -> (K,).

    It estimates √V for components N(μ_k, V I) that do not overlap, with the relative standard error 1/√(2 n D) for n
    points of a component; NaN where no point is near.
    """
    _, nearest = nearest_modes(x, means)
    x = widened(x)
    return torch.stack([(x[nearest == k] - mean).square().mean().sqrt() for k, mean in enumerate(means.to(x))])


def nearest_modes(x: Tensor, means: Tensor, name: str = "x") -> tuple[Tensor, Tensor]:
    """Euclidean distance from each point to its nearest mean, and which one it is: (B, D) and (K, D) -> (B,) and (B,).

    Args:
        x, means: finite; only their shapes are looked at here.
        name: of the points in a message.
    """
    if x.shape[1:] != means.shape[1:]:
        raise ValueError(f"{name} must have the shape (B, {means.shape[1]}) of points near means, got {tuple(x.shape)}")
    x = widened(x)
    # by the matrix product that is faster, the squares of large coordinates would swallow small distances
    nearest = torch.cdist(x, means.to(x), compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    return nearest.values, nearest.indices


# --- scores ----------------------------------------------------------------------------------------------------------


@checked
def relative_squared_error(estimated: Finite, exact: Finite) -> float:
    """Σ‖s − s*‖² / Σ‖s*‖² over a batch of points: 0 is perfect, 1 is as bad as s = 0.

    Args:
        estimated: (B, *shape) scores of a model.
        exact: (B, *shape) exact scores at the same points.
    """
    require_alike(estimated, exact, "estimated", "exact")
    exact = widened(exact)
    return float((widened(estimated) - exact).square().sum() / exact.square().sum())


# --- level by level --------------------------------------------------------------------------------------------------


BATCH_SIZE = 256  # images in one call of the score


@checked
@torch.no_grad()
def level_losses(
    score: Score, images: Batch, sigmas: Ladder, *, generator: Generator, n_noise: Count = 1
) -> list[Estimate]:
    """The weighted loss of each level, λ(σ_i) ℓ(θ; σ_i) of Eq. 6 with λ(σ) = σ², and its standard error over images.

    Their mean is Eq. 6's objective. A score of zero has the loss D/2 at every level, for data of D dimensions.

    Args:
        score: s(x, σ).
        images: (N, *shape) clean data, N ≥ 2, held out or not: name it with the number.
        sigmas: (L,) noise levels, descending.
        generator: source of the noise; the same seed gives networks of one data set the same noise.
        n_noise: draws of noise an image, over which the mean is taken first.
    """
    if len(images) < 2:
        raise ValueError(f"images must hold at least two examples for a standard error, got {len(images)}")

    def losses(x: Tensor, sigma: float) -> Tensor:
        z = randn_like(x, generator)
        s = score_at(score, x + sigma * z, sigma)
        return 0.5 * (sigma * widened(s) + widened(z)).flatten(1).square().sum(dim=1).cpu().double()

    levels = []
    for sigma in as_list(sigmas):
        draws = [torch.cat([losses(x, sigma) for x in images.split(BATCH_SIZE)]) for _ in range(n_noise)]
        levels.append(estimated(torch.stack(draws).mean(dim=0)))  # NaN stays NaN
    return levels
