"""Samplers that go from one noise level straight to the next, with one evaluation of the score a level.

At σ_k the chains are data plus noise of standard deviation σ_k. A step takes some of that noise off along the score and
adds as much fresh noise as makes σ_{k+1} of it. How much is taken off is all that tells these samplers apart:

    x ← x + η σ_k² s(x, σ_k) + σ_{k+1} √(1 − ((1 − η)/r)²) z,   r = σ_{k+1}/σ_k

η = 1 − r adds none (it is `probability_flow`'s Euler step), η = 1 − r² is `ancestral`, η = 1 replaces all the noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sbgm._validate import check_batch, check_callable, check_generator, check_positive, check_score, check_sigmas
from sbgm.losses import Score
from sbgm.noise import randn_like
from sbgm.samplers.annealed import denoise
from sbgm.samplers.chain import SamplerDivergedError, State, has_diverged, starting_scale


def consistent_annealed(
    score: Score,
    x: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    step_size: float,
    generator: torch.Generator,
    denoise_last: bool = False,
) -> Iterator[State]:
    """Consistent annealed sampling (Jolicoeur-Martineau et al. 2020): the step above with η = ε/(2σ_L²) at each level.

    Algorithm 1's drift, (ε σ_k²/(2σ_L²)) s, with less noise: where the data are a point, the chains have exactly the
    standard deviation σ_{k+1} when they come to level k + 1. (The paper's ε is that of x + εs + √(2ε) z, half of ours.)

    Args:
        score: noise conditional score s(x, sigma).
        x: (B, *shape) starting points at noise level σ_1; left unchanged.
        sigmas: σ_1 > … > σ_L > 0, L ≥ 2.
        step_size: ε, in squared units of the data, see `consistent_step_bounds`.
        generator: source of the noise.
        denoise_last: end with x + σ_L² s(x, σ_L), one evaluation and one state more.

    Yields:
        L − 1 states, one at each of the levels σ_2 … σ_L.

    Raises:
        ValueError, TypeError: a bad argument, before the first step; among them an ε for which some level has no real
            amount of fresh noise.
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold, which no exact score makes it do.
    """
    levels = _check(score, x, sigmas)
    check_positive(step_size, "step_size")
    low, high = consistent_step_bounds(levels)
    if not low * (1 - 1e-6) <= step_size <= high * (1 + 1e-6):  # a float32 ladder's ratios differ by rounding
        raise ValueError(
            f"step_size must be between 2σ_L²(1 − r) = {low:g} and 2σ_L²(1 + r) = {high:g}, where r = σ_(k+1)/σ_k, for "
            f"the noise to match from level to level, got {step_size:g}; a ladder of more levels allows smaller steps"
        )
    check_generator(generator)
    eta = step_size / (2 * levels[-1] ** 2)
    return level_to_level("consistent_annealed", score, x, levels, lambda r: eta, generator, denoise_last)


def consistent_step_bounds(sigmas: Tensor | Sequence[float]) -> tuple[float, float]:
    """The least and the largest ε of `consistent_annealed`: 2σ_L²(1 − r) and 2σ_L²(1 + r), at the strictest level.

    From ((1 − η)/r)² ≤ 1. The least adds no noise at all.

    Raises:
        ValueError: sigmas is no descending ladder of two levels or more.
    """
    levels = check_two(check_sigmas(sigmas))
    smallest = min(b / a for a, b in itertools.pairwise(levels))
    return 2 * levels[-1] ** 2 * (1 - smallest), 2 * levels[-1] ** 2 * (1 + smallest)


def ancestral(
    score: Score,
    x: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    generator: torch.Generator,
    denoise_last: bool = False,
) -> Iterator[State]:
    """Ancestral sampling of the variance exploding process (Song et al. 2021, Appendix F).

    x ← x + (σ_k² − σ_{k+1}²) s(x, σ_k) + √(σ_{k+1}² (σ_k² − σ_{k+1}²)/σ_k²) z: from the mean of what x was at σ_{k+1}
    given what it is at σ_k, with that law's spread where the data are a point. The step above with η = 1 − r².

    Args:
        score: noise conditional score s(x, sigma).
        x: (B, *shape) starting points at noise level σ_1; left unchanged.
        sigmas: σ_1 > … > σ_L > 0, L ≥ 2.
        generator: source of the noise.
        denoise_last: end with x + σ_L² s(x, σ_L), one evaluation and one state more.

    Yields:
        L − 1 states, one at each of the levels σ_2 … σ_L.

    Raises:
        ValueError, TypeError: a bad argument, before the first step.
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold, which no exact score makes it do.
    """
    levels = _check(score, x, sigmas)
    check_generator(generator)
    return level_to_level("ancestral", score, x, levels, lambda r: 1 - r**2, generator, denoise_last)


def level_to_level(name, score, x, sigmas, eta_of, generator, denoise_last):
    """The states of the step above for η = eta_of(r); the arguments are checked."""
    scale = starting_scale(x, sigmas[0])
    for level, (sigma, following) in enumerate(itertools.pairwise(sigmas), start=2):
        x = transition(score, x, sigma, following, eta_of(following / sigma), generator)
        if has_diverged(x, scale):
            raise left_the_scale(name, sigmas, level)
        yield State(x, 1, following, level)
    if denoise_last:
        yield State(denoise(score, x, sigmas[-1]), 2, sigmas[-1], len(sigmas))


@torch.no_grad()
def transition(
    score: Score, x: Tensor, sigma: float, following: float, eta: float, generator: torch.Generator
) -> Tensor:
    """One step from σ_k to σ_{k+1}: (B, *shape) -> (B, *shape)."""
    fresh = math.sqrt(max(0.0, following**2 - ((1 - eta) * sigma) ** 2))
    return x + eta * sigma**2 * check_score(score(x, sigma), x) + fresh * randn_like(x, generator)


def left_the_scale(name: str, sigmas: list[float], level: int) -> SamplerDivergedError:
    """The error of a sampler whose steps are contractions under the score of any data."""
    return SamplerDivergedError(
        f"{name} diverged on the way from sigma = {sigmas[level - 2]:g} to level {level} of {len(sigmas)} (sigma = "
        f"{sigmas[level - 1]:g}): the state is no longer finite, or beyond 10⁶ times its starting scale. No step of "
        f"this ladder does that under the score of a Gaussian, so the score is wrong there: check that it is "
        f"finite, and on the scale of 1/sigma",
        step_size=math.nan,
        level=level,
        step=1,
    )


def _check(score: Score, x: Tensor, sigmas: Tensor | Sequence[float]) -> list[float]:
    check_callable(score, "score")
    check_batch(x)
    return check_two(check_sigmas(sigmas))


def check_two(levels: list[float]) -> list[float]:
    """Return the levels if there are two or more; raise otherwise."""
    if len(levels) < 2:
        raise ValueError(f"sigmas must hold at least two noise levels to go from one to the next, got {levels}")
    return levels
