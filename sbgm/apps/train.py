"""Train a noise conditional score network on images; Ctrl-C, SIGTERM and --minutes save, --resume continues.

The folder of a run holds settings.json; log.csv, a row every few steps; sheets/, eight images drawn from the same noise
at each measurement, as a picture and as a tensor; and the last two checkpoints, such as step-0005000/, each with all
that the run needs to go on.

On several GPUs: torchrun --nproc_per_node 8 -m sbgm train …
"""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import functools
import io
import json
import math
import os
import re
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

import sbgm
from sbgm.apps.options import Device
from sbgm.files import content_hash, from_extra, save_tensors, write_bytes, write_json
from sbgm.guard import (
    ArgumentError,
    Count,
    NonNegative,
    Positive,
    Whole,
    checked,
    count_from,
    did_you_mean,
    number_that,
    require_score,
)
from sbgm.images.data import NAMES, SETS, DataSet, as_floats, dequantised, flipped
from sbgm.images.devices import compiled, fast_precision, find_device, hardware, idle_cores, on_device
from sbgm.images.drawing import fitted_start
from sbgm.images.networks import label_tensor
from sbgm.images.weights import NETWORKS, OwnNetwork, checkpoints, checksums, step_of, whole_checkpoint
from sbgm.losses import ncsn_losses
from sbgm.measure import level_losses
from sbgm.noise import derived_generator
from sbgm.plots import save_sheet
from sbgm.training import require_finite_step, require_loss

with from_extra("images"):
    from filelock import FileLock, Timeout
    from tqdm import tqdm

if TYPE_CHECKING:
    from accelerate import Accelerator

ORDER, PART, HELD_OUT = range(3)  # what a generator derived from the seed is for
HIDDEN = 0.1  # of the labels are hidden in training, so that the network learns the score of any class too
EARLY = (1, 50, 100, 200, 500)  # steps at which a run is measured too, since one looks at its beginning
N_SHOWN = 8  # images of a sheet
N_EVALUATIONS = 100  # of the score for a sheet, at least
LEFT = re.compile(r"step-(\d{7,}|\w{8})\.partial|(settings\.json|log\.csv)\.\d+\.partial")  # by a killed process

__all__ = ["SCALES", "Settings", "settings_of", "train"]

Loss = Callable[[Any, Tensor, torch.Generator], Tensor]  # of score, x, generator
Row = dict[str, float]  # of the log, by column
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
    classes: Annotated[bool, "tell the network the class of nine images in ten, for sample --label"] = False
    network: Annotated[Literal["RefineNet", "DigitNetwork"], "the paper's, or chapter 8's"] = "RefineNet"
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
    device: Device = None
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
                    must = f"be left out with {self.network}, which has no such setting"
                    raise ArgumentError(name, must, getattr(self, name))
        if self.size % 4:  # else `judge` can make no controls of the images
            raise ArgumentError("size", "be a multiple of 4", self.size)
        self.sigmas  # noqa: B018 - raises where they are no ladder

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
    if data == "cifar10":
        chosen["flips"] = True
        chosen |= {"steps": 20_000} if scale == "laptop" else {"channels": 128}
    if changes.get("network") == "DigitNetwork":
        del chosen["channels"]
    return Settings(data, **(chosen | changes))


# --- what it trains on -----------------------------------------------------------------------------------------------


