"""What samples must beat: a Gaussian with the data's mean and full covariance."""

from __future__ import annotations

import torch
from torch import Tensor

from sbgm._validate import check_batch, check_count, check_generator
from sbgm.metrics.features import shown


class GaussianBaseline:
    """N(m, C) with the mean m and covariance C of a set of images: it knows every pair of pixels and nothing more.

    Args:
        images: (N, *shape) in [0, 1], N ≥ 2; fewer images than pixels give samples in the images' span.
        block_size: images in float64 at once.

    Attributes:
        mean: (D,) float64.
        root: (D, D) float64, a matrix R with R Rᵀ = C.
        shape: of one image.
    """

    def __init__(self, images: Tensor, *, block_size: int = 5_000) -> None:
        n = len(check_batch(images, "images"))
        if n < 2:
            raise ValueError(f"images must hold at least two for a covariance, got {n}")
        check_count(block_size, "block_size")
        self.shape = tuple(images.shape[1:])
        blocks = images.flatten(1).split(block_size)
        self.mean = sum(block.sum(dim=0, dtype=torch.float64) for block in blocks) / n
        covariance = torch.zeros(len(self.mean), len(self.mean), dtype=torch.float64)
        for block in blocks:
            centred = block.double() - self.mean
            covariance += centred.T @ centred / (n - 1)
        values, vectors = torch.linalg.eigh(covariance)
        self.root = vectors * values.clamp(min=0).sqrt()

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n images as they would be shown, clamped to [0, 1] and of 256 shades: (n, *shape) float32."""
        z = torch.randn(
            check_count(n, "n"), len(self.mean), generator=check_generator(generator), device=generator.device
        )
        x = self.mean + z.cpu().double() @ self.root.T
        return shown(x.float()).reshape(n, *self.shape)
