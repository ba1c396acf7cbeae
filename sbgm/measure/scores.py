"""How far a score is from the exact one, and a network's loss level by level."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sbgm.checked import (
    Score,
    check_at_least,
    check_batch,
    check_callable,
    check_count,
    check_finite,
    check_floating,
    check_generator,
    check_positive,
    check_score,
    check_sigma,
    check_sigmas,
)
from sbgm.losses import ncsn_loss
from sbgm.measure.estimates import Estimate, estimate
from sbgm.measure.modes import points_and_means
from sbgm.noise import randn_like

__all__ = [
    "LevelValues",
    "RegionErrors",
    "fisher_divergence",
    "level_losses",
    "optimality_identity",
    "region_errors",
    "relative_squared_error",
    "score_norms",
]


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


class LevelValues(NamedTuple):
    """One mean a noise level, (L,) float64 from σ_1 to σ_L, and its standard error over the n images."""

    values: Tensor
    se: Tensor
    n: int


def level_losses(
    score: Score,
    images: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    generator: torch.Generator,
    n_noise: int = 1,
    batch_size: int = 256,
) -> LevelValues:
    """The weighted loss of each level, λ(σ_i) ℓ(θ; σ_i) of Eq. 6 with λ(σ) = σ²; their mean is Eq. 6's objective.

    A score of zero has the loss D/2 at every level, for data of D dimensions.

    Args:
        score: s(x, σ).
        images: (N, *shape) clean data, N ≥ 2, held out or not: name it with the number.
        sigmas: (L,) noise levels, descending.
        generator: source of the noise; the same seed gives networks of one data set the same noise.
        n_noise: draws of noise an image.
        batch_size: images in one call of the score.
    """
    check_callable(score, "score")
    ladder = check_sigmas(sigmas)

    def loss(x: Tensor, level: int) -> Tensor:
        levels = torch.full((len(x),), level, device=x.device)
        return ncsn_loss(score, x, ladder, levels=levels, generator=generator, reduction="none")

    return _level_means(loss, images, len(ladder), generator, n_noise, batch_size)


def score_norms(
    score: Score,
    images: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    generator: torch.Generator,
    n_noise: int = 1,
    batch_size: int = 256,
) -> LevelValues:
    """E‖s(x̃, σ_i)‖ of each level over x̃ ~ N(x, σ_i² I): about ∝ 1/σ for a trained network (Section 4.2).

    Args:
        score, images, sigmas, generator, n_noise, batch_size: as for `level_losses`.
    """
    check_callable(score, "score")
    ladder = check_sigmas(sigmas)

    def norm(x: Tensor, level: int) -> Tensor:
        s, _ = _score_at(score, x, ladder[level], generator)
        return s.flatten(1).norm(dim=1)

    return _level_means(norm, images, len(ladder), generator, n_noise, batch_size)


def optimality_identity(
    score: Score,
    images: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    generator: torch.Generator,
    n_noise: int = 1,
    batch_size: int = 256,
) -> LevelValues:
    """E‖σ s(x̃, σ)‖² + 2λℓ of each level, with λℓ as in `level_losses`: the dimension D, for the best score.

    The best score, that of q_σ, is −E[z | x̃]/σ for x̃ = x + σz. Then D = E‖z‖² = E‖E[z | x̃]‖² + E‖z − E[z | x̃]‖²,
    where the first term is E‖σs‖² and the second 2λℓ. Any c times the best score has the sum
    D + 2c(c − 1) E‖σs‖², so that a score of the wrong size shows; zero has the sum D as well.

    Args:
        score, images, sigmas, generator, n_noise, batch_size: as for `level_losses`.
    """
    check_callable(score, "score")
    ladder = check_sigmas(sigmas)

    def both(x: Tensor, level: int) -> Tensor:
        s, z = _score_at(score, x, ladder[level], generator)
        scaled = ladder[level] * s
        return (scaled.square() + (scaled + z).square()).flatten(1).sum(dim=1)

    return _level_means(both, images, len(ladder), generator, n_noise, batch_size)


def _score_at(score: Score, x: Tensor, sigma: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """s(x + σz, σ) and z."""
    z = randn_like(x, generator)
    return check_score(score(x + sigma * z, sigma), x), z


@torch.no_grad()
def _level_means(
    value: Callable[[Tensor, int], Tensor],
    images: Tensor,
    n_levels: int,
    generator: torch.Generator,
    n_noise: int,
    batch_size: int,
) -> LevelValues:
    """The mean over images of `value(x, level)`, one number an image, averaged over draws of noise first."""
    n = len(check_batch(images, "images"))
    if n < 2:
        raise ValueError(f"images must hold at least two examples for a standard error, got {n}")
    check_generator(generator)
    check_count(n_noise, "n_noise")
    batches = images.split(check_count(batch_size, "batch_size"))
    means, errors = [], []
    for level in range(n_levels):
        draws = [torch.cat([value(x, level).cpu().double() for x in batches]) for _ in range(n_noise)]
        values = torch.stack(draws).mean(dim=0)
        means.append(values.mean())
        errors.append(values.std() / math.sqrt(n))
    return LevelValues(torch.stack(means), torch.stack(errors), n)
