"""Predictor–corrector sampling: a step to the next noise level, then Langevin steps there (Song et al. 2021)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sbgm.losses import Score
from sbgm.samplers.annealed import check_annealing, denoise, diverged
from sbgm.samplers.chain import State, has_diverged, starting_scale
from sbgm.samplers.consistent import check_two, left_the_scale, transition
from sbgm.samplers.langevin import langevin_step


def predictor_corrector(
    score: Score,
    x: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    step_size: float,
    n_steps: int,
    generator: torch.Generator,
    denoise_last: bool = False,
) -> Iterator[State]:
    """Predictor–corrector sampling (Song et al. 2021, Algorithm 2): `ancestral` predicts, Langevin dynamics corrects.

    For each level from σ_2 on: an ancestral step from the level before, then n_steps Langevin steps with the size
    α_i = ε σ_i²/σ_L² of Algorithm 1. (Song et al. take the size from the norms of noise and score instead.)

    Args:
        score: noise conditional score s(x, sigma).
        x: (B, *shape) starting points at noise level σ_1; left unchanged.
        sigmas: σ_1 > … > σ_L > 0, L ≥ 2.
        step_size: ε of the corrector, in squared units of the data.
        n_steps: Langevin steps a level.
        generator: source of the noise.
        denoise_last: end with x + σ_L² s(x, σ_L), one evaluation and one state more.

    Yields:
        State after each step: at every level step 1 is the predictor's, those that follow the corrector's.

    Raises:
        ValueError, TypeError: a bad argument, before the first step.
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold, see `annealed_langevin`.
    """
    levels = check_two(check_annealing(score, x, sigmas, step_size, n_steps, generator))
    return _predictor_corrector(score, x, levels, step_size, n_steps, generator, denoise_last)


def _predictor_corrector(score, x, sigmas, step_size, n_steps, generator, denoise_last):
    scale = starting_scale(x, sigmas[0])
    for level, (sigma, following) in enumerate(itertools.pairwise(sigmas), start=2):
        x = transition(score, x, sigma, following, 1 - (following / sigma) ** 2, generator)
        if has_diverged(x, scale):
            raise left_the_scale("predictor_corrector", sigmas, level)
        yield State(x, 1, following, level)
        alpha = step_size * following**2 / sigmas[-1] ** 2
        for step in range(2, n_steps + 2):
            x = langevin_step(score, x, alpha, following, generator)
            if has_diverged(x, scale):
                raise diverged("predictor_corrector", sigmas, step_size, n_steps + 1, level, step)
            yield State(x, step, following, level)
    if denoise_last:
        yield State(denoise(score, x, sigmas[-1]), n_steps + 2, sigmas[-1], len(sigmas))
