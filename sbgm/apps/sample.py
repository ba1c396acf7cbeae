"""Draw images from a trained network: samples.safetensors as they are, and a sheet of the first 64."""

from __future__ import annotations

import dataclasses
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.functional import to_pil_image
from tqdm import tqdm

import sbgm
from sbgm import samplers
from sbgm.apps.options import Device, name_or_folder
from sbgm.files import content_hash, file_hash, save_tensors
from sbgm.guard import (
    ArgumentError,
    Count,
    NonNegative,
    Positive,
    Score,
    Whole,
    checked,
    count_from,
    did_you_mean,
    one_of,
)
from sbgm.images.data import NAMES, SETS, load_images
from sbgm.images.devices import compiled, fast_precision, find_device, idle_cores, on_device
from sbgm.images.drawing import cost_of, fitted_start, gaussian_start, generate, kept_folder, uniform_start
from sbgm.images.weights import weights_file
from sbgm.networks import ScoreNetwork, guided
from sbgm.plots import save_sheet
from sbgm.samplers import State

NO_MATTER = ("out", "overwrite", "pngs", "threads")  # options that change no number of what is drawn
LevelCount = Annotated[int, count_from(2)]
KnownData = Annotated[str, name_or_folder(*NAMES)]


class Named(NamedTuple):
    """A sampler that the command line offers by a name, with its default settings and its start.

    Attributes:
        sampler: sampler(score, x, sigmas, *, generator, denoise_last, **settings).
        settings: from σ_L to its settings beside the ladder and their defaults; None where there is no default.
        start: where its chains start unless told otherwise.
    """

    sampler: Callable[..., Iterator[State]]
    settings: Callable[[float], dict[str, Any]]
    start: Literal["uniform", "gaussian"] = "gaussian"


def flow(method: Literal["euler", "heun", "multistep"]) -> Named:
    """The probability flow by a method; it draws nothing."""

    def sampler(score: Score, x: Tensor, sigmas: list[float], *, generator: object, **options: Any) -> Iterator[State]:
        return samplers.probability_flow(score, x, sigmas, method=method, **options)

    return Named(sampler, lambda low: {})


SAMPLERS = {  # ε = 0.2 σ_L² is the paper's 2e-5 at σ_L = .01
    "annealed": Named(
        samplers.annealed_langevin, lambda low: {"step_size": 0.2 * low**2, "n_steps": 100}, start="uniform"
    ),
    "consistent": Named(samplers.consistent_annealed, lambda low: {"step_size": None}),
    "ancestral": Named(samplers.ancestral, lambda low: {}),
    "predictor-corrector": Named(samplers.predictor_corrector, lambda low: {"step_size": 0.2 * low**2, "n_steps": 1}),
    "euler": flow("euler"),
    "heun": flow("heun"),
    "multistep": flow("multistep"),
}
GROUPS = {"out": "files", "batch_size": "machine", "n_steps": "sampler", "sampler": "what is drawn"}
EXAMPLE = "sbgm sample mnist_ncsn --out runs/digits -n 16"


