"""Generating any number of images, in batches and on any number of processes, and files of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sbgm.checked import (
    Score,
    check_batch,
    check_callable,
    check_count,
    check_finite,
    check_generator,
    check_number,
    check_positive,
    check_shape,
)
from sbgm.noise import derived_generator
from sbgm.samplers import State, final

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = [
    "CountedScore",
    "fitted_start",
    "gaussian_start",
    "generate",
    "in_batches",
    "uniform_start",
]

Sampler = Callable[[Tensor, torch.Generator], Iterator[State]]
Start = Callable[[tuple[int, ...], torch.Generator], Tensor]
OnState = Callable[[range, State], None]


def uniform_start(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform noise on [0, 1), from which Algorithm 1 starts on images: (B, *shape) float32."""
    return torch.rand(check_shape(shape), generator=check_generator(generator), device=generator.device)


def gaussian_start(sigma: float, mean: float | Tensor = 0.5) -> Start:
    """Starts mean + σ z for the samplers that take x to be data plus noise of level σ_1, which σ_1 must outweigh.

    Args:
        sigma: σ_1.
        mean: of the data, a number or (*shape).
    """
    check_positive(sigma, "sigma")
    check_finite(mean if isinstance(mean, Tensor) else torch.tensor(check_number(mean, "mean")), "mean")

    def start(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if isinstance(mean, Tensor) and mean.shape != check_shape(shape)[1:]:
            raise ValueError(f"shape must be (B, *shape) with the shape of mean, {tuple(mean.shape)}, got {shape}")
        z = torch.randn(check_shape(shape), generator=check_generator(generator), device=generator.device)
        return (mean.to(z) if isinstance(mean, Tensor) else mean) + sigma * z

    return start


def fitted_start(images: Tensor, sigma: float) -> Start:
    """Starts from the normal law that has the mean and the covariance of data perturbed at σ_1.

    m + Σ_j w_j (x_j − m)/√(n − 1) + σ z with w and z standard normal has the images' mean m and covariance exactly. It
    serves where σ_1 doesn't outweigh the data, as NCSN's σ_1 = 1 does not.

    Args:
        images: (n, *shape) data, n ≥ 2; a thousand will do.
        sigma: σ_1.
    """
    if len(check_batch(images, "images")) < 2:
        raise ValueError(f"images must hold at least two examples, got {len(images)}")
    check_positive(sigma, "sigma")
    mean = images.mean(dim=0)
    rows = (images - mean).flatten(1) / math.sqrt(len(images) - 1)

    def start(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if check_shape(shape)[1:] != mean.shape:
            raise ValueError(f"shape must be (B, *shape) with the shape of images, {tuple(mean.shape)}, got {shape}")
        check_generator(generator)
        w = torch.randn(shape[0], len(rows), generator=generator, device=generator.device)
        z = torch.randn(shape, generator=generator, device=generator.device)
        return mean.to(z) + (w @ rows.to(w)).reshape(shape) + sigma * z

    return start


def generate(
    sampler: Sampler,
    n: int,
    shape: tuple[int, ...],
    *,
    seed: int,
    batch_size: int = 64,
    start: Start = uniform_start,
    device: torch.device | str = "cpu",
    accelerator: Accelerator | None = None,
    on_state: OnState | None = None,
) -> Tensor:
    """Draw n samples in batches: `generate(lambda x, generator: annealed_langevin(score, x, …), 1000, (1, 28, 28), …)`.

    Batch b draws its start and its noise from a generator seeded by (seed, b). The samples depend on the seed, n and
    the batch size, not on the number of processes nor on the order of the batches.

    Args:
        sampler: from starting points (B, *shape) and a generator to the states of a sampler.
        n: samples.
        shape: of one.
        seed: of all of it.
        batch_size: chains run side by side.
        start: draws the starting points, (B, *shape); uniform noise unless told otherwise.
        device: where the chains run; noise is drawn on the CPU, so that it is the same everywhere.
        accelerator: shares the batches out among its processes, on its devices; every process gets all samples.
        on_state: called after every step, as on_state(indices, state), with the batch's place among the samples: for
            progress, or to keep intermediate states. Nothing but the current state is kept otherwise.

    Returns:
        (n, *shape) on the CPU, as the sampler left them: clamp to [0, 1] only to show or to score them.

    Raises:
        ValueError, TypeError: a bad argument, before the first batch.
    """
    check_callable(sampler, "sampler", "x, generator")
    check_callable(start, "start", "shape, generator")
    device = device if accelerator is None else accelerator.device

    def states_of(indices: range, generator: torch.Generator) -> Iterator[State]:
        return sampler(start((len(indices), *shape), generator).to(device), generator)

    options = {"seed": seed, "batch_size": batch_size, "accelerator": accelerator, "on_state": on_state}
    return in_batches(states_of, n, shape, **options)


def in_batches(
    states_of: Callable[[range, torch.Generator], Iterator[State]],
    n: int,
    shape: tuple[int, ...],
    *,
    seed: int,
    batch_size: int = 64,
    accelerator: Accelerator | None = None,
    on_state: OnState | None = None,
) -> Tensor:
    """`generate` for samples that differ by more than their noise, such as fills of different images.

    Args:
        states_of: from the indices of a batch's samples, and its generator, to the states of a sampler.
        n, shape, seed, batch_size, accelerator, on_state: as in `generate`.

    Returns:
        (n, *shape) on the CPU, in the order of the indices.

    Raises:
        ValueError, TypeError: a bad argument, before the first batch.
    """
    check_callable(states_of, "states_of", "indices, generator")
    check_count(n, "n")
    check_shape(shape)
    check_count(seed, "seed", least=0)
    check_count(batch_size, "batch_size")
    if on_state is not None:
        check_callable(on_state, "on_state", "indices, state")
    process, n_processes = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    n_batches = math.ceil(n / batch_size)
    n_rounds = math.ceil(n_batches / n_processes)
    mine = torch.zeros(n_rounds, batch_size, *shape)  # alike in all processes, so that they can be gathered
    for turn, batch in enumerate(range(process, n_batches, n_processes)):
        indices = range(batch * batch_size, min(n, (batch + 1) * batch_size))
        states = states_of(indices, derived_generator(seed, batch))
        mine[turn, : len(indices)] = final(_watched(states, indices, on_state))
    if n_processes == 1:
        return mine.flatten(0, 1)[:n]
    everyone = accelerator.gather(mine.to(accelerator.device)).cpu()  # process by process
    by_batch = everyone.unflatten(0, (n_processes, n_rounds)).transpose(0, 1)  # batch b is round b // n_processes
    return by_batch.flatten(0, 2)[:n].clone()


def _watched(states: Iterator[State], indices: range, on_state: OnState | None) -> Iterator[State]:
    for state in states:
        if on_state is not None:
            on_state(indices, state)
        yield state


class CountedScore:
    """A score that counts how often it is asked, the cost of sampling.

    Attributes:
        evaluations: calls so far; a call scores a whole batch.
    """

    def __init__(self, score: Score) -> None:
        self.score, self.evaluations = check_callable(score, "score"), 0

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The score, counted."""
        self.evaluations += 1
        return self.score(x, sigma)
