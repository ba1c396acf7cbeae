"""The plain training loop, a generator of steps, for networks that train in a cell.

`fit_score` draws a batch of the data at each step and lowers a loss of the score on it; `fit`, the loop beneath it,
takes any loss that draws what it needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from sbgm.guard import Count, Generator, Network, Positive, checked, function_of, require_batch

__all__ = [
    "Step",
    "adam",
    "fit",
    "fit_score",
    "n_parameters",
    "require_finite_step",
]


class Step(NamedTuple):
    """An update of the parameters: its number, from 1, and the loss before it.

    Example:
        >>> step = sbgm.training.Step(step=1, loss=0.5)
        >>> f"{step.loss:.3f} before step {step.step}"
        '0.500 before step 1'
    """

    step: int
    loss: float


def _data(data: Tensor | Callable[[int], Tensor], name: str) -> None:
    if not callable(data):
        require_batch(data, name)


@checked
def fit_score(
    score: Network,
    data: Annotated[Tensor | Callable[[int], Tensor], _data],
    loss: Annotated[Callable[[nn.Module, Tensor], Tensor], function_of("score, x")],
    *,
    n_steps: Count,
    batch_size: Count = 128,
    learning_rate: Positive = 1e-3,
    one_cycle: bool = False,
    generator: Generator,
) -> Iterator[Step]:
    """Train a score network in place by Adam: each step draws a batch x and lowers loss(score, x).

    Args:
        score: the network s(x, sigma).
        data: (N, *shape) training data, from which batches are drawn with replacement, or a function that draws so many
            examples, such as `lambda n: mixture.sample(n, generator=g)`.
        loss: of the score on a batch (B, *shape), a scalar, such as
            `lambda score, x: ncsn_loss(score, x, sigmas, generator=g)`.
        n_steps: the number of steps, an int.
        batch_size: number of examples in a batch, B, an int.
        learning_rate: Adam's, a float, at its peak where `one_cycle` is set.
        one_cycle: raise the rate to its peak, then anneal it to zero (Smith & Topin 2018), in place of a constant one.
        generator: draws the batches, where data is a tensor.

    Yields:
        Step(step, loss) after each step.

    Raises:
        ValueError, FloatingPointError: as `fit`.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> data, network = torch.randn(1000, 2, generator=g), sbgm.MLP(generator=g)
        >>> steps = list(sbgm.fit_score(network, data, sbgm.score_matching_loss, n_steps=200, generator=g))
        >>> score = network(torch.tensor([[1.0, 0.0]]))  # that of N(0, I) is −x
        >>> torch.allclose(score, torch.tensor([[-1.0, 0.0]]), atol=0.3)
        True
    """
    optimizer, schedule = adam(score, learning_rate, one_cycle_steps=n_steps if one_cycle else None)

    def batch_loss() -> Tensor:
        if callable(data):
            return loss(score, data(batch_size))
        # with replacement: each step then draws from the same law, and no order of the data is to be kept
        rows = torch.randint(len(data), (batch_size,), generator=generator, device=generator.device)
        return loss(score, data[rows.to(data.device)])

    return fit(batch_loss, optimizer, n_steps, schedule=schedule)


@checked
def fit(
    loss: Callable[[], Tensor],
    optimizer: torch.optim.Optimizer,
    n_steps: Count,
    *,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> Iterator[Step]:
    """Minimise a loss by stochastic gradients, yielding after each step.

    Args:
        loss: draws a batch and returns its scalar loss; called once a step.
        optimizer: holds the parameters that are trained.
        n_steps: the number of steps, an int.
        schedule: learning-rate schedule, advanced once a step.

    Yields:
        Step(step, loss).

    Raises:
        ValueError: the loss is no scalar, or no parameter that is trained has a gradient.
        FloatingPointError: a loss or a gradient is NaN or infinite; the parameters are those of the step before.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor(0.0))
        >>> optimizer = torch.optim.SGD([w], lr=0.5)
        >>> list(sbgm.training.fit(lambda: (w - 3) ** 2, optimizer, n_steps=2))  # w ← w − ½·2(w − 3) = 3 at once
        [Step(step=1, loss=9.0), Step(step=2, loss=0.0)]
    """
    for step in range(1, n_steps + 1):
        optimizer.zero_grad(set_to_none=True)
        value = require_loss(loss())
        value.backward()
        # looked at before the update: one NaN in the gradient would make every parameter NaN for good
        number = require_finite_step(value, optimizer, step, n_steps)
        optimizer.step()
        if schedule is not None:
            schedule.step()
        yield Step(step, number)


def require_loss(value: Tensor) -> Tensor:
    """Return what a loss gave if it is a scalar that has a gradient; raise otherwise."""
    if not isinstance(value, Tensor) or value.ndim > 0:
        kind = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss must return a scalar tensor, such as the mean over the batch, got {kind}")
    if not value.requires_grad:
        raise ValueError("loss must be computed from the network with gradients, without detach or torch.no_grad")
    return value


def require_finite_step(
    loss: Tensor, optimizer: torch.optim.Optimizer | None, step: int, n_steps: int, scale: Tensor | None = None
) -> float:
    """Return the loss of a step; raise FloatingPointError if it, or the gradient of the parameters, is not finite.

    A gradient is judged by the sum of all its numbers: a single number that is not finite makes the sum not finite.
    Without an optimizer only the loss is judged; with one ValueError is raised if no parameter has a gradient. Under a
    scale above 1, by which a float16 loss was multiplied, a gradient may overflow: the step is then left out.

    Example:
        >>> sbgm.training.require_finite_step(torch.tensor(0.5), None, step=1, n_steps=10)
        0.5
        >>> sbgm.training.require_finite_step(torch.tensor(float("nan")), None, step=2, n_steps=10)
        Traceback (most recent call last):
        FloatingPointError: the loss is nan at step 2 of 10; lower the learning rate
    """
    groups = [] if optimizer is None else optimizer.param_groups
    gradients = [p.grad.sum() for group in groups for p in group["params"] if p.grad is not None]
    if groups and not gradients:
        raise ValueError("loss must depend on the parameters that are trained, and none of them has a gradient")
    one = loss.new_ones(())
    gradient = sum(gradients, torch.zeros_like(one))
    # read together, since a GPU is waited for at each look
    values = torch.stack([loss.detach(), gradient, one if scale is None else scale]).tolist()
    may_overflow = values.pop() > 1
    for name, value in zip(("loss", "sum of the gradient"), values, strict=True):
        if not math.isfinite(value) and not (may_overflow and name != "loss"):
            raise FloatingPointError(f"the {name} is {value} at step {step} of {n_steps}; lower the learning rate")
    return values[0]


def adam(
    network: nn.Module, learning_rate: float, *, one_cycle_steps: int | None = None
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
    """Adam over a network's parameters, and its schedule, for `fit`.

    Args:
        network: what is trained.
        learning_rate: constant, or the peak of the cycle.
        one_cycle_steps: raise the rate to its peak and anneal it to zero over so many steps (Smith & Topin 2018); None
            keeps it constant, and there is no schedule.

    Example:
        >>> optimizer, schedule = sbgm.training.adam(sbgm.MLP(), 0.01, one_cycle_steps=100)
        >>> schedule.total_steps, sbgm.training.adam(sbgm.MLP(), 0.01)[1]
        (100, None)
    """
    # fused: one call for all parameters, where a small network would spend its time in Python
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    if one_cycle_steps is None:
        return optimizer, None
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=one_cycle_steps)


@checked
def n_parameters(network: Network) -> int:
    """The number of trainable numbers in a network.

    Example:
        >>> sbgm.training.n_parameters(torch.nn.Linear(3, 2))  # 3·2 weights and 2 biases
        8
    """
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
