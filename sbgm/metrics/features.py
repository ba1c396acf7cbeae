"""From images to features, in batches; and images as they are shown, clamped and of 256 shades."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sbgm._validate import check_batch, check_callable, check_count


def quantise(images: Tensor) -> Tensor:
    """Images of 256 shades, uint8: ⌊256 x⌋ clamped to 0 … 255.

    It undoes `dequantise`: both a pixel k/255 of a data set and its dequantised (k + u)/256 become k.

    Args:
        images: (B, *shape), of which what lies outside [0, 1] is clamped, such as samples as a sampler left them.
    """
    return (256 * check_batch(images, "images")).floor().clamp(0, 255).to(torch.uint8)


def shown(images: Tensor) -> Tensor:
    """Images as they would be shown or saved, in [0, 1] in steps of 1/255: `quantise(images)/255`."""
    return quantise(images).to(images.dtype) / 255


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, batch_size: int = 250) -> Tensor:
    """A function of a batch of images applied to any number of them; the results are put together on the CPU.

    Such as `in_batches(load_classifier().features, shown(samples))`, (N, F).

    Args:
        function: (B, *shape) -> (B, …).
        images: (N, *shape), N ≥ 1.
        batch_size: images in one call.
    """
    check_callable(function, "function", "images")
    batches = check_batch(images, "images").split(check_count(batch_size, "batch_size"))
    return torch.cat([function(batch).cpu() for batch in batches])
