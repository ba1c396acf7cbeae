"""Algorithm 1 with every state kept, and the network's clean estimate of each: for figures and sliders."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sbgm.checked import Batch, Count, Generator, Ladder, Positive, Score, checked
from sbgm.samplers import annealed_langevin, denoise, final

__all__ = [
    "Trajectory",
    "annealed_trajectory",
]


class Trajectory(NamedTuple):
    """The states of chains at which the score was asked for, and the last ones: S = L·T + 1 of them.

    Attributes:
        x: (S, B, *shape) on the CPU.
        denoised: (S, B, *shape), x + σ² s(x, σ), from the same scores.
        sigmas: the σ of each state's score; a level's first state is where the level before ended.
        levels: its number, from 1.
        steps: how many steps of the level were made before it, from 0.
    """

    x: Tensor
    denoised: Tensor
    sigmas: list[float]
    levels: list[int]
    steps: list[int]

    def ends_of_levels(self) -> Trajectory:
        """The start, and the states that each level ended at: L + 1 of them."""
        kept = [i for i, step in enumerate(self.steps) if step == 0] + [len(self.steps) - 1]
        return Trajectory(
            self.x[kept], self.denoised[kept], *([values[i] for i in kept] for values in (self[2], self[3], self[4]))
        )


@checked
def annealed_trajectory(
    score: Score, x: Batch, sigmas: Ladder, *, step_size: Positive, n_steps: Count, generator: Generator
) -> Trajectory:
    """Run `annealed_langevin` and keep all: the estimates cost nothing, but for one more score at the end.

    Args:
        score, x, sigmas, step_size, n_steps, generator: as for `annealed_langevin`.
    """
    states, estimates, asked = [], [], []

    def watched(x: Tensor, sigma: float) -> Tensor:
        value = score(x, sigma)
        states.append(x.cpu())
        estimates.append((x + sigma**2 * value).cpu())
        asked.append(sigma)
        return value

    settings = {"step_size": step_size, "n_steps": n_steps, "generator": generator}
    end = final(annealed_langevin(watched, x, sigmas, **settings))
    denoise(watched, end, sigmas[-1])
    made = range(len(sigmas) * n_steps)
    levels, steps = [i // n_steps + 1 for i in made], [i % n_steps for i in made]
    return Trajectory(torch.stack(states), torch.stack(estimates), asked, [*levels, len(sigmas)], [*steps, n_steps])