class Images(NamedTuple):
    """The images of a training: those it learns from, and those held out to measure it on.

    Attributes:
        pixels: (N, C, H, W) bytes or floats to train on, where it computes if there is room.
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


def read_images(settings: Settings, data: DataSet | None, device: torch.device) -> Images:
    """Read the images of a training; None are those that the settings name."""
    data = data or SETS.get(settings.data)
    if data is None:
        data = sbgm.own_images(settings.data, settings.size)
    pixels = data.images("train")
    test_pixels = data.images("test")
    held_out = as_floats(test_pixels[: settings.held_out]).to(device)
    if len(held_out) < 2:
        raise ArgumentError("data", "have at least two test images", len(held_out))
    labels = None
    names = ()
    if settings.classes:
        if data.labels is None:
            raise ArgumentError("classes", "be left out, because these images have none; a class is a subfolder's name")
        labels = data.labels("train")
        names = data.classes or tuple(map(str, range(int(labels.max()) + 1)))
        labels = label_tensor(labels, pixels, len(names)).to(device)  # looked at here, and not at every step
        untrained = [name for number, name in enumerate(names) if number not in labels]
        if untrained:
            raise ArgumentError("classes", "have a training image each", f"none of {', '.join(untrained)}")
    some = as_floats(pixels[:2_000]).to(device)
    if device.type != "cuda" or 4 * pixels.nbytes < torch.cuda.mem_get_info(device)[0]:
        pixels = pixels.to(device)  # else each batch is copied by itself
    return Images(pixels, some, len(test_pixels), held_out, labels, names)


def facts_of(data: Images) -> dict[str, Any]:
    """Return what a resumed run must share of its images: the names of the classes, and hashes."""
    return {
        "class_names": list(data.names),
        "images_sha256": content_hash(data.pixels),
        "held_out_images_sha256": content_hash(data.held_out),
        "labels_sha256": None if data.labels is None else content_hash(data.labels),
    }


def batches(settings: Settings, pixels: Tensor, step: int) -> Iterator[Tensor]:
    """Yield which images (B,) each step takes after this one: every epoch goes through all, in an order of its own."""
    n_batches = len(pixels) // settings.batch_size
    while True:
        epoch, place = divmod(step, n_batches)
        generator = derived_generator(settings.seed, ORDER, epoch)
        order = torch.randperm(len(pixels), generator=generator).to(pixels.device)
        for rows in order.split(settings.batch_size)[place:n_batches]:
            yield rows
            step += 1


# --- what it trains --------------------------------------------------------------------------------------------------


def new_network(settings: Settings, images: Tensor, n_classes: int) -> sbgm.ScoreNetwork:
    """Make the network that a run begins with, for images (N, C, H, W) such as these; n_classes is 0 without labels."""
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


def require_trainable(network: sbgm.ScoreNetwork, data: Images, objective: Loss, seed: int) -> None:
    """Raise unless a network in evaluation mode can be asked about two images, trained, saved and read."""
    x = data.some[:2]
    label = [torch.zeros(2, dtype=torch.long, device=x.device)] if data.names else []
    with torch.no_grad():
        sigma = torch.full((2,), network.ladder[0], device=x.device)
        require_score(network(x, sigma, *label), x, "network")
    generator = derived_generator(seed, device=x.device)
    require_loss(objective(lambda x, sigma: network(x, sigma, *label), x, generator))
    with tempfile.TemporaryDirectory() as place:  # one that can't be saved and read is refused now, not after hours
        sbgm.save_network(network, Path(place) / "network.safetensors")
        sbgm.load_weights(network, Path(place) / "network.safetensors")  # the same numbers


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


def loss_of(score: Any, data: Images, rows: Tensor, objective: Loss, flips: bool, generator: torch.Generator) -> Tensor:
    """The loss on these images. They are not looked at, since in each step a GPU would wait for it."""
    device = generator.device
    x = dequantised(as_floats(data.pixels[rows].to(device)), generator)
    if flips:
        x = flipped(x, generator)
    label = []
    if data.labels is not None:
        hidden = torch.rand(len(x), generator=generator, device=device) < HIDDEN
        label = [data.labels[rows.to(device)].masked_fill(hidden, len(data.names))]  # which stands for any class
    return require_loss(objective(lambda x, sigma: score(x, sigma, *label), x, generator))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move an average of a network's weights by a step, and its buffers to the network's."""
    get_ema_multi_avg_fn(decay)(list(average.parameters()), list(network.parameters()), None)
    for ours, theirs in zip(average.buffers(), network.buffers(), strict=True):
        ours.copy_(theirs)


