"""Masks for inpainting: boolean tensors, True where a pixel is known, that broadcast over a batch of images."""

from __future__ import annotations

import torch

from sbgm.checked import check_choice, check_generator, check_inside, check_shape

__all__ = [
    "centre_box",
    "make_mask",
    "random_mask",
    "right_half",
]

KINDS = ("right-half", "centre-box", "random")


def right_half(shape: tuple[int, ...]) -> torch.Tensor:
    """The right half is unknown (Fig. 6): the left W//2 columns are known, in all channels.

    Args:
        shape: (…, H, W) of an image.

    Returns:
        (1, H, W) boolean.
    """
    height, width = _size(shape)
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[..., : width // 2] = True
    return mask


def centre_box(shape: tuple[int, ...], fraction: float = 0.5) -> torch.Tensor:
    """A box in the middle is unknown, whose height and width are `fraction` of the image's, rounded.

    Args:
        shape: (…, H, W) of an image.
        fraction: in (0, 1).

    Returns:
        (1, H, W) boolean.
    """
    height, width = _size(shape)
    check_inside(fraction, "fraction")
    rows, columns = round(fraction * height), round(fraction * width)
    top, left = (height - rows) // 2, (width - columns) // 2
    mask = torch.ones(1, height, width, dtype=torch.bool)
    mask[..., top : top + rows, left : left + columns] = False
    return mask


def random_mask(shape: tuple[int, ...], fraction: float = 0.5, *, generator: torch.Generator) -> torch.Tensor:
    """Pixels are unknown at random, a share `fraction` of them, rounded to a whole number; all channels alike.

    Args:
        shape: (…, H, W) of an image.
        fraction: of unknown pixels, in (0, 1).
        generator: chooses which.

    Returns:
        (1, H, W) boolean.
    """
    height, width = _size(shape)
    check_inside(fraction, "fraction")
    check_generator(generator)
    mask = torch.ones(height * width, dtype=torch.bool)
    order = torch.randperm(height * width, generator=generator, device=generator.device).cpu()
    mask[order[: round(fraction * height * width)]] = False
    return mask.reshape(1, height, width)


def make_mask(kind: str, shape: tuple[int, ...], *, generator: torch.Generator) -> torch.Tensor:
    """The mask of that name, "right-half", "centre-box" or "random", with the defaults above."""
    check_choice(kind, "kind", KINDS)
    check_generator(generator)
    if kind == "random":
        return random_mask(shape, generator=generator)
    return right_half(shape) if kind == "right-half" else centre_box(shape)


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(check_shape(shape)) < 2 or min(shape[-2:]) < 2:
        raise ValueError(f"shape must be (…, H, W) with H and W at least 2, got {tuple(shape)}")
    return shape[-2], shape[-1]
