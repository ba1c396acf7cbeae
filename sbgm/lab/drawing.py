"""The samples that recorded claims share: drawn once, batch by batch, kept in a folder, and resumed from there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sbgm.checked import check_count
from sbgm.files import Fact, load_tensors, save_tensors
from sbgm.generation import uniform_start
from sbgm.lab.claims import file_hash
from sbgm.noise import derived_generator
from sbgm.precision import autocast, compiled
from sbgm.samplers import annealed_langevin, denoise
from sbgm.weights import load_network, weights_file


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Algorithm 1 from uniform noise, at the paper's settings unless told otherwise.

    A network of one level makes it plain Langevin dynamics of n_steps steps of size ε.

    Attributes:
        network: the name of a shipped network, or a file of weights.
        n_samples: how many.
        n_steps: T, steps a level.
        step_size: ε.
        batch_size: chains side by side. Batches are drawn whole, so that more samples go on with those already there.
        precision: of the network's layers, see `sbgm.precision`.
        seed: of all of it.
    """

    network: str
    n_samples: int = 1_000
    n_steps: int = 100
    step_size: float = 2e-5
    batch_size: int = 50
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_samples", "n_steps", "batch_size"):
            check_count(getattr(self, name), name)

    @property
    def key(self) -> str:
        """Names the samples by all that they depend on, the hash of the weights included, but not their number."""
        file = weights_file(self.network)
        if not file.is_file():
            raise FileNotFoundError(f"network must be a shipped one or a file of weights, but there is none at {file}")
        return (
            f"{file.stem}-{file_hash(file)[:12]}-T{self.n_steps}-eps{self.step_size:g}-batch{self.batch_size}"
            f"-{self.precision}-seed{self.seed}"
        )

    def facts(self) -> dict[str, str | int | float]:
        """How the samples were drawn, for a record."""
        return {name: getattr(self, name) for name in ("n_samples", "n_steps", "step_size", "precision", "seed")}


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where networks run, and how. It moves samples by rounding only, so it is not part of what names them.

    Attributes:
        device: such as "cpu" or "cuda".
        compile: fuse the layers, see `sbgm.precision.compiled`.
    """

    device: str = "cpu"
    compile: bool = False

    def prepared(self, network: nn.Module) -> nn.Module:
        """The network on the device, compiled if asked for."""
        network = network.to(self.device)
        return compiled(network) if self.compile else network


CPU = Machine()


class Drawn(NamedTuple):
    """Chains after the last step of each level, and what the network then takes for the clean images behind them.

    Attributes:
        states: (L, N, C, H, W), as the sampler left them; `states[-1]` are the samples.
        denoised: (L, N, C, H, W), x + σ_i² s(x, σ_i) of each.
    """

    states: Tensor
    denoised: Tensor


def draw(
    drawing: Drawing,
    folder: Path,
    machine: Machine = CPU,
    *,
    load: Callable[[str], nn.Module] = load_network,
) -> Drawn:
    """Samples by `drawing`, from `folder` as far as they are there; a bar counts the steps of those that are not.

    Each batch is a file in a folder of its own name, `Drawing.key`, written whole. Batch b draws from the generator
    of (seed, b), as in `generate`: the samples are the same however often they were interrupted.

    Args:
        drawing: what to draw.
        folder: of all such samples.
        machine: where the network runs, and how.
        load: the network of a name, with its ladder in `sigmas` and its `image_shape`.
    """
    network = None

    def drawn(batch: int) -> dict[str, Tensor]:
        nonlocal network
        network = network or machine.prepared(load(drawing.network))  # not loaded if nothing is left to draw
        states, denoised = zip(*_levels(network, drawing, batch, machine.device), strict=True)
        return {"states": torch.stack(states), "denoised": torch.stack(denoised)}

    n_batches = math.ceil(drawing.n_samples / drawing.batch_size)
    parts = list(kept_batches(Path(folder) / drawing.key, n_batches, drawn))
    return Drawn(*(torch.cat([p[name] for p in parts], dim=1)[:, : drawing.n_samples] for name in Drawn._fields))


def kept_batches(
    folder: Path, n: int, draw: Callable[[int], dict[str, Tensor]], **facts: Fact
) -> Iterator[dict[str, Tensor]]:
    """Batches 0 … n − 1 of tensors, each drawn unless its file is there: a run that was stopped goes on from there.

    Args:
        folder: of the files, one a batch, each written whole.
        n: batches.
        draw: makes a batch from its number.
        facts: kept in each file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for batch in range(n):
        file = folder / f"batch-{batch:04d}.safetensors"
        if not file.exists():
            save_tensors(file, draw(batch), **facts)
        yield load_tensors(file)[0]


def _levels(network: nn.Module, drawing: Drawing, batch: int, device: str) -> Iterator[tuple[Tensor, Tensor]]:
    """State and denoised state of one batch at the end of each level, on the CPU, under a bar over the steps."""
    generator = derived_generator(drawing.seed, batch)
    start = uniform_start((drawing.batch_size, *network.image_shape), generator).to(device)
    score = autocast(network, drawing.precision, torch.device(device).type)
    settings = {"step_size": drawing.step_size, "n_steps": drawing.n_steps, "generator": generator}
    states = annealed_langevin(score, start, network.sigmas, **settings)
    n_states = len(network.sigmas) * drawing.n_steps
    for state in tqdm(states, f"{drawing.network}, batch {batch}", n_states, unit="step"):
        if state.step == drawing.n_steps:
            yield state.x.cpu(), denoise(score, state.x, state.sigma).cpu()
