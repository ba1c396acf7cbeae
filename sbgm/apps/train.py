"""Train a noise conditional score network on images; Ctrl-C, SIGTERM and --minutes save, --resume goes on.

The folder of a run holds settings.json; log.csv, a row every few steps; sheets/, eight images drawn from the same noise
at each measurement, as a picture and as a tensor; and the last two checkpoints, such as step-0005000/, each with all
that the run needs to go on.

On several GPUs: torchrun --nproc_per_node 8 -m sbgm train …
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import math
import re
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import pandas
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

import sbgm
from sbgm.apps.options import Device, name_or_folder
from sbgm.files import content_hash, save_tensors, write_bytes, write_json
from sbgm.guard import (
    Count,
    NonNegative,
    Positive,
    Whole,
    checked,
    count_from,
    number_that,
    require_score,
    set_sound,
    unchecked,
)
from sbgm.images.data import NAMES, SETS, DataSet, as_floats
from sbgm.images.devices import compiled, fast_precision, find_device, hardware, idle_cores, on_device
from sbgm.images.drawing import fitted_start
from sbgm.images.networks import label_tensor
from sbgm.images.weights import NETWORKS, OwnNetwork, checkpoints, checksums, step_of, whole_checkpoint
from sbgm.measure import level_losses
from sbgm.noise import derived_generator
from sbgm.plots import save_sheet
from sbgm.training import require_finite_step, require_loss

if TYPE_CHECKING:
    from accelerate import Accelerator

ORDER, PART, HELD_OUT = range(3)  # what a generator derived from the seed is for
HIDDEN = 0.1  # of the labels are hidden in training, so that the network learns the score of any class too
EARLY = (1, 50, 100, 200, 500)  # steps at which a run is measured too, since one looks at its beginning
N_SHOWN = 8  # images of a sheet
LEFT = re.compile(r"step-(\d{7,}|\w{8})\.partial|(settings\.json|log\.csv)\.\d+\.partial")  # by a killed process
DRAW_OWN = """
from sbgm import annealed_langevin, generate, load_network, plots

network = load_network({folder!r}, network={name}())
step_size = 0.2 * network.ladder[-1] ** 2

def sampler(x, generator):
    return annealed_langevin(network, x, network.ladder, step_size=step_size, n_steps=100, generator=generator)

images = generate(sampler, 16, network.image_shape, seed=0)
plots.save_sheet({sheet!r}, images)
"""

__all__ = ["SCALES", "Settings", "Training", "settings_of", "train"]

Ema = Annotated[float, number_that("be at least 0 and below 1", lambda value: 0 <= value < 1)]


# --- settings: each is a flag, and is recorded -----------------------------------------------------------------------


@checked
@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a training: data, network, levels, optimizer. The defaults are the paper's (4.1, 4.2, B.2)."""

    data: Annotated[str, "the images' name, or the folder that holds them"]
    _: dataclasses.KW_ONLY
    flips: Annotated[bool, "mirror half of the images, chosen at random"] = False
    size: Annotated[Count, "side in pixels to which a folder's images are cropped and resized; a multiple of 4"] = 32
    skip_bad: Annotated[bool, "leave out a folder's images that can't be used, with a warning"] = False
    classes: Annotated[bool, "tell the network the class of nine images in ten, for sample --label"] = False
    network: Annotated[Literal["RefineNet", "DigitNetwork"], "the paper's, or chapter 6's"] = "RefineNet"
    channels: Annotated[Count | None, "C, the width of the RefineNet"] = None
    unconditional: Annotated[bool, "do not tell the RefineNet's instance norms the noise level"] = False
    divide_by_sigma: Annotated[bool, "divide the RefineNet's output by σ"] = False
    from_: Annotated[str | None, "a trained network to start from, by name, file or run"] = None
    sigma_max: Annotated[Positive, "the largest noise level, σ_1"] = 1.0
    sigma_min: Annotated[Positive, "the smallest noise level, σ_L"] = 0.01
    levels: Annotated[Count, "L, noise levels of the geometric ladder"] = 10
    steps: Annotated[Count, "the number of the last step"] = 200_000
    batch_size: Annotated[Count, "images per step, over all processes"] = 128
    accumulation: Annotated[Count, "parts into which a process cuts its batch, to save memory"] = 1
    learning_rate: Annotated[Positive, "Adam's learning rate"] = 1e-3
    schedule: Annotated[Literal["constant", "cosine"], "course of the learning rate; cosine ends at 0"] = "constant"
    warm_up: Annotated[Whole, "steps over which the learning rate rises to its full value"] = 0
    clip: Annotated[NonNegative, "gradients longer than this are clipped; 0 turns it off"] = 0.0
    ema: Annotated[Ema, "decay of the moving average of the weights; 0 keeps no average"] = 0.0
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], "precision of the layers; auto: what the device is fast in"
    ] = "fp32"
    compile: Annotated[bool, "fuse the network's layers, which takes minutes and speeds up a run of hours"] = False
    threads: Annotated[Whole, "threads of the CPU; 0: as many as there are idle cores at the start"] = 0
    seed: Annotated[Whole, "seed of the weights, the order of the images, the levels and the noise"] = 0
    held_out: Annotated[int, count_from(2), "images per level on which the held-out loss is measured"] = 64
    log_every: Annotated[Count, "steps between two rows of the log"] = 100
    measure_every: Annotated[Count, "steps between measurements (held-out loss, a sheet), after the early ones"] = 500
    save_every: Annotated[Count, "steps between two checkpoints"] = 5_000
    keep_every: Annotated[Whole, "keep every checkpoint whose step is a multiple of this; 0: only the last two"] = 0

    def __post_init__(self) -> None:
        if self.network != "RefineNet":
            for name in ("channels", "unconditional", "divide_by_sigma"):
                if getattr(self, name):
                    raise ValueError(f"{name} must be left out with {self.network}, which has no such setting")
        if self.size % 4:  # else `judge` can make no controls of the images
            raise ValueError(f"size must be a multiple of 4, got {self.size}")

    @property
    def sigmas(self) -> Tensor:
        """The ladder σ_1 > … > σ_L, or the one level σ_L where levels is 1 (Appendix C.1)."""
        if self.levels == 1:
            return torch.tensor([self.sigma_min])
        return sbgm.geometric_sigmas(self.sigma_max, self.sigma_min, self.levels)

    def rate(self, step: int) -> float:
        """The learning rate of a step k: η min{1, k/warm_up}, and with "cosine" times (1 + cos(π (k − 1)/steps))/2."""
        rate = self.learning_rate
        if self.warm_up:
            rate *= min(1.0, step / self.warm_up)
        if self.schedule == "cosine":
            rate *= (1 + math.cos(math.pi * (step - 1) / self.steps)) / 2
        return rate


