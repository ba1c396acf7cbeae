"""Common to several commands: options, networks, samplers, the progress bar, processes, and files.

An option is read by the annotation of what it sets (`value_of`), so that argparse refuses it by its flag.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image

from sbgm.apps.train import make_accelerator
from sbgm.checked import Count, Positive, Score, Whole
from sbgm.data import SETS, DataSet, require_checkout
from sbgm.files import content_hash, file_hash, save_tensors
from sbgm.generation import NamedSampler, OnState, Start, generate, uniform_start
from sbgm.noise import geometric_sigmas, power_sigmas
from sbgm.pictures import own_images
from sbgm.plots import save_sheet
from sbgm.precision import CHOICES, Machine, fast_precision, idle_cores
from sbgm.refinenet import rescaled
from sbgm.samplers import State
from sbgm.weights import load_network, weights_file

if TYPE_CHECKING:
    from accelerate import Accelerator


NO_MATTER = ("run", "out", "overwrite", "pngs", "threads")  # options that change no number of what is drawn


def lab_script(name: str, purpose: str) -> ModuleType:
    """A script of `notebooks/lab/`, where the evidence for the claims lies beside its notebooks.

    Args:
        name: the file's, without its suffix.
        purpose: begins the message where there is none, see `require_checkout`.

    Raises:
        FileNotFoundError: the package was installed without the repository.
    """
    folder = str(require_checkout(purpose) / "notebooks" / "lab")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def leave_together(accelerator: Accelerator) -> None:
    """Wait for all processes, then part: one that leaves while another still talks to it aborts both."""
    accelerator.wait_for_everyone()
    if accelerator.num_processes > 1:
        # The thread that did the waiting needs Python's lock to free what it holds. Old torch (2.4) keeps the lock
        # while it ends that thread: without this pause it hung for good, once in some 350 times.
        time.sleep(0.2)
    accelerator.end_training()


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --device, which every command has that computes."""
    parser.add_argument("--device", help="where to compute, such as cpu or cuda:1 (the GPU if there is one)")


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --threads of a command that keeps no settings."""
    parser.add_argument("--threads", type=value_of(Count), help="of the CPU (as many as cores are idle at the start)")


def add_drawing_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a command that draws: the network, the steps, where it runs, and where the result goes."""
    parser.add_argument("network", help="a shipped network's name, a file of weights, or a run's folder")
    parser.add_argument("--pngs", action="store_true", help="write every image as a PNG, too, into the folder png/")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier run there")
    parser.add_argument("--seed", type=value_of(Whole), default=0, help="of all that is drawn (0)")
    parser.add_argument(
        "--batch-size", type=value_of(Count), default=64, help="chains side by side in each process (64)"
    )
    parser.add_argument("--precision", choices=CHOICES, default="auto", help="of layers (auto: the device's fast one)")
    parser.add_argument("--compile", action="store_true", help="fuse the layers by torch.compile: minutes, then faster")
    add_device_argument(parser)
    add_threads_argument(parser)
    parser.add_argument("--n-steps", type=value_of(Count), help="T, Langevin steps a level (100)")
    parser.add_argument(
        "--step-size", type=value_of(Positive), help="ε of x + (ε/2) s + √ε z at σ_L (the paper's, 0.2 σ_L²: 2e-5)"
    )
    parser.add_argument("--denoise", action="store_true", help="end with the expected clean image, x + σ_L² s")
    parser.add_argument(
        "--levels",
        dest="n_levels",
        type=value_of(Count),
        help="levels of a ladder between the network's ends, instead of its own",
    )
    parser.add_argument("--schedule", choices=["geometric", "power"], default="geometric", help="of such a ladder")


def source(*names: str) -> Callable[[str], str]:
    """Return what argparse reads data by: one of these names, or a folder or a file, whose full path it gives."""

    def read(text: str) -> str:
        if text in names:
            return text
        if not Path(text).exists():
            raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {', '.join(names)}, or a folder)")
        return str(Path(text).resolve())

    return read


