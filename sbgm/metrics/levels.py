"""What a noise conditional score does level by level: its loss, its norm, and an identity that the best score obeys."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sbgm._validate import check_batch, check_callable, check_count, check_generator, check_score, check_sigmas
from sbgm.losses import Score, ncsn_loss
from sbgm.noise import randn_like


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