PAPER = {"channels": 64, "held_out": 1_000, "keep_every": 5_000}
SCALES: dict[str, dict[str, Any]] = {
    # hours on two cores: a quarter of the paper's batch, a thinner network
    "laptop": {
        "channels": 32,
        "steps": 10_000,
        "batch_size": 32,
        "ema": 0.999,
        "precision": "auto",
        "log_every": 50,
        "save_every": 250,
    },
    # the paper's, in the precision that the GPU is fast in, compiled, with an average beside the raw weights
    "gpu": PAPER | {"ema": 0.999, "precision": "auto", "compile": True},
    # the paper's to the letter, which keeps no average
    "paper": PAPER,
}


@checked
def settings_of(data: str, scale: Literal["laptop", "gpu", "paper"] = "laptop", **changes: Any) -> Settings:
    """Return the settings of a scale, "laptop", "gpu" or "paper", with changes.

    Example:
        >>> from sbgm.apps.train import settings_of
        >>> settings_of("cifar10", "paper").channels, settings_of("mnist", steps=300).steps
        (128, 300)
    """
    chosen = dict(SCALES[scale])
    if data in ("cifar10", "celeba"):
        chosen["flips"] = True
        chosen |= {"steps": 20_000} if scale == "laptop" else {"channels": 128}
    if changes.get("network") == "DigitNetwork":
        del chosen["channels"]
    return Settings(data, **(chosen | changes))


# --- the training ----------------------------------------------------------------------------------------------------


