"""The one place that draws: any number of samples, batch by batch, in memory or kept in a folder.

    folder = kept_folder("runs/samples/mnist_ncsn", {"weights": file_hash(file), "step_size": 2e-5, "n_steps": 100})
    samples = generate(sampler, 1000, (1, 28, 28), seed=0, folder=folder)

Batch b draws from a generator of its own, that of (seed, b). So a run that was stopped goes on with the batches that
are not in its folder, and several processes can share the batches. `generate` draws the chains of a sampler;
`draw_batches` does the same for any other work in pieces, such as networks that are trained one after the other.

In this order: where chains start; what they cost; where batches are kept; and the batches.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from sbgm.files import load_tensors, save_tensors, write_json
from sbgm.guard import Batch, Count, FilePath, Generator, Positive, Shape, Whole, checked, function_of, widened
from sbgm.noise import derived_generator
from sbgm.samplers import State, final

__all__ = [
    "cost_of",
    "draw_batches",
    "fitted_start",
    "gaussian_start",
    "generate",
    "kept_folder",
    "uniform_start",
]

Sampler = Annotated[Callable[..., Iterable[State]], function_of("x, generator")]
Start = Annotated[Callable[[tuple[int, ...], torch.Generator], Tensor], function_of("shape, generator")]
Keep = Annotated[Callable[[Iterable[State]], Tensor], function_of("states")]
Draw = Annotated[Callable[[range, torch.Generator], dict[str, Tensor]], function_of("indices, generator")]
Accelerator = Any  # an accelerate.Accelerator: its process_index, num_processes and wait_for_everyone


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


# --- where batches are kept ------------------------------------------------------------------------------------------


@checked
def kept_folder(folder: FilePath, settings: Mapping[str, Any]) -> Path:
    """Make the folder of what is drawn with these settings, FOLDER-HASH; a reader finds them there in settings.json.

    The hash is of the settings as JSON, so that batches of other settings are never taken for these.

    Args:
        folder: where, and a name for a reader, such as runs/samples/mnist_ncsn.
        settings: all that the batches depend on, as JSON can hold it: of the sampler and its start, hashes of the
            network's weights and of what the batches are drawn from. The seed, the device and the size of the batches
            may be left out: a batch's file names them.

    Raises:
        ValueError: settings.json was changed, and says something else.

    Example:
        >>> folder = sbgm.images.drawing.kept_folder("samples/mixture", {"step_size": 0.1, "n_steps": 100})
        >>> folder.name, [path.name for path in folder.iterdir()]
        ('mixture-86dcdba5f0f0', ['settings.json'])
    """
    text = json.dumps(settings, sort_keys=True)
    folder = Path(f"{folder}-{hashlib.sha256(text.encode()).hexdigest()[:12]}")
    file = folder / "settings.json"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, settings)
    if json.dumps(json.loads(file.read_text(encoding="utf-8")), sort_keys=True) != text:
        raise ValueError(f"settings must be those in {file}, which tells of other batches: {text}")
    return folder


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
    keep: Keep = final,
    device: torch.device | str = "cpu",
    folder: FilePath | None = None,
    accelerator: Accelerator | None = None,
) -> Tensor:
    """Draw n samples in batches: `generate(lambda x, generator: annealed_langevin(score, x, …), 1000, (1, 28, 28), …)`.

    The samples depend on the seed, n and the batch size, and not on the order of the batches.

    Args:
        sampler: from starting points (B, *shape) and a generator to the states of a sampler.
        n: samples.
        shape: of one.
        seed: of all of it.
        batch_size: chains run side by side.
        start: draws the starting points, (B, *shape); uniform noise unless told otherwise.
        given: (n, …), what each sample is drawn for, such as the image that is filled; the sampler is then called as
            sampler(x, generator, rows) with the rows (B, …) of its batch.
        keep: from a batch's states to what is kept of its chains, (B, …); the last state unless told otherwise.
        device: where the chains run and noise is drawn: a GPU draws other noise than the CPU.
        folder, accelerator: as for `draw_batches`; every process of the accelerator returns all samples, and a folder
            is needed.

    Returns:
        (n, *shape) float32 on the CPU, as the sampler left them: clamp to [0, 1] only to show or to score them; or what
        else is kept, (n, …).

    Raises:
        ValueError: given holds another number of rows than n, the start or the sampler gives another shape, or there is
            an accelerator and no folder.

    Example:
        >>> mixture, ladder = sbgm.paper_mixture(), sbgm.geometric_sigmas(20.0, 1.0, 10)
        >>> sampler = lambda x, generator: sbgm.ancestral(mixture.score, x, ladder, generator=generator)
        >>> start = sbgm.images.drawing.gaussian_start(20.0, mean=0.0)
        >>> sbgm.generate(sampler, 100, (2,), seed=0, start=start, batch_size=32).shape
        torch.Size([100, 2])
    """
    if given is not None and len(given) != n:
        raise ValueError(f"given must hold a row for each of the n = {n} samples, got {len(given)}")
    if accelerator is not None and folder is None:
        raise ValueError("folder must be given with an accelerator, whose processes find each other's batches there")

    def draw(indices: range, generator: torch.Generator) -> dict[str, Tensor]:
        wanted = (len(indices), *shape)
        x = start(wanted, generator).to(device)
        _require_shape(x, "start", wanted)
        rows = [] if given is None else [given[indices.start : indices.stop].to(device)]
        samples = keep(sampler(x, generator, *rows))
        _require_shape(samples, "sampler", wanted if keep is final else (len(indices), *samples.shape[1:]))
        return {"samples": samples}

    options: dict[str, Any] = {"seed": seed, "batch_size": batch_size, "folder": folder, "device": device}
    if accelerator is not None:
        for _ in draw_batches(draw, n, accelerator=accelerator, **options):  # this process's share
            pass
        accelerator.wait_for_everyone()
    return torch.cat([batch["samples"].float() for batch in draw_batches(draw, n, **options)])


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
) -> Iterator[dict[str, Tensor]]:
    """Draw batches of tensors one by one; with a folder, a run that was stopped goes on where it was.

    Batch b is draw(indices, generator) with the generator of (seed, b), so that no batch depends on the others.

    Args:
        draw: from the indices of a batch's samples, and its generator, to its tensors by name.
        n: samples, or pieces of work.
        seed: of all of it.
        batch_size: samples of a batch; the last one may have fewer.
        folder: of these settings, see `kept_folder`. Each batch is a file there, such as
            seed0-batch0002-100to150.safetensors; one that is there is read and not drawn.
        device: where the generators draw, and a part of the file's name where that is no CPU.
        accelerator: draws only this process's share, the batches b whose remainder by the number of processes it is.

    Yields:
        {name: tensor}, in the order of the batches, on the CPU.

    Raises:
        ValueError: the folder is none of `kept_folder`.

    Example:
        >>> draw = lambda indices, generator: {"u": torch.rand(len(indices), generator=generator)}
        >>> [len(batch["u"]) for batch in sbgm.images.drawing.draw_batches(draw, 5, seed=0, batch_size=2)]
        [2, 2, 1]
    """
    process = 0 if accelerator is None else accelerator.process_index
    n_processes = 1 if accelerator is None else accelerator.num_processes
    drawn_on = torch.device(device).type
    source = f"seed{seed}" if drawn_on == "cpu" else f"{drawn_on}-seed{seed}"
    if folder is not None and not (Path(folder) / "settings.json").is_file():
        raise ValueError(f"folder must be one that kept_folder has made for these settings, got {folder}")
    for batch in range(process, math.ceil(n / batch_size), n_processes):
        indices = range(n)[batch * batch_size : (batch + 1) * batch_size]
        file = None
        if folder is not None:
            file = Path(folder) / f"{source}-batch{batch:04d}-{indices.start}to{indices.stop}.safetensors"
            if file.exists():
                yield load_tensors(file)[0]
                continue
        tensors = draw(indices, derived_generator(seed, batch, device=device))
        tensors = {name: x.cpu() for name, x in tensors.items()}
        if file is not None:
            save_tensors(file, tensors)
        yield tensors
