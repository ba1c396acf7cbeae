"""Annealed Langevin dynamics (Algorithm 1) and the denoising step that may follow it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sbgm._validate import (
    check_batch,
    check_callable,
    check_count,
    check_generator,
    check_positive,
    check_score,
    check_sigma,
    check_sigmas,
)
from sbgm.closed_forms import largest_stable_step
from sbgm.losses import Score
from sbgm.samplers.chain import SamplerDivergedError, State, has_diverged, starting_scale
from sbgm.samplers.langevin import langevin_step


def annealed_langevin(
    score: Score,
    x: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    step_size: float,
    n_steps: int,
    generator: torch.Generator,
    denoise_last: bool = False,
) -> Iterator[State]:
    """Annealed Langevin dynamics (Algorithm 1).

    For each level σ_i, from the largest to the smallest: n_steps Langevin steps with the score s(x, σ_i) and the step
    size α_i = ε σ_i²/σ_L², started where the level before ended.

    Args:
        score: noise conditional score s(x, sigma).
        x: (B, *shape) starting points, one chain each; left unchanged.
        sigmas: σ_1 > … > σ_L > 0.
        step_size: ε, the step size α_L of the last level, in squared units of the data.
        n_steps: T, steps a level.
        generator: source of the noise.
        denoise_last: end with x + σ_L² s(x, σ_L), one state more. The paper does not; later work does.

    Yields:
        State after each step; the one after the last step is the sample.

    Raises:
        ValueError, TypeError: a bad argument, before the first step.
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold. Data of variance v diverge above
            ε = 4 σ_L² (1 + v/σ_1²), see `closed_forms.largest_stable_step`.
    """
    levels = check_annealing(score, x, sigmas, step_size, n_steps, generator)
    return _annealed_langevin(score, x, levels, step_size, n_steps, generator, denoise_last)


def check_annealing(
    score: Score,
    x: Tensor,
    sigmas: Tensor | Sequence[float],
    step_size: float,
    n_steps: int,
    generator: torch.Generator,
) -> list[float]:
    """Return the levels if all that a sampler with Langevin steps at each of them takes is sound; raise otherwise."""
    check_callable(score, "score")
    check_batch(x)
    levels = check_sigmas(sigmas)
    check_positive(step_size, "step_size")
    check_count(n_steps, "n_steps")
    check_generator(generator)
    return levels


def _annealed_langevin(score, x, sigmas, step_size, n_steps, generator, denoise_last):
    scale = starting_scale(x, sigmas[0])
    for level, sigma in enumerate(sigmas, start=1):
        alpha = step_size * sigma**2 / sigmas[-1] ** 2
        for step in range(1, n_steps + 1):
            x = langevin_step(score, x, alpha, sigma, generator)
            if has_diverged(x, scale):
                raise diverged("annealed_langevin", sigmas, step_size, n_steps, level, step)
            yield State(x, step, sigma, level)
    if denoise_last:
        yield State(denoise(score, x, sigmas[-1]), n_steps + 1, sigmas[-1], len(sigmas))


def diverged(
    sampler: str, sigmas: list[float], step_size: float, n_steps: int, level: int, step: int
) -> SamplerDivergedError:
    """The error of a sampler that takes Langevin steps of size ε σ_i²/σ_L²: where it happened, and the bound on ε."""
    bound = largest_stable_step(sigmas, variance=0.0)
    return SamplerDivergedError(
        f"{sampler} diverged at level {level} of {len(sigmas)} (sigma = {sigmas[level - 1]:g}), step {step} of "
        f"{n_steps}: the state is no longer finite, or beyond 10⁶ times its starting scale. step_size = {step_size:g} "
        f"is too large: the bound for data of variance v is 4σ_L²(1 + v/σ_1²), here {bound:g} × "
        f"(1 + v/{sigmas[0] ** 2:g})",
        step_size=step_size,
        level=level,
        step=step,
        bound=bound,
    )


@torch.no_grad()
def denoise(score: Score, x: Tensor, sigma: float | Tensor) -> Tensor:
    """The expected clean point behind a noisy one (Tweedie; Miyasawa 1961): E[x | x̃] = x̃ + σ² s(x̃, σ).

    Args:
        score: noise conditional score s(x, sigma).
        x: (B, *shape) noisy points.
        sigma: their noise level, a float or (B,).

    Returns:
        (B, *shape) denoised points.
    """
    check_callable(score, "score")
    scale = check_sigma(sigma, check_batch(x))
    return x + scale**2 * check_score(score(x, sigma), x)


def signal_to_noise(scores: Tensor, alpha: float) -> float:
    """Section 4.3's signal-to-noise ratio of a Langevin step, E‖α s/(2√α z)‖² taken as α E‖s‖²/4.

    Args:
        scores: (B, *shape) scores where the chains of a level stand.
        alpha: that level's step size α_i.
    """
    check_batch(scores, "scores")
    return check_positive(alpha, "alpha") / 4 * float(scores.flatten(1).square().sum(dim=1).mean())