def train(
    settings: Settings,
    folder: Path | str,
    *,
    network: nn.Module | None = None,
    images: DataSet | None = None,
    resume: bool = False,
    device: str | None = None,
    minutes: float = math.inf,
    watch: Callable[[int, dict[str, float], Tensor | None], object] | None = None,
    loss: Callable[[Any, Tensor, torch.Generator], Tensor] | None = None,
) -> int:
    """Train a noise conditional score network by Eq. 6 in the folder of a run, under a progress bar.

    What a step draws depends on the seed and the step alone, and files are written beside their place and renamed. So
    a run on a CPU that was killed at any instant and resumed with as many threads ends with the same bits as one that
    never stopped, and two processes do what one does with twice the accumulation. (A network that draws
    random numbers by itself, as dropout does, draws others.)

    Args:
        settings: such as `settings_of("mnist")`. A resumed run may differ from what it was started with in its number
            of threads and, where the learning rate is constant, in its number of steps.
        folder: of the run.
        network: one of your own, trained in place: any module s(x, sigma), or s(x, sigma, label) with
            `settings.classes`, see `sbgm.images.weights.OwnNetwork`. `load_network(folder, network=…)` loads it.
        images: what to train on, such as a set of `own_images`; None is `settings.data`.
        resume: go on with the run in the folder, or begin it where there is none yet.
        device: such as "cpu" or "cuda:1"; the GPU if there is one.
        minutes: save and stop after so many minutes, not counting compilation.
        watch: called in the main process after each measurement, and first where a run goes on, as
            watch(step, row, sheet), with the row of the log, and the images of the sheet, (N, C, H, W) on the CPU, or
            None where one level makes no sheet. Then neither bar nor words are printed. What it raises ends the
            training: the last checkpoint stands.
        loss: takes the place of Eq. 6, as loss(score, x, generator), a scalar that has a gradient. score(x, sigma) has
            the labels bound, x is a part of a batch, dequantised and flipped. Its name belongs to the run.

    Returns:
        The number of the signal that stopped it (Ctrl-C or SIGTERM), or 0.

    Raises:
        FileExistsError: the folder is not empty and `resume` is not set.
        FileNotFoundError: `resume` is set and the folder holds other files than a run's.
        BlockingIOError: another process trains the run.
        ValueError: the run was started with other settings or images, its last checkpoint is damaged, or the network
            can't be trained. Nothing has been written then.
        DiskFullError, FloatingPointError: there is no room, or a loss or a gradient is NaN or infinite. The last
            checkpoint stands.
        ArithmeticError: the compiled network has another gradient than the plain one.
    """
    folder = Path(folder)
    accelerator = make_accelerator(device)
    training = Training(settings, folder, accelerator, network=network, images=images, resume=resume, loss=loss)
    settings = training.settings
    is_main = accelerator.is_main_process

    def say(words: str) -> None:
        if watch is None:  # who watches is told by the rows
            accelerator.print(words)

    with owned(folder, accelerator, resume=training.resume), noted_signals() as signals, on_threads(settings.threads):
        training.load()
        say(what_it_sees(training.images))
        say(f"Look at {folder / 'sheets'} while it trains.")
        if settings.compile and training.step < settings.steps:
            say("Compiling the network, which takes minutes on a CPU and is kept for the next time …")
            training.compile()
        training.begin()
        deadline = time.monotonic() + 60 * minutes
        stop = False
        if watch is not None and is_main and training.step:
            losses, sheet = training.measure()
            watch(training.step, {"step": training.step, **losses}, sheet)
        quiet = not is_main or watch is not None
        with tqdm(total=settings.steps, initial=training.step, desc=str(folder), unit="step", disable=quiet) as bar:
            while training.step < settings.steps and not stop:
                value = training.make_step()
                stop = any_stops(accelerator, bool(signals) or time.monotonic() >= deadline)
                row, sheet = training.note(value, stop)
                bar.set_postfix(loss=f"{value:.1f}", refresh=False)
                bar.update()
                if watch is not None and is_main and "held_out" in row:
                    watch(training.step, dict(row), sheet)
    accelerator.wait_for_everyone()  # a process that leaves while another still talks to it aborts both
    accelerator.end_training()
    made = f"{training.step:,}"
    if training.step < settings.steps:
        say(f"Stopped and saved at step {made} of {settings.steps:,}. To continue, add --resume to the same command.")
    else:
        say(f"All {made} steps are done.")
    say(how_to_draw(training.network, folder))
    return signals[0] if signals else 0


