"""Any number of samples, drawn batch by batch.

`generate` does it in one call. `chains` and `draw_batches` are its parts, for a caller that keeps the batches in files
and resumes from there, or shares them out among several processes.

In this order: where chains start; what they cost; and the batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from sbgm.files import Fact, load_tensors, save_tensors
from sbgm.guard import Batch, Count, FilePath, Generator, Positive, Shape, Whole, checked, function_of, widened
from sbgm.noise import derived_generator
from sbgm.samplers import State, final

__all__ = [
    "chains",
    "cost_of",
    "draw_batches",
    "fitted_start",
    "gaussian_start",
    "generate",
    "uniform_start",
]

Sampler = Annotated[Callable[..., Iterator[State]], function_of("x, generator")]
Start = Annotated[Callable[[tuple[int, ...], torch.Generator], Tensor], function_of("shape, generator")]
Accelerator = Any  # an accelerate.Accelerator: its process_index and num_processes
Draw = Annotated[Callable[[range, torch.Generator], dict[str, Tensor]], function_of("indices, generator")]


# --- where chains start ----------------------------------------------------------------------------------------------


@checked
def uniform_start(shape: Shape, generator: Generator) -> Tensor:
    """Uniform noise on [0, 1), from which Algorithm 1 starts on images: (B, *shape) float32.

    Example:
        >>> sbgm.images.drawing.uniform_start((4, 1, 28, 28), torch.Generator().manual_seed(0)).shape
        torch.Size([4, 1, 28, 28])
    """
    return torch.rand(shape, generator=generator, device=generator.device)


@checked
def gaussian_start(sigma: Positive, mean: float | Tensor = 0.5) -> Start:
    """Starts mean + σ z for the samplers that take x to be data plus noise of level σ_1, which σ_1 must outweigh.

    Args:
        sigma: σ_1.
        mean: of the data, a number or (*shape).

    Example:
        >>> start = sbgm.images.drawing.gaussian_start(20.0, mean=0.5)
        >>> x = start((10000, 2), torch.Generator().manual_seed(0))
        >>> x.shape, f"{x.std():.0f}"
        (torch.Size([10000, 2]), '20')
    """

    def start(shape: Shape, generator: torch.Generator) -> Tensor:
        z = torch.randn(shape, generator=generator, device=generator.device)
        return torch.as_tensor(mean).to(z) + sigma * z

    return start


@checked
def fitted_start(images: Batch, sigma: Positive) -> Start:
    """Starts from the normal law that has the mean and the covariance of data perturbed at σ_1.

    m + Σ_j w_j (x_j − m)/√(n − 1) + σ z with w and z standard normal has the images' mean m and covariance exactly. It
    serves where σ_1 doesn't outweigh the data, as NCSN's σ_1 = 1 does not.

    Args:
        images: (n, *shape) data, n ≥ 2; a thousand will do.
        sigma: σ_1.

    Example:
        >>> data = torch.tensor([[0.0, 0.0], [2.0, 2.0]])  # all of it on one line
        >>> x = sbgm.images.drawing.fitted_start(data, sigma=0.1)((1000, 2), torch.Generator().manual_seed(0))
        >>> f"{torch.corrcoef(x.T)[0, 1]:.1f}"  # the starts lie along that line
        '1.0'
    """
    if len(images) < 2:
        raise ValueError(f"images must hold at least two examples, got {len(images)}")
    mean = widened(images).mean(dim=0)
    rows = (images - mean).flatten(1) / math.sqrt(len(images) - 1)

    def start(shape: Shape, generator: torch.Generator) -> Tensor:
        w = torch.randn(shape[0], len(rows), generator=generator, device=generator.device)
        z = torch.randn(shape, generator=generator, device=generator.device)
        return mean.to(z) + (w @ rows.to(w)).reshape(shape) + sigma * z

    return start


# --- what a chain costs ----------------------------------------------------------------------------------------------


@checked
def cost_of(sampler: Annotated[Callable[..., Iterator[State]], function_of("score, x, generator")]) -> tuple[int, int]:
    """How many states a sampler yields of a chain, and how often it asks for the score: counted on one number.

    Args:
        sampler: sampler(score, x, generator) with its ladder and settings in it; its steps don't depend on the score.

    Example:
        >>> ladder = [1.0, 0.5, 0.1]
        >>> sbgm.images.drawing.cost_of(lambda score, x, generator: sbgm.probability_flow(score, x, ladder))  # Heun's
        (2, 4)
    """
    asked = []

    def score(x: Tensor, sigma: float | Tensor) -> Tensor:
        asked.append(sigma)
        return torch.zeros_like(x)

    states = sampler(score, torch.zeros(1, 1), torch.Generator().manual_seed(0))
    n_states = sum(1 for _ in states)
    return n_states, len(asked)


# --- the batches -----------------------------------------------------------------------------------------------------


@checked
def generate(
    sampler: Sampler,
    n: Count,
    shape: Shape,
    *,
    seed: Whole,
    batch_size: Count = 64,
    start: Start = uniform_start,
    given: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw n samples in batches: `generate(lambda x, generator: annealed_langevin(score, x, …), 1000, (1, 28, 28), …)`.

    Batch b draws its start and its noise from a generator seeded by (seed, b). The samples depend on the seed, n and
    the batch size, and not on the order of the batches.

    Args:
        sampler: from starting points (B, *shape) and a generator to the states of a sampler.
        n: samples.
        shape: of one.
        seed: of all of it.
        batch_size: chains run side by side.
        start: draws the starting points, (B, *shape); uniform noise unless told otherwise.
        given: (n, …), what each sample is drawn for, such as the image that is filled; the sampler is then called as
            sampler(x, generator, rows) with the rows (B, …) of its batch.
        device: where the chains run and noise is drawn: a GPU draws other noise than the CPU.

    Returns:
        (n, *shape) float32 on the CPU, as the sampler left them: clamp to [0, 1] only to show or to score them.

    Raises:
        ValueError: given holds another number of rows than n, or the start or the sampler gives another shape.

    Example:
        >>> mixture, ladder = sbgm.paper_mixture(), sbgm.geometric_sigmas(20.0, 1.0, 10)
        >>> sampler = lambda x, generator: sbgm.ancestral(mixture.score, x, ladder, generator=generator)
        >>> start = sbgm.images.drawing.gaussian_start(20.0, mean=0.0)
        >>> sbgm.generate(sampler, 100, (2,), seed=0, start=start, batch_size=32).shape
        torch.Size([100, 2])
    """
    draw = chains(sampler, n, shape, start=start, given=given, device=device)
    batches = draw_batches(draw, n, seed=seed, batch_size=batch_size, device=device)
    return torch.cat([batch["samples"].float().cpu() for batch in batches])


