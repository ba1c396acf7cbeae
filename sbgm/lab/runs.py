"""Runs that take hours: a folder with settings, log and checkpoints, and the loop that can be stopped and resumed."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sbgm.checked import Count, Positive, Whole, at_least, checked
from sbgm.files import write_json, written_whole
from sbgm.precision import autocast, compiled
from sbgm.training import Step, adam
from sbgm.weights import load_network, load_weights, save_network, shipped_networks, weights_file

if TYPE_CHECKING:
    import pandas
    from accelerate import Accelerator

    from sbgm.checked import Score

__all__ = [
    "Measure",
    "PartLoss",
    "Run",
    "TrainingSettings",
    "hardware",
    "load_checkpoint",
    "load_trained",
    "make_accelerator",
    "save_checkpoint",
    "step_of",
    "train",
]


# --- the hardware -----------------------------------------------------------------------------------------------------


def hardware() -> str:
    """The processor, its cores, and how many threads torch uses, as far as this machine tells."""
    model, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def make_accelerator(*, cpu: bool = False) -> Accelerator:
    """Choose where to compute: the device that Accelerate finds, or the CPU where processes share no CUDA GPUs.

    Accelerate joins processes on the CPU only if told to: otherwise each, without a GPU, takes itself for the only one.

    Args:
        cpu: take the CPU even where there is a GPU.
    """
    from accelerate import Accelerator

    several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun sets it
    return Accelerator(cpu=cpu or (several and not torch.cuda.is_available()))


# --- the folder of a run ----------------------------------------------------------------------------------------------


def save_checkpoint(path: Path, **state: Any) -> None:
    """Write state dictionaries, tensors and numbers to `path` at once: a kill leaves the old file or the new one."""
    content = io.BytesIO()
    torch.save(state, content)  # not to the disk: torch reports a full one as a RuntimeError about its own positions
    with written_whole(path) as partial:
        partial.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Only tensors and plain containers are unpickled, never code."""
    return torch.load(path, map_location="cpu", weights_only=True)


class Run:
    """A folder that holds a training run.

    * `settings.json`: what the run was started with.
    * `log.csv`: a row every few steps, empty where a quantity was not measured.
    * `step-0005000/`: a checkpoint, a file of weights for each of the run's networks, such as `network.safetensors` and
      `average.safetensors`, and `state.pt`. It is written under another name and renamed, so that a folder with this
      name is whole.

    Args:
        folder: where the run is or will be.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}), {self.last_step} steps"

    def create(self, settings: dict[str, Any]) -> None:
        """Make the folder and write the settings.

        Raises:
            FileExistsError: something is there already; it is left as it is.
        """
        if self.folder.exists() and any(self.folder.iterdir()):
            raise FileExistsError(f"{self.folder} is not empty; resume the run there, or choose another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "settings.json", settings)

    @property
    def begun(self) -> bool:
        """Whether there is a run in this folder."""
        return (self.folder / "settings.json").is_file()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the run was started with.

        Raises:
            FileNotFoundError: there is no run in this folder.
        """
        if not self.begun:
            raise FileNotFoundError(f"{self.folder} holds no training run: it has no settings.json")
        return json.loads((self.folder / "settings.json").read_text(encoding="utf-8"))

    def require(self, settings: dict[str, Any], *, but: str) -> None:
        """Raise unless the run was started with these settings.

        Args:
            settings: as for `create`; those under "training" count as their own.
            but: the one that may differ, the number of steps.

        Raises:
            FileNotFoundError: there is no run in this folder.
            ValueError: some differ; the message names them.
        """
        a, b = ({**s, **s.get("training", {})} for s in (self.settings, settings))
        if differ := [name for name in b if a.get(name) != b[name] and name not in (but, "training")]:
            says = ", ".join(f"{name} = {a.get(name)!r}, not {b[name]!r}" for name in differ)
            raise ValueError(f"settings must be those that the run in {self.folder} was started with: {says}")

    @property
    def checkpoints(self) -> list[Path]:
        """The whole checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob("step-*") if p.suffix != ".partial")

    @property
    def last_step(self) -> int:
        """The step of the latest checkpoint, 0 if there is none."""
        return step_of(self.checkpoints[-1]) if self.checkpoints else 0

    def log(self) -> pandas.DataFrame:
        """The log so far, a row every few steps."""
        import pandas

        return pandas.read_csv(self.folder / "log.csv")

    def network(self, step: int | None = None, *, averaged: bool = True) -> nn.Module:
        """A network of the run, ready to use.

        Args:
            step: of the checkpoint; None is the latest.
            averaged: the moving average of the weights where the run keeps one, else the weights themselves.

        Raises:
            FileNotFoundError: there is no such checkpoint (yet).
        """
        folder = self._checkpoint(self.last_step if step is None else step)
        average = folder / "average.safetensors"
        try:
            return load_network(average if averaged and average.exists() else folder / "network.safetensors")
        except (FileNotFoundError, RuntimeError):  # the second where the file went between two of its openings
            if step is None and self.last_step > step_of(folder):  # a new checkpoint took this one's place meanwhile
                return self.network(averaged=averaged)
            raise

    def save(self, step: int, networks: Mapping[str, nn.Module], state: dict[str, Any], *, keep_every: int = 0) -> None:
        """Write a checkpoint, then remove those before it but every `keep_every`-th step's (0 keeps the new one only).

        Args:
            step: steps made.
            networks: what `load_network` can load from it, by the stem of the file.
            state: what else the run needs to go on: tensors, numbers, strings and containers of them.
        """
        folder = self.folder / f"step-{step:07d}"
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, network in networks.items():
            save_network(network, partial / f"{name}.safetensors", step=step)
        save_checkpoint(partial / "state.pt", **state)
        partial.rename(folder)
        for old in self.checkpoints:
            if old != folder and not (keep_every and step_of(old) % keep_every == 0):
                shutil.rmtree(old)

    def load(self, networks: Mapping[str, nn.Module]) -> dict[str, Any]:
        """Load the latest checkpoint into the networks and return its state."""
        folder = self._checkpoint(self.last_step)
        for name, network in networks.items():
            load_weights(network, folder / f"{name}.safetensors")
        return load_checkpoint(folder / "state.pt")

    def write_log(self, rows: list[dict[str, float]]) -> None:
        """Replace `log.csv` by these rows; a column that a row lacks stays empty."""
        import pandas

        with written_whole(self.folder / "log.csv") as partial:
            pandas.DataFrame(rows).to_csv(partial, index=False)

    def _checkpoint(self, step: int) -> Path:
        folder = self.folder / f"step-{step:07d}"
        if not folder.is_dir():
            steps = [step_of(p) for p in self.checkpoints]
            raise FileNotFoundError(f"{self.folder} holds no checkpoint of step {step}; those there: {steps or 'none'}")
        return folder


def load_trained(path: Path | str) -> nn.Module:
    """A network by the name of a shipped one, by its file, or by the folder of a run, whose latest it then is.

    Raises:
        FileNotFoundError: it is none of these, or the run has no checkpoint yet.
        ValueError: as `load_network`.
    """
    if Path(path).is_dir():
        return Run(path).network()
    if not weights_file(path).is_file():
        raise FileNotFoundError(
            f"{path} is no run's folder, no file of weights, and no network that ships; {shipped_networks(path)}"
        )
    return load_network(path)


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint folder's name."""
    return int(checkpoint.name.removeprefix("step-"))