def data_like(name: str, shape: tuple[int, ...]) -> str | DataSet:
    """Return the name of a data set, or that of a folder, whose images are made of a shape (C, H, W)."""
    return name if name in SETS else own_images(name, shape[-1], shape[0])


def value_of(annotation: Any) -> Callable[[str], Any]:
    """Return what argparse reads a value by, such as `value_of(Count)`: refused as `checked` would refuse it."""
    kind, (check, *_) = annotation.__origin__, annotation.__metadata__

    def read(text: str) -> Any:
        value = kind(text)
        try:
            check(value, "it")
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return value

    read.__name__ = kind.__name__  # by which argparse calls what is no number
    return read


def require_shape(images: Tensor, name: str, network: nn.Module) -> Tensor:
    """Return `images` if they are of the network's shape, (N, C, H, W); raise otherwise."""
    if tuple(images.shape[1:]) != network.image_shape:
        raise ValueError(
            f"data must be images of shape {network.image_shape}, as the network was trained on, but {name} has "
            f"{tuple(images.shape[1:])}"
        )
    return images


class DrawingCommand:
    """A command that draws images: where it runs, the network that it asks, and the files that it writes.

    Args:
        options: those of `add_drawing_arguments`.
        name: of the file of tensors in the folder --out.

    Attributes:
        accelerator: shares the batches out among its processes.
        machine: the accelerator's device, and whether layers are fused.
        precision: of the network's layers.
        files: the paths of the tensors and of the sheet.
        network: one for images, on the accelerator's device.

    Raises:
        FileExistsError: one of the files must not be replaced.
        ValueError: the network is none for images.
    """

    def __init__(self, options: argparse.Namespace, name: str) -> None:
        torch.set_num_threads(options.threads or idle_cores())
        self.options, self.accelerator = options, make_accelerator(options.device)
        self.machine = Machine(str(self.accelerator.device), options.compile)
        self.precision = fast_precision(self.machine.device) if options.precision == "auto" else options.precision
        self.files = options.out / name, options.out / "sheet.png"
        taken = [str(file) for file in self.files if file.exists()]
        if taken and not options.overwrite:
            raise FileExistsError(f"{' and '.join(taken)} exists already; choose another --out, or add --overwrite")
        network = load_network(options.network)
        if network.image_shape is None:
            raise ValueError(f"network must be one for images, but {options.network} does not say of which shape")
        self.network = self.machine.prepared(network)

    def sampler(self, name: str = "annealed") -> tuple[NamedSampler, Score]:
        """Return the sampler that the options ask for, on the network's own ladder or on another between its ends.

        With it comes the score that it asks, in the precision wanted. Unless told otherwise ε is the paper's 2e-5 at
        σ_L = .01, kept in proportion to σ_L², and T is 100, or a predictor-corrector's 1.
        """
        options, score, sigmas = self.options, self.network, self.network.sigmas.tolist()
        if options.n_levels is None and options.schedule != "geometric":
            raise ValueError(f"--schedule must come with --levels, got {options.schedule} alone")
        if options.n_levels is not None:
            ladder = geometric_sigmas if options.schedule == "geometric" else power_sigmas
            sigmas = ladder(sigmas[0], sigmas[-1], options.n_levels).tolist()
            score = score if score.takes_any_sigma else rescaled(score)
        step_size, n_steps = options.step_size, options.n_steps
        if name in ("annealed", "predictor-corrector"):
            step_size = 0.2 * sigmas[-1] ** 2 if step_size is None else step_size
            n_steps = (100 if name == "annealed" else 1) if n_steps is None else n_steps
        sampler = NamedSampler(name, tuple(sigmas), step_size, n_steps, denoise_last=options.denoise)
        return sampler, self.machine.score(score, self.precision)

    def draw(
        self,
        states: Callable[..., Iterator[State]],
        n: int,
        sampler: NamedSampler,
        *inputs: Tensor,
        start: Start = uniform_start,
        given: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, object]]:
        """Draw n images under a progress bar; return them, and the facts of how they were drawn.

        Args:
            states: of chains from their starting points, as `generate` takes it.
            n: images.
            sampler: says how many states and evaluations a chain takes.
            inputs: what is drawn from, such as images to be filled in.
            start, given: as for `generate`.
        """
        options, begin = self.options, time.perf_counter()
        told = {name: str(value) for name, value in vars(options).items() if name not in NO_MATTER}
        hashes = file_hash(weights_file(options.network)), content_hash(*inputs)
        depends_on = json.dumps([told, self.precision, self.network.arguments, *hashes])
        folder = options.out / ".batches" / hashlib.sha256(depends_on.encode()).hexdigest()[:16]
        settings = {"seed": options.seed, "batch_size": options.batch_size, "start": start, "given": given}
        with _progress(self.accelerator, n, options.batch_size, sampler.n_states, folder) as on_state:
            where = {"accelerator": self.accelerator, "on_state": on_state, "folder": folder}
            images = generate(states, n, self.network.image_shape, **settings, **where)
        seconds = round(time.perf_counter() - begin, 3)
        facts = {name: getattr(options, name) for name in ("network", "denoise", "seed", "batch_size")}
        facts |= {name: getattr(sampler, name) for name in ("step_size", "n_steps", "evaluations", "sigmas")}
        return images, facts | {"precision": self.precision, "threads": torch.get_num_threads(), "seconds": seconds}

    def write(
        self,
        what: str,
        images: Tensor,
        facts: dict[str, Any],
        tensors: dict[str, Tensor],
        pictures: Tensor,
        n_columns: int,
        names: Sequence[str] = (),
    ) -> int:
        """Write what was drawn, in the first process alone, and say what it took.

        Args:
            what: was drawn, in words.
            images: all that were drawn; single files of --pngs.
            facts: to write beside the tensors, those that `draw` returned among them.
            tensors: by name, written as they are.
            pictures: of the sheet, clamped to [0, 1].
            n_columns: of the sheet.
            names: of its columns.
        """
        if self.accelerator.is_main_process:
            file, sheet = self.files
            save_tensors(file, tensors, **facts)
            save_sheet(sheet, pictures, n_columns, names)
            if self.options.pngs:
                (self.options.out / "png").mkdir(exist_ok=True)
                for i, pixels in enumerate((images.clamp(0, 1) * 255).round().byte()):
                    to_pil_image(pixels).save(self.options.out / "png" / f"{i:05}.png")
            shutil.rmtree(self.options.out / ".batches")
            took = f"{facts['evaluations']} evaluations of the network each, in {facts['seconds']:.1f} s"
            print(f"{what}, {took}: {file}")
        leave_together(self.accelerator)
        return 0


@contextmanager
def _progress(accelerator: Accelerator, n: int, batch_size: int, n_states: int, folder: Path) -> Iterator[OnState]:
    """Show a bar over the steps of this process's batches, in the first process; those in a folder are done."""
    from tqdm import tqdm

    n_batches = math.ceil(n / batch_size)
    mine = range(accelerator.process_index, n_batches, accelerator.num_processes)
    done = sum(int(file.stem[6:]) in mine for file in folder.rglob("batch-*.safetensors"))
    options = {"initial": done * n_states, "disable": not accelerator.is_main_process}
    bar = tqdm(total=len(mine) * n_states, unit="step", **options)

    def on_state(indices: range, state: State) -> None:
        bar.set_postfix(
            batch=f"{indices.start // batch_size + 1}/{n_batches}", sigma=f"{state.sigma:.3g}", refresh=False
        )
        bar.update()

    try:
        with bar:
            yield on_state
    except KeyboardInterrupt:
        kept = len(list(folder.rglob("batch-*.safetensors")))
        print(f"Stopped; {kept} of {n_batches} batches are kept, and the same command goes on.", file=sys.stderr)
        raise SystemExit(130) from None