def measure(
    score: Any, network: nn.Module, data: Images, sigmas: Tensor, seed: int, sheets: Path | None, step: int
) -> tuple[Row, Tensor | None]:
    """Return the held-out loss by level, and a sheet of samples, with the same noise at every call.

    A sheet is drawn by Algorithm 1 from the images' normal law with α_i = σ_i², in some hundred evaluations.

    Args:
        score: of the network or of its average.
        network: in training mode, in which it is again afterwards.
        data: the images.
        sigmas: the ladder (L,), where it computes.
        seed: of the noise.
        sheets: where the sheet is written; None draws none.
        step: whose number it bears.
    """
    network.eval()
    generator = derived_generator(seed, HELD_OUT, device=sigmas.device)
    losses = [level.value for level in level_losses(score, data.held_out, sigmas, generator=generator)]
    sheet = None
    if sheets is not None and len(sigmas) > 1:
        turns = [i % len(data.names) for i in range(N_SHOWN)] if data.names else []
        label = [torch.tensor(turns, device=sigmas.device)] if turns else []
        generator = derived_generator(seed, N_SHOWN, device=sigmas.device)
        x = fitted_start(data.some, float(sigmas[0]))((N_SHOWN, *data.some.shape[1:]), generator)
        clamped = sbgm.in_range(lambda x, sigma: score(x, sigma, *label))
        n_steps = math.ceil(N_EVALUATIONS / len(sigmas))
        step_size = float(sigmas[-1]) ** 2
        states = sbgm.annealed_langevin(clamped, x, sigmas, step_size=step_size, n_steps=n_steps, generator=generator)
        sheet = sbgm.denoise(clamped, sbgm.final(states), float(sigmas[-1])).cpu()
        sheets.mkdir(exist_ok=True)
        save_sheet(sheets / f"step-{step:07d}.png", sheet, names=[data.names[turn] for turn in turns])
        save_tensors(sheets / f"step-{step:07d}.safetensors", {"sheet": sheet})
    network.train()
    by_level = {f"level_{i}": value for i, value in enumerate(losses, start=1)}
    return {"held_out": sum(losses) / len(losses), **by_level}, sheet


# --- the folder of a run ---------------------------------------------------------------------------------------------


def is_empty(folder: Path) -> bool:
    """Whether a run can begin in a folder: nothing is there, or no more than a process left that was killed early."""
    return all(path.name == ".lock" or LEFT.fullmatch(path.name) for path in folder.glob("*"))


def require_free(folder: Path, settings: Settings, *, resume: bool) -> None:
    """Raise unless a run can begin in a folder, or go on there if it is resumed."""
    if not resume and not is_empty(folder):
        raise FileExistsError(f"{folder} holds files; to continue a run there, add --resume (resume=True)")
    if settings.data not in SETS and folder.resolve().is_relative_to(Path(settings.data).resolve()):
        must = f"lie outside of {settings.data}, because the run's sheets would be among the pictures there"
        raise ArgumentError("folder", must, folder)


def read_record(folder: Path) -> dict[str, Any]:
    """Return the settings that a run was begun with, the names of its classes, and the hashes of its images.

    Raises:
        FileNotFoundError: there is no run in this folder.
        ValueError: the file is damaged.
    """
    path = folder / "settings.json"
    if not path.is_file():
        raise FileNotFoundError(f"there is no run to resume in {folder}: it holds no settings.json")
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} can't be read: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path} must hold settings by name, got {type(record).__name__}")
    return record


def require_same(record: Mapping[str, Any], old_record: Mapping[str, Any]) -> None:
    """Raise unless a run that is resumed has the settings that it was begun with, but for some that may differ.

    Other steps would make a cosine's rate jump.
    """
    may_differ = {"threads", "steps"} if record["schedule"] == "constant" else {"threads"}
    for name, value in record.items():
        old = old_record.get(name, value)  # what came later is compared from now on
        if value == old or name in may_differ:
            continue
        if name.endswith("_sha256"):
            kind = name.removesuffix("_sha256").replace("_", " ")
            raise ArgumentError("data", f"hold the {kind} that the run began with", "others")
        raise ArgumentError(name, f"be {old!r}, as in the run", repr(value))