# --- training ---------------------------------------------------------------------------------------------------------

PartLoss = Callable[["Score", int, int, int], Tensor]  # (score, step, part, n_parts) -> scalar
Measure = Callable[["Score"], dict[str, float]]


def _decay(value: float, name: str, given: Mapping[str, Any]) -> float:
    if at_least(0)(value, name, given) >= 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value}")
    return value


@checked
@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training of hours. The defaults are the paper's (Appendix B.2), which keeps no average.

    The average of the weights is θ̄ ← m θ̄ + (1 − m) θ. It is saved beside the weights and does not change the training.
    """

    n_steps: Count = field(default=200_000, metadata={"help": "the number of the last step"})
    batch_size: Count = field(default=128, metadata={"help": "images a step, over all processes"})
    learning_rate: Positive = field(default=1e-3, metadata={"help": "Adam's"})
    ema_decay: Annotated[float, _decay] = field(
        default=0.0, metadata={"help": "m of the moving average of the weights; 0 keeps none"}
    )
    precision: Literal["fp32", "bf16"] = field(
        default="fp32", metadata={"help": "of layers; weights and loss stay in float32"}
    )
    accumulation: Count = field(
        default=1, metadata={"help": "parts that a process cuts its batch into, to save memory"}
    )
    compile: bool = field(
        default=False, metadata={"help": "fuse the network's layers; worth its minutes in a run of hours"}
    )
    log_every: Count = field(default=100, metadata={"help": "steps a row of the log"})
    measure_every: Count = field(default=1_000, metadata={"help": "steps between two measurements on held-out data"})
    save_every: Count = field(default=5_000, metadata={"help": "steps between two checkpoints"})
    keep_every: Whole = field(
        default=0, metadata={"help": "the checkpoints of every so many steps stay; 0: the latest only"}
    )
    seed: Whole = field(default=0, metadata={"help": "of weights, order of the data, levels and noise"})


def train(
    network: nn.Module,
    part_loss: PartLoss,
    run: Run,
    settings: TrainingSettings,
    *,
    measure: Measure | None = None,
    accelerator: Accelerator | None = None,
) -> Iterator[Step]:
    """Train a network in a run's folder, from its latest checkpoint if it has one, yielding after each step.

    The batch is cut into `n_parts` = processes × accumulation equal parts. What a part draws depends on the seed, the
    step and the part alone, so a resumed run needs no state of a random generator, and two processes do what one does
    with twice the accumulation. On a CPU with the same number of threads, a run that was killed at any instant and
    resumed ends with the same bits as one that never stopped.

    Closing the generator, or interrupting it (Ctrl-C), saves the run first.

    Args:
        network: trained in place; `save_network` must know its class.
        part_loss: the mean loss of a part of a step's batch, given the score to train, the step's number, the part's
            number from 0 and the number of parts.
        run: where to save; its settings must have been written.
        settings: see `TrainingSettings`.
        measure: named numbers for the log from a score, the averaged one where an average is kept.
        accelerator: where and in how many processes to train; None is `make_accelerator()`.

    Yields:
        Step(step, loss), the loss averaged over the batch.

    Raises:
        ValueError: the batch does not divide into the parts, before the first step.
        FloatingPointError: a loss is NaN or infinite; the run keeps its last checkpoint.
        ArithmeticError: the compiled network has another gradient than the plain one.
    """
    accelerator = make_accelerator() if accelerator is None else accelerator
    n_parts = accelerator.num_processes * settings.accumulation
    if settings.batch_size % n_parts:
        raise ValueError(
            f"batch_size must divide into {n_parts} parts ({accelerator.num_processes} processes × accumulation "
            f"{settings.accumulation}), got {settings.batch_size}"
        )
    return _train(network, part_loss, run, settings, measure, accelerator)


def _train(network, part_loss, run, settings, measure, accelerator):
    network.to(accelerator.device).train()
    ema, networks = None, {"network": network}
    if settings.ema_decay:
        ema = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
        networks["average"] = ema.module
    optimizer, _ = adam(network, settings.learning_rate)
    done = {"step": 0, "losses": [], "rows": [], "seconds": 0.0}  # losses: those since the last row
    if run.last_step:
        state = run.load(networks)
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
        if ema is not None:
            ema.n_averaged.fill_(done["step"])
    if settings.compile and done["step"] < settings.n_steps:
        part = done["step"] + 1, accelerator.process_index, accelerator.num_processes * settings.accumulation
        plain = autocast(network, settings.precision, accelerator.device.type)
        _compiled_for_training(network, lambda: part_loss(plain, *part))
    model = accelerator.prepare_model(network)
    score, measured_score = (
        autocast(m, settings.precision, accelerator.device.type) for m in (model, networks.get("average", network))
    )
    started, whole = time.perf_counter() - done["seconds"], True

    def log() -> None:
        step = done["step"]
        last = step == settings.n_steps
        if not done["losses"] or not (last or step % settings.log_every == 0):
            return
        row = {"step": step, "loss": sum(done["losses"]) / len(done["losses"])}
        if measure is not None and (last or step % settings.measure_every == 0):
            row |= measure(measured_score)
        done["seconds"] = time.perf_counter() - started
        done["rows"], done["losses"] = [*done["rows"], row | {"seconds": done["seconds"]}], []
        if accelerator.is_main_process:
            run.write_log(done["rows"])

    def save() -> None:
        if accelerator.is_main_process and done["step"] > run.last_step:
            done["seconds"] = time.perf_counter() - started
            state = {"optimizer": optimizer.state_dict(), "done": done}
            run.save(done["step"], networks, state, keep_every=settings.keep_every)

    try:
        log()  # a run that was stopped before its last row was written
        while done["step"] < settings.n_steps:
            step = done["step"] + 1
            optimizer.zero_grad(set_to_none=True)
            loss = _backward(model, score, part_loss, step, settings.accumulation, accelerator)
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} at step {step}; lower the learning rate")
            whole = False
            optimizer.step()
            if ema is not None:
                ema.update_parameters(network)
            done["step"] = step
            done["losses"].append(loss)
            whole = True
            log()
            if step % settings.save_every == 0 or step == settings.n_steps:
                save()
            yield Step(step, loss)
    except (KeyboardInterrupt, GeneratorExit):
        if whole:  # else the interrupt fell between the weights and their average, and the last checkpoint stands
            save()
        raise


def _backward(model, score, part_loss, step, accumulation, accelerator) -> float:
    """Average the gradients over the parts of all processes; return the mean loss of the batch."""
    n_parts = accelerator.num_processes * accumulation
    total = torch.zeros((), device=accelerator.device)
    for i in range(accumulation):
        more_to_come = i < accumulation - 1
        with accelerator.no_sync(model) if more_to_come else contextlib.nullcontext():
            part = i * accelerator.num_processes + accelerator.process_index
            value = part_loss(score, step, part, n_parts) / accumulation
            value.backward()
        total += value.detach()
    return float(accelerator.reduce(total, reduction="mean"))


def _compiled_for_training(network: nn.Module, loss: Callable[[], Tensor]) -> nn.Module:
    """`compiled(network)`, once its gradient has been compared with the plain network's.

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
    return network


def _gradient(network: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
    """The gradient of a loss in all weights together, as one vector."""
    gradients = torch.autograd.grad(loss(), list(network.parameters()), materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in gradients])