@checked
@dataclasses.dataclass(frozen=True)
class Options:
    """The options of `sbgm sample`."""

    network: Annotated[str, "a shipped network's name, a file of weights, or a run's folder"]
    _: dataclasses.KW_ONLY
    out: Annotated[Path, "the folder to write to"]
    overwrite: Annotated[bool, "replace the files of an earlier run there"] = False
    pngs: Annotated[bool, "also write every image as a PNG, into the folder png/"] = False
    batch_size: Annotated[Count, "chains side by side"] = 64
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], "precision of the layers; auto: what the device is fast in"
    ] = "auto"
    compile: Annotated[bool, "fuse the network's layers, which takes minutes and then saves time"] = False
    device: Device = None
    threads: Annotated[Count | None, "threads of the CPU (as many as there are idle cores at the start)"] = None
    n_steps: Annotated[Count | None, "T, Langevin steps per level (100; predictor-corrector 1)"] = None
    step_size: Annotated[Positive | None, "ε in x + (ε/2) s + √ε z at σ_L (the paper's, 0.2 σ_L²: 2e-5)"] = None
    denoise: Annotated[bool, "end with the expected clean image, x + σ_L² s"] = False
    levels: Annotated[LevelCount | None, "number of levels of a new ladder between the same ends"] = None
    schedule: Annotated[Literal["geometric", "power"], "spacing of the new ladder's levels"] = "geometric"
    seed: Annotated[Whole, "seed of the random draws"] = 0
    sampler: Annotated[str, one_of(SAMPLERS), f"one of {', '.join(SAMPLERS)}; annealed is Algorithm 1"] = "annealed"
    start: Annotated[
        Literal["uniform", "gaussian", "fitted"] | None,
        "uniform noise (the default for annealed), 0.5 + σ_1 z (for the others), or draws from a normal law fitted to "
        "--data, better where σ_1 is not large",
    ] = None
    data: Annotated[
        KnownData | None, "data set or folder to whose first 2,000 training images --start fitted is fitted"
    ] = None
    n: Annotated[Count, "number of images"] = 64
    label: Annotated[list[str] | None, "the class of each image, in turn, by its name or number (any)"] = None
    guidance: Annotated[NonNegative | None, "w in s + w (s_c − s), how strongly the class is emphasised (2)"] = None

    def __post_init__(self) -> None:
        settings = SAMPLERS[self.sampler].settings(1.0)
        for name in ("step_size", "n_steps"):
            value = getattr(self, name)
            if value is None and settings.get(name, 1.0) is None:
                raise ArgumentError(name, f"be given for {self.sampler}")
            if value is not None and name not in settings:
                raise ArgumentError(name, f"be left out with {self.sampler}, which has no such setting", value)
        if self.schedule != "geometric" and self.levels is None:
            raise ArgumentError("schedule", "come with --levels", f"{self.schedule} alone")
        if self.guidance is not None and self.label is None:
            raise ArgumentError("guidance", "come with --label", f"{self.guidance} alone")
        if (self.data is not None) != (self.start == "fitted"):
            raise ArgumentError("data", "be given with --start fitted, and only then", f"{self.data} with {self.start}")
        if self.data not in (None, *SETS) and self.out.resolve().is_relative_to(Path(self.data).resolve()):
            raise ArgumentError("out", f"lie outside of {self.data}, whose pictures the samples would join", self.out)


