"""The probability flow: the deterministic path from data plus noise of level σ_1 to data (Song et al. 2021)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sbgm._validate import check_batch, check_callable, check_choice, check_score, check_sigmas
from sbgm.losses import Score
from sbgm.samplers.annealed import denoise
from sbgm.samplers.chain import State, has_diverged, starting_scale
from sbgm.samplers.consistent import check_two, left_the_scale

METHODS = ("euler", "heun", "multistep")


def probability_flow(
    score: Score,
    x: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    method: str = "heun",
    denoise_last: bool = False,
) -> Iterator[State]:
    """The ordinary differential equation dx/dσ = −σ s(x, σ), solved from σ_1 down to σ_L.

    Chains that start as the data perturbed at σ_1 are the data perturbed at σ on the whole way. Nothing is drawn: an
    end depends smoothly on its start. With D(x, σ) = x + σ² s(x, σ), the expected clean point, the steps are

    * "euler": x ← (σ'/σ) x + (1 − σ'/σ) D(x, σ), which is x + (σ' − σ)(−σ s). One evaluation a step, of order 1.
    * "heun": the mean of the slopes at both ends of an Euler step (Karras et al. 2022). Two evaluations, of order 2.
    * "multistep": Euler's, with D extrapolated along ln σ from its last two values to the middle of the step
      (Lu et al. 2022, DPM-Solver++(2M)). One evaluation, of order 2.

    Args:
        score: noise conditional score s(x, sigma).
        x: (B, *shape) starting points at noise level σ_1; left unchanged.
        sigmas: σ_1 > … > σ_L > 0, L ≥ 2; where the steps end.
        method: one of the above.
        denoise_last: end with x + σ_L² s(x, σ_L), an Euler step to σ = 0; one evaluation and one state more.

    Yields:
        L − 1 states, one at each of the levels σ_2 … σ_L.

    Raises:
        ValueError, TypeError: a bad argument, before the first step.
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold.
    """
    check_callable(score, "score")
    check_batch(x)
    levels = check_two(check_sigmas(sigmas))
    check_choice(method, "method", METHODS)
    return _probability_flow(score, x, levels, method, denoise_last)


@torch.no_grad()
def _probability_flow(score, x, sigmas, method, denoise_last):
    scale = starting_scale(x, sigmas[0])
    previous = None  # the last step's D and its length in ln σ
    for level, (sigma, following) in enumerate(itertools.pairwise(sigmas), start=2):
        slope = -sigma * check_score(score(x, sigma), x)
        if method == "multistep":
            clean, length = x - sigma * slope, math.log(sigma / following)
            ahead = clean if previous is None else clean + (clean - previous[0]) * (length / (2 * previous[1]))
            previous = clean, length
            x = torch.lerp(ahead, x, following / sigma)
        else:
            end = x + (following - sigma) * slope
            if method == "heun":
                slope_there = -following * check_score(score(end, following), end)
                end = x + (following - sigma) / 2 * (slope + slope_there)
            x = end
        if has_diverged(x, scale):
            raise left_the_scale("probability_flow", sigmas, level)
        yield State(x, 1, following, level)
    if denoise_last:
        yield State(denoise(score, x, sigmas[-1]), 2, sigmas[-1], len(sigmas))