class Training:
    """A training that one can step through: what is done so far, and how a step is made, measured and saved.

    To make it looks at all settings, and writes nothing. `load`, then `begin`, then `make_step` as often as one likes.

    Args:
        settings, folder, network, images, resume, loss: as for `train`.
        accelerator: of `make_accelerator`.

    Attributes:
        settings: with what they left to the machine decided, when the run began.
        resume: whether it goes on with a run; one that was killed before it wrote anything begins.
        record: what a checkpoint says of it, see `require_same`.
        step: the number of steps that are made.
        images, pixels: what it is trained and measured on.
        network, networks: what is trained; the same with its average, by name.
        rows: of the log.
        losses: of the steps since its last row.
        seconds: that the steps took, over all processes that went on with the run.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        accelerator: Accelerator,
        *,
        network: nn.Module | None = None,
        images: DataSet | None = None,
        resume: bool = False,
        loss: Callable[[Any, Tensor, torch.Generator], Tensor] | None = None,
    ) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.device = device = accelerator.device
        self.loss = loss
        self.images = read_images(settings, images, device)
        self.resume = resume and not is_empty(folder)
        old_record = read_record(folder) if self.resume else {}
        self.step = step_of(checkpoints(folder)[-1]) if self.resume and checkpoints(folder) else 0
        self.settings = settings = decided(settings, old_record, device)
        self.record = record_of(settings, self.images, network, loss)
        if self.resume:
            require_same(self.record, old_record)
        self.n_parts = accelerator.num_processes * settings.accumulation
        self.sigmas = settings.sigmas.to(device)
        self.require_sizes()
        names = self.images.names
        if network is None:
            network = new_network(settings, self.images.some, len(names))
        elif not isinstance(network, sbgm.ScoreNetwork):
            network = OwnNetwork(settings.sigmas, network, len(names))
        if settings.from_ is not None and not self.step:
            sbgm.load_weights(network, settings.from_)
        self.network = network
        self.require_trainable()
        self.networks = {"network": network}
        if settings.ema:
            self.networks["average"] = copy.deepcopy(network)
        network.train()
        self.optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
        is_half = settings.precision == "fp16"  # else small gradients would be 0
        self.scaler = torch.amp.GradScaler(device.type, enabled=is_half)
        self.rows: list[dict[str, float]] = []
        self.losses: list[float] = []
        self.seconds = 0.0
        self.pixels = self.images.pixels
        if device.type != "cuda" or 4 * self.pixels.nbytes < torch.cuda.mem_get_info(device)[0]:
            self.pixels = self.pixels.to(device)  # else each batch is copied by itself
        self.epoch = -1

    # --- what is looked at before anything is written

    def require_sizes(self) -> None:
        """Raise unless the steps and the batch are such as the run and its images allow."""
        settings = self.settings
        if settings.steps < self.step:
            whole_checkpoint(self.folder, self.step)
            raise ValueError(f"steps must be at least the {self.step} that the run has made, got {settings.steps}")
        n_images = len(self.images.pixels)
        if settings.batch_size > n_images or settings.batch_size % self.n_parts:
            most = f"at most the {n_images} images, and divide into {self.n_parts} parts (processes × accumulation)"
            raise ValueError(f"batch_size must be {most}, got {settings.batch_size}")

    def require_trainable(self) -> None:
        """Prepare the network for the images, and raise unless it can be asked, trained, saved and read."""
        network = self.network
        names = self.images.names
        some = self.images.some[:2]
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ValueError(
                "network must have weights that can be trained, and has none; those that load_network gives are "
                "frozen, until network.requires_grad_() is called"
            )
        network.image_shape = tuple(some.shape[1:])
        network.classes = names
        on_device(network, self.device)
        label = [torch.zeros(2, dtype=torch.long, device=self.device)] if names else []
        with torch.no_grad():
            require_score(network.eval()(some, self.sigmas[:1].expand(2), *label), some, "network")
        if self.loss is not None:
            generator = derived_generator(self.settings.seed, device=self.device)
            require_loss(self.loss(lambda x, sigma: network(x, sigma, *label), some, generator))
        with tempfile.TemporaryDirectory() as place:  # one that can't be saved and read is refused now, not after hours
            sbgm.save_network(network, Path(place) / "network.safetensors")
            sbgm.load_weights(network, Path(place) / "network.safetensors")

    # --- its beginning

    def load(self) -> None:
        """Take up the last checkpoint, where there is one, and write the settings; the folder is `owned`."""
        if self.step:
            checkpoint = whole_checkpoint(self.folder, self.step)
            for name, module in self.networks.items():
                sbgm.load_weights(module, checkpoint / f"{name}.safetensors")
            state = torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)
            require_same(self.record, state.get("record", self.record))  # for settings.json may have been edited
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            self.rows = state["log"]["rows"]
            self.losses = state["log"]["losses"]
            self.seconds = state["log"]["seconds"]
        if self.accelerator.is_main_process:
            write_json(self.folder / "settings.json", self.record)

    def compile(self) -> None:
        """Compile the network, and compare the gradient of the first loss with the plain one's."""
        compile_checked(self.network, lambda: self.loss_of(self.in_precision(self.network), 1, 0))

    def begin(self) -> None:
        """Make the scores that are trained and measured, and start the clock."""
        self.model = self.accelerator.prepare_model(self.network)
        self.score = self.in_precision(self.model)
        self.measured_score = self.in_precision(self.networks.get("average", self.network))
        self.started = time.monotonic() - self.seconds

    def in_precision(self, network: nn.Module) -> Any:
        """The score of a network with its layers in the precision of the settings."""
        return sbgm.autocast(network, self.settings.precision, self.device.type)

    # --- a step

    def make_step(self) -> float:
        """Make the next step, and return the loss before it."""
        settings = self.settings
        self.step += 1
        self.optimizer.zero_grad(set_to_none=True)
        total = self.backward()
        self.scaler.unscale_(self.optimizer)
        if settings.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        # A float16 step whose gradient overflows is left out, and the scale halved: that is no error.
        scale = self.scaler.scale(torch.ones((), device=self.device))
        value = require_finite_step(total, self.optimizer, self.step, settings.steps, scale)
        self.optimizer.param_groups[0]["lr"] = settings.rate(self.step)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if settings.ema:
            # The share of the old rises with the steps: a short training's average is not of its beginning.
            follow = get_ema_multi_avg_fn(min(settings.ema, (1 + self.step) / (10 + self.step)))
            average = self.networks["average"]
            follow(list(average.parameters()), list(self.network.parameters()), None)
            for ours, theirs in zip(average.buffers(), self.network.buffers(), strict=True):
                ours.copy_(theirs)
        return value

    def backward(self) -> Any:
        """Add up the gradients of this process's parts of the batch; return the loss, the mean over all processes."""
        accelerator = self.accelerator
        total = torch.zeros((), device=self.device)
        mine = range(accelerator.process_index, self.n_parts, accelerator.num_processes)
        for part in mine:
            # The processes exchange their gradients once a step, with the last part.
            with contextlib.nullcontext() if part == mine[-1] else accelerator.no_sync(self.model):
                of_part = self.loss_of(self.score, self.step, part) / len(mine)
                self.scaler.scale(of_part).backward()
            total += of_part.detach()
        return accelerator.reduce(total, reduction="mean")

    def loss_of(self, score: Any, step: int, part: int) -> Tensor:
        """Eq. 6 on a part of a step's batch. Images are not looked at, since in each step a GPU would wait for it."""
        settings = self.settings
        rows = self.rows_of(step)[part :: self.n_parts]
        generator = derived_generator(settings.seed, PART, step, part, device=self.device)
        x = unchecked(sbgm.dequantise)(as_floats(self.pixels[rows].to(self.device)), generator=generator)
        if settings.flips:
            x = unchecked(sbgm.random_flip)(x, generator=generator)
        label = []
        if self.images.labels is not None:
            n_classes = len(self.images.names)
            hidden = torch.rand(len(x), generator=generator, device=self.device) < HIDDEN
            classes = self.images.labels[rows.to(self.device)]
            label = [classes.masked_fill(hidden, n_classes)]  # which stands for any class
            set_sound(label[0], ("class", n_classes))

        def score_of_class(x: Tensor, sigma: float | Tensor) -> Tensor:
            return score(x, sigma, *label)

        if self.loss is not None:
            return require_loss(self.loss(score_of_class, x, generator))
        return unchecked(sbgm.ncsn_loss)(score_of_class, x, self.sigmas, generator=generator)

    def rows_of(self, step: int) -> Tensor:
        """The images of a step's batch: every epoch goes through all of them once, in an order of its own."""
        size = self.settings.batch_size
        epoch, place = divmod(step - 1, len(self.pixels) // size)
        if epoch != self.epoch:
            generator = derived_generator(self.settings.seed, ORDER, epoch)
            self.order = torch.randperm(len(self.pixels), generator=generator).to(self.pixels.device)
            self.epoch = epoch
        return self.order[place * size :][:size]

    # --- what is told and kept of it

    def measure(self) -> tuple[dict[str, float], Tensor | None]:
        """The held-out loss by level, and a sheet of samples, with the same noise at every call.

        A sheet is quick, and rough: ancestral sampling, one evaluation a level, from the images' normal law.
        """
        score = self.measured_score
        self.network.eval()
        generator = derived_generator(self.settings.seed, HELD_OUT, device=self.device)
        losses = [level.value for level in level_losses(score, self.images.held_out, self.sigmas, generator=generator)]
        sheet = None
        if self.accelerator.is_main_process and len(self.sigmas) > 1:
            names = self.images.names
            turns = [i % len(names) for i in range(N_SHOWN)] if names else []
            label = [torch.tensor(turns, device=self.device)] if names else []
            generator = derived_generator(self.settings.seed, N_SHOWN, device=self.device)
            some = self.images.some
            x = fitted_start(some, float(self.sigmas[0]))((N_SHOWN, *some.shape[1:]), generator)
            clamped = sbgm.in_range(lambda x, sigma: score(x, sigma, *label))
            sheet = sbgm.final(sbgm.ancestral(clamped, x, self.sigmas, generator=generator, denoise_last=True)).cpu()
            (self.folder / "sheets").mkdir(exist_ok=True)
            path = self.folder / "sheets" / f"step-{self.step:07d}.png"
            save_sheet(path, sheet, names=[names[turn] for turn in turns])
            save_tensors(path.with_suffix(".safetensors"), {"sheet": sheet})
        self.network.train()
        by_level = {f"level_{i}": value for i, value in enumerate(losses, start=1)}
        return {"held_out": sum(losses) / len(losses), **by_level}, sheet

    def note(self, value: float, stop: bool = False) -> tuple[dict[str, float], Tensor | None]:
        """Measure, log and save after a step, whatever its number asks for, or all where the run stops with it.

        Args:
            value: the loss of the step.
            stop: whether the run stops here.

        Returns:
            The step's row, of the mean loss since the last row of the log, and the sheet, if one was drawn.
        """
        settings = self.settings
        is_last = self.step == settings.steps
        is_due = is_last or self.step in EARLY or self.step % settings.measure_every == 0
        self.losses.append(value)
        self.seconds = time.monotonic() - self.started
        row = {"step": self.step, "loss": sum(self.losses) / len(self.losses), "seconds": self.seconds}
        sheet = None
        if is_due:
            losses, sheet = self.measure()
            row |= losses
        if is_due or self.step % settings.log_every == 0:
            self.rows.append(row)
            self.losses = []
            self.write_log(self.rows)
        if stop or is_last or self.step % settings.save_every == 0:
            self.save()
        if stop and not is_due:  # shown, and in no checkpoint: the log goes on as if the run had never stopped
            losses, sheet = self.measure()
            row = row | losses
            self.write_log([*(logged for logged in self.rows if logged["step"] < self.step), row])
        return row, sheet

    def write_log(self, rows: list[dict[str, float]]) -> None:
        """Write log.csv, in the first process alone."""
        if self.accelerator.is_main_process:
            write_bytes(self.folder / "log.csv", pandas.DataFrame(rows).to_csv(index=False).encode())

    def save(self) -> None:
        """Write a checkpoint beside its place and rename it, in the first process alone; the one before it stays."""
        if not self.accelerator.is_main_process:
            return
        content = io.BytesIO()  # torch reports a full disk as an error about its own positions
        log = {"rows": self.rows, "losses": self.losses, "seconds": self.seconds}
        state = {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        torch.save({**state, "log": log, "record": self.record}, content)
        facts = {"step": self.step, "hardware": hardware(self.device)}
        with tempfile.TemporaryDirectory(".partial", "step-", self.folder) as place:
            checkpoint = Path(place) / "checkpoint"
            checkpoint.mkdir()
            for name, module in self.networks.items():
                sbgm.save_network(module, checkpoint / f"{name}.safetensors", **facts)
            write_bytes(checkpoint / "state.pt", content.getbuffer())
            write_bytes(checkpoint / "SHA256SUMS", checksums(checkpoint).encode())
            checkpoint.rename(self.folder / f"step-{self.step:07d}")
        for old in checkpoints(self.folder)[:-2]:
            if not self.settings.keep_every or step_of(old) % self.settings.keep_every:
                shutil.rmtree(old.rename(old.with_suffix(".partial")))  # what a kill leaves of it is no checkpoint


class Images(NamedTuple):
    """The images of a training: those it learns from, and those held out to measure it on.

    Attributes:
        pixels: (N, C, H, W) bytes to train on.
        some: the first of them, as floats where it computes.
        n_test: how many are held out.
        held_out: (M, C, H, W), those of them that it is measured on, as floats where it computes.
        labels: (N,) classes, where the network is told.
        names: of the classes, () where it is not.
    """

    pixels: Tensor
    some: Tensor
    n_test: int
    held_out: Tensor
    labels: Tensor | None
    names: tuple[str, ...]


def read_images(settings: Settings, images: DataSet | None, device: torch.device) -> Images:
    """The images of a training; None are those that the settings name."""
    data = images or SETS.get(settings.data)
    if data is None:
        data = sbgm.own_images(settings.data, settings.size, skip_bad=settings.skip_bad)
    pixels = data.images("train")
    test_pixels = data.images("test")
    held_out = as_floats(test_pixels[: settings.held_out]).to(device)
    if len(held_out) < 2:
        raise ValueError(f"data must have at least two test images, got {len(held_out)}")
    labels = None
    names = ()
    if settings.classes:
        if data.labels is None:
            raise ValueError("classes must be left out, because these images have none; a class is a subfolder's name")
        labels = data.labels("train")
        names = data.classes or tuple(map(str, range(int(labels.max()) + 1)))
        labels = label_tensor(labels, pixels, len(names)).to(device)  # looked at here, and not at every step
    return Images(pixels, as_floats(pixels[:2_000]).to(device), len(test_pixels), held_out, labels, names)


def what_it_sees(images: Images) -> str:
    """Say how many images there are, of which size, and their classes."""
    shape = "×".join(map(str, images.pixels.shape[1:]))
    words = f"The network trains on {len(images.pixels):,} images of {shape}; {images.n_test:,} more are held out."
    if images.names:
        words += f"\nClasses, as --label takes them: {', '.join(images.names)}."
    return words


def decided(settings: Settings, old_record: dict[str, Any], device: torch.device) -> Settings:
    """The settings with what they leave to the machine, as it was decided when the run began."""
    if settings.precision == "auto":
        settings = dataclasses.replace(settings, precision=old_record.get("precision", fast_precision(device)))
    if settings.threads == 0:
        settings = dataclasses.replace(settings, threads=old_record.get("threads") or idle_cores())
    return settings


def record_of(
    settings: Settings, images: Images, network: nn.Module | None, loss: Callable[..., Tensor] | None
) -> dict[str, Any]:
    """Return the facts that a resumed run must share: settings, class names, the images' hash, own network and loss."""
    classes = {"class_names": list(images.names), "images_sha256": content_hash(images.pixels)}
    record = {**dataclasses.asdict(settings), **classes}
    if network is not None:
        record |= {"network": type(network).__qualname__, "channels": None}
    record["loss"] = None if loss is None else getattr(loss, "__qualname__", type(loss).__qualname__)
    return record


@contextlib.contextmanager
def owned(folder: Path, accelerator: Accelerator, *, resume: bool) -> Iterator[None]:
    """Make a run's folder this training's alone, free of what a killed process left."""
    lock = FileLock(folder / ".lock", timeout=0)
    if accelerator.is_main_process:
        if not resume and not is_empty(folder):
            raise FileExistsError(
                f"folder must be empty, but {folder} holds files; to continue a run there, add --resume (resume=True)"
            )
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise BlockingIOError(f"{folder} is in use: another process trains the run there") from None
        for path in folder.glob("*.partial"):
            if LEFT.fullmatch(path.name):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    accelerator.wait_for_everyone()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note Ctrl-C and SIGTERM in a list, so that they end no step half-way."""
    noted: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():  # which alone may set handlers
        handlers = {n: signal.signal(n, lambda n, _: noted.append(n)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for n, handler in handlers.items():
            signal.signal(n, handler)


@contextlib.contextmanager
def on_threads(n: int) -> Iterator[None]:
    """Compute on n threads of the CPU in the body, and on as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def how_to_draw(network: sbgm.ScoreNetwork, folder: Path) -> str:
    """Say by which command to draw from a run's network, or by which Python where the network is one of your own."""
    if type(network) in NETWORKS.values():
        words = ["sbgm", "sample", str(folder), "--out", f"{folder}_samples", "-n", "16"]
        if network.classes:
            words += ["--label", *network.classes[:8]]
        return f"To draw images from the network: {shlex.join(words)}"
    name = type(network.module if isinstance(network, OwnNetwork) else network).__name__
    lines = DRAW_OWN.format(folder=str(folder), name=name, sheet=f"{folder}_samples.png")
    return f"To draw images from the network, in Python, with {name}() as it was for the training:\n{lines}"


def require_same(record: dict[str, Any], old_record: dict[str, Any]) -> None:
    """Raise unless a run that is resumed has the settings that it was begun with, but for some that may differ.

    A setting that came after the run was begun has its default. Other steps would make a cosine's rate jump.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    may_differ = {"threads", "steps"} if record["schedule"] == "constant" else {"threads"}
    for name, value in record.items():
        old = old_record.get(name, defaults.get(name))
        if value != old and name not in may_differ:
            raise ValueError(f"{name} must be {old!r}, as in the run, got {value!r}")


def new_network(settings: Settings, images: Tensor, n_classes: int) -> sbgm.ScoreNetwork:
    """The network that a run begins with, for images (N, C, H, W) such as these; n_classes is 0 without labels."""
    generator = torch.Generator().manual_seed(settings.seed)
    shape = list(images.shape[1:])
    if settings.network == "DigitNetwork":
        mean = float(images.mean())
        variance = float(images.var())
        return sbgm.DigitNetwork(settings.sigmas, mean, variance, n_classes, image_shape=shape, generator=generator)
    return sbgm.RefineNet(
        settings.sigmas,
        settings.channels or 128,
        shape[0],
        conditional=not settings.unconditional,
        divide_by_sigma=settings.divide_by_sigma,
        n_classes=n_classes,
        generator=generator,
    )


def compile_checked(network: nn.Module, loss: Callable[[], Tensor]) -> None:
    """Compile a network in place, and compare the gradient of a loss with that of the plain one.

    A compiler's fault in the backward pass is silent: the network learns, with some of its weights standing still.

    Raises:
        ArithmeticError: the two differ by more than a tenth of their size (bfloat16 rounds far less).
    """
    weights = list(network.parameters())

    def gradient() -> Tensor:
        gradients = torch.autograd.grad(loss(), weights, materialize_grads=True)
        return torch.cat([x.flatten() for x in gradients])  # a compiler may store them with the channels last

    plain = gradient()
    compiled(network)
    fused = gradient()
    error = float((fused - plain).norm() / plain.norm())
    if not error <= 0.1:
        raise ArithmeticError(f"the gradient of the compiled network is off by {error:.2g}; train without compile")


def is_empty(folder: Path) -> bool:
    """Whether a run can begin in a folder: nothing is there, or no more than a process left that was killed early."""
    return all(path.name == ".lock" or LEFT.fullmatch(path.name) for path in folder.glob("*"))


def read_record(folder: Path) -> dict[str, Any]:
    """The settings that a run was begun with, the names of its classes, and the hash of its images.

    Raises:
        FileNotFoundError: there is no run in this folder.
        ValueError: the file holds no table of settings.
    """
    path = folder / "settings.json"
    if not path.is_file():
        raise FileNotFoundError(f"resume must find a run in {folder}, but there is no settings.json")
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} can't be read: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path} must hold a table of settings, got {type(record).__name__}")
    return record


# --- the processes of a training: all that is Accelerate's -----------------------------------------------------------


def make_accelerator(device: str | None = None) -> Accelerator:
    """An Accelerator that computes where `find_device` says, and joins the processes that torchrun has started.

    Raises:
        ValueError: as `find_device`, or this process's first training computed on a device of another kind.
    """
    from accelerate import Accelerator

    where = torch.device(find_device(device))
    if where.index is not None:
        torch.cuda.set_device(where)
    # Each process on the CPU would take itself for the only one, unless it is told that it computes there.
    accelerator = Accelerator(cpu=where.type == "cpu")
    if accelerator.device.type != where.type:  # Accelerate keeps what the process's first one was told
        raise ValueError(f"device must be {accelerator.device.type}, as in this process's first run, got {where}")
    return accelerator


def any_stops(accelerator: Accelerator, stop: bool) -> bool:
    """Whether any process is to stop: all stop after the same step, or one would wait for ever."""
    if accelerator.num_processes > 1:
        if stop:
            accelerator.set_trigger()
        stop = accelerator.check_trigger()
    return stop


# --- the command -----------------------------------------------------------------------------------------------------

WHAT_TO_TRAIN_ON = f"what to train on: {', '.join(NAMES)}, or a folder of images"  # Sphinx reads no f-string in a class


@checked
@dataclasses.dataclass(frozen=True)
class Options(Settings):
    """The options of `sbgm train`: all settings, and what belongs to no record."""

    data: Annotated[str, name_or_folder(*NAMES), WHAT_TO_TRAIN_ON]
    _: dataclasses.KW_ONLY
    out: Annotated[Path, "the run's folder, such as runs/NAME"]
    resume: Annotated[bool, "continue the run in that folder"] = False
    scale: Annotated[
        Literal["laptop", "gpu", "paper"],
        "the defaults of the other options: the laptop's, for hours on two cores; the paper's; or gpu: the paper's in "
        "the precision in which the GPU is fast, compiled, and with --ema 0.999",
    ] = "laptop"
    minutes: Annotated[Positive | None, "save and stop after X minutes, not counting compilation"] = None
    device: Device = None


GROUPS = {
    "flips": "data",
    "network": "network",
    "sigma_max": "noise",
    "steps": "optimiser",
    "precision": "machine",
    "held_out": "log and checkpoints",
    "out": "run",
}
EXAMPLE = "sbgm train mnist --out runs/mnist --steps 2000"


def _word(value: Any) -> str:
    """A default as help texts say it: a flag is on or off."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _default_words() -> dict[str, str]:
    """The defaults that differ between the laptop's scale and the paper's, or between grey and colour sets."""
    words = {}
    for field in dataclasses.fields(Settings)[1:]:
        values = {}
        for scale in ("laptop", "paper"):
            grey, colour = (_word(getattr(settings_of(data, scale), field.name)) for data in ("mnist", "cifar10"))
            values[scale] = grey if grey == colour else f"{grey}, for cifar10 and celeba {colour}"
        if values["laptop"] != values["paper"]:
            words[field.name] = f"laptop {values['laptop']}; paper {values['paper']}"
        elif grey != colour:
            words[field.name] = values["paper"]
    return words


DEFAULTS = _default_words()


def main(**given: Any) -> int:
    """Train as `given` says, which are fields of `Options`; return the exit status."""
    options = Options(**given)
    names = {field.name for field in dataclasses.fields(Settings)}
    changes = {name: value for name, value in given.items() if name in names}
    if options.data not in NAMES:
        changes["data"] = str(Path(options.data).resolve())
    if options.resume:
        old_record = read_record(options.out)
        settings = Settings(**({name: old_record[name] for name in names & old_record.keys()} | changes))
    else:
        settings = settings_of(scale=options.scale, **changes)
    minutes = options.minutes or math.inf
    folder = options.out
    number = train(settings, folder, resume=options.resume, device=options.device, minutes=minutes)
    return 128 + number if number else 0
