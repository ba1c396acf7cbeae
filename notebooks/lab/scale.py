"""The cost of a run, in operations and hours."""

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sbgm.checked import Count, Positive, checked
from sbgm.train.images import NCSN


class FullRun(NamedTuple):
    """The work of a training and of its samples.

    Attributes:
        forward: operations of one evaluation for one image, a multiplication and an addition counted as two.
        training: of all steps, three evaluations an image: one forward, and twice as much backward.
        sampling: of the samples.
    """

    forward: float
    training: float
    sampling: float


@checked
def full_run(
    settings: NCSN, image_shape: tuple[int, int, int], *, n_samples: Count, n_evaluations: Count = 1_000
) -> FullRun:
    """Count what a run of these settings takes.

    Args:
        settings: such as `NCSN.of_scale("cifar10", "paper")`.
        image_shape: (C, H, W).
        n_samples: images drawn afterwards.
        n_evaluations: of the network for each, 1,000 for Algorithm 1 as in the paper.
    """
    forward, training = forward_flop(settings.network(image_shape), image_shape), settings.training
    return FullRun(
        forward=forward,
        training=3.0 * forward * training.batch_size * training.n_steps,
        sampling=float(forward) * n_samples * n_evaluations,
    )


@checked
def hours(operations: float, *, peak: Positive, share: Positive) -> float:
    """Hours that so many operations take at a share of a device's peak rate.

    Args:
        operations: floating-point operations.
        peak: of the device, operations a second.
        share: of its peak that the work reaches, an assumption.
    """
    return operations / (peak * share) / 3_600


def forward_flop(network: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Operations of one evaluation for one image, as torch counts them: convolutions and matrix products.

    Nothing is computed: the network is moved to the device "meta", which knows shapes alone.
    """
    x, level = torch.empty(1, *image_shape, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.to("meta").output(x, level)
    return counter.get_total_flops()
