"""The cost of the paper's run in operations and hours, and the numbers of its Table 1."""

from __future__ import annotations

import copy
import dataclasses
import math
import tomllib
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sbgm.checked import Count, Positive, checked
from sbgm.lab.ncsn import NCSN
from sbgm.training import n_parameters

__all__ = [
    "FullRun",
    "PublishedRow",
    "forward_flop",
    "full_run",
    "hours",
    "published_table",
    "saved_numbers",
]


class FullRun(NamedTuple):
    """The work and the memory of a training and of its samples.

    Attributes:
        forward: operations of one evaluation for one image, a multiplication and an addition counted as two.
        training: of all steps, three evaluations an image: one forward, and twice as much backward.
        sampling: of the samples.
        memory: bytes that the training holds at least: weights, gradients, Adam's two moments and the moving average
            in float32, and what one device's part of the batch keeps for the backward pass.
    """

    forward: float
    training: float
    sampling: float
    memory: float


@checked
def full_run(
    settings: NCSN,
    image_shape: tuple[int, int, int],
    *,
    n_samples: Count,
    n_evaluations: Count = 1_000,
    n_devices: Count = 1,
    bytes_per_number: Count = 4,
) -> FullRun:
    """Count what a run of these settings takes.

    Args:
        settings: such as `NCSN.of_scale("cifar10", "paper")`.
        image_shape: (C, H, W).
        n_samples: images drawn afterwards.
        n_evaluations: of the network for each, 1,000 for Algorithm 1 as in the paper.
        n_devices: among which the batch is shared; the memory is one's.
        bytes_per_number: of what is kept for the backward pass, 4 in float32, about 2 in bfloat16.
    """
    network = settings.network(image_shape)
    forward, training = forward_flop(network, image_shape), settings.training
    images = math.ceil(training.batch_size / n_devices)
    kept = saved_numbers(network, image_shape) * images * bytes_per_number
    return FullRun(
        forward=forward,
        training=3.0 * forward * training.batch_size * training.n_steps,
        sampling=float(forward) * n_samples * n_evaluations,
        memory=4.0 * n_parameters(network) * (5 if training.ema_decay else 4) + kept,
    )


@checked
def hours(
    operations: float, *, peak: Positive, share: Positive, n_devices: Count = 1, scaling: Positive = 1.0
) -> float:
    """Hours that so many operations take at a share of a device's peak rate.

    Args:
        operations: floating-point operations.
        peak: of one device, operations a second.
        share: of its peak that the work reaches, an assumption.
        n_devices: how many work together.
        scaling: how well, 1 if n devices are n times as fast.
    """
    return operations / (peak * share * n_devices * scaling) / 3_600


def forward_flop(network: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Operations of one evaluation for one image, as torch counts them: convolutions and matrix products."""
    network, x, level = _shadow(network, image_shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.output(x, level)
    return counter.get_total_flops()


def saved_numbers(network: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Count the numbers that autograd keeps from one image's forward pass for its backward pass, weights apart."""
    network, x, level = _shadow(network, image_shape)
    weights = {p.untyped_storage()._cdata for p in network.parameters()}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            n = storage.nbytes() // tensor.element_size()
            kept[storage._cdata] = (tensor, n)  # held, so that its address stays its own
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network.output(x, level)
    return sum(n for _, n in kept.values())


def _shadow(network: nn.Module, image_shape: tuple[int, int, int]) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """The network without its numbers, and one image and level for it: nothing is computed, only shapes."""
    meta = copy.deepcopy(network).to("meta").requires_grad_(True)
    return meta, torch.empty(1, *image_shape, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")


@dataclasses.dataclass(frozen=True)
class PublishedRow:
    """One row of the paper's Table 1.

    Attributes:
        model, reference: its name, and whom the paper cites for it.
        conditional: whether the model is told an image's class.
        score: Inception Score.
        score_spread: what stands after its ±, None where nothing does.
        fid: Fréchet Inception Distance, None where the table has a dash.
    """

    model: str
    reference: str
    conditional: bool
    score: float
    score_spread: float | None = None
    fid: float | None = None


def published_table() -> list[PublishedRow]:
    """The eleven rows of Table 1 in its order, unconditional models first; `table1.toml` says how they were checked."""
    table = tomllib.loads((Path(__file__).parent / "table1.toml").read_text(encoding="utf-8"))
    return [
        PublishedRow(conditional=kind == "conditional", **row)
        for kind in ("unconditional", "conditional")
        for row in table[kind]
    ]