@contextlib.contextmanager
def owned(folder: Path, accelerator: Accelerator, settings: Settings, *, resume: bool) -> Iterator[None]:
    """Make a run's folder this training's alone, free of what a killed process left."""
    lock = FileLock(folder / ".lock", timeout=0)
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise BlockingIOError(f"{folder} is in use: another process trains the run there") from None
    try:
        if accelerator.is_main_process:
            require_free(folder, settings, resume=resume)  # again, since another process may have come first
            for path in folder.glob("*.partial"):
                if LEFT.fullmatch(path.name):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        accelerator.wait_for_everyone()
        yield
    finally:
        lock.release()


def write_log(folder: Path, rows: list[Row]) -> None:
    """Write log.csv; a column that a row lacks is empty there."""
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    table = csv.DictWriter(text, list(names), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_bytes(folder / "log.csv", text.getvalue().encode())


# --- a checkpoint: step-0005000/ with network.safetensors, its average, state.pt and SHA256SUMS ----------------------


def write_checkpoint(
    folder: Path, step: int, networks: Mapping[str, nn.Module], state: dict[str, Any], device: torch.device
) -> None:
    """Write a checkpoint beside its place, and rename it.

    Args:
        folder: of the run.
        step: the number of steps that are made.
        networks: what is trained, and its average, by name.
        state: of the optimizer and the scaler, the log and the record.
        device: where it computes.
    """
    content = io.BytesIO()  # torch reports a full disk as an error about its own positions
    torch.save(state, content)
    with tempfile.TemporaryDirectory(".partial", "step-", folder) as place:
        checkpoint = Path(place) / "checkpoint"
        checkpoint.mkdir()
        for name, module in networks.items():
            sbgm.save_network(module, checkpoint / f"{name}.safetensors", step=step, hardware=hardware(device))
        write_bytes(checkpoint / "state.pt", content.getbuffer())
        write_bytes(checkpoint / "SHA256SUMS", checksums(checkpoint).encode())
        checkpoint.rename(folder / f"step-{step:07d}")


def remove_old(folder: Path, keep_every: int) -> None:
    """Remove all checkpoints but the last two and, unless it is 0, each whose step is a multiple of `keep_every`."""
    for old in checkpoints(folder)[:-2]:
        if not keep_every or step_of(old) % keep_every:
            shutil.rmtree(old.rename(old.with_suffix(".partial")))  # what a kill leaves of it is no checkpoint


def read_checkpoint(
    checkpoint: Path, networks: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load a whole checkpoint into the networks, the optimizer and the scaler; return its log, and its record.

    Raises:
        ValueError: something in it is not what a training of these networks has written after that step.
    """
    for name, module in networks.items():
        file = checkpoint / f"{name}.safetensors"
        step = sbgm.load_weights(module, file).get("step")
        if step != step_of(checkpoint):
            raise ValueError(f"{file} is of step {step}")
    try:
        state = torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)
        log = {name: state["log"][name] for name in ("rows", "losses", "seconds")}
        log["seconds"] = float(log["seconds"])
        record = dict(state["record"])
        n_steps = (log["rows"][-1]["step"] if log["rows"] else 0) + len(log["losses"])
        if n_steps != step_of(checkpoint):
            raise ValueError(f"it is of step {n_steps}")
        # The optimizer writes into its moments without looking at their shapes, and does as its groups say.
        (group,) = optimizer.param_groups
        all_moments = state["optimizer"]["state"]
        if not all_moments and not scaler.is_enabled():  # under which the first steps may have been left out
            raise ValueError("it has no moments")
        for number, moments in all_moments.items():
            weight = group["params"][number]
            shape = weight.shape
            if {name: x.shape for name, x in moments.items()} != {"step": (), "exp_avg": shape, "exp_avg_sq": shape}:
                raise ValueError("its moments have other shapes than the weights")
            for name in ("exp_avg", "exp_avg_sq"):
                if moments[name].layout != torch.strided or moments[name].dtype != weight.dtype:
                    raise ValueError("its moments are of another kind than the weights")
                # in the weight's own order in memory, which one of strides 0 has not
                moments[name] = torch.empty_like(weight).copy_(moments[name])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": all_moments})
        scaler.load_state_dict(state["scaler"])
        return log, record
    except Exception as error:  # it may be a stranger's, and hold anything
        raise ValueError(f"{checkpoint / 'state.pt'} can't be read: {error}") from error


# --- the processes of a training, and its signals --------------------------------------------------------------------


def make_accelerator(device: str | None = None, accumulation: int = 1) -> Accelerator:
    """Make an Accelerator that computes where `find_device` says, with the processes that torchrun has started.

    Raises:
        ValueError: as `find_device`, or this process's first training computed on a device of another kind.
    """
    from accelerate import Accelerator

    where = torch.device(find_device(device))
    if where.index is not None:
        torch.cuda.set_device(where)
    # Each process on the CPU would take itself for the only one, unless it is told that it computes there.
    accelerator = Accelerator(cpu=where.type == "cpu", gradient_accumulation_steps=accumulation)
    if accelerator.device.type != where.type:  # Accelerate keeps what the process's first one was told
        raise ArgumentError("device", f"be {accelerator.device.type}, as in this process's first run", where)
    return accelerator


@contextlib.contextmanager
def noted_signals(*, aloud: bool) -> Iterator[list[int]]:
    """Note Ctrl-C and SIGTERM in a list, so that they end no step half-way; with `aloud`, say so at once."""
    noted: list[int] = []

    def note(number: int, _: object) -> None:
        noted.append(number)
        if aloud:  # by the system's call, since the signal may have come while Python was printing
            os.write(2, b"\nStopping after this step ...\n")

    handlers = {}
    if threading.current_thread() is threading.main_thread():  # which alone may set handlers
        handlers = {n: signal.signal(n, note) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for n, handler in handlers.items():
            signal.signal(n, handler)


# --- what it says ----------------------------------------------------------------------------------------------------


def what_is_trained(network: sbgm.ScoreNetwork, data: Images, loss: Loss | None) -> str:
    """Say how many images there are, of which size, and their classes; and which network is trained, and how."""
    channels, height, width = data.pixels.shape[1:]
    words = f"The network trains on {len(data.pixels):,} images of {channels}×{height}×{width}; "
    words += f"{data.n_test:,} more are held out.\n"
    if data.names:
        words += f"Classes, which --label numbers from 0: {', '.join(data.names)}.\n"
    ladder = network.ladder
    levels = f"{len(ladder)} levels, σ = {ladder[0]:g} … {ladder[-1]:g}" if len(ladder) > 1 else f"σ = {ladder[0]:g}"
    words += f"It is a {name_of(network)} with {sbgm.training.n_parameters(network):,} weights, at {levels}; "
    if loss is not None:
        return f"{words}its loss is {name_of(loss)}."
    return f"{words}its loss is Eq. 6, which is D/2 = {channels * height * width / 2:g} for a score of zero."


def name_of(thing: Any) -> str:
    """The name of a function, or of a module's or another object's class, as its code has it."""
    if isinstance(thing, OwnNetwork):
        thing = thing.module
    return getattr(thing, "__qualname__", type(thing).__qualname__)


def how_to_draw(network: sbgm.ScoreNetwork, folder: Path) -> str:
    """Say by which command to draw from a run's network, or where to read how to draw from one of your own."""
    if type(network) not in NETWORKS.values():
        return 'How to draw images from the network, in Python: docs/own_images.md, "Your own network".'
    words = ["sbgm", "sample", str(folder), "--out", f"{folder}_samples", "-n", "16"]
    return f"To draw images from the network: {shlex.join(words)}"


# --- the training ----------------------------------------------------------------------------------------------------


def train(
    settings: Settings,
    folder: Path | str,
    *,
    network: nn.Module | None = None,
    images: DataSet | None = None,
    resume: bool = False,
    minutes: float = math.inf,
    watch: Callable[[int, Row, Tensor | None], object] | None = None,
    loss: Loss | None = None,
) -> int:
    """Train a noise conditional score network by Eq. 6 in the folder of a run, under a progress bar.

    What a step draws depends on the seed and the step alone, and files are written beside their place and renamed. So
    a run on a CPU that was killed at any instant and resumed with as many threads ends with the same bits as one that
    never stopped, and two processes do what one does with twice the accumulation. (A network that draws
    random numbers by itself, as dropout does, draws others.)

    Args:
        settings: such as `settings_of("mnist")`. A resumed run may differ from what it was started with in its device,
            its number of threads and, where the learning rate is constant, in its number of steps.
        folder: of the run.
        network: one of your own, trained in place: any module s(x, sigma), or s(x, sigma, label) with
            `settings.classes`, see `sbgm.images.weights.OwnNetwork`. `load_network(folder, network=…)` loads it.
        images: what to train on, such as a set of `own_images`; None is `settings.data`.
        resume: go on with the run in the folder, or begin it where there is none yet.
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
        ValueError: the run was started with other settings or images, its last checkpoint is damaged, the folder lies
            among the pictures, or the network can't be trained. Nothing has been written then.
        DiskFullError, FloatingPointError: there is no room, or a loss or a gradient is NaN or infinite. The last
            checkpoint stands.
        ArithmeticError: the compiled network has another gradient than the plain one.
    """
    folder = Path(folder)
    accelerator = make_accelerator(settings.device, settings.accumulation)
    device = accelerator.device
    is_main = accelerator.is_main_process

    def say(words: str) -> None:
        if watch is None:  # who watches is told by the rows
            accelerator.print(words)

    # --- what is looked at first: the folder, and what the run in it was begun with
    require_free(folder, settings, resume=resume)
    resume = resume and not is_empty(folder)  # one that was killed before it wrote anything begins
    old_record = read_record(folder) if resume else {}
    if settings.precision == "auto":
        settings = dataclasses.replace(settings, precision=old_record.get("precision", fast_precision(device)))
    if settings.threads == 0:
        settings = dataclasses.replace(settings, threads=old_record.get("threads") or idle_cores())
    record = dataclasses.asdict(settings) | {"loss": None if loss is None else name_of(loss)}
    del record["device"]  # a run may go on elsewhere
    if network is not None:
        record |= {"network": type(network).__qualname__, "channels": None}
    if resume:
        require_same(record, old_record)
    step = step_of(checkpoints(folder)[-1]) if resume and checkpoints(folder) else 0
    if settings.steps < step:
        raise ArgumentError("steps", f"be at least the {step} that the run has made", settings.steps)

    # --- the images
    data = read_images(settings, images, device)
    record |= facts_of(data)
    if resume:
        require_same(record, old_record)
    n_parts = accelerator.num_processes * settings.accumulation
    if settings.batch_size > len(data.pixels) or settings.batch_size % n_parts:
        most = f"at most the {len(data.pixels)} images, and divide into {n_parts} parts (processes × accumulation)"
        raise ArgumentError("batch_size", f"be {most}", settings.batch_size)

    # --- the network, the loss and the optimizer
    if network is None:
        network = new_network(settings, data.some, len(data.names))
    elif not isinstance(network, sbgm.ScoreNetwork):
        network = OwnNetwork(settings.sigmas, network, len(data.names))
    if settings.from_ is not None and not step:
        sbgm.load_weights(network, settings.from_)
    network.image_shape = tuple(data.some.shape[1:])
    network.classes = data.names
    on_device(network, device).eval()
    sigmas = settings.sigmas.to(device)

    def eq_6(score: Any, x: Tensor, generator: torch.Generator) -> Tensor:
        return ncsn_losses(score, x, sigmas, generator).mean()

    objective = loss or eq_6
    require_trainable(network, data, objective, settings.seed)
    networks = {"network": network}
    if settings.ema:
        networks["average"] = copy.deepcopy(network)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")  # else small gradients would be 0

    def loss_of_part(score: Any, step: int, part: int, rows: Tensor) -> Tensor:
        generator = derived_generator(settings.seed, PART, step, part, device=device)
        return loss_of(score, data, rows[part::n_parts], objective, settings.flips, generator)

    in_precision = functools.partial(sbgm.autocast, precision=settings.precision, device_type=device.type)
    with (
        owned(folder, accelerator, settings, resume=resume),
        noted_signals(aloud=is_main and watch is None) as signals,
        contextlib.ExitStack() as at_the_end,
    ):
        at_the_end.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(settings.threads)

        # --- the last checkpoint, where there is one
        rows_of_log: list[Row] = []
        losses: list[float] = []  # of the steps since its last row
        seconds = 0.0  # that the steps took, over all processes that went on with the run
        if step:
            log, its_record = read_checkpoint(whole_checkpoint(folder, step), networks, optimizer, scaler)
            require_same(record, its_record)  # for settings.json may have been edited
            rows_of_log, losses, seconds = log.values()
        if is_main:
            write_json(folder / "settings.json", record)
        say(what_is_trained(network, data, loss))
        say(f"Look at {folder / 'sheets'} while it trains.")

        # --- the scores that are trained and measured
        if settings.compile and step < settings.steps:
            say("Compiling the network, which takes minutes on a CPU and is kept for the next time …")
            first = next(batches(settings, data.pixels, 0))
            compile_checked(network, lambda: loss_of_part(in_precision(network), 1, 0, first))
        model = accelerator.prepare_model(network)
        score = in_precision(model)
        measured_score = in_precision(networks.get("average", network))
        sheets = folder / "sheets" if is_main else None
        measured = functools.partial(measure, measured_score, network, data, sigmas, settings.seed, sheets)
        started = time.monotonic() - seconds
        deadline = time.monotonic() + 60 * minutes
        if watch is not None and is_main and step:
            by_level, sheet = measured(step)
            watch(step, {"step": step, **by_level}, sheet)

        # --- the steps
        quiet = not is_main or watch is not None
        with tqdm(total=settings.steps, initial=step, desc=str(folder), unit="step", disable=quiet) as bar:
            for rows in batches(settings, data.pixels, step):
                if step == settings.steps:
                    break
                step += 1
                optimizer.zero_grad(set_to_none=True)
                total = torch.zeros((), device=device)  # the loss, first of this process's parts
                for part in range(accelerator.process_index, n_parts, accelerator.num_processes):
                    with accelerator.accumulate(model):  # processes exchange gradients with the last part alone
                        of_part = loss_of_part(score, step, part, rows) / settings.accumulation
                        scaler.scale(of_part).backward()
                    total += of_part.detach()
                total = accelerator.reduce(total, reduction="mean")
                scaler.unscale_(optimizer)
                if settings.clip:
                    nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
                # A float16 step whose gradient overflows is left out, and the scale halved: that is no error.
                scale = scaler.scale(torch.ones((), device=device))
                value = require_finite_step(total, optimizer, step, settings.steps, scale)  # pyright: ignore[reportArgumentType] - of a tensor it makes one
                optimizer.param_groups[0]["lr"] = settings.rate(step)
                scaler.step(optimizer)
                scaler.update()
                if settings.ema:
                    # The share of the old rises with the steps: a short training's average is not of its beginning.
                    follow(networks["average"], network, min(settings.ema, (1 + step) / (10 + step)))

                # --- what is measured, logged and kept after this one
                stop = bool(signals) or time.monotonic() >= deadline
                if accelerator.num_processes > 1:  # all stop after the same step, or one would wait for ever
                    if stop:
                        accelerator.set_trigger()
                    stop = accelerator.check_trigger()
                is_last = step == settings.steps
                is_due = is_last or step in EARLY or step % settings.measure_every == 0
                losses.append(value)
                seconds = time.monotonic() - started
                row = {"step": step, "loss": sum(losses) / len(losses), "seconds": seconds}
                sheet = None
                if is_due:
                    by_level, sheet = measured(step)
                    row |= by_level
                if is_due or step % settings.log_every == 0:
                    rows_of_log.append(row)
                    losses = []
                    if is_main:
                        write_log(folder, rows_of_log)
                if is_main and (stop or is_last or step % settings.save_every == 0):
                    log = {"rows": rows_of_log, "losses": losses, "seconds": seconds}
                    state = {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
                    write_checkpoint(folder, step, networks, {**state, "log": log, "record": record}, device)
                    remove_old(folder, settings.keep_every)
                if stop and not is_due:  # shown, and in no checkpoint: the log goes on as if the run had never stopped
                    by_level, sheet = measured(step)
                    row = row | by_level
                    if is_main:
                        write_log(folder, [*(old for old in rows_of_log if old["step"] < step), row])
                bar.set_postfix(loss=f"{value:.1f}", refresh=False)
                bar.update()
                if watch is not None and is_main and "held_out" in row:
                    watch(step, dict(row), sheet)
                if stop:
                    break
    accelerator.wait_for_everyone()  # a process that leaves while another still talks to it aborts both
    accelerator.end_training()
    if step < settings.steps:
        say(f"Stopped and saved at step {step:,} of {settings.steps:,}. To continue, add --resume to the same command.")
    else:
        say(f"All {step:,} steps are done.")
    say(how_to_draw(network, folder))
    return signals[0] if signals else 0


# --- the command -----------------------------------------------------------------------------------------------------

WHAT_TO_TRAIN_ON = f"what to train on: {', '.join(NAMES)}, or a folder of images"  # Sphinx reads no f-string in a class


def name_or_folder(value: str, name: str) -> None:
    """Raise unless a value is a data set's name, or a folder's path."""
    if value not in NAMES and not Path(value).exists():
        must = f"be one of {', '.join(NAMES)}, or a folder"
        raise ArgumentError(name, must, f"{value!r}{did_you_mean(value, NAMES)}")


@checked
@dataclasses.dataclass(frozen=True)
class Options(Settings):
    """The options of `sbgm train`: all settings, and what belongs to no record."""

    data: Annotated[str, name_or_folder, WHAT_TO_TRAIN_ON]
    _: dataclasses.KW_ONLY
    out: Annotated[Path, "the run's folder, such as runs/NAME"]
    resume: Annotated[bool, "continue the run in that folder"] = False
    scale: Annotated[
        Literal["laptop", "gpu", "paper"],
        "the defaults of the other options: the laptop's, for hours on two cores; the paper's; or gpu: the paper's in "
        "the precision in which the GPU is fast, compiled, and with --ema 0.999. cifar10 has --flips, on a laptop "
        "20,000 steps, and else 128 channels",
    ] = "laptop"
    minutes: Annotated[Positive | None, "save and stop after X minutes, not counting compilation"] = None


EXAMPLE = "sbgm train mnist --out runs/mnist --steps 2000"


OF_LAPTOP = vars(settings_of("mnist", "laptop"))
OF_PAPER = vars(settings_of("mnist", "paper"))
DEFAULTS = {name: f"laptop {OF_LAPTOP[name]}; paper {own}" for name, own in OF_PAPER.items() if own != OF_LAPTOP[name]}


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
    number = train(settings, options.out, resume=options.resume, minutes=options.minutes or math.inf)
    return 128 + number if number else 0
