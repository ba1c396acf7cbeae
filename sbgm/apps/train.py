"""Train a noise conditional score network on images; Ctrl-C, SIGTERM and --minutes save, --resume goes on.

The folder of a run holds settings.json; log.csv, a row every few steps; sheets/, eight images drawn from the same noise
at each measurement; and the last two checkpoints, such as step-0005000/, each with all that the run needs to go on.

On several GPUs: torchrun --nproc_per_node 8 -m sbgm train …
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import io
import json
import math
import pickle
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

import sbgm
from sbgm.files import DiskFullError, content_hash, file_hash, write_bytes, write_json
from sbgm.guard import (
    Count,
    NonNegative,
    Positive,
    Score,
    Whole,
    checked,
    count_from,
    number_that,
    one_of,
    require_score,
    unchecked,
)
from sbgm.images.data import SETS, DataSet, as_floats, dequantise, random_flip
from sbgm.images.devices import (
    autocast,
    compiled,
    fast_precision,
    find_device,
    hardware,
    idle_cores,
    on_device,
)
from sbgm.images.drawing import fitted_start
from sbgm.images.own import own_images
from sbgm.images.refinenet import RefineNet
from sbgm.images.weights import OwnNetwork, checkpoints, load_weights, save_network, step_of, whole_checkpoint
from sbgm.losses import ncsn_loss
from sbgm.measure import level_losses
from sbgm.networks import DigitNetwork, ScoreNetwork, in_range
from sbgm.noise import derived_generator, geometric_sigmas
from sbgm.plots import save_sheet
from sbgm.samplers import ancestral, final
from sbgm.training import require_finite_step

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["SCALES", "Settings", "settings_of", "train"]

DATA = ("digits", "mnist_small", "mnist", "fashion_mnist", "cifar10", "celeba")
COLOUR = ("cifar10", "celeba")
ORDER, PART, HELD_OUT = range(3)  # what a generator derived from the seed is for
HIDDEN = 0.1  # of the labels are hidden in training, so that the network learns the score of any class too
EARLY = (1, 50, 100, 200, 500)  # steps at which a run is measured too, since one looks at its beginning
SHARE = 0.1  # of a run's time, which its measurements may take
N_SHOWN = 8  # images of a sheet


# --- settings: each is a flag, and is recorded -----------------------------------------------------------------------


@checked
@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run trains, and how. The defaults are the paper's (Sections 4.1, 4.2, Appendix B.2)."""

    data: Annotated[str, "the images' name, or the folder that holds them"]
    _: dataclasses.KW_ONLY
    network: Annotated[Literal["RefineNet", "DigitNetwork"], "the paper's network, or the student's of chapter 6"] = (
        "RefineNet"
    )
    channels: Annotated[int, count_from(2), "C, the width of the RefineNet; 128 if not given"] | None = None
    unconditional: Annotated[bool, "do not tell the RefineNet the level, by its instance norms"] = False
    divide_by_sigma: Annotated[bool, "divide the RefineNet's output by σ"] = False
    sigma_max: Annotated[Positive, "the largest noise level, σ_1"] = 1.0
    sigma_min: Annotated[Positive, "the smallest noise level, σ_L"] = 0.01
    levels: Annotated[Count, "L, noise levels of the geometric ladder"] = 10
    flips: Annotated[bool, "mirror every other image, chosen at random"] = False
    size: Annotated[Count, "pixels a side of a folder's images, cropped and resized"] = 32
    classes: Annotated[bool, "tell the network an image's class, hidden in one of ten, for sample --label"] = False
    initial: Annotated[str, "a trained network to start from, by name, file or run"] | None = None
    steps: Annotated[Count, "the number of the last step"] = 200_000
    batch_size: Annotated[Count, "images a step, over all processes"] = 128
    accumulation: Annotated[Count, "parts that a process cuts its batch into, to save memory"] = 1
    learning_rate: Annotated[Positive, "Adam's"] = 1e-3
    schedule: Annotated[Literal["constant", "cosine"], "of the learning rate; cosine falls to 0 at the last step"] = (
        "constant"
    )
    warm_up: Annotated[Whole, "steps over which the learning rate rises to its value"] = 0
    clip: Annotated[NonNegative, "the largest norm of a gradient, to which longer ones are cut; 0: none is"] = 0.0
    ema: Annotated[
        float,
        number_that("be at least 0 and below 1", lambda value: 0 <= value < 1),
        "m of the moving average of the weights; 0 keeps none",
    ] = 0.0
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        "of layers; auto: what the device is fast in; weights stay in float32",
    ] = "fp32"
    compile: Annotated[bool, "fuse the network's layers; worth its minutes in a run of hours"] = False
    threads: Annotated[Whole, "of the CPU; 0: as many as cores are idle at the start"] = 0
    held_out: Annotated[int, count_from(2), "images a level that the held-out loss is measured on"] = 64
    log_every: Annotated[Count, "steps between two rows of the log"] = 100
    measure_every: Annotated[Count, "steps between two measurements: held-out loss and a sheet; also at 1 to 500"] = 500
    save_every: Annotated[Count, "steps between two checkpoints"] = 5_000
    keep_every: Annotated[Whole, "the checkpoints of every so many steps stay; 0: the last two only"] = 0
    seed: Annotated[Whole, "of weights, order of the images, levels and noise"] = 0

    def __post_init__(self) -> None:
        if self.network != "RefineNet":
            for name in ("channels", "unconditional", "divide_by_sigma"):
                if getattr(self, name):
                    raise ValueError(f"{name} must be left out with {self.network}, which has no such setting")

    @property
    def sigmas(self) -> Tensor:
        """The ladder σ_1 > … > σ_L, or the one level σ_L where levels is 1 (Appendix C.1)."""
        if self.levels == 1:
            return torch.tensor([self.sigma_min])
        return geometric_sigmas(self.sigma_max, self.sigma_min, self.levels)

    def rate(self, step: int) -> float:
        """The learning rate of a step k: η min{1, k/warm_up}, and with "cosine" times (1 + cos(π (k − 1)/steps))/2."""
        rate = self.learning_rate
        if self.warm_up:
            rate *= min(1.0, step / self.warm_up)
        if self.schedule == "cosine":
            rate *= (1 + math.cos(math.pi * (step - 1) / self.steps)) / 2
        return rate


