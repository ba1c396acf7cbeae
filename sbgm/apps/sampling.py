"""What `sample` and `inpaint` share: their options, where they compute, the steps that they take, and their files."""

import dataclasses
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image
from tqdm import tqdm

import sbgm
from sbgm import samplers
from sbgm.apps.options import Device
from sbgm.apps.train import leave_together, make_accelerator
from sbgm.files import content_hash, file_hash, save_tensors
from sbgm.guard import Count, Positive, Score, Whole, checked, count_from
from sbgm.images.data import SETS, DataSet
from sbgm.images.devices import compiled, fast_precision, idle_cores, on_device
from sbgm.images.drawing import Start, generate, kept_folder, uniform_start
from sbgm.images.weights import weights_file
from sbgm.plots import save_sheet
from sbgm.samplers import State

NO_MATTER = ("out", "overwrite", "pngs", "threads")  # options that change no number of what is drawn
LevelCount = Annotated[int, count_from(2)]
Threads = Annotated[Count | None, "threads of the CPU (as many as there are idle cores at the start)"]
DRAWING_GROUPS = {"out": "files", "batch_size": "machine", "n_steps": "sampler"}


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


@checked
@dataclasses.dataclass(frozen=True)
class DrawingOptions:
    """The options of a command that draws: the network, where the result goes, where it runs, and the steps."""

    network: Annotated[str, "a shipped network's name, a file of weights, or a run's folder"]
    _: dataclasses.KW_ONLY
    out: Annotated[Path, "the folder to write to"]
    overwrite: Annotated[bool, "replace the files of an earlier run there"] = False
    pngs: Annotated[bool, "also write every image as a PNG, into the folder png/"] = False
    batch_size: Annotated[Count, "chains side by side in each process"] = 64
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], "precision of the layers; auto: what the device is fast in"
    ] = "auto"
    compile: Annotated[bool, "fuse the network's layers, which takes minutes and then saves time"] = False
    device: Device = None
    threads: Threads = None
    n_steps: Annotated[Count | None, "T, Langevin steps per level (100; predictor-corrector 1)"] = None
    step_size: Annotated[Positive | None, "ε in x + (ε/2) s + √ε z at σ_L (the paper's, 0.2 σ_L²: 2e-5)"] = None
    denoise: Annotated[bool, "end with the expected clean image, x + σ_L² s"] = False
    levels: Annotated[LevelCount | None, "number of levels of a new ladder between the same ends"] = None
    schedule: Annotated[Literal["geometric", "power"], "spacing of the new ladder's levels"] = "geometric"
    seed: Annotated[Whole, "seed of the random draws"] = 0

    def settings_of(self, sampler: str, sigma_min: float) -> dict[str, Any]:
        """The settings of a sampler of this name: as these options say, else its own at σ_L."""
        return {name: getattr(self, name) or own for name, own in SAMPLERS[sampler].settings(sigma_min).items()}

    def __post_init__(self) -> None:
        if self.schedule != "geometric" and self.levels is None:
            raise ValueError(f"schedule must come with --levels, got {self.schedule} alone")


