"""What the paper's training does to a batch of images: dequantisation, and horizontal flips."""

from __future__ import annotations

import torch
from torch import Tensor

from sbgm.checked import check_batch, check_generator


def dequantise(x: Tensor, *, generator: torch.Generator) -> Tensor:
    """Spread each of the 256 grey values evenly over its own 1/256 of [0, 1].

        x · 255/256 + u/256,  u ~ U[0, 1)                 (the authors' code)

    A pixel k/255 becomes (k + u)/256, so that the density of the data has no spikes.

    Args:
        x: (B, C, H, W) images in [0, 1].
        generator: source of u.

    Returns:
        (B, C, H, W) images in [0, 1].

    Raises:
        ValueError, TypeError: x is no batch of images in [0, 1].
    """
    u = torch.rand(_check_images(x).shape, generator=check_generator(generator), device=generator.device, dtype=x.dtype)
    return (x * 255 + u.to(x.device)) / 256


def random_flip(x: Tensor, *, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability ½, as the authors do on CelebA and CIFAR-10.

    Args:
        x: (B, C, H, W) images in [0, 1].
        generator: decides which.

    Returns:
        (B, C, H, W) images.

    Raises:
        ValueError, TypeError: x is no batch of images in [0, 1].
    """
    u = torch.rand(len(_check_images(x)), 1, 1, 1, generator=check_generator(generator), device=generator.device)
    return torch.where((u < 0.5).to(x.device), x.flip(-1), x)


def _check_images(x: Tensor) -> Tensor:
    if check_batch(x).ndim != 4:
        raise ValueError(f"x must be images of shape (B, C, H, W), got shape {tuple(x.shape)}")
    low, high = (float(bound) for bound in x.detach().aminmax())
    if low < 0 or high > 1:
        raise ValueError(f"x must be images in [0, 1], got values from {low:g} to {high:g}")
    return x