def main(**given: Any) -> None:
    """Draw images, write them, and say what it took; `given` are fields of `Options`."""
    options = Options(**given)
    n = options.n

    # --- what is refused before any work: files to replace, a device, a network, its classes, a ladder
    file = options.out / "samples.safetensors"
    written = [file.name, "sheet.png", *(["png"] if options.pngs else [])]
    existing = [name for name in written if (options.out / name).exists()]
    if existing and not options.overwrite:
        raise FileExistsError(f"{options.out} holds {' and '.join(existing)}; to replace them, add --overwrite")
    device = torch.device(find_device(options.device))
    torch.set_num_threads(options.threads or idle_cores())
    network: Any = sbgm.load_network(options.network)
    shape = network.image_shape
    if shape is None:
        raise ArgumentError("network", f"be one for images, and {options.network} does not say of which shape")
    classes = {}
    labels = None
    if options.label is not None:
        classes = named_classes(network, options.label)
        labels = torch.tensor(list(classes.values())).repeat(n)[:n]
    sigmas: list[float] = network.ladder
    if options.levels is not None:
        new_ladder = sbgm.geometric_sigmas if options.schedule == "geometric" else sbgm.power_sigmas
        sigmas = new_ladder(sigmas[0], sigmas[-1], options.levels).tolist()

    # --- where chains start
    sampler = SAMPLERS[options.sampler]
    start_name = options.start or sampler.start
    fitted_to = torch.empty(0)
    if options.data is not None:
        fitted_to = images_like(options.data, shape)
        start = fitted_start(fitted_to, sigmas[0])
    elif start_name == "uniform":
        start = uniform_start
    else:
        start = gaussian_start(sigmas[0])

    # --- the score: in the precision of the device, at any σ where the ladder is another, and of a class
    precision = fast_precision(device) if options.precision == "auto" else options.precision
    on_device(network, device)
    if options.compile:
        compiled(network)
    takes_ladder = options.levels is None or network.takes_any_sigma
    score = sbgm.autocast(network if takes_ladder else sbgm.rescaled(network), precision, device.type)
    weight = 2.0 if options.guidance is None else options.guidance

    # --- the sampler and what it costs
    settings = {name: getattr(options, name) or own for name, own in sampler.settings(sigmas[-1]).items()}

    def steps(score: Score, x: Tensor, generator: torch.Generator) -> Iterator[State]:
        return sampler.sampler(score, x, sigmas, generator=generator, denoise_last=options.denoise, **settings)

    n_states, n_evaluations = cost_of(steps)

    def states(x: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> tqdm[State]:
        score_of_batch = score if labels is None else guided(score, labels, weight)
        return tqdm(steps(score_of_batch, x, generator), "batch", n_states, leave=False, unit="step")

    # --- the images, batch by batch; until all are drawn, batches are kept in a folder named by all that they depend on
    facts = {name: getattr(options, name) for name in ("network", "n", "sampler", "denoise", "seed", "batch_size")}
    facts |= {"start": start_name, "sigmas": sigmas, **settings, "precision": precision}
    if classes:
        facts |= {"label": list(classes.values()), "label_names": list(classes), "guidance": weight}
    depends_on = {name: str(value) for name, value in vars(options).items() if name not in NO_MATTER} | facts
    depends_on |= {"architecture": network.arguments, "weights": file_hash(weights_file(options.network))}
    depends_on |= {"fitted_to": content_hash(fitted_to)}
    batches = kept_folder(options.out / ".batches", depends_on)
    begin = time.perf_counter()
    try:
        samples = generate(
            states,
            (n, *shape),
            seed=options.seed,
            batch_size=options.batch_size,
            start=start,
            given=labels,
            device=device,
            folder=batches,
        )
    except KeyboardInterrupt:
        print("Stopped. The finished batches are kept; to continue, give the same command.", file=sys.stderr)
        raise SystemExit(130) from None
    seconds = round(time.perf_counter() - begin, 3)

    # --- the files
    facts |= {"evaluations": n_evaluations, "threads": torch.get_num_threads(), "seconds": seconds}
    save_tensors(file, {"samples": samples}, **facts)
    n_columns = len(classes) if len(classes) > 1 else 8
    save_sheet(options.out / "sheet.png", samples[: 8 * n_columns], n_columns, list(classes))
    if options.pngs:
        write_pngs(samples, options.out / "png")
    shutil.rmtree(batches)
    images = "1 image" if n == 1 else f"{n} images"
    print(f"{images}, {n_evaluations} evaluations of the score each, in {seconds:.1f} s: {file}")


def images_like(name: str, shape: tuple[Literal[1, 3], int, int]) -> Tensor:
    """Read the first 2,000 training images of a data set or a folder: (N, C, H, W), each (C, H, W) of this shape.

    Raises:
        ValueError: the data set's images have another shape.
    """
    data = name if name in SETS else sbgm.own_images(name, shape[-1], shape[0], skip_bad=True)
    images = load_images(data)[:2_000]
    if images.shape[1:] != shape:
        got = f"{tuple(images.shape[1:])} of {name}"
        raise ArgumentError("data", f"be images of shape {shape}, as the network's", got)
    return images


def write_pngs(samples: Tensor, folder: Path) -> None:
    """Write each image as a PNG, and remove those of an earlier run."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.png"):
        if re.fullmatch(r"\d{5,}", path.stem):
            path.unlink()
    for i, pixels in enumerate((samples.clamp(0, 1) * 255).round().byte()):
        to_pil_image(pixels).save(folder / f"{i:05}.png")


def named_classes(network: ScoreNetwork, labels: list[str]) -> dict[str, int]:
    """Find which classes of a network labels mean: each is a class's name or, if it is none, a class's number.

    Returns:
        {name: number}, in the order of the labels, each class once.

    Raises:
        ValueError: the network has no such class.
    """
    if not network.n_classes:
        raise ArgumentError("label", "be left out, because this network was trained without classes", labels[0])
    names = network.classes or tuple(map(str, range(network.n_classes)))
    numbers = {str(number): number for number in range(len(names))}
    numbers |= {name: number for number, name in enumerate(names)}
    for label in labels:
        if label not in numbers:
            must = f"be a class, {', '.join(names)}, or its number, 0 to {len(names) - 1}"
            raise ArgumentError("label", must, f"{label!r}{did_you_mean(label, names)}")
    return {names[numbers[label]]: numbers[label] for label in labels}