class Command:
    """A command that draws: the processes that share its batches, the network that they ask, the files it will write.

    Args:
        options: see `DrawingOptions`.
        file: the name of the file of tensors in the folder `options.out`.

    Attributes:
        network: one for images, on the device where its processes compute.
        sigmas: its own ladder, or the one between its ends that the options ask for.
        score: its score in the precision wanted; at any σ where another ladder was asked for.

    Raises:
        FileExistsError: one of the files must not be replaced.
        ValueError: the network is none for images.
    """

    def __init__(self, options: DrawingOptions, file: str) -> None:
        self.options = options
        self.file = options.out / file
        written = [file, "sheet.png", *(["png"] if options.pngs else [])]
        existing = [name for name in written if (options.out / name).exists()]
        if existing and not options.overwrite:
            files = " and ".join(existing)
            raise FileExistsError(f"out must be a folder without {files}, got {options.out}; or add --overwrite")
        torch.set_num_threads(options.threads or idle_cores())
        self.accelerator = make_accelerator(options.device)
        device = self.accelerator.device
        self.precision = fast_precision(device) if options.precision == "auto" else options.precision
        network: Any = sbgm.load_network(options.network)
        if network.image_shape is None:
            raise ValueError(f"network must be one for images, and {options.network} does not say of which shape")
        on_device(network, device)
        if options.compile:
            compiled(network)
        self.network = network
        self.sigmas: list[float] = network.ladder
        if options.levels is not None:
            ladder = sbgm.geometric_sigmas if options.schedule == "geometric" else sbgm.power_sigmas
            self.sigmas = ladder(self.sigmas[0], self.sigmas[-1], options.levels).tolist()
            if not network.takes_any_sigma:
                network = sbgm.rescaled(network)
        self.score: Score = sbgm.autocast(network, self.precision, device.type)

    def draw(
        self,
        states: Callable[..., Iterator[State]],
        n: int,
        cost: tuple[int, int],
        own_options: dict[str, Any],
        *inputs: Tensor,
        start: Start = uniform_start,
        given: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Draw n images as `generate` does, a progress bar a batch; return them, and the facts of how they were drawn.

        Batches are kept until all are drawn, in a folder whose name tells all that they depend on, so that the same
        command goes on with them, and that the processes find each other's.

        Args:
            states: of chains from their starting points, as `generate` takes it.
            n: images.
            cost: of a chain, see `cost_of`.
            own_options: what changes the images beside `DrawingOptions`, the ladder among it; facts of the result.
            inputs: what is drawn from, such as images to be filled in.
            start, given: as for `generate`.
        """
        options = self.options
        n_states, n_evaluations = cost
        begin = time.perf_counter()
        settings = {name: str(value) for name, value in vars(options).items() if name not in NO_MATTER} | own_options
        settings |= {"precision": self.precision, "architecture": self.network.arguments}
        settings |= {"weights": file_hash(weights_file(options.network)), "inputs": content_hash(*inputs)}
        self.batches = kept_folder(options.out / ".batches", settings)

        def with_bar(*arguments: Any) -> Iterator[State]:
            quiet = not self.accelerator.is_main_process
            return iter(tqdm(states(*arguments), "batch", n_states, leave=False, unit="step", disable=quiet))

        try:
            images = generate(
                with_bar,
                n,
                self.network.image_shape,
                seed=options.seed,
                batch_size=options.batch_size,
                start=start,
                given=given,
                device=self.accelerator.device,
                folder=self.batches,
                accelerator=self.accelerator,
            )
        except KeyboardInterrupt:
            print("Stopped. The finished batches are kept; to continue, give the same command.", file=sys.stderr)
            raise SystemExit(130) from None
        facts = {name: getattr(options, name) for name in ("network", "denoise", "seed", "batch_size")}
        facts |= {"evaluations": n_evaluations, "precision": self.precision, "threads": torch.get_num_threads()}
        return images, facts | own_options | {"seconds": round(time.perf_counter() - begin, 3)}

    def write(
        self,
        said: str,
        images: Tensor,
        facts: dict[str, Any],
        tensors: dict[str, Tensor],
        pictures: Tensor,
        n_columns: int,
        names: Sequence[str] = (),
    ) -> None:
        """Write what was drawn, in the first process alone, and say what it took.

        Args:
            said: what was drawn, in words.
            images: all that were drawn; single files of --pngs.
            facts: to write beside the tensors, those that `draw` returned.
            tensors: by name, written as they are.
            pictures: of the sheet, clamped to [0, 1].
            n_columns: of the sheet.
            names: of its columns.
        """
        self.accelerator.wait_for_everyone()  # before the batches go
        if self.accelerator.is_main_process:
            save_tensors(self.file, tensors, **facts)
            save_sheet(self.options.out / "sheet.png", pictures, n_columns, names)
            if self.options.pngs:
                folder = self.options.out / "png"
                folder.mkdir(exist_ok=True)
                for path in folder.glob("*.png"):
                    if re.fullmatch(r"\d{5,}", path.stem):  # of an earlier run
                        path.unlink()
                for i, pixels in enumerate((images.clamp(0, 1) * 255).round().byte()):
                    to_pil_image(pixels).save(folder / f"{i:05}.png")
            shutil.rmtree(self.batches)
            took = f"{facts['evaluations']} evaluations of the score each, in {facts['seconds']:.1f} s"
            print(f"{said}, {took}: {self.file}")
        leave_together(self.accelerator)


def counted(n: int, word: str) -> str:
    """Return "1 image" or "2 images"."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def data_like(name: str, shape: Any) -> str | DataSet:
    """Return the name of a data set, or the pictures of a folder that can be made images of a shape (C, H, W)."""
    if name in SETS:
        return name
    return sbgm.own_images(name, shape[-1], shape[0], skip_bad=True)


def require_shape(images: Tensor, name: str, network: nn.Module) -> Tensor:
    """Return `images` if they are of the network's shape, (N, C, H, W); raise otherwise."""
    shape = tuple(images.shape[1:])
    if shape != network.image_shape:
        raise ValueError(f"data must be images of shape {network.image_shape}, as the network's, got {shape} of {name}")
    return images
