"""Any number of samples, drawn batch by batch: on several processes, or kept in files and resumed from there.

In this order: samplers by name, for commands and comparisons; where their chains start; and the batches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from sbgm.checked import (
    Batch,
    Count,
    FilePath,
    Generator,
    Ladder,
    Positive,
    Score,
    Shape,
    Whole,
    as_list,
    checked,
    function_of,
    one_of,
    require_finite,
    require_number,
    widened,
)
from sbgm.files import Fact, load_tensors, save_tensors
from sbgm.noise import derived_generator
from sbgm.samplers import (
    State,
    ancestral,
    annealed_langevin,
    consistent_annealed,
    consistent_step_bounds,
    final,
    predictor_corrector,
    probability_flow,
)

__all__ = [
    "SAMPLERS",
    "NamedSampler",
    "draw_batches",
    "fitted_start",
    "gaussian_start",
    "generate",
    "uniform_start",
]

Sampler = Annotated[Callable[..., Iterator[State]], function_of("x, generator")]
Start = Annotated[Callable[[tuple[int, ...], torch.Generator], Tensor], function_of("shape, generator")]
Accelerator = Any  # an accelerate.Accelerator: its device, process_index, num_processes and gather
OnState = Annotated[Callable[[range, State], None], function_of("indices, state")]
Draw = Annotated[Callable[[range, torch.Generator], dict[str, Tensor]], function_of("indices, generator")]


# --- samplers by name ------------------------------------------------------------------------------------------------

SAMPLERS = {  # each with its settings beside the ladder
    "annealed": (annealed_langevin, ("step_size", "n_steps")),
    "consistent": (consistent_annealed, ("step_size",)),
    "ancestral": (ancestral, ()),
    "predictor-corrector": (predictor_corrector, ("step_size", "n_steps")),
    **dict.fromkeys(("euler", "heun", "multistep"), (probability_flow, ())),
}


@checked
@dataclasses.dataclass(frozen=True)
class NamedSampler:
    """A sampler with its settings: `NamedSampler("annealed", sigmas, step_size=4e-5, n_steps=100).states(score, x, …)`.

    Attributes:
        name: "annealed" (Algorithm 1), "consistent", "ancestral", "predictor-corrector", or a method of the probability
            flow, "euler", "heun" or "multistep".
        sigmas: its ladder.
        step_size: ε, where the sampler has one: annealed, consistent, predictor-corrector.
        n_steps: Langevin steps a level: annealed, predictor-corrector.
        denoise_last: end with x + σ_L² s(x, σ_L).

    Example:
        >>> sbgm.NamedSampler("annealed", [1.0, 0.5, 0.1], step_size=0.01, n_steps=100).evaluations  # 3 levels of 100
        300
        >>> sbgm.NamedSampler("heun", [1.0, 0.5, 0.1]).evaluations  # 2 steps of 2
        4
    """

    name: Annotated[str, one_of(SAMPLERS)]
    sigmas: Ladder
    step_size: Positive | None = None
    n_steps: Count | None = None
    denoise_last: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", tuple(as_list(self.sigmas)))
        for setting in ("step_size", "n_steps"):
            value, wanted = getattr(self, setting), setting in SAMPLERS[self.name][1]
            if (value is not None) != wanted:
                what, hint = "must be given" if wanted else "has no meaning", ""
                if wanted and self.name == "consistent":
                    low, high = consistent_step_bounds(self.sigmas)
                    # on a geometric ladder 2σ_L²(1 − r²) is ancestral sampling
                    hint = f"; between {low:.3g} and {high:.3g}, such as {low * high / (2 * self.sigmas[-1] ** 2):.3g}"
                raise ValueError(f"{setting} {what} for {self.name}, got {value}{hint}")

    @property
    def evaluations(self) -> int:
        """How often it asks for the score."""
        n_steps = self.n_steps or 0
        per_step = {"heun": 2, "predictor-corrector": 1 + n_steps}.get(self.name, 1)
        on_the_way = len(self.sigmas) * n_steps if self.name == "annealed" else (len(self.sigmas) - 1) * per_step
        return on_the_way + self.denoise_last

    @property
    def n_states(self) -> int:
        """How many states it yields."""
        return self.evaluations - (len(self.sigmas) - 1 if self.name == "heun" else 0)

    def states(self, score: Score, x: Tensor, generator: torch.Generator) -> Iterator[State]:
        """Run it from the starting points x, (B, *shape)."""
        sampler, settings = SAMPLERS[self.name]
        options = {"method": self.name} if sampler is probability_flow else {"generator": generator}
        options |= {name: getattr(self, name) for name in ("denoise_last", *settings)}
        return sampler(score, x, self.sigmas, **options)


# --- where chains start ----------------------------------------------------------------------------------------------


@checked
def uniform_start(shape: Shape, generator: Generator) -> Tensor:
    """Uniform noise on [0, 1), from which Algorithm 1 starts on images: (B, *shape) float32.

    Example:
        >>> sbgm.generation.uniform_start((4, 1, 28, 28), torch.Generator().manual_seed(0)).shape
        torch.Size([4, 1, 28, 28])
    """
    return torch.rand(shape, generator=generator, device=generator.device)


def _finite_mean(mean: float | Tensor, name: str) -> None:
    require_finite(mean if isinstance(mean, Tensor) else torch.tensor(require_number(mean, name)), name)


@checked
def gaussian_start(sigma: Positive, mean: Annotated[float | Tensor, _finite_mean] = 0.5) -> Start:
    """Starts mean + σ z for the samplers that take x to be data plus noise of level σ_1, which σ_1 must outweigh.

    Args:
        sigma: σ_1.
        mean: of the data, a number or (*shape).

    Example:
        >>> start = sbgm.generation.gaussian_start(20.0, mean=0.5)
        >>> x = start((10000, 2), torch.Generator().manual_seed(0))
        >>> x.shape, f"{x.std():.0f}"
        (torch.Size([10000, 2]), '20')
    """

    @checked
    def start(shape: Shape, generator: Generator) -> Tensor:
        if isinstance(mean, Tensor) and mean.shape != shape[1:]:
            raise ValueError(f"shape must be (B, *shape) with the shape of mean, {tuple(mean.shape)}, got {shape}")
        z = torch.randn(shape, generator=generator, device=generator.device)
        return (mean.to(z) if isinstance(mean, Tensor) else mean) + sigma * z

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
        >>> x = sbgm.generation.fitted_start(data, sigma=0.1)((1000, 2), torch.Generator().manual_seed(0))
        >>> f"{torch.corrcoef(x.T)[0, 1]:.1f}"  # the starts lie along that line
        '1.0'
    """
    if len(images) < 2:
        raise ValueError(f"images must hold at least two examples, got {len(images)}")
    mean = widened(images).mean(dim=0)
    rows = (images - mean).flatten(1) / math.sqrt(len(images) - 1)

    @checked
    def start(shape: Shape, generator: Generator) -> Tensor:
        if shape[1:] != mean.shape:
            raise ValueError(f"shape must be (B, *shape) with the shape of images, {tuple(mean.shape)}, got {shape}")
        w = torch.randn(shape[0], len(rows), generator=generator, device=generator.device)
        z = torch.randn(shape, generator=generator, device=generator.device)
        return mean.to(z) + (w @ rows.to(w)).reshape(shape) + sigma * z

    return start


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
    accelerator: Accelerator | None = None,
    on_state: OnState | None = None,
    folder: FilePath | None = None,
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
        given: (n, …), what each sample is drawn for, such as the image that is filled; the sampler is then called as
            sampler(x, generator, rows) with the rows (B, …) of its batch.
        device: where the chains run and noise is drawn: a GPU draws other noise than the CPU.
        accelerator: shares the batches out among its processes, on its devices; every process gets all samples.
        on_state: called after every step, as on_state(indices, state), with the batch's place among the samples: for
            progress, or to keep intermediate states. Nothing but the current state is kept otherwise.
        folder: keeps each batch when it is done, see `draw_batches`; its name must also tell n.

    Returns:
        (n, *shape) float32 on the CPU, as the sampler left them: clamp to [0, 1] only to show or to score them.

    Raises:
        ValueError: given holds another number of rows than n.

    Example:
        >>> mixture, ladder = sbgm.paper_mixture(), sbgm.geometric_sigmas(20.0, 1.0, 10)
        >>> sampler = lambda x, generator: sbgm.ancestral(mixture.score, x, ladder, generator=generator)
        >>> start = sbgm.generation.gaussian_start(20.0, mean=0.0)
        >>> sbgm.generate(sampler, 100, (2,), seed=0, start=start, batch_size=32).shape
        torch.Size([100, 2])
    """
    if given is not None and len(given) != n:
        raise ValueError(f"given must hold a row for each of the n = {n} samples, got {len(given)}")
    device = device if accelerator is None else accelerator.device
    shared = {"seed": seed, "batch_size": batch_size, "device": device, "accelerator": accelerator, "folder": folder}

    def draw(indices: range, generator: torch.Generator) -> dict[str, Tensor]:
        indices = indices[: n - indices.start]
        x = start((len(indices), *shape), generator).to(device)
        rows = [] if given is None else [given[indices.start : indices.stop].to(device)]
        return {"samples": final(_reported(sampler(x, generator, *rows), indices, on_state))}

    n_processes = 1 if accelerator is None else accelerator.num_processes
    n_rounds = math.ceil(n / batch_size / n_processes)
    mine = torch.zeros(n_rounds, batch_size, *shape)  # alike in all processes, so that they can be gathered
    for turn, batch in enumerate(draw_batches(draw, n, **shared)):
        mine[turn, : len(batch["samples"])] = batch["samples"]
    if accelerator is None or n_processes == 1:
        return mine.flatten(0, 1)[:n]
    everyone = accelerator.gather(mine.to(accelerator.device)).cpu()  # process by process
    by_batch = everyone.unflatten(0, (n_processes, n_rounds)).transpose(0, 1)  # batch b is round b // n_processes
    return by_batch.flatten(0, 2)[:n].clone()


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
        >>> [len(batch["u"]) for batch in sbgm.generation.draw_batches(draw, 5, seed=0, batch_size=2)]
        [2, 2, 1]
    """
    drawn_on = torch.device(device).type
    kept = folder and Path(folder) / ("" if drawn_on == "cpu" else f"noise-{drawn_on}")
    process, n_processes = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    for batch in range(process, math.ceil(n / batch_size), n_processes):
        end = (batch + 1) * batch_size
        indices = range(batch * batch_size, end if kept else min(n, end))
        file = kept and kept / f"batch-{batch:04d}.safetensors"
        if file and file.exists():
            yield load_tensors(file)[0]
            continue
        tensors = draw(indices, derived_generator(seed, batch, device=device))
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(file, tensors, **facts)
        yield tensors


def _reported(states: Iterator[State], indices: range, on_state: OnState | None) -> Iterator[State]:
    for state in states:
        if on_state is not None:
            on_state(indices, state)
        yield state