@checked
def chains(
    sampler: Sampler,
    n: Count,
    shape: Shape,
    *,
    start: Start = uniform_start,
    given: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> Draw:
    """Make the function that `draw_batches` calls for each batch: it runs a sampler's chains to their end.

    Args:
        sampler, n, shape, start, given, device: as for `generate`.

    Returns:
        draw(indices, generator), which gives {"samples": (B, *shape)}; the last batch ends with the n-th sample. So a
        folder of `draw_batches` that is to go on with more samples has n in its name.

    Example:
        >>> sampler = lambda x, generator: sbgm.langevin(
        ...     lambda x, sigma: -x, x, step_size=0.1, n_steps=9, generator=generator
        ... )
        >>> draw = sbgm.images.drawing.chains(sampler, 5, (2,))
        >>> draw(range(5), torch.Generator().manual_seed(0))["samples"].shape
        torch.Size([5, 2])
    """
    if given is not None and len(given) != n:
        raise ValueError(f"given must hold a row for each of the n = {n} samples, got {len(given)}")

    def draw(indices: range, generator: torch.Generator) -> dict[str, Tensor]:
        indices = indices[: n - indices.start]  # with a folder the last batch is asked for whole
        wanted = (len(indices), *shape)
        x = start(wanted, generator).to(device)
        _require_shape(x, "start", wanted)
        rows = [] if given is None else [given[indices.start : indices.stop].to(device)]
        samples = final(sampler(x, generator, *rows))
        _require_shape(samples, "sampler", wanted)
        return {"samples": samples}

    return draw


def _require_shape(x: Tensor, name: str, wanted: tuple[int, ...]) -> None:
    if x.shape != wanted:
        raise ValueError(f"{name} must give chains of shape {wanted}, got {tuple(x.shape)}")


@checked
def draw_batches(
    draw: Draw,
    n: Count,
    *,
    seed: Whole,
    batch_size: Count = 64,
    folder: FilePath | None = None,
    device: torch.device | str = "cpu",
    accelerator: Accelerator | None = None,
    **facts: Fact,
) -> Iterator[dict[str, Tensor]]:
    """Draw batches of tensors one by one; with a folder, a run that was stopped goes on where it was.

    Batch b is draw(indices, generator) with the generator of (seed, b), so that no batch depends on the others.

    Args:
        draw: from the indices of a batch's samples, and its generator, to its tensors by name.
        n: samples.
        seed: of all of it.
        batch_size: samples of a batch; the last one may have fewer.
        folder: keeps each batch in a file of its own, batch-0000.safetensors and so on; a batch whose file is there is
            read and not drawn. The folder's name must tell everything that the samples depend on, except n. With a
            folder the last batch is drawn whole too, so that a later call for more samples goes on from there.
        device: where the generators draw. What a GPU draws is kept in a folder of its own inside `folder`.
        accelerator: draws only this process's share, the batches b whose remainder by the number of processes it is.
        facts: kept in each file.

    Yields:
        {name: tensor}, in the order of the batches; from a folder, on the CPU.

    Example:
        >>> draw = lambda indices, generator: {"u": torch.rand(len(indices), generator=generator)}
        >>> [len(batch["u"]) for batch in sbgm.images.drawing.draw_batches(draw, 5, seed=0, batch_size=2)]
        [2, 2, 1]
    """
    process = 0 if accelerator is None else accelerator.process_index
    n_processes = 1 if accelerator is None else accelerator.num_processes
    drawn_on = torch.device(device).type
    if folder is not None:
        folder = Path(folder) if drawn_on == "cpu" else Path(folder) / f"noise-{drawn_on}"
        folder.mkdir(parents=True, exist_ok=True)
    for batch in range(process, math.ceil(n / batch_size), n_processes):
        file = None if folder is None else folder / f"batch-{batch:04d}.safetensors"
        if file is not None and file.exists():
            yield load_tensors(file)[0]
            continue
        first = batch * batch_size
        end = first + batch_size
        if file is None:
            end = min(n, end)
        tensors = draw(range(first, end), derived_generator(seed, batch, device=device))
        if file is not None:
            tensors = {name: x.cpu() for name, x in tensors.items()}  # as those that are read
            save_tensors(file, tensors, **facts)
        yield tensors
