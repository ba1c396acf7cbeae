"""The one place that draws: any number of samples, batch by batch, in memory or kept in a folder.

    folder = kept_folder("runs/samples/mnist_ncsn", {"weights": file_hash(file), "step_size": 2e-5, "n_steps": 100})
    samples = generate(sampler, (1000, 1, 28, 28), seed=0, folder=folder)

Batch b draws from a generator of its own, that of (seed, b). So a run that was stopped goes on with the batches that
are not in its folder.

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
    "fitted_start",
    "gaussian_start",
    "generate",
    "kept_folder",
    "kept_tensors",
    "uniform_start",
]

Sampler = Annotated[Callable[..., Iterable[State] | Tensor], function_of("x, generator")]
Start = Annotated[Callable[[tuple[int, ...], torch.Generator], Tensor], function_of("shape, generator")]


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
        sigma: the largest noise level, σ_1, a float.
        mean: of the data, a float or (*shape).

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
        images: a tensor (n, *shape) of data, n ≥ 2; a thousand will do.
        sigma: the largest noise level, σ_1, a float.

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


@checked
def kept_tensors(file: FilePath | None, draw: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Read the tensors of a file; where it is not there yet, draw them and write it.

    Args:
        file: in a folder of `kept_folder`; None keeps nothing.
        draw: makes the tensors, by name.

    Example:
        >>> first = sbgm.images.drawing.kept_tensors("u.safetensors", lambda: {"u": torch.rand(2)})
        >>> again = sbgm.images.drawing.kept_tensors("u.safetensors", lambda: {"u": torch.rand(2)})
        >>> torch.equal(first["u"], again["u"])
        True
    """
    if file is None:
        return draw()
    if not Path(file).exists():
        save_tensors(file, draw())
    return load_tensors(file)[0]


# --- the batches -----------------------------------------------------------------------------------------------------


@checked
def generate(
    sampler: Sampler,
    shape: Shape,
    *,
    seed: Whole,
    batch_size: Count = 64,
    start: Start = uniform_start,
    given: Tensor | None = None,
    device: torch.device | str = "cpu",
    folder: FilePath | None = None,
) -> Tensor:
    """Draw samples in batches: `generate(lambda x, generator: annealed_langevin(score, x, …), (1000, 1, 28, 28), …)`.

    Batch b draws its start and its noise from a generator seeded by (seed, b). The samples depend on the seed, their
    number and the batch size, and not on the order of the batches.

    Args:
        sampler: from the starting points (B, …) of a batch and a generator to the states of a sampler, the last of
            which is kept; or to a tensor (B, …) of what else is to be kept of the chains.
        shape: of all samples, such as (n, C, H, W) for n images.
        seed: an int, which fixes every random draw.
        batch_size: an int, how many chains run side by side.
        start: draws the starting points, start(shape, generator), of a batch; uniform noise unless told otherwise.
        given: (n, …), what each sample is drawn for, such as the image that is filled; the sampler is then called as
            sampler(x, generator, rows) with the rows (B, …) of its batch.
        device: where the chains run and noise is drawn: a GPU draws other noise than the CPU.
        folder: of these settings, see `kept_folder`. Each batch is a file there, such as
            seed0-batch0002-100to150.safetensors; one that is there is read and not drawn, so that a run that was
            stopped continues from there.

    Returns:
        The samples, float32 on the CPU, as the sampler left them: clamp to [0, 1] only to show or to score them; or
        what else is kept, (n, …).

    Raises:
        ValueError: given holds another number of rows than n, the start or the sampler gives another shape, or the
            folder is none of `kept_folder`.

    Example:
        >>> mixture, ladder = sbgm.paper_mixture(), sbgm.geometric_sigmas(20.0, 1.0, 10)
        >>> sampler = lambda x, generator: sbgm.ancestral(mixture.score, x, ladder, generator=generator)
        >>> start = sbgm.images.drawing.gaussian_start(20.0, mean=0.0)
        >>> sbgm.generate(sampler, (100, 2), seed=0, start=start, batch_size=32).shape
        torch.Size([100, 2])
    """
    if not shape or shape[0] < 1:
        raise ValueError(f"shape must begin with the number of samples, one or more, got {shape}")
    n, *of_one = shape
    if given is not None and len(given) != n:
        raise ValueError(f"given must hold a row for each of the n = {n} samples, got {len(given)}")
    if folder is not None and not (Path(folder) / "settings.json").is_file():
        raise ValueError(f"folder must be one that kept_folder has made for these settings, got {folder}")

    drawn_on = torch.device(device).type
    source = f"seed{seed}" if drawn_on == "cpu" else f"{drawn_on}-seed{seed}"

    def samples_of(batch: int) -> Tensor:
        indices = range(n)[batch * batch_size : (batch + 1) * batch_size]
        wanted = (len(indices), *of_one)

        def draw() -> dict[str, Tensor]:
            generator = derived_generator(seed, batch, device=device)
            x = start(wanted, generator).to(device)
            _require_shape(x, "start", wanted)
            rows = [] if given is None else [given[indices.start : indices.stop].to(device)]
            samples = sampler(x, generator, *rows)
            if isinstance(samples, Tensor):
                _require_shape(samples, "sampler", (len(indices), *samples.shape[1:]))
            else:
                samples = final(samples)
                _require_shape(samples, "sampler", wanted)
            return {"samples": samples}

        name = f"{source}-batch{batch:04d}-{indices.start}to{indices.stop}.safetensors"
        return kept_tensors(None if folder is None else Path(folder) / name, draw)["samples"]

    batches = range(math.ceil(n / batch_size))
    return torch.cat([samples_of(batch).float().cpu() for batch in batches])


def _require_shape(x: Tensor, name: str, wanted: tuple[int, ...]) -> None:
    if x.shape != wanted:
        raise ValueError(f"{name} must give chains of shape {wanted}, got {tuple(x.shape)}")
