"""Masks for inpainting: boolean tensors, True where a pixel is known, that broadcast over a batch of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sbgm.guard import Fraction, Generator, Shape, checked

__all__ = [
    "centre_box",
    "random_mask",
    "right_half",
]


@checked
def right_half(shape: Shape) -> torch.Tensor:
    """The right half is unknown (Fig. 6): the left W//2 columns are known, in all channels.

    Args:
        shape: that of an image, (…, H, W).

    Returns:
        (1, H, W) boolean.

    Example:
        >>> sbgm.images.masks.right_half((2, 4)).int().tolist()
        [[[1, 1, 0, 0], [1, 1, 0, 0]]]
    """
    height, width = _size(shape)
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[..., : width // 2] = True
    return mask


@checked
def centre_box(shape: Shape, fraction: Fraction = 0.5) -> torch.Tensor:
    """A box in the middle is unknown, whose height and width are `fraction` of the image's, rounded.

    Args:
        shape: that of an image, (…, H, W).
        fraction: the part of the height and of the width that the box takes, a float in (0, 1).

    Returns:
        (1, H, W) boolean.

    Example:
        >>> sbgm.images.masks.centre_box((4, 4)).int().tolist()
        [[[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]]
    """
    height, width = _size(shape)
    rows = round(float(fraction) * height)
    columns = round(float(fraction) * width)
    top = (height - rows) // 2
    left = (width - columns) // 2
    mask = torch.ones(1, height, width, dtype=torch.bool)
    mask[..., top : top + rows, left : left + columns] = False
    return mask


@checked
def random_mask(shape: Shape, fraction: Fraction = 0.5, *, generator: Generator) -> torch.Tensor:
    """Pixels are unknown at random, a share `fraction` of them, rounded to a whole number; all channels alike.

    Args:
        shape: that of an image, (…, H, W).
        fraction: the share of unknown pixels, a float in (0, 1).
        generator: chooses the known pixels.

    Returns:
        (1, H, W) boolean.

    Example:
        >>> mask = sbgm.images.masks.random_mask((3, 8, 8), fraction=0.25, generator=torch.Generator().manual_seed(0))
        >>> mask.shape, int((~mask).sum())  # a quarter of 64 pixels
        (torch.Size([1, 8, 8]), 16)
    """
    height, width = _size(shape)
    n_unknown = round(float(fraction) * height * width)
    order = torch.randperm(height * width, generator=generator, device=generator.device).cpu()
    mask = torch.ones(height * width, dtype=torch.bool)
    mask[order[:n_unknown]] = False
    return mask.reshape(1, height, width)


def _size(shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) < 2 or min(shape[-2:]) < 2:
        raise ValueError(f"shape must be (…, H, W) with H and W at least 2, got {shape}")
    return shape[-2], shape[-1]
