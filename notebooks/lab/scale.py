"""The cost of a run, in operations, hours and bytes."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sbgm.checked import Count, Positive, checked
from sbgm.train.images import NCSN
from sbgm.training import n_parameters

__all__ = [
    "GPUS",
    "FullRun",
    "forward_flop",
    "full_run",
    "gpu_hour_table",
    "hours",
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


TRAINING_SHARE = 5 / 6
"""Of the minutes of `make gpu-hour`, those in which it trains; in the rest it draws and measures."""
ASSUMED_SHARE = 0.3


GPUS = {"T4, fp32": (8.1e12, 32), "A100, bf16": (312e12, 128), "H100, bf16": (989e12, 128)}
"""GPUs with the arithmetic of a training: operations a second for dense matrices, as the maker states them, and C, the
widest network for an hour. A T4 has no bfloat16, and its 65e12 in float16 are not used.
"""


def gpu_hour_table() -> str:
    """Estimate what `make gpu-hour` gets out of each of GPUS, from counted operations, as a Markdown table.

    An hour, of which it trains TRAINING_SHARE, and 10,000 samples of 50 evaluations.
    """
    minutes, n_samples, n_evaluations = 60, 10_000, 50
    said = f"GPU, at {100 * ASSUMED_SHARE:.0f} % of its peak", "C", f"steps in {TRAINING_SHARE * minutes:.0f} minutes"
    heads = *said, "each image is seen", f"{n_samples:,} samples of {n_evaluations} evaluations take"
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, (peak, channels) in GPUS.items():
        settings = dataclasses.replace(NCSN.of_scale("cifar10", "gpu"), channels=channels)
        work = full_run(settings, (3, 32, 32), n_samples=n_samples, n_evaluations=n_evaluations)
        training, drawing = (60 * hours(x, peak=peak, share=ASSUMED_SHARE) for x in (work.training, work.sampling))
        steps = round(settings.training.n_steps * TRAINING_SHARE * minutes / training, -2)
        times = steps * settings.training.batch_size / 50_000
        cells = f"{name}, {peak / 1e12:.3g} TFLOP/s", channels, f"{steps:,.0f}", f"{times:.0f} times"
        lines.append(f"| {' | '.join(map(str, cells))} | {drawing:.1f} minutes |")
    return "\n".join(lines)


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
    kept = {}  # tensors are held, so that the address of each stays its own

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network.output(x, level)
    sizes = {address: t.untyped_storage().nbytes() // t.element_size() for address, t in kept.items()}
    return sum(n for address, n in sizes.items() if address not in weights)


def _shadow(network: nn.Module, image_shape: tuple[int, int, int]) -> tuple[nn.Module, Tensor, Tensor]:
    """The network without its numbers, and one image and level for it: nothing is computed, only shapes."""
    meta = copy.deepcopy(network).to("meta").requires_grad_(True)
    return meta, torch.empty(1, *image_shape, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
