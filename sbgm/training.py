"""The plain training loop, a generator of steps, for networks that train in a cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sbgm.checked import check_count, check_network

__all__ = [
    "Step",
    "adam",
    "fit",
    "n_parameters",
]


class Step(NamedTuple):
    """What `fit` yields after each update: its number, from 1, and the loss before the update."""

    step: int
    loss: float


def fit(
    loss: Callable[[], Tensor],
    optimizer: torch.optim.Optimizer,
    n_steps: int,
    *,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    first_step: int = 1,
) -> Iterator[Step]:
    """Minimise a loss by stochastic gradients, yielding after each step.

    Args:
        loss: draws a batch and returns its scalar loss; called once a step.
        optimizer: holds the parameters that are trained.
        n_steps: the number of the last step.
        schedule: learning-rate schedule, advanced once a step.
        first_step: the number of the first step, larger than 1 in a resumed run.

    Yields:
        Step(step, loss).

    Raises:
        FloatingPointError: a loss is NaN or infinite; the parameters are those of the step before.
    """
    for step in range(first_step, check_count(n_steps, "n_steps") + 1):
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        number = value.item()
        if not math.isfinite(number):
            raise FloatingPointError(f"the loss is {number} at step {step} of {n_steps}; lower the learning rate")
        optimizer.step()
        if schedule is not None:
            schedule.step()
        yield Step(step, number)


def adam(
    network: nn.Module, learning_rate: float, *, one_cycle_steps: int | None = None
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
    """Adam over a network's parameters, and its schedule, for `fit`.

    Args:
        network: what is trained.
        learning_rate: constant, or the peak of the cycle.
        one_cycle_steps: raise the rate to its peak and anneal it to zero over so many steps (Smith & Topin 2018); None
            keeps it constant, and there is no schedule.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    if one_cycle_steps is None:
        return optimizer, None
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=one_cycle_steps)


def n_parameters(network: nn.Module) -> int:
    """The number of trainable numbers in a network."""
    return sum(p.numel() for p in check_network(network).parameters() if p.requires_grad)
