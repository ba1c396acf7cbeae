"""Langevin dynamics (Eq. 4), plain and with a Metropolis–Hastings test.

The step size is the paper's ε: x + (ε/2) s + √ε z. The authors' image code writes x + h s + √(2h) z, with h = ε/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

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
)
from sbgm.losses import Score
from sbgm.noise import randn_like
from sbgm.samplers.chain import SamplerDivergedError, State, has_diverged, starting_scale

LogProb = Callable[[Tensor, float], Tensor]


def langevin(
    score: Score, x: Tensor, *, step_size: float, n_steps: int, sigma: float = 0.0, generator: torch.Generator
) -> Iterator[State]:
    """Langevin dynamics (Eq. 4): x_t = x_{t−1} + (ε/2) s(x_{t−1}, σ) + √ε z_t, z_t ~ N(0, I).

    As ε → 0 and n_steps → ∞ the chains sample the density whose score is s. At ε > 0 they sample another one: for
    N(0, vI) a Gaussian of variance v/(1 − ε/(4v)), and nothing at all once ε ≥ 4v, where they diverge.

    Args:
        score: s(x, sigma).
        x: (B, *shape) starting points, one chain each; left unchanged.
        step_size: ε, in squared units of the data.
        n_steps: number of steps.
        sigma: passed on to the score.
        generator: source of z.

    Yields:
        State after each step.

    Raises:
        ValueError, TypeError: a bad argument, before the first step.
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold.
    """
    check_callable(score, "score")
    check_sigma(sigma, check_batch(x))
    check_positive(step_size, "step_size")
    check_count(n_steps, "n_steps")
    check_generator(generator)
    return _langevin(score, x, step_size, n_steps, sigma, generator)


def _langevin(score, x, step_size, n_steps, sigma, generator):
    scale = starting_scale(x, math.sqrt(step_size * n_steps))
    for step in range(1, n_steps + 1):
        x = langevin_step(score, x, step_size, sigma, generator)
        if has_diverged(x, scale):
            raise SamplerDivergedError(
                f"langevin diverged at step {step} of {n_steps}: the state is no longer finite, or beyond 10⁶ times "
                f"its starting scale. step_size = {step_size:g} is too large: where the density looks like a Gaussian "
                f"of variance v, the bound is step_size < 4v",
                step_size=step_size,
                level=1,
                step=step,
            )
        yield State(x, step, sigma)


@torch.no_grad()
def langevin_step(score: Score, x: Tensor, step_size: float, sigma: float, generator: torch.Generator) -> Tensor:
    """One step of Eq. 4, from (B, *shape) to (B, *shape)."""
    s = check_score(score(x, sigma), x)
    return x + step_size / 2 * s + math.sqrt(step_size) * randn_like(x, generator)


def metropolis_langevin(
    score: Score,
    x: Tensor,
    *,
    log_prob: LogProb,
    step_size: float,
    n_steps: int,
    sigma: float = 0.0,
    generator: torch.Generator,
) -> Iterator[State]:
    """Langevin dynamics with a Metropolis–Hastings test (MALA; Roberts & Tweedie 1996): exact at any step size.

    A Langevin step y from x has the density q(y|x) = N(y | x + (ε/2) s(x), εI). It is taken with probability
    min{1, p(y) q(x|y) / (p(x) q(y|x))}; otherwise the chain stays at x. This corrects the error of ε > 0 (Section 2.2).

    Args:
        score: s(x, sigma); any vector field leaves p invariant, its score makes good proposals.
        x: (B, *shape) starting points, one chain each; left unchanged.
        log_prob: log p(x, sigma) up to a constant, (B, *shape) -> (B,).
        step_size: ε, in squared units of the data.
        n_steps: number of steps.
        sigma: passed on to both.
        generator: source of the proposals and of the tests.

    Yields:
        State after each step; `accepted` says which chains moved.

    Raises:
        ValueError, TypeError: a bad argument, before the first step; log_prob gives another shape than (B,), or is
            NaN or infinite where a chain stands.
    """
    check_callable(score, "score")
    check_callable(log_prob, "log_prob")
    check_sigma(sigma, check_batch(x))
    check_positive(step_size, "step_size")
    check_count(n_steps, "n_steps")
    check_generator(generator)
    return _metropolis_langevin(score, x, log_prob, step_size, n_steps, sigma, generator)


@torch.no_grad()
def _metropolis_langevin(score, x, log_prob, step_size, n_steps, sigma, generator):
    def log_q(y: Tensor, x: Tensor, s: Tensor) -> Tensor:  # log q(y | x) up to a constant
        return -(y - x - step_size / 2 * s).flatten(1).square().sum(dim=1) / (2 * step_size)

    s, log_p = check_score(score(x, sigma), x), check_log_prob(log_prob(x, sigma), x)
    for step in range(1, n_steps + 1):
        y = x + step_size / 2 * s + math.sqrt(step_size) * randn_like(x, generator)
        s_y, log_p_y = check_score(score(y, sigma), y), log_prob(y, sigma)
        log_ratio = log_p_y + log_q(x, y, s_y) - log_p - log_q(y, x, s)
        accepted = metropolis_test(log_ratio, generator)
        x, s = torch.where(_like(accepted, x), y, x), torch.where(_like(accepted, s), s_y, s)
        log_p = torch.where(accepted, log_p_y, log_p)
        yield State(x, step, sigma, accepted=accepted)


def metropolis_test(log_ratio: Tensor, generator: torch.Generator) -> Tensor:
    """Accept with probability min{1, exp(log_ratio)}: (B,) -> (B,) bool. A NaN ratio is refused."""
    uniform = torch.rand(log_ratio.shape, generator=generator, device=generator.device, dtype=log_ratio.dtype)
    return uniform.to(log_ratio.device).log() < log_ratio


def check_log_prob(value: Tensor, x: Tensor) -> Tensor:
    """Return the log-density of the starting points if it is a finite (B,) tensor; raise otherwise."""
    if not isinstance(value, Tensor):
        raise TypeError(f"log_prob must return a torch.Tensor, got {type(value).__name__}")
    if value.shape != x.shape[:1]:
        raise ValueError(f"log_prob must return shape ({x.shape[0]},), one number an example, got {tuple(value.shape)}")
    if not bool(torch.isfinite(value).all()):
        raise ValueError("log_prob must be finite at the starting points x")
    return value


def _like(mask: Tensor, x: Tensor) -> Tensor:
    return mask.reshape(-1, *[1] * (x.ndim - 1))
