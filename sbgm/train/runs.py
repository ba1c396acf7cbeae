"""Runs that take hours: a folder with settings, log and checkpoints, and the loop that can be stopped and resumed."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import io
import json
import math
import os
import platform
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import psutil
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sbgm.files import DiskFullError, file_hash, write_bytes, write_json
from sbgm.guard import Count, FilePath, NonNegative, Positive, Score, Whole, checked, number_that
from sbgm.images.data import Notice
from sbgm.images.devices import autocast, compiled, fast_precision
from sbgm.images.weights import (
    checkpoints,
    load_network,
    load_weights,
    run_weights,
    save_network,
    step_of,
    whole_checkpoint,
)
from sbgm.networks import ScoreNetwork
from sbgm.training import Step, adam, require_finite_step

if TYPE_CHECKING:
    import pandas
    from accelerate import Accelerator

__all__ = [
    "CPU",
    "Machine",
    "Measure",
    "PartLoss",
    "Run",
    "TrainingSettings",
    "find_device",
    "hardware",
    "idle_cores",
    "load_checkpoint",
    "make_accelerator",
    "resumable",
    "save_checkpoint",
    "train",
]


# --- the hardware -----------------------------------------------------------------------------------------------------


def hardware(device: torch.device | str = "cpu") -> str:
    """The processor, its cores, and how many threads torch uses, as far as this machine tells; and a device's GPU."""
    model, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), model)
    gpu = f", {torch.cuda.get_device_name(device)}" if torch.device(device).type == "cuda" else ""
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads{gpu}"


def find_device(name: str | None = None) -> str:
    """Where to compute: on the device of this name, else on the GPU if there is one, else on the CPU.

    Several processes, such as torchrun starts, need a CUDA GPU each, and share the CPU where there is none.

    Raises:
        ValueError: this machine has no device of that name.
    """
    if name is not None:
        try:
            torch.empty(0, device=name)
        except (RuntimeError, AssertionError):  # each device has an error of its own
            raise ValueError(f"device must be one of this machine's, such as cpu, got {name}") from None
        return name
    if torch.cuda.is_available():
        return "cuda"
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun sets it
    return "mps" if torch.backends.mps.is_available() and not several else "cpu"


def make_accelerator(device: str | None = None, tracker: Any = None, folder: Path | None = None) -> Accelerator:
    """An Accelerator that computes where `find_device` says, and joins the processes that there are.

    Accelerate joins processes on the CPU only if told to: otherwise each, without a GPU, takes itself for the only one.

    Args:
        device: see `find_device`.
        tracker: where the log goes too, one of those that Accelerate knows, such as "tensorboard" or "wandb".
        folder: for the tracker's files.

    Raises:
        ValueError: as `find_device`, or the tracker is not installed, or none that Accelerate knows.
    """
    from accelerate import Accelerator
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    if isinstance(tracker, str) and tracker not in [str(name) for name in get_available_trackers()]:
        raise ValueError(f"tracker must be one that is installed, of {', '.join(LOGGER_TYPE_TO_CLASS)}, got {tracker}")

    where = torch.device(find_device(device))
    if where.index is not None:
        torch.cuda.set_device(where)
    return Accelerator(cpu=where.type == "cpu", log_with=tracker, project_dir=folder)


def idle_cores() -> int:
    """How many threads to compute with: as many as cores are idle, from 1 to the number that torch would take.

    That number is all cores, or what OMP_NUM_THREADS or `torch.set_num_threads` says. A thread that has to wait for its
    turn on a busy core keeps all others waiting: two threads were then up to 30 times slower than one.
    """
    if (most := torch.get_num_threads()) == 1:
        return 1
    idle = (1 - psutil.cpu_percent(interval=0.5) / 100) * (psutil.cpu_count() or 1)
    return max(1, min(most, round(idle)))