SCALES = {
    # hours on two cores: a quarter of the paper's width and batch
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
    "gpu": {
        "channels": 64,
        "ema": 0.999,
        "precision": "auto",
        "compile": True,
        "held_out": 1_000,
        "keep_every": 5_000,
    },
    # the paper's to the letter, which keeps no average
    "paper": {"channels": 64, "held_out": 1_000, "keep_every": 5_000},
}


def settings_of(data: str, scale: str = "laptop", **changes: Any) -> Settings:
    """Return the settings of a scale, "laptop", "gpu" or "paper", with changes.

    Example:
        >>> from sbgm.apps.train import settings_of
        >>> settings_of("cifar10", "paper").channels, settings_of("mnist", steps=300).steps
        (128, 300)
    """
    one_of(SCALES)(scale, "scale")
    chosen: dict[str, Any] = dict(SCALES[scale])
    if data in COLOUR:
        chosen["flips"] = True
        chosen |= {"steps": 20_000} if scale == "laptop" else {"channels": 128}
    if changes.get("network", "RefineNet") != "RefineNet":
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
    tracker: Any = None,
) -> int:
    """Train a noise conditional score network by Eq. 6 in the folder of a run, under a progress bar.

    What a step draws depends on the seed and the step alone, and files are written beside their place and renamed. So
    a run on a CPU that was killed at any instant and resumed with as many threads ends with the same bits as one that
    never stopped, and two processes do what one does with twice the accumulation.

    Args:
        settings: such as `settings_of("mnist")`. A resumed run may differ from what it was started with in its number
            of threads and, where the learning rate is constant, in its number of steps.
        folder: of the run.
        network: one of your own, trained in place: any module s(x, sigma), or s(x, sigma, label) with
            `settings.classes`, see `sbgm.images.weights.OwnNetwork`. `load_network(folder, network=…)` loads it.
        images: what to train on, such as a set of `own_images`; None is `settings.data`.
        resume: go on with the run in the folder.
        device: such as "cpu" or "cuda:1"; the GPU if there is one.
        minutes: save and stop after so long, to which compiling does not count.
        tracker: where the log goes too, one of those that Accelerate knows, such as "tensorboard".

    Returns:
        The number of the signal that stopped it (Ctrl-C or SIGTERM), or 0.

    Raises:
        FileExistsError: the folder is not empty and `resume` is not set.
        FileNotFoundError: `resume` is set and the folder holds no run.
        BlockingIOError: another process trains the run.
        ValueError: the run was started with other settings or images, its last checkpoint is damaged, or the network
            can't be trained. Nothing has been written then.
        DiskFullError, FloatingPointError: there is no room, or a loss, gradient or weight is NaN or infinite; the
            message says which step is saved.
        ArithmeticError: the compiled network has another gradient than the plain one.
    """
    folder = Path(folder)
    accelerator = make_accelerator(device, tracker, folder)
    on, is_main, say = accelerator.device, accelerator.is_main_process, accelerator.print
    if not minutes > 0:
        raise ValueError(f"minutes must be positive, got {minutes}")
    begun = read_record(folder) if resume else {}
    made = last_step(folder) if resume else 0

    # --- the images and their classes
    data = images or data_of(settings)
    pixels, labels, names = data.images("train"), None, []
    some, held_out = _floats(pixels[:2_000]), _floats(data.images("test")[: settings.held_out])
    if settings.classes:
        if data.labels is None:
            raise ValueError("classes must be left out, because these images have none; a class is a subfolder's name")
        labels = data.labels("train").to(on)
        names = list(data.classes) or [str(label) for label in range(int(labels.max()) + 1)]

    # --- what the settings leave to the machine is decided when a run begins, so that it goes on as it began
    if settings.precision == "auto":
        settings = dataclasses.replace(settings, precision=begun.get("precision", fast_precision(on)))
    if settings.threads == 0:
        settings = dataclasses.replace(settings, threads=begun.get("threads") or idle_cores())
    record = {"sbgm": sbgm.__version__, **dataclasses.asdict(settings)}
    record |= {"class_names": names, "images_sha256": content_hash(pixels)}
    if network is not None:
        record |= {"network": type(network).__qualname__, "channels": None}
    if resume:
        may_differ = ["sbgm", "threads"]
        if settings.schedule == "constant":  # else the rate would jump
            may_differ.append("steps")
        defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
        require_same(record, defaults | begun, may_differ, folder)
    n_parts = accelerator.num_processes * settings.accumulation
    if settings.batch_size % n_parts:
        raise ValueError(
            f"batch_size must divide into {n_parts} parts ({accelerator.num_processes} processes × accumulation "
            f"{settings.accumulation}), got {settings.batch_size}"
        )
    if settings.batch_size > len(pixels):
        raise ValueError(f"batch_size must be at most the {len(pixels)} images, got {settings.batch_size}")
    if settings.steps < made:
        raise ValueError(f"steps must be at least the {made} that the run has made, got {settings.steps}")

    # --- the network is tried, then the folder is taken: a mistake leaves nothing on disk
    if network is None:
        network = new_network(settings, some, len(names), trained=made > 0)
    elif not isinstance(network, ScoreNetwork):
        network = OwnNetwork(settings.sigmas, network, len(names))
    network.image_shape, network.data_range, network.classes = tuple(pixels.shape[1:]), (0.0, 1.0), tuple(names)
    require_trainable(network, some[:2])
    lock = take(folder, begun or record, resume=resume) if is_main else None
    accelerator.wait_for_everyone()
    accelerator.init_trackers(folder.name)

    # --- network, average and Adam's moments begin where the last checkpoint stands
    on_device(network, on).train()
    networks = {"network": network}
    if settings.ema:
        networks["average"] = copy.deepcopy(network).eval()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
    scaler = torch.amp.GradScaler(on.type, enabled=settings.precision == "fp16")  # else small gradients would be 0
    done: dict[str, Any] = {"losses": [], "rows": [], "seconds": 0.0, "measuring": 0.0, "measurement": 0.0}
    if made:
        state = load_checkpoint(folder, networks)
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        done = state["done"]
    if on.type != "cuda" or 4 * pixels.nbytes < torch.cuda.mem_get_info(on)[0]:
        pixels = pixels.to(on)  # else each batch is copied by itself
    sigmas, some, held_out = settings.sigmas.to(on), some.to(on), held_out.to(on)

    say(f"Look at {folder / 'sheets'} while it trains.")
    if names:
        say(f"Classes, as --label takes them: {', '.join(names)}.")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    came: list[int] = []
    try:
        if settings.compile and made < settings.steps:
            say("Compiling the network, which takes minutes on a CPU and is kept for the next time …")
            rows = slice(settings.batch_size // n_parts)
            first = pixels[rows].to(on), None if labels is None else labels[rows], settings, sigmas, len(names)
            plain = autocast(network, settings.precision, on.type)
            compile_checked(
                network, lambda: batch_loss(plain, *first, derived_generator(settings.seed, PART, device=on))
            )
        model = accelerator.prepare_model(network)
        score = autocast(model, settings.precision, on.type)
        shown = autocast(networks.get("average", network), settings.precision, on.type)
        mine = range(accelerator.process_index, n_parts, accelerator.num_processes)
        step, measured, value, told = made, made, math.nan, False
        order, shuffled = torch.empty(0), -1
        begin, start = time.monotonic(), time.perf_counter() - done["seconds"]
        with (
            noted(came),
            tqdm(total=settings.steps, initial=made, desc=str(folder), unit="step", disable=not is_main) as bar,
        ):
            for step in range(made + 1, settings.steps + 1):
                # Every epoch goes through the images once, in an order of its own.
                epoch, place = divmod(step - 1, len(pixels) // settings.batch_size)
                if epoch != shuffled:
                    order = torch.randperm(len(pixels), generator=derived_generator(settings.seed, ORDER, epoch))
                    order, shuffled = order.to(pixels.device), epoch
                batch = order[place * settings.batch_size :][: settings.batch_size]

                # The batch is cut into parts, each of which draws from a generator of its own.
                optimizer.zero_grad(set_to_none=True)
                total = torch.zeros((), device=on)
                for part in mine:
                    rows = batch[part::n_parts]
                    label = None if labels is None else labels[rows.to(on)]
                    generator = derived_generator(settings.seed, PART, step, part, device=on)
                    # The processes exchange their gradients once a step, with the last part.
                    with contextlib.nullcontext() if part == mine[-1] else accelerator.no_sync(model):
                        loss = batch_loss(score, pixels[rows].to(on), label, settings, sigmas, len(names), generator)
                        loss = loss / len(mine)
                        scaler.scale(loss).backward()
                    total += loss.detach()
                total = typing.cast(Tensor, accelerator.reduce(total, reduction="mean"))

                # A float16 step whose gradient overflows is left out, and the scale halved: that is no error.
                scaler.unscale_(optimizer)
                may_overflow = scaler.is_enabled() and scaler.get_scale() > 1
                if settings.clip:
                    nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
                value = require_finite_step(total, None if may_overflow else optimizer, step, settings.steps)
                optimizer.param_groups[0]["lr"] = settings.rate(step)
                scaler.step(optimizer)
                scaler.update()
                if settings.ema:
                    # The share of the old rises with the steps: a short training's average is not of its beginning.
                    follow = get_ema_multi_avg_fn(min(settings.ema, (1 + step) / (10 + step)))
                    follow(list(networks["average"].parameters()), list(network.parameters()), None)

                # Which steps have a row, and the loss in it, depend on the step alone; measurements on the clock too.
                done["losses"].append(value)
                done["seconds"] = time.perf_counter() - start
                last = step == settings.steps
                due = last or step in EARLY or step % settings.measure_every == 0
                if due or step % settings.log_every == 0:
                    row = {"step": step, "loss": sum(done["losses"]) / len(done["losses"]), "seconds": done["seconds"]}
                    if due and not last and not in_time(done, step, settings):
                        due = False
                        if not told:
                            told = True
                            tqdm.write("Measuring takes more than a tenth of the time: it is done more rarely.")
                    if due:
                        sheet = folder / "sheets" / f"step-{step:07d}.png" if is_main else None
                        row |= measure(shown, settings, some, held_out, names, sheet)
                        done["measurement"] = time.perf_counter() - start - done["seconds"]
                        done["measuring"] += done["measurement"]
                        measured = step
                    done["rows"], done["losses"] = [*done["rows"], row], []
                    accelerator.log(row, step)
                    if is_main:
                        write_log(folder, done["rows"])
                bar.set_postfix(loss=f"{value:.1f}", refresh=False)
                bar.update()

                # All processes stop after the same step, or one would wait for ever.
                if came or time.monotonic() - begin >= 60 * minutes:
                    accelerator.set_trigger()
                stop = accelerator.check_trigger()
                if is_main and (stop or last or step % settings.save_every == 0):
                    state = {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict(), "done": done}
                    save_checkpoint(folder, step, networks, state | {"hardware": hardware(on)}, settings.keep_every)
                if stop:
                    break
            if step < settings.steps and measured < step:
                # The row of a stop is no part of the checkpoint: the log goes on as if the run had never stopped.
                losses = done["losses"] or [value]
                row = {"step": step, "loss": sum(losses) / len(losses), "seconds": done["seconds"]}
                sheet = folder / "sheets" / f"step-{step:07d}.png" if is_main else None
                row |= measure(shown, settings, some, held_out, names, sheet)
                if is_main:
                    write_log(folder, [*(row for row in done["rows"] if row["step"] < step), row])
    except (DiskFullError, FloatingPointError) as error:
        way_on = "resume it, or start another from its weights"
        error.args = (f"{error} ({folder} stands at step {last_step(folder)}: {way_on})",)
        raise
    finally:
        torch.set_num_threads(n_threads)
        if lock is not None:
            lock.release()

    if accelerator.num_processes > 1:
        accelerator.wait_for_everyone()  # one that leaves while another still talks to it aborts both
        time.sleep(0.2)  # the thread that waited needs Python's lock once more: old torch hung without this pause
    accelerator.end_training()
    if step < settings.steps:
        say(f"Stopped and saved at step {step:,} of {settings.steps:,}. The same command with --resume goes on.")
    else:
        say(f"All {step:,} steps are made.")
    if isinstance(network, OwnNetwork):
        say(f"To load the network: load_network({str(folder)!r}, network=…)")
    else:
        say(f"To draw images from the network: {shlex.join(drawing_command(folder, names))}")
    return came[0] if came else 0


def batch_loss(
    score: Score,
    images: Tensor,
    labels: Tensor | None,
    settings: Settings,
    sigmas: Tensor,
    n_classes: int,
    generator: torch.Generator,
) -> Tensor:
    """Eq. 6 on images (B, C, H, W), dequantised; labels (B,), some of which are hidden. A scalar.

    The images were looked at when the training began: on a GPU a look at a value in each step would be a wait.
    """
    x = unchecked(dequantise)(_floats(images), generator=generator)
    if settings.flips:
        x = unchecked(random_flip)(x, generator=generator)
    if labels is None:
        return unchecked(ncsn_loss)(score, x, sigmas, generator=generator)
    hidden = torch.rand(len(x), generator=generator, device=x.device) < HIDDEN
    told = labels.masked_fill(hidden, n_classes)  # which stands for any class
    return unchecked(ncsn_loss)(lambda x, sigma: score(x, sigma, told), x, sigmas, generator=generator)


def in_time(done: Mapping[str, Any], step: int, settings: Settings) -> bool:
    """Whether a measurement as long as the last one keeps all of them within a tenth of the run's time.

    That is the time of the steps made, or of those up to the first regular measurement, if they are more: else a run
    would not be measured at its beginning.
    """
    horizon = max(step, min(settings.measure_every, settings.steps))
    time_of_run = (done["seconds"] - done["measuring"]) / step * horizon
    return done["measuring"] + done["measurement"] <= SHARE * time_of_run


@torch.no_grad()
def measure(
    score: Score, settings: Settings, some: Tensor, held_out: Tensor, names: list[str], sheet: Path | None
) -> dict[str, float]:
    """Measure the held-out loss level by level, and draw a sheet of eight images, the same noise at every call.

    The sheet is quick: ancestral sampling from the normal law of the images `some`, one evaluation a level.
    """
    sigmas, device = settings.sigmas, held_out.device
    generator = derived_generator(settings.seed, HELD_OUT, device=device)
    losses = level_losses(score, held_out, sigmas, generator=generator).values.tolist()
    if sheet is not None and len(losses) > 1:
        label, heads = [], []
        if names:
            label = [torch.arange(N_SHOWN, device=device) % len(names)]
            heads = [names[i % len(names)] for i in range(N_SHOWN)]
        generator = derived_generator(settings.seed, N_SHOWN, device=device)
        x = fitted_start(some, float(sigmas[0]))((N_SHOWN, *some.shape[1:]), generator)
        clamped = in_range(lambda x, sigma: score(x, sigma, *label))
        x = final(ancestral(clamped, x, sigmas, generator=generator, denoise_last=True))
        sheet.parent.mkdir(exist_ok=True)
        save_sheet(sheet, x, names=heads)
    return {"held_out": sum(losses) / len(losses)} | {f"level_{i}": loss for i, loss in enumerate(losses, start=1)}


def drawing_command(folder: Path, names: list[str]) -> list[str]:
    """The words of the command that draws a few images from a run, of each of its first classes where it has any."""
    command = ["sbgm", "sample", str(folder), "--out", f"{folder}_samples"]
    if not names:
        return [*command, "-n", "16"]
    some = names[:8]
    return [*command, "-n", str(2 * len(some)), "--label", *some]


# --- the images, the network, and where it is trained ----------------------------------------------------------------


def data_of(settings: Settings) -> DataSet:
    """The data set of a name, or that of a folder, its images cropped and resized."""
    if settings.data in SETS:
        return SETS[settings.data]
    if not Path(settings.data).exists():
        one_of([*DATA, "a folder of images"])(settings.data, "data")
    return own_images(settings.data, settings.size)


def _floats(images: Tensor) -> Tensor:
    """Images in [0, 1], of bytes if they are."""
    return images if images.is_floating_point() else as_floats(images)


def new_network(settings: Settings, images: Tensor, n_classes: int, trained: bool) -> ScoreNetwork:
    """The network that a run begins with, for images such as these, (N, C, H, W).

    Args:
        settings: of the run.
        images: some training images.
        n_classes: 0 where it takes no label.
        trained: a checkpoint has its weights, so that the file of `settings.initial` may be gone.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    shape = list(images.shape[1:])
    if settings.network == "DigitNetwork":
        mean, variance = float(images.mean()), float(images.var())
        network = DigitNetwork(settings.sigmas, mean, variance, n_classes, image_shape=shape, generator=generator)
    else:
        network = RefineNet(
            settings.sigmas,
            settings.channels or 128,
            shape[0],
            conditional=not settings.unconditional,
            divide_by_sigma=settings.divide_by_sigma,
            n_classes=n_classes,
            generator=generator,
        )
    if settings.initial is not None and not trained:
        load_weights(network, settings.initial)
    return network


def require_trainable(network: ScoreNetwork, images: Tensor) -> None:
    """Raise unless the network gives scores of two images, has a gradient, and can be copied, saved and loaded."""
    name = type(network.module if isinstance(network, OwnNetwork) else network).__name__
    try:
        untouched = copy.deepcopy(network.eval())
        label = [torch.zeros(len(images), dtype=torch.long)] if network.n_classes else []
        score = require_score(network(images, network.sigmas[:1].expand(len(images)), *label), images, name)
        torch.autograd.grad(score.sum(), [p for p in network.parameters() if p.requires_grad], allow_unused=True)
        with tempfile.TemporaryDirectory() as folder:
            save_network(network, Path(folder) / "network.safetensors")
            load_weights(untouched, Path(folder) / "network.safetensors")
    except Exception as error:
        said = " ".join(str(error).split())
        raise ValueError(f"network {name} can't be trained: {type(error).__name__}: {said}") from error


def compile_checked(network: nn.Module, loss: Callable[[], Tensor]) -> None:
    """Compile a network in place, and compare the gradient of a loss with that of the plain one.

    A compiler's fault in the backward pass is silent: the network learns, with some of its weights standing still.

    Raises:
        ArithmeticError: the two differ by more than a tenth of their size (bfloat16 rounds far less).
    """
    gradients = []
    for prepare in (None, compiled):
        if prepare is not None:
            prepare(network)
        parts = torch.autograd.grad(loss(), list(network.parameters()), materialize_grads=True)
        gradients.append(torch.cat([part.flatten() for part in parts]))
    plain, fused = gradients
    error = float((fused - plain).norm() / plain.norm())
    if not error <= 0.1:
        raise ArithmeticError(
            f"the gradient of the compiled network is off by {error:.2g} of its size with torch {torch.__version__}: "
            "its layers would learn wrongly; train without compile"
        )


def make_accelerator(device: str | None = None, tracker: Any = None, folder: Path | None = None) -> Accelerator:
    """An Accelerator that computes where `find_device` says, and joins the processes that torchrun has started.

    Raises:
        ValueError: as `find_device`, or the tracker is not installed, or none that Accelerate knows.
    """
    from accelerate import Accelerator
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    if isinstance(tracker, str) and tracker not in [str(name) for name in get_available_trackers()]:
        choices = ", ".join(LOGGER_TYPE_TO_CLASS)
        raise ValueError(f"tracker must be one of {choices} that is installed (pip install …), got {tracker}")
    where = torch.device(find_device(device))
    if where.index is not None:
        torch.cuda.set_device(where)
    # Each process on the CPU would take itself for the only one, unless it is told that it computes there.
    return Accelerator(cpu=where.type == "cpu", log_with=tracker, project_dir=folder)


@contextlib.contextmanager
def noted(came: list[int]) -> Iterator[None]:
    """Note Ctrl-C and SIGTERM in a list, so that they end no step half-way."""
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


# --- the folder of a run: every file is written beside its place and renamed -----------------------------------------


def last_step(folder: Path) -> int:
    """The step of a run's latest checkpoint, 0 if there is none."""
    there = checkpoints(folder)
    return step_of(there[-1]) if there else 0


def read_record(folder: Path) -> dict[str, Any]:
    """What a run was started with: its settings, the names of its classes and the hash of its images.

    Raises:
        FileNotFoundError: there is no run in this folder.
        ValueError: what is there is damaged, or of an older version.
    """
    place = whole_checkpoint(folder) if checkpoints(folder) else folder  # where a checksum stands beside it
    path = place / "settings.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"folder must hold a run to go on with, but {folder} has no settings.json; give a run's folder, or start "
            "one in an empty folder without --resume"
        )
    try:
        record = json.loads(path.read_bytes())
        if not isinstance(record, dict):
            raise TypeError("it holds no table")
    except (ValueError, TypeError) as error:
        way_on = "replace it by that of a run started with the same settings elsewhere"
        raise ValueError(f"{path} is damaged ({error}); {way_on}") from error
    if "training" in record:
        raise ValueError(
            f"{folder} was begun by sbgm 0.2.0, and this version can't go on with it; install sbgm 0.2.0 to do so, or "
            f"start another run with --from {folder}"
        )
    return record


def require_same(
    record: Mapping[str, Any], begun: Mapping[str, Any], may_differ: Collection[str], folder: Path
) -> None:
    """Raise if a run in a folder was begun with other settings than it shall go on with."""
    differ = []
    for name, value in record.items():
        if name not in may_differ and begun.get(name) != value:
            differ.append(f"{name} = {begun.get(name)!r}, not {value!r}")
    if differ:
        raise ValueError(f"settings must be those that the run in {folder} was started with: {', '.join(differ)}")


def take(folder: Path, record: dict[str, Any], *, resume: bool) -> FileLock:
    """Make the folder of a run, or take one over; hold it, and remove what a killed process left half made.

    Raises:
        FileExistsError: the folder holds more than a start that saved nothing.
        BlockingIOError: another process trains there.
    """
    of_a_start = {".lock", "settings.json", "log.csv", "sheets"}
    if not resume and any(p.name not in of_a_start and p.suffix != ".partial" for p in folder.glob("*")):
        raise FileExistsError(f"{folder} is not empty; resume the run there, or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"{folder} is in use: another process trains the run there; stop it, or choose another folder"
        ) from None
    for left in folder.glob("*.partial"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
    write_json(folder / "settings.json", record)
    return lock


def write_log(folder: Path, rows: list[dict[str, float]]) -> None:
    """Write `log.csv`; what a row lacks stays empty."""
    import pandas

    write_bytes(folder / "log.csv", pandas.DataFrame(rows).to_csv(index=False).encode())


def save_checkpoint(
    folder: Path, step: int, networks: Mapping[str, nn.Module], state: Mapping[str, Any], keep_every: int = 0
) -> None:
    """Write a checkpoint, then remove those before it but the last, and but every `keep_every`-th step's.

    Args:
        folder: of the run, which holds its settings.json.
        step: steps made.
        networks: what `load_network` can load from it, by the stem of the file.
        state: what else the run needs to go on: tensors, numbers, strings and containers of them.
        keep_every: 0 keeps the last two only.

    Raises:
        FloatingPointError: a weight is NaN or infinite; nothing is saved.
        DiskFullError: nothing is left of what was written.
    """
    for network in networks.values():
        if not all(bool(weight.isfinite().all()) for weight in network.parameters()):
            raise FloatingPointError(f"the weights are not finite at step {step}; lower the learning rate")
    checkpoint = folder / f"step-{step:07d}"
    partial = checkpoint.with_suffix(".partial")
    content = io.BytesIO()  # torch reports a full disk as an error about its own positions
    torch.save(dict(state), content)
    try:
        partial.mkdir()
        for name, network in networks.items():
            save_network(network, partial / f"{name}.safetensors", step=step)
        write_bytes(partial / "state.pt", content.getbuffer())
        write_bytes(partial / "settings.json", (folder / "settings.json").read_bytes())
        sums = [f"{file_hash(file)}  {file.name}\n" for file in sorted(partial.iterdir())]
        write_bytes(partial / "SHA256SUMS", "".join(sums).encode())
        partial.rename(checkpoint)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for old in checkpoints(folder)[:-2]:
        if not keep_every or step_of(old) % keep_every:
            shutil.rmtree(old.rename(old.with_suffix(".partial")))  # what a kill leaves of it is no checkpoint


def load_checkpoint(folder: Path, networks: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Load the latest checkpoint into networks, and return the rest of its state.

    Raises:
        FileNotFoundError, ValueError: as `sbgm.images.weights.whole_checkpoint`.
    """
    checkpoint = whole_checkpoint(folder)
    for name, network in networks.items():
        load_weights(network, checkpoint / f"{name}.safetensors")
    try:
        return torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{checkpoint}/state.pt must hold tensors and numbers alone, and no code") from error


# --- the command line ------------------------------------------------------------------------------------------------

FLAGS = {"initial": "--from"}
"""The flags that can't have their setting's name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: a flag for each setting, and what is no setting."""
    parser.add_argument("data", metavar="DATA", help=f"what to train on: {', '.join(DATA)}, or a folder of images")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder, by habit runs/NAME")
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    parser.add_argument("--scale", choices=SCALES, default="laptop", help="the settings to start from (laptop)")
    parser.add_argument("--device", help="where to compute, such as cpu or cuda:1 (the GPU if there is one)")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="save and stop after so long, without compiling"
    )
    parser.add_argument("--tracker", metavar="NAME", help="write the log to tensorboard, wandb, … too")
    group = parser.add_argument_group(
        "changes to the scale's settings", "in brackets what holds unless the scale says so"
    )
    hints = typing.get_type_hints(Settings, include_extras=True)
    for field in dataclasses.fields(Settings)[1:]:
        hint = hints[field.name]
        if type(None) in typing.get_args(hint):
            hint = typing.get_args(hint)[0]  # of `X | None`
        kind, meaning = hint.__origin__, hint.__metadata__[-1]
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": f"{meaning} ({field.default})"}
        if kind is bool:
            options |= {"action": argparse.BooleanOptionalAction, "help": meaning}
        elif typing.get_origin(kind) is Literal:
            options["choices"] = typing.get_args(kind)
        else:
            options |= {"type": kind, "metavar": {int: "N", float: "X", str: "NAME"}[kind]}
        group.add_argument(flag_of(field.name), dest=field.name, **options)
    parser.epilog = "\n".join(f"{scale}: {_words(changes)}" for scale, changes in SCALES.items())


def flag_of(setting: str) -> str:
    """Return the flag of a setting."""
    return FLAGS.get(setting, f"--{setting.replace('_', '-')}")


def _words(changes: Mapping[str, Any]) -> str:
    return " ".join(f"{flag_of(name)} {value}" for name, value in changes.items())


def run(options: argparse.Namespace) -> int:
    """Train as the command line says; return the exit status."""
    names = [field.name for field in dataclasses.fields(Settings)]
    given = {name: getattr(options, name) for name in names if hasattr(options, name)}
    if options.data not in SETS and Path(options.data).exists():
        given["data"] = str(Path(options.data).resolve())
    if options.resume:
        record = read_record(options.out)
        unknown = record.keys() - {*names, "sbgm", "class_names", "images_sha256"}
        if unknown:
            raise ValueError(f"{options.out}/settings.json must hold settings of this version, got {sorted(unknown)}")
        settings = Settings(**({name: record[name] for name in names if name in record} | given))
    else:
        settings = settings_of(given.pop("data"), options.scale, **given)
    if options.scale != "laptop" and find_device(options.device) == "cpu":
        print(f"sbgm train: no GPU is used; --scale {options.scale} takes weeks on a CPU", file=sys.stderr)
    where = {"device": options.device, "minutes": options.minutes, "tracker": options.tracker}
    number = train(settings, options.out, resume=options.resume, **where)
    return 128 + number if number else 0
