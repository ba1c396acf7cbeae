"""A multilayer perceptron for small images: a noise conditional score network that trains in half a minute on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbgm._validate import check_choice, check_count, check_floating, check_shape, check_sigma, check_sigmas
from sbgm.networks.mlp import linear

NORMS = ("layer", "none")
N_WAVES = 8  # that describe log σ


class ResidualMLPBlock(nn.Module):
    """h + W₂ silu(W₁ norm(h) + V f): a correction of h that depends on the noise level through its features f.

    Args:
        width: length of h.
        norm: "layer" brings h to mean 0 and variance 1 first (layer norm), "none" takes it as it is.
        generator: source of the initial weights; None takes torch's global one.
    """

    def __init__(self, width: int, norm: str = "layer", *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm == "layer" else nn.Identity()
        self.first = linear(width, width, generator)
        self.level = linear(2 * N_WAVES, width, generator)
        self.second = linear(width, width, generator)

    def forward(self, h: Tensor, features: Tensor) -> Tensor:
        """(B, width) and (B, 2·N_WAVES) -> (B, width)."""
        return h + self.second(functional.silu(self.first(self.norm(h)) + self.level(features)))


class ImageMLP(nn.Module):
    """A noise conditional score s(x, σ) of small images without a convolution: pixels in, one score a pixel out.

    x is mapped to (2x − 1)/√(1 + 4σ²), about the same size at every σ, and goes through a linear layer, residual
    blocks and a linear layer that is zero at the start. Two choices are not the paper's: σ enters through sines and
    cosines of log σ, so that any σ > 0 will do, and the output is divided by σ, as NCSNv2 does (Song & Ermon 2020).

    Args:
        sigmas: the ladder σ_1 > … > σ_L that the network is trained on; it is kept, and limits nothing.
        image_shape: (C, H, W).
        width: units in a hidden layer.
        n_blocks: residual blocks, of two layers each.
        norm: "layer" or "none", see `ResidualMLPBlock`.
        generator: source of the initial weights; None takes torch's global one.

    Raises:
        ValueError: sigmas is no descending ladder, or image_shape is not (C, H, W).
    """

    takes_any_sigma = True

    def __init__(
        self,
        sigmas: Tensor | Sequence[float],
        image_shape: Sequence[int] = (1, 8, 8),
        width: int = 256,
        n_blocks: int = 3,
        norm: str = "layer",
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_choice(norm, "norm", NORMS)
        self.image_shape = check_shape(image_shape, "image_shape")
        if len(self.image_shape) != 3:
            raise ValueError(f"image_shape must be (C, H, W), got {tuple(image_shape)}")
        self.register_buffer("sigmas", torch.tensor(check_sigmas(sigmas)))
        self.register_buffer("frequencies", torch.logspace(-0.5, 0.5, N_WAVES), persistent=False)
        self.arguments = {"image_shape": list(self.image_shape), "width": width, "n_blocks": n_blocks, "norm": norm}

        n_pixels = math.prod(self.image_shape)
        self.begin = linear(n_pixels, check_count(width, "width"), generator)
        self.blocks = nn.ModuleList(
            ResidualMLPBlock(width, norm, generator=generator) for _ in range(check_count(n_blocks, "n_blocks"))
        )
        self.norm = nn.LayerNorm(width) if norm == "layer" else nn.Identity()
        self.end = nn.utils.skip_init(nn.Linear, width, n_pixels)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Images (B, C, H, W) of the network's shape, σ > 0 a float or (B,) -> scores of x's shape.

        Raises:
            ValueError, TypeError: x has another shape or is not of floating-point numbers, or a σ is not positive.
        """
        if check_floating(x).shape[1:] != self.image_shape:
            raise ValueError(f"x must be images (B, {', '.join(map(str, self.image_shape))}), got {tuple(x.shape)}")
        sigma = torch.as_tensor(check_sigma(sigma, x, positive=True), dtype=x.dtype, device=x.device)
        sigma = sigma.reshape(-1, 1).expand(len(x), 1)
        waves = sigma.log() * self.frequencies
        features = torch.cat([waves.sin(), waves.cos()], dim=1)
        h = self.begin((2 * x.flatten(1) - 1) / (1 + 4 * sigma**2).sqrt())
        for block in self.blocks:
            h = block(h, features)
        return (self.end(functional.silu(self.norm(h))) / sigma).reshape(x.shape)