@dataclasses.dataclass(frozen=True)
class Machine:
    """The device that networks run on, and where their noise is drawn, see `sbgm.images.drawing.draw_batches`.

    Attributes:
        device: such as "cpu" or "cuda".
        compile: fuse the layers, see `sbgm.images.devices.compiled`.
    """

    device: str = "cpu"
    compile: bool = False

    @property
    def n_chains(self) -> int:
        """How many chains to run side by side: 50 on the CPU, more where that costs little time."""
        return 50 if torch.device(self.device).type == "cpu" else 500

    @property
    def precision(self) -> str:
        """Of a record's samples: what a GPU is fast in, and bfloat16 on every CPU, whose samples are then the same."""
        return "bf16" if torch.device(self.device).type == "cpu" else fast_precision(self.device)

    @property
    def flags(self) -> list[str]:
        """The options of `sbgm evaluate` that choose this machine: none for the CPU, else such as "--device cuda"."""
        return [f"--device {self.device}"] * (self.device != "cpu") + ["--compile"] * self.compile

    def prepared(self, network: nn.Module) -> nn.Module:
        """The network on the device, compiled if asked for."""
        network = on_device(network, torch.device(self.device))
        return compiled(network) if self.compile else network

    def score(self, network: Score, precision: str) -> Score:
        """The score of a network on the device, with its layers in a precision, see `sbgm.images.devices.autocast`."""
        return autocast(network, precision, torch.device(self.device).type)


CPU = Machine()


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, and return it: to a CUDA GPU in the memory format that is fast there.

    The process then rounds float32 factors to TF32 on such a GPU, and lets cuDNN try out which convolution is fastest.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return network.to(device)


# --- the folder of a run ----------------------------------------------------------------------------------------------


