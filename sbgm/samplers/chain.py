"""What every sampler shares: the state it yields, the last state, and the guard against divergence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

GROWTH_LIMIT = 1e6


class State(NamedTuple):
    """A batch of chains after one step.

    Attributes:
        x: (B, *shape) where the chains are.
        step: the step's number, from 1; in annealing, within its level.
        sigma: the noise level at which x stands; in Langevin dynamics the one that the score was asked for.
        level: its number, from 1 (σ_1, the largest).
        accepted: (B,) whether each chain took its proposal; None where no Metropolis test is made.
    """

    x: Tensor
    step: int
    sigma: float
    level: int = 1
    accepted: Tensor | None = None


class SamplerDivergedError(FloatingPointError):
    """A chain stopped being finite, or grew beyond 10⁶ times its starting scale.

    Attributes:
        step_size: the step size asked for.
        level, step: where it happened, both from 1.
        bound: the largest stable step size, for data of variance 0 under this noise (more is stable for wider data);
            NaN where none is known.
    """

    def __init__(self, message: str, *, step_size: float, level: int, step: int, bound: float = math.nan) -> None:
        super().__init__(message)
        self.step_size, self.level, self.step, self.bound = step_size, level, step, bound


def final(states: Iterable[State]) -> Tensor:
    """Run a sampler to its end and return the chains there: `final(langevin(...))`.

    Raises:
        ValueError: there was no state.
        TypeError: `states` is no sampler's.
    """
    if not isinstance(states, Iterable):
        raise TypeError(f"states must be the states of a sampler, got {type(states).__name__}")
    last = None
    for last in states:  # noqa: B007 - the last value is what is wanted
        pass
    if last is None:
        raise ValueError("states must hold at least one state, got none")
    if not isinstance(last, State):
        raise TypeError(f"states must be the states of a sampler, got a {type(last).__name__} among them")
    return last.x


def starting_scale(x: Tensor, noise: float) -> float:
    """The size that a healthy run has at the start: max |x|, or the spread of its own noise where that is larger."""
    return max(float(x.abs().max()), noise)


def has_diverged(x: Tensor, scale: float) -> bool:
    """Whether an entry is NaN, infinite, or beyond 10⁶ times `scale` (one comparison, which NaN fails)."""
    return not float(x.abs().max()) <= GROWTH_LIMIT * scale
