"""Inpainting (Algorithm 2): annealed Langevin dynamics in which the known pixels are put back after every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sbgm._validate import check_batch
from sbgm.losses import Score
from sbgm.noise import randn_like
from sbgm.samplers.annealed import check_annealing, denoise, diverged
from sbgm.samplers.chain import State, has_diverged, starting_scale
from sbgm.samplers.langevin import langevin_step


def inpaint(
    score: Score,
    x: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    image: Tensor,
    mask: Tensor,
    step_size: float,
    n_steps: int,
    generator: torch.Generator,
    denoise_last: bool = False,
) -> Iterator[State]:
    """Inpainting (Algorithm 2): the unknown pixels drawn given the known ones.

    For each level σ_i, from the largest to the smallest, y = image + σ_i z is drawn once. Then follow n_steps Langevin
    steps of size α_i = ε σ_i²/σ_L², as in Algorithm 1, and after each of them x ← (1 − m) x + m y.

    Args:
        score: noise conditional score s(x, sigma).
        x: (B, *shape) starting points, uniform noise in the paper; left unchanged.
        sigmas: σ_1 > … > σ_L > 0.
        image: what is known, of a shape that broadcasts to x's: (B, *shape), or (*shape) for B fills of one image. Its
            unknown pixels count for nothing, but must be finite.
        mask: m, boolean, True where a pixel is known, of a shape that broadcasts to x's.
        step_size: ε, the step size α_L of the last level, in squared units of the data.
        n_steps: T, steps a level.
        generator: source of all noise.
        denoise_last: end with one state more, whose unknown pixels are those of x + σ_L² s(x, σ_L).

    Yields:
        State after each step. The known pixels are those of the level's y, bit for bit, also after denoising: they
        carry noise of standard deviation σ_L at the end, as Algorithm 2 has it.

    Raises:
        ValueError, TypeError: a bad argument, before the first step.
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold, see `annealed_langevin`.
    """
    levels = check_annealing(score, x, sigmas, step_size, n_steps, generator)
    image = check_batch(_expand(image, x, "image"), "image").to(x.dtype)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask must be a boolean tensor, True where a pixel is known, got {kind}")
    mask = _expand(mask, x, "mask")
    return _inpaint(score, x, levels, image, mask, step_size, n_steps, generator, denoise_last)


def _inpaint(score, x, sigmas, image, mask, step_size, n_steps, generator, denoise_last):
    scale = starting_scale(x, sigmas[0])
    for level, sigma in enumerate(sigmas, start=1):
        alpha = step_size * sigma**2 / sigmas[-1] ** 2
        y = image + sigma * randn_like(x, generator)
        for step in range(1, n_steps + 1):
            x = torch.where(mask, y, langevin_step(score, x, alpha, sigma, generator))
            if has_diverged(x, scale):
                raise diverged("inpaint", sigmas, step_size, n_steps, level, step)
            yield State(x, step, sigma, level)
    if denoise_last:
        yield State(torch.where(mask, y, denoise(score, x, sigma)), n_steps + 1, sigma, level)


def _expand(value: Tensor, x: Tensor, name: str) -> Tensor:
    """`value` broadcast to x's shape; raise if that cannot be."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.device != x.device:
        raise ValueError(f"{name} must be on the device of x, {x.device}, got {value.device}")
    try:
        return value.expand_as(x)
    except RuntimeError:
        raise ValueError(
            f"{name} must broadcast to the shape of x, {tuple(x.shape)}, got {tuple(value.shape)}"
        ) from None