def save_checkpoint(path: Path, **state: Any) -> None:
    """Write state dictionaries, tensors and numbers to `path` at once: a kill leaves the old file or the new one."""
    content = io.BytesIO()
    torch.save(state, content)  # not to the disk: torch reports a full one as a RuntimeError about its own positions
    write_bytes(path, content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Only tensors and plain containers are unpickled, never code.

    Raises:
        ValueError: the file is damaged, or holds more than that.
    """
    with _told_if_damaged(path, "remove its folder to go on from the checkpoint before"):
        return torch.load(path, map_location="cpu", weights_only=True)


@contextlib.contextmanager
def _told_if_damaged(path: Path, way_on: str) -> Iterator[None]:
    """Name a file that can't be read, and the way on, in place of whatever its reader says, which may mislead."""
    try:
        yield
    except OSError:  # which names it
        raise
    except Exception as error:
        raise ValueError(
            f"path must be a whole file, but {path} is damaged ({type(error).__name__}); {way_on}"
        ) from error


class Run:
    """A folder that holds a training run.

    * `settings.json`: what the run was started with.
    * `log.csv`: a row every few steps, empty where a quantity was not measured.
    * `step-0005000/`: a checkpoint, a file of weights for each of the run's networks, such as `network.safetensors` and
      `average.safetensors`, `state.pt`, a copy of `settings.json`, and `SHA256SUMS`, which `sha256sum -c` can check. It
      is written under another name and renamed, so that a folder with this name is whole. The last two stay.
    * `.lock`: held by the process that trains. Reading needs no lock.

    Args:
        folder: where the run is or will be.
    """

    @checked
    def __init__(self, folder: FilePath) -> None:
        self.folder = Path(folder)
        self.lock = FileLock(self.folder / ".lock", timeout=0, thread_local=False, is_singleton=True)  # one a process

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}), {self.last_step} steps"

    def create(self, settings: dict[str, Any]) -> None:
        """Make the folder, hold it, and write the settings.

        Raises:
            FileExistsError: something is there already, other than a start that was killed; it is left as it is.
            BlockingIOError: as `hold`.
        """
        if any(not (p.name == ".lock" or p.match("settings.json.*.partial")) for p in self.folder.glob("*")):
            raise FileExistsError(f"{self.folder} is not empty; resume the run there, or choose another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hold()
        write_json(self.folder / "settings.json", settings)

    def hold(self) -> None:
        """Keep other processes from writing to the folder, and remove what a killed one left half made.

        The folder is free again after `lock.release()`, once no `Run` of it is in use, or when this process ends,
        however it does.

        Raises:
            BlockingIOError: another process holds it.
        """
        try:
            self.lock.acquire()
        except Timeout:
            raise BlockingIOError(
                f"{self.folder} is in use: another process trains the run there; stop it, or choose another folder"
            ) from None
        for left in self.folder.glob("*.partial"):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()

    @property
    def begun(self) -> bool:
        """Whether there is a run in this folder."""
        return (self.folder / "settings.json").is_file() or bool(self.checkpoints)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the run was started with: the copy in the latest checkpoint, which has a checksum.

        Raises:
            FileNotFoundError: there is no run in this folder.
            ValueError: they are damaged.
        """
        if not self.begun:
            raise FileNotFoundError(f"{self.folder} holds no training run: it has no settings.json")
        path = (whole_checkpoint(self.folder) if self.last_step else self.folder) / "settings.json"
        with _told_if_damaged(path, "replace it by that of a run started with the same settings elsewhere"):
            return json.loads(path.read_bytes())

    def resume(self, settings: dict[str, Any], *, but: str) -> None:
        """Hold the folder of a run that was started with these settings.

        Args:
            settings: as for `create`; those under "training" count as their own.
            but: the one that may differ, the number of steps. The number of threads may differ, too.

        Raises:
            FileNotFoundError: there is no run in this folder.
            ValueError: some differ, which the message names, or `settings.json` is damaged.
            BlockingIOError: as `hold`.
        """
        a, b = ({**s, **s.get("training", {})} for s in (self.settings, settings))
        compared = b.keys() - {but, "threads", "training"}
        if differ := [name for name in b if name in compared and a.get(name, b[name]) != b[name]]:
            says = ", ".join(f"{name} = {a.get(name)!r}, not {b[name]!r}" for name in differ)
            raise ValueError(f"settings must be those that the run in {self.folder} was started with: {says}")
        self.hold()
        write_json(self.folder / "settings.json", self.settings)  # as the checkpoint has them

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints, oldest first."""
        return checkpoints(self.folder)

    @property
    def last_step(self) -> int:
        """The step of the latest checkpoint, 0 if there is none."""
        return step_of(self.checkpoints[-1]) if self.checkpoints else 0

    def log(self) -> pandas.DataFrame:
        """The log so far, a row every few steps.

        Raises:
            FileNotFoundError: there is no row yet.
            ValueError: the file is damaged.
        """
        import pandas

        path = self.folder / "log.csv"
        with _told_if_damaged(path, "the run writes it again from its checkpoint when it is resumed"):
            return pandas.read_csv(path)

    def network(self, step: int | None = None, *, averaged: bool = True) -> ScoreNetwork:
        """A network of the run, ready to use; also while another process trains it, since two checkpoints stay.

        Args:
            step: of the checkpoint; None is the latest.
            averaged: the moving average of the weights where the run keeps one, else the weights themselves.

        Raises:
            FileNotFoundError, ValueError: as `sbgm.images.weights.whole_checkpoint`.
        """
        return load_network(run_weights(self.folder, step, averaged=averaged))

    def save(self, step: int, networks: Mapping[str, nn.Module], state: dict[str, Any], *, keep_every: int = 0) -> None:
        """Write a checkpoint, then remove those before it but the last, and but every `keep_every`-th step's.

        Args:
            step: steps made.
            networks: what `load_network` can load from it, by the stem of the file.
            state: what else the run needs to go on: tensors, numbers, strings and containers of them.
            keep_every: 0 keeps the last two only.

        Raises:
            FloatingPointError: a weight, or a tensor of a dictionary in `state`, is NaN or infinite; nothing is saved.
            DiskFullError: nothing is left of what was written.
        """
        groups = [dict(network.named_parameters()) for network in networks.values()]
        groups += [value for value in state.values() if isinstance(value, Mapping)]
        if any(isinstance(w, Tensor) and not bool(w.isfinite().all()) for group in groups for w in group.values()):
            raise FloatingPointError(f"the weights are not finite at step {step}; lower the learning rate")
        folder = self.folder / f"step-{step:07d}"
        partial = folder.with_suffix(".partial")
        try:
            partial.mkdir()
            for name, network in networks.items():
                save_network(network, partial / f"{name}.safetensors", step=step)
            save_checkpoint(partial / "state.pt", **state)
            write_bytes(partial / "settings.json", (self.folder / "settings.json").read_bytes())
            sums = "".join(f"{file_hash(file)}  {file.name}\n" for file in sorted(partial.iterdir()))
            write_bytes(partial / "SHA256SUMS", sums.encode())
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for old in self.checkpoints[:-2]:
            if not (keep_every and step_of(old) % keep_every == 0):
                shutil.rmtree(old.rename(old.with_suffix(".partial")))  # what a kill leaves of it is no checkpoint

    def load(self, networks: Mapping[str, nn.Module]) -> dict[str, Any]:
        """Load the latest checkpoint into the networks and return its state.

        Raises:
            FileNotFoundError, ValueError: as `sbgm.images.weights.whole_checkpoint`.
        """
        folder = whole_checkpoint(self.folder)
        for name, network in networks.items():
            load_weights(network, folder / f"{name}.safetensors")
        return load_checkpoint(folder / "state.pt")

    def write_log(self, rows: list[dict[str, float]]) -> None:
        """Replace `log.csv` by these rows; a column that a row lacks stays empty."""
        import pandas

        write_bytes(self.folder / "log.csv", pandas.DataFrame(rows).to_csv(index=False).encode())


# --- training ---------------------------------------------------------------------------------------------------------

EARLY = (1, 50, 100, 200, 500)  # steps at which a run is measured too, since one looks at its beginning
SHARE = 0.1  # of a run's time, which its measurements may take

PartLoss = Callable[[Score, int, int, int], Tensor]  # (score, step, part, n_parts) -> scalar
Measure = Callable[[Score, int], dict[str, float]]  # (score, step) -> named numbers
Watch = Callable[[list[dict[str, float]]], None]  # of the rows of the log so far


@checked
@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training of hours. The defaults are the paper's (Appendix B.2), which keeps no average.

    The average of the weights is θ̄ ← m θ̄ + (1 − m) θ with m = min{ema_decay, (1 + k)/(10 + k)} at step k, so that it
    forgets the beginning of a short training too. It is saved beside the weights and does not change the training.
    """

    n_steps: Count = field(default=200_000, metadata={"help": "the number of the last step"})
    batch_size: Count = field(default=128, metadata={"help": "images a step, over all processes"})
    learning_rate: Positive = field(default=1e-3, metadata={"help": "Adam's"})
    ema_decay: Annotated[float, number_that("be at least 0 and below 1", lambda value: 0 <= value < 1)] = field(
        default=0.0, metadata={"help": "m of the moving average of the weights; 0 keeps none"}
    )
    schedule: Literal["constant", "cosine"] = field(
        default="constant", metadata={"help": "of the learning rate: constant, or cosine, down to 0 at the last step"}
    )
    warm_up: Whole = field(default=0, metadata={"help": "steps over which the learning rate rises to its value"})
    clip: NonNegative = field(
        default=0.0, metadata={"help": "the largest norm of a gradient, to which longer ones are cut; 0: none is"}
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = field(
        default="fp32",
        metadata={"help": "of layers, auto: what the device is fast in; weights and loss stay in float32"},
    )
    threads: Whole = field(default=0, metadata={"help": "of the CPU; 0: as many as cores are idle at the start"})
    accumulation: Count = field(
        default=1, metadata={"help": "parts that a process cuts its batch into, to save memory"}
    )
    compile: bool = field(
        default=False, metadata={"help": "fuse the network's layers; worth its minutes in a run of hours"}
    )
    log_every: Count = field(default=100, metadata={"help": "steps a row of the log"})
    measure_every: Count = field(
        default=500,
        metadata={"help": "steps between two measurements: held-out loss and a sheet; also at 1, 50, 100, 200, 500"},
    )
    save_every: Count = field(default=5_000, metadata={"help": "steps between two checkpoints"})
    keep_every: Whole = field(
        default=0, metadata={"help": "the checkpoints of every so many steps stay; 0: the latest only"}
    )
    seed: Whole = field(default=0, metadata={"help": "of weights, order of the data, levels and noise"})

    def rate(self, step: int) -> float:
        """The learning rate of a step: η min{1, k/warm_up}, and with "cosine" times (1 + cos(π (k − 1)/n_steps))/2."""
        risen = min(1.0, step / self.warm_up) if self.warm_up else 1.0
        fallen = (1 + math.cos(math.pi * (step - 1) / self.n_steps)) / 2 if self.schedule == "cosine" else 1.0
        return self.learning_rate * risen * fallen

    def settled(self, device: torch.device, recorded: Mapping[str, Any] | None = None) -> TrainingSettings:
        """These settings, with what they leave to the machine decided: the precision "auto", and 0 threads.

        Args:
            device: where the training runs.
            recorded: the settings that a run was started with, which decide before the machine.
        """
        recorded = recorded or {}
        precision = recorded.get("precision", fast_precision(device)) if self.precision == "auto" else self.precision
        threads = self.threads or recorded.get("threads") or idle_cores()
        return dataclasses.replace(self, precision=precision, threads=threads)


def train(
    network: nn.Module,
    part_loss: PartLoss,
    run: Run,
    settings: TrainingSettings,
    *,
    measure: Measure | None = None,
    watch: Watch | None = None,
    accelerator: Accelerator | None = None,
) -> Iterator[Step]:
    """Train a network in a run's folder, from its latest checkpoint if it has one, yielding after each step.

    The batch is cut into `n_parts` = processes × accumulation equal parts. What a part draws depends on the seed, the
    step and the part alone, so a resumed run needs no state of a random generator, and two processes do what one does
    with twice the accumulation. On a CPU a run that was killed at any instant and resumed with the same number of
    threads ends with the same bits as one that never stopped. Until the generator ends or is closed, torch computes
    with `settings.threads`.

    In float16 small gradients would be zero: the loss is multiplied by a scale that `torch.amp.GradScaler` adapts and a
    checkpoint keeps. A step whose gradient overflows is left out, and the scale halved.

    Args:
        network: trained in place; `save_network` must know its class.
        part_loss: the mean loss of a part of a step's batch, given the score to train, the step's number, the part's
            number from 0 and the number of parts.
        run: where to save, created or resumed by this process, the first of them if there are several.
        settings: see `TrainingSettings`.
        measure: named numbers for the log from a score, the averaged one where an average is kept, and the step.
        watch: called in the first process with the log's rows whenever one has been written.
        accelerator: where and in how many processes to train; None is `make_accelerator()`.

    Yields:
        Step(step, loss), the loss averaged over the batch.

    Raises:
        ValueError: the batch does not divide into the parts, before the first step.
        BlockingIOError: another process trains the run.
        DiskFullError, FloatingPointError: as `resumable`.
        ArithmeticError: the compiled network has another gradient than the plain one.
    """
    accelerator = make_accelerator() if accelerator is None else accelerator
    settings = settings.settled(accelerator.device)
    n_parts = accelerator.num_processes * settings.accumulation
    if settings.batch_size % n_parts:
        raise ValueError(
            f"batch_size must divide into {n_parts} parts ({accelerator.num_processes} processes × accumulation "
            f"{settings.accumulation}), got {settings.batch_size}"
        )
    if run.last_step > settings.n_steps:
        raise ValueError(f"n_steps must be at least the {run.last_step} that the run has made, got {settings.n_steps}")
    return _steps(run, settings, network, part_loss, n_parts, measure, watch, accelerator)


def _steps(run: Run, settings: TrainingSettings, *arguments: Any) -> Iterator[Step]:
    """The steps, with so many threads; when they end or fail, the number is as before and the run's folder free."""
    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        training = _Training(run, settings, *arguments)
        does = training.gradient, training.update, training.save, training.log, training.stopped
        yield from resumable(run, settings.n_steps, settings.save_every, *does)
    finally:
        torch.set_num_threads(before)
        run.lock.release()


def resumable(
    run: Run,
    n_steps: int,
    save_every: int,
    gradient: Callable[[int], float],
    update: Callable[[int, float], None],
    save: Callable[[int], None],
    log: Callable[[int], None] = lambda step: None,
    stopped: Callable[[int], None] = lambda step: None,
) -> Iterator[Step]:
    """Make the steps that a run still lacks, saving it every so many steps, at the last, and when it is stopped.

    Closing the generator, or interrupting it (Ctrl-C), saves the run first.

    Args:
        run: what it trains begins where the run's latest checkpoint stands.
        n_steps: the number of the last step.
        save_every: steps between two checkpoints.
        gradient: computes the gradient of a step and returns its loss; it changes nothing that is saved.
        update: makes the step, given its number and its loss.
        save: writes a checkpoint of the steps made, whose number it is given.
        log: says what there is to say of them.
        stopped: says it where the run stops early, once the steps made are saved.

    Yields:
        Step(step, loss).

    Raises:
        DiskFullError, FloatingPointError: there is no room, or a loss, gradient or weight is NaN or infinite; the
            message says which step is saved.
    """
    made, whole = run.last_step, True
    try:
        log(made)  # a run that was stopped before its last row was written
        for step in range(made + 1, n_steps + 1):
            loss = gradient(step)
            whole = False
            update(step, loss)
            made, whole = step, True
            log(step)
            if step % save_every == 0 or step == n_steps:
                save(step)
            yield Step(step, loss)
    except (KeyboardInterrupt, GeneratorExit):
        if whole:  # else the interrupt fell into an update, and the last checkpoint stands
            if made > run.last_step:
                save(made)
            stopped(made)
        raise
    except (DiskFullError, FloatingPointError) as error:
        way_on = "resume it, or start another from its weights"
        error.args = (f"{error} ({run.folder} stands at step {run.last_step}: {way_on})",)
        raise


class _Training:
    """A network in training: its weights and their average, Adam's moments, the scale of the loss, and the log.

    `done` is the part that a checkpoint keeps as it is: the steps made, the losses since the last row of the log, its
    rows, and the seconds: of all, of all measurements, and of the last one.
    """

    def __init__(
        self,
        run: Run,
        settings: TrainingSettings,
        network: nn.Module,
        part_loss: PartLoss,
        n_parts: int,
        measure: Measure | None,
        watch: Watch | None,
        accelerator: Accelerator,
    ) -> None:
        self.run, self.settings, self.network, self.accelerator = run, settings, network, accelerator
        self.part_loss, self.n_parts, self.measure, self.watch = part_loss, n_parts, measure, watch
        on_device(network, accelerator.device).train()
        self.networks: dict[str, nn.Module] = {"network": network}
        if settings.ema_decay:
            self.networks["average"] = copy.deepcopy(network)
        self.optimizer, _ = adam(network, settings.learning_rate)
        self.scaler = torch.amp.GradScaler(accelerator.device.type, enabled=settings.precision == "fp16")
        self.done: dict[str, Any] = {"step": 0, "losses": [], "rows": [], "seconds": 0.0}
        self.done |= {"measuring": 0.0, "measurement": 0.0}
        self.measured_at, self.told = 0, False
        if run.last_step:
            state = run.load(self.networks)
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            self.done |= state["done"]
            if accelerator.is_main_process and self.done["rows"]:
                run.write_log(self.done["rows"])  # as the checkpoint has it
        mixed = functools.partial(autocast, precision=settings.precision, device_type=accelerator.device.type)
        if settings.compile and run.last_step < settings.n_steps:
            plain, step = mixed(network), run.last_step + 1
            _compile(network, lambda: part_loss(plain, step, accelerator.process_index, n_parts))
        self.model = accelerator.prepare_model(network)
        self.score, self.measured = mixed(self.model), mixed(self.networks.get("average", network))
        self.started = time.perf_counter() - self.done["seconds"]

    def gradient(self, step: int) -> float:
        """Average the scaled gradients over the parts of all processes; return the mean loss of the batch."""
        self.optimizer.zero_grad(set_to_none=True)
        mine = range(self.accelerator.process_index, self.n_parts, self.accelerator.num_processes)
        total = torch.zeros((), device=self.accelerator.device)
        for part in mine:
            with contextlib.nullcontext() if part == mine[-1] else self.accelerator.no_sync(self.model):
                value = self.part_loss(self.score, step, part, self.n_parts) / len(mine)
                self.scaler.scale(value).backward()
            total += value.detach()
        total: Any = self.accelerator.reduce(total, reduction="mean")
        self.scaler.unscale_(self.optimizer)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.optimizer.param_groups[0]["lr"] = self.settings.rate(step)
        may_overflow = self.scaler.is_enabled() and self.scaler.get_scale() > 1
        return require_finite_step(total, None if may_overflow else self.optimizer, step, self.settings.n_steps)

    def update(self, step: int, loss: float) -> None:
        """Make Adam's step, and let the average follow the weights, the faster the fewer steps are made."""
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.settings.ema_decay:
            follow = get_ema_multi_avg_fn(min(self.settings.ema_decay, (1 + step) / (10 + step)))
            follow(list(self.networks["average"].parameters()), list(self.network.parameters()), None)
        self.done["step"], self.done["seconds"] = step, time.perf_counter() - self.started
        self.done["losses"].append(loss)

    def log(self, step: int) -> None:
        """Write a row every few steps, with measurements in some, both after the last step.

        Which steps have a row, and the loss in it, depend on the step alone. Whether a row has measurements depends on
        the clock too, where these take long.
        """
        done, last = self.done, step == self.settings.n_steps
        due = self.measure is not None and (last or step in EARLY or step % self.settings.measure_every == 0)
        if done["losses"] and (last or due or step % self.settings.log_every == 0):
            row = {"step": step, "loss": sum(done["losses"]) / len(done["losses"])}
            if due and (last or self.in_time(step)):
                row |= self.measurements(step)
            done["rows"], done["losses"] = [*done["rows"], row | {"seconds": done["seconds"]}], []
            self.write(done["rows"])

    def in_time(self, step: int) -> bool:
        """Whether another measurement as long as the last one keeps all of them within a tenth of the run's time.

        That is the time of the steps made, or of those up to the first regular measurement, if they are more: else a
        run would not be measured at its beginning.
        """
        done = self.done
        horizon = max(step, min(self.settings.measure_every, self.settings.n_steps))
        run_time = (done["seconds"] - done["measuring"]) / step * horizon
        in_time = done["measuring"] + done["measurement"] <= SHARE * run_time
        if not in_time and not self.told:
            self.told = True
            warnings.warn("measuring takes more than a tenth of the time, so that it is done more rarely", Notice, 2)
        return in_time

    def measurements(self, step: int) -> dict[str, float]:
        """Measure, and note how long it took."""
        assert self.measure is not None
        self.measured_at, begin = step, time.perf_counter()
        row = self.measure(self.measured, step)
        self.done["measurement"] = time.perf_counter() - begin
        self.done["measuring"] += self.done["measurement"]
        return row

    def stopped(self, step: int) -> None:
        """Measure where a run is stopped; the row stays in the log until the run goes on as if it had never stopped."""
        done = self.done
        if self.measure is not None and step and self.measured_at != step:
            losses = done["losses"] or [done["rows"][-1]["loss"]]
            row = {"step": step, "loss": sum(losses) / len(losses)} | self.measurements(step)
            before = [row for row in done["rows"] if row["step"] < step]
            self.write([*before, row | {"seconds": done["seconds"]}])

    def write(self, rows: list[dict[str, float]]) -> None:
        """Write the log, and show it, in the first process."""
        if self.accelerator.is_main_process:
            self.run.write_log(rows)
            if self.watch is not None:
                self.watch(rows)

    def save(self, step: int) -> None:
        """Write a checkpoint, in the first process."""
        if self.accelerator.is_main_process:
            state: dict[str, Any] = {
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "done": self.done,
            }
            state["hardware"] = hardware(self.accelerator.device)
            self.run.save(step, self.networks, state, keep_every=self.settings.keep_every)


def _compile(network: nn.Module, loss: Callable[[], Tensor]) -> None:
    """Compile a network, and compare its gradient with that of the plain one.

    A compiler's fault in the backward pass is silent: the network learns, with some of its weights standing still.

    Args:
        network: compiled in place.
        loss: the network's loss on one batch, a scalar, the same at every call.

    Raises:
        ArithmeticError: the two gradients differ by more than a tenth of their size (bfloat16 rounds far less).
    """
    plain = _gradient(network, loss)
    found = _gradient(compiled(network), loss)
    error = float((found - plain).norm() / plain.norm())
    if not error <= 0.1:
        raise ArithmeticError(
            f"the gradient of the compiled network is off by {error:.2g} of its size with torch {torch.__version__}: "
            "its layers would learn wrongly; train without compile"
        )


def _gradient(network: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
    """The gradient of a loss in all weights together, as one vector."""
    gradients = torch.autograd.grad(loss(), list(network.parameters()), materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in gradients])
