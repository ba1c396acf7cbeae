"""Train a noise conditional score network on images; Ctrl-C, SIGTERM and --minutes save, --resume goes on.

The folder of a run holds settings.json; log.csv, a row every few steps; sheets/, eight images drawn from the same noise
at each measurement; and the last two checkpoints, such as step-0005000/, each with all that the run needs to go on.

On several GPUs: torchrun --nproc_per_node 8 -m sbgm train …
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
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
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

import sbgm
from sbgm.apps.options import Device, name_or_path
from sbgm.files import content_hash, write_bytes, write_json
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
settings = dict(step_size=0.2 * network.ladder[-1] ** 2, n_steps=100)

def sampler(x, generator):
    return annealed_langevin(network, x, network.ladder, generator=generator, **settings)

images = generate(sampler, 16, network.image_shape, seed=0)
plots.save_sheet({sheet!r}, images)
"""

__all__ = ["SCALES", "Settings", "settings_of", "train"]

Ema = Annotated[float, number_that("be at least 0 and below 1", lambda value: 0 <= value < 1)]


# --- settings: each is a flag, and is recorded -----------------------------------------------------------------------


@checked
@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a training: data, network, levels, optimizer. The defaults are the paper's (4.1, 4.2, B.2)."""

    data: Annotated[str, "the images' name, or the folder that holds them"]
    _: dataclasses.KW_ONLY
    flips: Annotated[bool, "mirror every other image, chosen at random"] = False
    size: Annotated[Count, "pixels a side of a folder's images, cropped and resized; a multiple of 4"] = 32
    skip_bad: Annotated[bool, "leave out a folder's images that can't be used, with a warning"] = False
    classes: Annotated[bool, "tell the network an image's class, hidden in one of ten, for sample --label"] = False
    network: Annotated[Literal["RefineNet", "DigitNetwork"], "the paper's, or chapter 6's"] = "RefineNet"
    channels: Annotated[Count | None, "C, the width of the RefineNet"] = None
    unconditional: Annotated[bool, "do not tell the RefineNet the level, by its instance norms"] = False
    divide_by_sigma: Annotated[bool, "divide the RefineNet's output by σ"] = False
    from_: Annotated[str | None, "a trained network to start from, by name, file or run"] = None
    sigma_max: Annotated[Positive, "the largest noise level, σ_1"] = 1.0
    sigma_min: Annotated[Positive, "the smallest noise level, σ_L"] = 0.01
    levels: Annotated[Count, "L, noise levels of the geometric ladder"] = 10
    steps: Annotated[Count, "the number of the last step"] = 200_000
    batch_size: Annotated[Count, "images a step, over all processes"] = 128
    accumulation: Annotated[Count, "parts that a process cuts its batch into, to save memory"] = 1
    learning_rate: Annotated[Positive, "Adam's"] = 1e-3
    schedule: Annotated[Literal["constant", "cosine"], "of the learning rate; cosine ends at 0"] = "constant"
    warm_up: Annotated[Whole, "steps over which the learning rate rises to its value"] = 0
    clip: Annotated[NonNegative, "the largest norm of a gradient, to which longer ones are cut; 0: none is"] = 0.0
    ema: Annotated[Ema, "m of the moving average of the weights; 0 keeps none"] = 0.0
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], "of layers; auto: the device's fast one"] = "fp32"
    compile: Annotated[bool, "fuse the network's layers; worth its minutes in a run of hours"] = False
    threads: Annotated[Whole, "of the CPU; 0: as many as cores are idle at the start"] = 0
    seed: Annotated[Whole, "of weights, order of the images, levels and noise"] = 0
    held_out: Annotated[int, count_from(2), "images a level that the held-out loss is measured on"] = 64
    log_every: Annotated[Count, "steps between two rows of the log"] = 100
    measure_every: Annotated[Count, "steps between two measurements: held-out loss and a sheet; also at 1 to 500"] = 500
    save_every: Annotated[Count, "steps between two checkpoints"] = 5_000
    keep_every: Annotated[Whole, "the checkpoints of every so many steps stay; 0: the last two only"] = 0

    def __post_init__(self) -> None:
        if self.network != "RefineNet":
            for name in ("channels", "unconditional", "divide_by_sigma"):
                if getattr(self, name):
                    raise ValueError(f"{name} must be left out with {self.network}, which has no such setting")
        if self.size % 4:  # of which `sbgm evaluate` makes its controls
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
    tracker: Any = None,
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
        minutes: save and stop after so long, to which compiling does not count.
        tracker: where the log goes too, one of those that Accelerate knows, such as "tensorboard".
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
    accelerator = make_accelerator(device, tracker, folder)
    on = accelerator.device
    is_main = accelerator.is_main_process

    def say(words: str) -> None:
        if watch is None:  # who watches is told by the rows
            accelerator.print(words)

    # --- the images, and the names of their classes
    data = images or SETS.get(settings.data)
    if data is None:
        data = sbgm.own_images(settings.data, settings.size, skip_bad=settings.skip_bad)
    pixels = data.images("train")
    some = as_floats(pixels[:2_000]).to(on)
    test_pixels = data.images("test")
    held_out = as_floats(test_pixels[: settings.held_out]).to(on)
    if len(held_out) < 2:
        raise ValueError(f"data must have at least two test images, got {len(held_out)}")
    labels = None
    names = ()
    if settings.classes:
        if data.labels is None:
            raise ValueError("classes must be left out, because these images have none; a class is a subfolder's name")
        labels = data.labels("train")
        names = data.classes or tuple(map(str, range(int(labels.max()) + 1)))
        labels = label_tensor(labels, pixels, len(names)).to(on)  # looked at here, and not at every step

    # --- what the settings leave to the machine is decided when a run begins, and then it goes on as it began
    resume = resume and not is_empty(folder)
    old_record = read_record(folder) if resume else {}
    n_made = step_of(checkpoints(folder)[-1]) if resume and checkpoints(folder) else 0
    if settings.precision == "auto":
        settings = dataclasses.replace(settings, precision=old_record.get("precision", fast_precision(on)))
    if settings.threads == 0:
        settings = dataclasses.replace(settings, threads=old_record.get("threads") or idle_cores())
    record = {**dataclasses.asdict(settings), "class_names": list(names), "images_sha256": content_hash(pixels)}
    if network is not None:
        record |= {"network": type(network).__qualname__, "channels": None}
    record["loss"] = None if loss is None else getattr(loss, "__qualname__", type(loss).__qualname__)
    if resume:
        require_same(record, old_record)
    n_parts = accelerator.num_processes * settings.accumulation
    if settings.steps < n_made:
        whole_checkpoint(folder, n_made)
        raise ValueError(f"steps must be at least the {n_made} that the run has made, got {settings.steps}")
    if settings.batch_size > len(pixels) or settings.batch_size % n_parts:
        most = f"at most the {len(pixels)} images, and divide into {n_parts} parts (processes × accumulation)"
        raise ValueError(f"batch_size must be {most}, got {settings.batch_size}")

    # --- the network is asked once before anything is written
    if network is None:
        network = new_network(settings, some, len(names))
    elif not isinstance(network, sbgm.ScoreNetwork):
        network = OwnNetwork(settings.sigmas, network, len(names))
    if settings.from_ is not None and not n_made:
        sbgm.load_weights(network, settings.from_)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError(
            "network must have weights that can be trained, and has none; those that load_network gives are frozen, "
            "until network.requires_grad_() is called"
        )
    network.image_shape = tuple(pixels.shape[1:])
    network.classes = names
    on_device(network, on)
    sigmas = settings.sigmas.to(on)
    label = [torch.zeros(2, dtype=torch.long, device=on)] if names else []
    with torch.no_grad():
        require_score(network.eval()(some[:2], sigmas[:1].expand(2), *label), some[:2], "network")
    if loss is not None:
        generator = derived_generator(settings.seed, device=on)
        require_loss(loss(lambda x, sigma: network(x, sigma, *label), some[:2], generator))
    with tempfile.TemporaryDirectory() as place:  # one that can't be saved and read is refused now, not after hours
        sbgm.save_network(network, Path(place) / "network.safetensors")
        sbgm.load_weights(network, Path(place) / "network.safetensors")

    # --- what training begins with, unless a checkpoint is loaded below
    networks = {"network": network}
    if settings.ema:
        networks["average"] = copy.deepcopy(network)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
    scaler = torch.amp.GradScaler(on.type, enabled=settings.precision == "fp16")  # else small gradients would be 0
    log: dict[str, Any] = {"rows": [], "losses": [], "seconds": 0.0}  # the losses are of the steps since the last row
    if on.type != "cuda" or 4 * pixels.nbytes < torch.cuda.mem_get_info(on)[0]:
        pixels = pixels.to(on)  # else each batch is copied by itself

    @functools.lru_cache(maxsize=1)
    def order(epoch: int) -> Tensor:
        """Every epoch goes through the images once, in an order of its own."""
        return torch.randperm(len(pixels), generator=derived_generator(settings.seed, ORDER, epoch)).to(pixels.device)

    def loss_of(score: Any, step: int, part: int) -> Tensor:
        """Eq. 6 on a part of a step's batch. Images are not looked at, since in each step a GPU would wait for it."""
        epoch, place = divmod(step - 1, len(pixels) // settings.batch_size)
        rows = order(epoch)[place * settings.batch_size :][: settings.batch_size][part::n_parts]
        generator = derived_generator(settings.seed, PART, step, part, device=on)
        x = unchecked(sbgm.dequantise)(as_floats(pixels[rows].to(on)), generator=generator)
        if settings.flips:
            x = unchecked(sbgm.random_flip)(x, generator=generator)
        label = []
        if labels is not None:
            hidden = torch.rand(len(x), generator=generator, device=on) < HIDDEN
            label = [labels[rows.to(on)].masked_fill(hidden, len(names))]  # which stands for any class
            set_sound(label[0], ("class", len(names)))

        def score_of_class(x: Tensor, sigma: float | Tensor) -> Tensor:
            return score(x, sigma, *label)

        if loss is not None:
            return require_loss(loss(score_of_class, x, generator))
        return unchecked(sbgm.ncsn_loss)(score_of_class, x, sigmas, generator=generator)

    def measure(score: Any, step: int) -> tuple[dict[str, float], Tensor | None]:
        """The held-out loss by level, and a sheet of samples, with the same noise at every call.

        A sheet is quick, and rough: ancestral sampling, one evaluation a level, from the images' normal law.
        """
        network.eval()
        generator = derived_generator(settings.seed, HELD_OUT, device=on)
        losses = [level.value for level in level_losses(score, held_out, sigmas, generator=generator)]
        sheet = None
        if is_main and len(sigmas) > 1:
            turns = [i % len(names) for i in range(N_SHOWN)] if names else []
            label = [torch.tensor(turns, device=on)] if names else []
            generator = derived_generator(settings.seed, N_SHOWN, device=on)
            x = fitted_start(some, float(sigmas[0]))((N_SHOWN, *some.shape[1:]), generator)
            clamped = sbgm.in_range(lambda x, sigma: score(x, sigma, *label))
            sheet = sbgm.final(sbgm.ancestral(clamped, x, sigmas, generator=generator, denoise_last=True)).cpu()
            (folder / "sheets").mkdir(exist_ok=True)
            save_sheet(folder / "sheets" / f"step-{step:07d}.png", sheet, names=[names[turn] for turn in turns])
        network.train()
        by_level = {f"level_{i}": value for i, value in enumerate(losses, start=1)}
        return {"held_out": sum(losses) / len(losses), **by_level}, sheet

    def write_log(rows: list[dict[str, float]]) -> None:
        if is_main:
            write_bytes(folder / "log.csv", pandas.DataFrame(rows).to_csv(index=False).encode())

    def save(step: int) -> None:
        """Write a checkpoint beside its place and rename it; of those before, the last one stays."""
        content = io.BytesIO()  # torch reports a full disk as an error about its own positions
        state = {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict(), "log": log, "record": record}
        torch.save(state, content)
        with tempfile.TemporaryDirectory(".partial", "step-", folder) as place:
            checkpoint = Path(place) / "checkpoint"
            checkpoint.mkdir()
            for name, module in networks.items():
                sbgm.save_network(module, checkpoint / f"{name}.safetensors", step=step, hardware=hardware(on))
            write_bytes(checkpoint / "state.pt", content.getbuffer())
            write_bytes(checkpoint / "SHA256SUMS", checksums(checkpoint).encode())
            checkpoint.rename(folder / f"step-{step:07d}")
        for old in checkpoints(folder)[:-2]:
            if not settings.keep_every or step_of(old) % settings.keep_every:
                shutil.rmtree(old.rename(old.with_suffix(".partial")))  # what a kill leaves of it is no checkpoint

    # --- the folder is this process's until the training ends
    lock = FileLock(folder / ".lock", timeout=0)
    if is_main:
        if not resume and not is_empty(folder):
            raise FileExistsError(
                f"folder must be empty, but {folder} holds files; to go on with a run there add --resume (resume=True)"
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
    signals: list[int] = []  # Ctrl-C and SIGTERM are noted, so that they end no step half-way
    handlers = {}
    if threading.current_thread() is threading.main_thread():  # which alone may set handlers
        handlers = {n: signal.signal(n, lambda n, _: signals.append(n)) for n in (signal.SIGINT, signal.SIGTERM)}
    n_threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        if n_made:
            checkpoint = whole_checkpoint(folder, n_made)
            for name, module in networks.items():
                sbgm.load_weights(module, checkpoint / f"{name}.safetensors")
            state = torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)
            require_same(record, state.get("record", record))  # for settings.json may have been edited
            optimizer.load_state_dict(state["optimizer"])
            scaler.load_state_dict(state["scaler"])
            log = state["log"]
        if is_main:
            write_json(folder / "settings.json", record)
        accelerator.init_trackers(folder.name)
        shape = "×".join(map(str, pixels.shape[1:]))
        say(f"Trains on {len(pixels):,} images of {shape}; {len(test_pixels):,} more are held out.")
        say(f"Look at {folder / 'sheets'} while it trains.")
        if names:
            say(f"Classes, as --label takes them: {', '.join(names)}.")
        if settings.compile and n_made < settings.steps:
            say("Compiling the network, which takes minutes on a CPU and is kept for the next time …")
            compile_checked(network, lambda: loss_of(sbgm.autocast(network, settings.precision, on.type), 1, 0))
        model = accelerator.prepare_model(network)
        score = sbgm.autocast(model, settings.precision, on.type)
        measured_score = sbgm.autocast(networks.get("average", network), settings.precision, on.type)
        mine = range(accelerator.process_index, n_parts, accelerator.num_processes)
        begin = time.monotonic() - log["seconds"]
        deadline = time.monotonic() + 60 * minutes
        step = n_made
        stop = False
        if watch is not None and is_main and n_made:
            losses, sheet = measure(measured_score, n_made)
            watch(n_made, {"step": n_made, **losses}, sheet)
        quiet = not is_main or watch is not None
        with tqdm(total=settings.steps, initial=n_made, desc=str(folder), unit="step", disable=quiet) as bar:
            while step < settings.steps and not stop:
                step += 1
                optimizer.zero_grad(set_to_none=True)
                total = torch.zeros((), device=on)
                for part in mine:
                    # The processes exchange their gradients once a step, with the last part.
                    with contextlib.nullcontext() if part == mine[-1] else accelerator.no_sync(model):
                        of_part = loss_of(score, step, part) / len(mine)
                        scaler.scale(of_part).backward()
                    total += of_part.detach()
                total: Any = accelerator.reduce(total, reduction="mean")

                scaler.unscale_(optimizer)
                if settings.clip:
                    nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
                # A float16 step whose gradient overflows is left out, and the scale halved: that is no error.
                scale = scaler.scale(torch.ones((), device=on))
                value = require_finite_step(total, optimizer, step, settings.steps, scale)
                optimizer.param_groups[0]["lr"] = settings.rate(step)
                scaler.step(optimizer)
                scaler.update()
                if settings.ema:
                    # The share of the old rises with the steps: a short training's average is not of its beginning.
                    follow = get_ema_multi_avg_fn(min(settings.ema, (1 + step) / (10 + step)))
                    follow(list(networks["average"].parameters()), list(network.parameters()), None)
                    for ours, theirs in zip(networks["average"].buffers(), network.buffers(), strict=True):
                        ours.copy_(theirs)

                stop = bool(signals) or time.monotonic() >= deadline
                if accelerator.num_processes > 1:  # all stop after the same step, or one would wait for ever
                    if stop:
                        accelerator.set_trigger()
                    stop = accelerator.check_trigger()
                is_last = step == settings.steps
                is_due = is_last or step in EARLY or step % settings.measure_every == 0
                log["losses"].append(value)
                log["seconds"] = time.monotonic() - begin
                row = {"step": step, "loss": sum(log["losses"]) / len(log["losses"]), "seconds": log["seconds"]}
                sheet = None
                if is_due:
                    losses, sheet = measure(measured_score, step)
                    row |= losses
                if is_due or step % settings.log_every == 0:
                    log["rows"].append(row)
                    log["losses"] = []
                    write_log(log["rows"])
                    accelerator.log(row, step)
                if is_main and (stop or is_last or step % settings.save_every == 0):
                    save(step)
                if stop and not is_due:  # shown, and in no checkpoint: the log goes on as if the run had never stopped
                    losses, sheet = measure(measured_score, step)
                    row = row | losses
                    write_log([*(logged for logged in log["rows"] if logged["step"] < step), row])
                bar.set_postfix(loss=f"{value:.1f}", refresh=False)
                bar.update()
                if watch is not None and is_main and (is_due or stop):
                    watch(step, dict(row), sheet)
    finally:
        torch.set_num_threads(n_threads)
        for n, handler in handlers.items():
            signal.signal(n, handler)
        lock.release()
    leave_together(accelerator)
    if step < settings.steps:
        say(f"Stopped and saved at step {step:,} of {settings.steps:,}. The same command with --resume goes on.")
    else:
        say(f"All {step:,} steps are made.")
    say(how_to_draw(network, folder))
    return signals[0] if signals else 0


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
    plain = nn.utils.parameters_to_vector(torch.autograd.grad(loss(), weights, materialize_grads=True))
    compiled(network)
    fused = nn.utils.parameters_to_vector(torch.autograd.grad(loss(), weights, materialize_grads=True))
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


# --- the processes of a command: all that is Accelerate's ------------------------------------------------------------


def make_accelerator(device: str | None = None, tracker: Any = None, folder: Path | None = None) -> Accelerator:
    """An Accelerator that computes where `find_device` says, and joins the processes that torchrun has started.

    Raises:
        ValueError: as `find_device`, or the tracker is not installed, or none that Accelerate knows.
    """
    from accelerate import Accelerator

    where = torch.device(find_device(device))
    if where.index is not None:
        torch.cuda.set_device(where)
    # Each process on the CPU would take itself for the only one, unless it is told that it computes there.
    accelerator = Accelerator(cpu=where.type == "cpu", log_with=tracker, project_dir=folder)
    if accelerator.device.type != where.type:  # Accelerate keeps what the process's first one was told
        raise ValueError(f"device must be {accelerator.device.type}, as in this process's first run, got {where}")
    if tracker is not None and not accelerator.log_with:  # Accelerate would log to none in silence
        raise ValueError(f"tracker must be installed, by pip install {tracker}")
    return accelerator


def leave_together(accelerator: Accelerator) -> None:
    """Wait for all processes, then part: one that leaves while another still talks to it aborts both."""
    accelerator.wait_for_everyone()
    accelerator.end_training()


# --- the command -----------------------------------------------------------------------------------------------------


@checked
@dataclasses.dataclass(frozen=True)
class Options(Settings):
    """The options of `sbgm train`: all settings, and what belongs to no record."""

    data: Annotated[str, name_or_path(*NAMES), f"what to train on: {', '.join(NAMES)}, or a folder of images"]
    _: dataclasses.KW_ONLY
    out: Annotated[Path, "the run's folder, by habit runs/NAME"]
    resume: Annotated[bool, "go on with the run in that folder"] = False
    scale: Annotated[
        Literal["laptop", "gpu", "paper"],
        "the settings that hold unless a flag says otherwise: the laptop's, for hours on two cores; the paper's; or, "
        "as gpu, the paper's in the precision that the GPU is fast in, compiled, and with --ema 0.999",
    ] = "laptop"
    minutes: Annotated[Positive | None, "save and stop after so long, without compiling"] = None
    device: Device = None
    tracker: Annotated[str | None, "write the log to tensorboard, wandb, … too"] = None


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


def _default_words() -> dict[str, str]:
    """The defaults that differ between the laptop's scale and the paper's, or between grey and colour sets."""
    words = {}
    for field in dataclasses.fields(Settings)[1:]:
        values = {}
        for scale in ("laptop", "paper"):
            grey, colour = (getattr(settings_of(data, scale), field.name) for data in ("mnist", "cifar10"))
            values[scale] = str(grey) if grey == colour else f"{grey}, of cifar10 and celeba {colour}"
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
    number = train(
        settings, folder, resume=options.resume, device=options.device, minutes=minutes, tracker=options.tracker
    )
    return 128 + number if number else 0
