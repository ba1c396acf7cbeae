"""Hamiltonian Monte Carlo (Section 6 names it as another sampler that a score allows)."""

from __future__ import annotations

from collections.abc import Iterator

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
from sbgm.samplers.chain import GROWTH_LIMIT, SamplerDivergedError, State, starting_scale
from sbgm.samplers.langevin import LogProb, check_log_prob, metropolis_test


def hamiltonian(
    score: Score,
    x: Tensor,
    *,
    step_size: float,
    n_leapfrog: int,
    n_steps: int,
    sigma: float = 0.0,
    log_prob: LogProb | None = None,
    generator: torch.Generator,
) -> Iterator[State]:
    """Hamiltonian Monte Carlo (Neal 2011): a fresh momentum p ~ N(0, I), then leapfrog steps along the score.

    One leapfrog step is p ← p + (h/2) s(x); x ← x + h p; p ← p + (h/2) s(x). With a log-density the end is taken with
    probability min{1, exp(H(start) − H(end))}, H = −log p(x) + ½‖p‖²; without one it is always taken, which leaves an
    error of order h². A single leapfrog step without the test is a Langevin step of size ε = h².

    Args:
        score: s(x, sigma).
        x: (B, *shape) starting points, one chain each; left unchanged.
        step_size: h, in units of the data (not squared, unlike Langevin's ε).
        n_leapfrog: leapfrog steps a trajectory.
        n_steps: trajectories.
        sigma: passed on to the score and the log-density.
        log_prob: log p(x, sigma) up to a constant, (B, *shape) -> (B,); None for no test.
        generator: source of momenta and tests.

    Yields:
        State after each trajectory; `accepted` is None without a test.

    Raises:
        ValueError, TypeError: a bad argument, before the first step.
        SamplerDivergedError: without a test, the state stopped being finite or grew 10⁶-fold.
    """
    check_callable(score, "score")
    if log_prob is not None:
        check_callable(log_prob, "log_prob")
    check_sigma(sigma, check_batch(x))
    check_positive(step_size, "step_size")
    check_count(n_leapfrog, "n_leapfrog")
    check_count(n_steps, "n_steps")
    check_generator(generator)
    return _hamiltonian(score, x, step_size, n_leapfrog, n_steps, sigma, log_prob, generator)


@torch.no_grad()
def _hamiltonian(score, x, step_size, n_leapfrog, n_steps, sigma, log_prob, generator):
    scale = starting_scale(x, step_size * n_leapfrog * n_steps**0.5)
    log_p = None if log_prob is None else check_log_prob(log_prob(x, sigma), x)
    for step in range(1, n_steps + 1):
        p = randn_like(x, generator)
        y, p_end, exploded = _leapfrog(score, x, p, step_size, n_leapfrog, sigma, GROWTH_LIMIT * scale)
        if log_prob is None:
            x, accepted = y, None
            if bool(exploded.any()):
                raise SamplerDivergedError(
                    f"hamiltonian diverged at step {step} of {n_steps}: the state is no longer finite, or beyond 10⁶ "
                    f"times its starting scale. step_size = {step_size:g} is too large: where the density looks like "
                    f"a Gaussian of standard deviation s, the bound is step_size < 2s",
                    step_size=step_size,
                    level=1,
                    step=step,
                )
        else:
            log_p_y = log_prob(y, sigma)
            log_ratio = log_p_y - _kinetic(p_end) - log_p + _kinetic(p)
            accepted = metropolis_test(log_ratio, generator) & ~exploded
            x = torch.where(accepted.reshape(-1, *[1] * (x.ndim - 1)), y, x)
            log_p = torch.where(accepted, log_p_y, log_p)
        yield State(x, step, sigma, accepted=accepted)


def _leapfrog(
    score: Score, x: Tensor, p: Tensor, step_size: float, n_leapfrog: int, sigma: float, limit: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The end (x, p) of a trajectory, and which chains left [−limit, limit] on the way: those stop where they were."""
    exploded = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    p = p + step_size / 2 * check_score(score(x, sigma), x)
    for i in range(n_leapfrog):
        y = x + step_size * p
        exploded |= ~(y.flatten(1).abs().amax(dim=1) <= limit)  # a NaN fails the comparison too
        x = torch.where(exploded.reshape(-1, *[1] * (x.ndim - 1)), x, y)
        last = i == n_leapfrog - 1  # the half steps between two moves merge into one
        p = p + (step_size / 2 if last else step_size) * check_score(score(x, sigma), x)
    return x, p, exploded


def _kinetic(p: Tensor) -> Tensor:
    return 0.5 * p.flatten(1).square().sum(dim=1)
