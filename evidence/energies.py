"""An energy, whose gradient is a score, and Hamiltonian Monte Carlo: § 6 names both as ways to use the method."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sbgm.guard import LogProb, Score, sigma_tensor
from sbgm.networks import softplus_layers
from sbgm.noise import randn_like
from sbgm.samplers import State, metropolis_test


class EnergyMLP(nn.Module):
    """A noise conditional energy E(x, σ) in a few dimensions; the model is p(x, σ) ∝ exp(−E) and its score −∇_x E.

    E = ½‖x/c‖² + (c/σ) f(x/c, log σ) with c = √(σ² + σ_data²) and f layers as a `ConditionalMLP` has them, which here
    give one number. The quadratic part makes exp(−E) integrable; the factor c/σ gives the learned part of the score
    the magnitude 1/σ.

    Args:
        dim, width, depth, data_std, generator: as for `ConditionalMLP`.
    """

    def __init__(
        self,
        dim: int = 2,
        width: int = 128,
        depth: int = 3,
        *,
        data_std: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.data_std = data_std
        self.layers = softplus_layers(dim + 1, width, depth, 1, generator)

    def energy(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """E(x, σ): (B, D) points, σ > 0 a float or (B,) -> (B,)."""
        level = sigma_tensor(sigma, x).expand(len(x), 1)
        scale = (level**2 + self.data_std**2).sqrt()
        point = x / scale
        learned = self.layers(torch.cat([point, level.log()], dim=1))
        quadratic = 0.5 * point.square().sum(dim=1, keepdim=True)
        return (quadratic + scale / level * learned).squeeze(1)

    def log_prob(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """−E(x, σ), the log-density up to a constant that depends on σ alone: all that a Metropolis step needs."""
        return -self.energy(x, sigma)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The score −∇_x E, (B, D) -> (B, D), which can itself be differentiated, forward or backward."""
        return -torch.func.grad(lambda x: self.energy(x, sigma).sum())(x)


@torch.no_grad()
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
        x: (B, D) starting points, one chain each.
        step_size: h, in units of the data (not squared, unlike Langevin's ε); 2 standard deviations are the bound.
        n_leapfrog: leapfrog steps a trajectory.
        n_steps: trajectories.
        sigma: passed on to both functions.
        log_prob: log p(x, sigma) up to a constant, (B, D) -> (B,); None for no test.
        generator: source of the momenta and the tests.

    Yields:
        State after each trajectory; `accepted` is None without a test.
    """
    log_p = None if log_prob is None else log_prob(x, sigma)
    for step in range(1, n_steps + 1):
        p = randn_like(x, generator)  # fresh: with one p for ever a chain would stay on its level of energy
        y = x
        p_end = p + step_size / 2 * score(x, sigma)
        for i in range(n_leapfrog):
            y = y + step_size * p_end
            last = i == n_leapfrog - 1  # the half steps between two moves merge into one
            p_end = p_end + (step_size / 2 if last else step_size) * score(y, sigma)
        accepted = None
        if log_prob is None:
            x = y
        else:
            log_p_y = log_prob(y, sigma)
            kinetic = 0.5 * p.square().sum(dim=1)
            kinetic_end = 0.5 * p_end.square().sum(dim=1)
            accepted = metropolis_test(log_p_y - kinetic_end - log_p + kinetic, generator)
            x = torch.where(accepted[:, None], y, x)
            log_p = torch.where(accepted, log_p_y, log_p)
        yield State(x, step, sigma, accepted=accepted)
