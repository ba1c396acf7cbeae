"""Draw images from a trained network: samples.safetensors as they are, and a sheet of the first 64."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

import sbgm
from sbgm.apps.options import Device
from sbgm.files import file_hash, from_extra, save_tensors
from sbgm.guard import ArgumentError, Count, NonNegative, Positive, Score, Whole, checked, count_from
from sbgm.images.devices import fast_precision, find_device, idle_cores, on_device
from sbgm.images.drawing import cost_of, gaussian_start, generate, kept_folder, uniform_start
from sbgm.images.networks import label_tensor
from sbgm.images.weights import weights_file
from sbgm.networks import guided
from sbgm.plots import save_sheet
from sbgm.samplers import State

with from_extra("images"):
    from tqdm import tqdm

LevelCount = Annotated[int, count_from(2)]
NO_MATTER = ("out", "overwrite", "threads")  # options that change no number of what is drawn
EXAMPLE = "sbgm sample mnist_ncsn --out runs/digits -n 16"


@checked
@dataclasses.dataclass(frozen=True)
class Options:
    """The options of `sbgm sample`."""

    network: Annotated[str, "a shipped network's name, a file of weights, or a run's folder"]
    _: dataclasses.KW_ONLY
    out: Annotated[Path, "the folder to write to"]
    overwrite: Annotated[bool, "replace the files of an earlier run there"] = False
    n: Annotated[Count, "number of images"] = 64
    label: Annotated[list[int] | None, "the class of each image, in turn, by its number (any)"] = None
    guidance: Annotated[NonNegative | None, "w in s + w (s_c − s), how strongly the class is emphasised (2)"] = None
    sampler: Annotated[
        Literal["annealed", "ancestral"], "Algorithm 1, or ancestral sampling, one evaluation of the score per level"
    ] = "annealed"
    n_steps: Annotated[Count | None, "T, Langevin steps per level of Algorithm 1 (100)"] = None
    step_size: Annotated[Positive | None, "ε in x + (ε/2) s + √ε z at σ_L (the paper's, 0.2 σ_L²: 2e-5)"] = None
    denoise: Annotated[bool, "end with the expected clean image, x + σ_L² s"] = False
    levels: Annotated[LevelCount | None, "levels of a new geometric ladder between the same ends (its own)"] = None
    seed: Annotated[Whole, "seed of the random draws"] = 0
    batch_size: Annotated[Count, "chains side by side"] = 64
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], "precision of the layers; auto: what the device is fast in"
    ] = "auto"
    device: Device = None
    threads: Annotated[Count | None, "threads of the CPU (as many as there are idle cores at the start)"] = None

    def __post_init__(self) -> None:
        for name in ("n_steps", "step_size"):
            if self.sampler == "ancestral" and getattr(self, name) is not None:
                raise ArgumentError(name, "be left out with ancestral, which has no such setting", getattr(self, name))
        if self.guidance is not None and self.label is None:
            raise ArgumentError("guidance", "come with --label", f"{self.guidance} alone")


def require_free(options: Options) -> None:
    """Raise where files of an earlier run would be replaced unasked."""
    existing = [name for name in ("samples.safetensors", "sheet.png") if (options.out / name).exists()]
    if existing and not options.overwrite:
        raise FileExistsError(f"{options.out} holds {' and '.join(existing)}; to replace them, add --overwrite")


def main(**given: Any) -> None:
    """Draw images, write them, and say what it took; `given` are fields of `Options`."""
    options = Options(**given)

    # --- what is refused before any work: files to replace, a device, a network, its classes, a ladder
    file = options.out / "samples.safetensors"
    require_free(options)
    device = torch.device(find_device(options.device))
    torch.set_num_threads(options.threads or idle_cores())
    network: Any = sbgm.load_network(options.network)
    shape = network.image_shape
    if shape is None:
        raise ArgumentError("network", f"be one for images, and {options.network} does not say of which shape")
    labels = None
    names = []  # of the sheet's columns
    if options.label is not None:
        labels = torch.tensor(options.label).repeat(options.n)[: options.n]
        for number in options.label:
            label_tensor(number, labels, network.n_classes)  # raises unless it is a class of the network
        of_number = [*(network.classes or map(str, range(network.n_classes))), "any"]
        names = [of_number[number] for number in options.label]
    sigmas: list[float] = network.ladder
    if options.levels is not None:
        sigmas = sbgm.geometric_sigmas(sigmas[0], sigmas[-1], options.levels).tolist()

    # --- the score: in the precision of the device, at any σ where the ladder is another, and of a class
    precision = fast_precision(device) if options.precision == "auto" else options.precision
    on_device(network, device)
    takes_ladder = options.levels is None or network.takes_any_sigma
    score = sbgm.autocast(network if takes_ladder else sbgm.rescaled(network), precision, device.type)
    weight = 2.0 if options.guidance is None else options.guidance

    # --- the sampler, where its chains start, and what it costs
    sampler = sbgm.ancestral
    settings: dict[str, Any] = {}
    start = gaussian_start(sigmas[0])
    if options.sampler == "annealed":
        sampler = sbgm.annealed_langevin
        settings["step_size"] = options.step_size or 0.2 * sigmas[-1] ** 2  # the paper's 2e-5 at σ_L = .01
        settings["n_steps"] = options.n_steps or 100
        start = uniform_start

    def steps(score: Score, x: Tensor, generator: torch.Generator) -> Iterator[State]:
        return sampler(score, x, sigmas, generator=generator, denoise_last=options.denoise, **settings)

    n_states, n_evaluations = cost_of(steps)

    def states(x: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> tqdm[State]:
        score_of_batch = score if labels is None else guided(score, labels, weight)
        return tqdm(steps(score_of_batch, x, generator), "batch", n_states, leave=False, unit="step")

    # --- the images, batch by batch; until all are drawn, batches are kept in a folder named by all that they depend on
    facts = {name: getattr(options, name) for name in ("network", "n", "sampler", "denoise", "seed", "batch_size")}
    facts |= {"sigmas": sigmas, **settings, "precision": precision}
    if labels is not None:
        facts |= {"label": options.label, "label_names": names, "guidance": weight}
    depends_on = {name: str(value) for name, value in vars(options).items() if name not in NO_MATTER} | facts
    depends_on |= {"architecture": network.arguments, "weights": file_hash(weights_file(options.network))}
    batches = kept_folder(options.out / ".batches", depends_on)
    begin = time.perf_counter()
    try:
        samples = generate(
            states,
            (options.n, *shape),
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
    require_free(options)  # again, since another process may have come first; the batches are kept
    facts |= {"evaluations": n_evaluations, "threads": torch.get_num_threads(), "seconds": seconds}
    save_tensors(file, {"samples": samples}, **facts)
    n_columns = len(names) if len(names) > 1 else 8
    save_sheet(options.out / "sheet.png", samples[: 8 * n_columns], n_columns, names)
    shutil.rmtree(batches)
    print(f"{n_evaluations} evaluations of the score for each image, in {seconds:.1f} s: {file}")
