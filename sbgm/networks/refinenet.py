"""The noise conditional score network for images: a RefineNet with dilated convolutions (Appendix A)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbgm._validate import check_callable, check_count, check_floating, check_sigma, check_sigmas
from sbgm.losses import Score
from sbgm.networks.refinenet_blocks import ConditionalInstanceNorm, RefineBlock, ResidualBlock


class RefineNet(nn.Module):
    """NCSN: the noise conditional score network s_θ(x, σ) of Section 4 for images in [0, 1].

    An encoder of four stages (the second halves the image, the last two widen their view by dilation 2 and 4), and four
    refine blocks that lead back from the last stage to the first. σ must be a level of the ladder; it selects the
    parameters of the norms. The output is not divided by σ, unless asked for. `rescaled` takes the network to other σ.

    Args:
        sigmas: the ladder σ_1 > … > σ_L that the network is trained on.
        channels: C, 64 for MNIST and 128 for CelebA and CIFAR-10 in the paper.
        image_channels: 1 for grey images, 3 for colour.
        conditional: False gives the norms one set of parameters for all levels (the baseline of Appendix C.1).
        divide_by_sigma: divide the output by σ, as NCSNv2 does (Song & Ermon 2020, technique 3). Without `conditional`
            the network then takes any σ > 0.

    Raises:
        ValueError: sigmas is no descending ladder.
    """

    def __init__(
        self,
        sigmas: Tensor | Sequence[float],
        channels: int = 128,
        image_channels: int = 3,
        *,
        conditional: bool = True,
        divide_by_sigma: bool = False,
    ) -> None:
        super().__init__()
        c = check_count(channels, "channels")
        ladder = check_sigmas(sigmas)
        self.register_buffer("sigmas", torch.tensor(ladder))
        self.arguments = {
            "channels": c,
            "image_channels": check_count(image_channels, "image_channels"),
            "conditional": conditional,
            "divide_by_sigma": divide_by_sigma,
        }

        def norm(n: int) -> ConditionalInstanceNorm:
            return ConditionalInstanceNorm(n, len(ladder) if conditional else 1)

        self.conditional, self.divide_by_sigma = conditional, divide_by_sigma
        self.begin = nn.Conv2d(image_channels, c, 3, padding=1)
        self.stages = nn.ModuleList(
            nn.ModuleList(blocks)
            for blocks in (
                [ResidualBlock(c, c, norm), ResidualBlock(c, c, norm)],
                [ResidualBlock(c, 2 * c, norm, downsample=True), ResidualBlock(2 * c, 2 * c, norm)],
                [
                    ResidualBlock(2 * c, 2 * c, norm, dilation=2, project=True),
                    ResidualBlock(2 * c, 2 * c, norm, dilation=2),
                ],
                [
                    ResidualBlock(2 * c, 2 * c, norm, dilation=4, project=True),
                    ResidualBlock(2 * c, 2 * c, norm, dilation=4),
                ],
            )
        )
        self.refines = nn.ModuleList(
            [
                RefineBlock([2 * c], 2 * c, norm),
                RefineBlock([2 * c, 2 * c], 2 * c, norm),
                RefineBlock([2 * c, 2 * c], c, norm),
                RefineBlock([c, c], c, norm, n_output_blocks=3),
            ]
        )
        self.norm = norm(c)
        self.end = nn.Conv2d(c, image_channels, 3, padding=1)

    @property
    def takes_any_sigma(self) -> bool:
        """Whether σ may lie off the ladder; `rescaled` takes the network there if not."""
        return not self.conditional

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Images (B, C, H, W) with even H and W, σ a level of the ladder or (B,) levels -> scores of x's shape.

        Raises:
            ValueError, TypeError: x has another number of channels, an odd height or width, or no floating-point
                numbers, or a σ is not on the ladder.
        """
        if check_floating(x).ndim != 4 or x.shape[2] % 2 or x.shape[3] % 2:
            raise ValueError(f"x must be images (B, C, H, W) with even H and W, got shape {tuple(x.shape)}")
        if x.shape[1] != self.begin.in_channels:
            raise ValueError(f"x must have {self.begin.in_channels} channels, got shape {tuple(x.shape)}")
        if self.conditional:
            output = self.output(x, self.level(x, sigma))
        else:
            output = self.output(x, x.new_zeros(len(x), dtype=torch.long))
        return output / check_sigma(sigma, x, positive=True) if self.divide_by_sigma else output

    def output(self, x: Tensor, level: Tensor) -> Tensor:
        """What the layers make of images and level indices (B,): the part that `torch.compile` can take as a whole."""
        h, maps = self.begin(2 * x - 1), []
        for stage in self.stages:
            for block in stage:
                h = block(h, level)
            maps.append(h)
        refined = self.refines[0]([maps.pop()], level)
        for refine in self.refines[1:]:
            refined = refine([maps.pop(), refined], level)
        return self.end(functional.elu(self.norm(refined, level), inplace=True))

    def level(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The index in the ladder of each example's σ, 0 for σ_1: (B,)."""
        wanted = torch.as_tensor(check_sigma(sigma, x, positive=True), device=x.device, dtype=self.sigmas.dtype)
        wanted = wanted.reshape(-1).expand(len(x))
        distance, index = (wanted[:, None] / self.sigmas - 1).abs().min(dim=1)
        if bool((distance > 1e-3).any()):
            off = float(wanted[distance.argmax()])
            raise ValueError(f"sigma must be a level of the network's ladder {self.sigmas.tolist()}, got {off:g}")
        return index


def rescaled(network: nn.Module) -> Score:
    """Continue a network's scores from its ladder to every σ > 0: s(x, σ) = s(x, σ_i) σ_i/σ, with σ_i nearest in ratio.

    It is the ‖s‖ ∝ 1/σ of Section 4.2 taken at its word: exact where x/σ is all that the score sees, an approximation
    elsewhere, and no more than that beyond the ends of the ladder.

    Args:
        network: s(x, sigma) with its ladder in `sigmas`.

    Returns:
        A score that takes σ > 0, a float or (B,).

    Raises:
        TypeError: the network can't be called, or has no ladder.
    """
    if not isinstance(getattr(check_callable(network, "network"), "sigmas", None), Tensor):
        raise TypeError(f"network must have its ladder in `sigmas`, and {type(network).__name__} has none")

    def score(x: Tensor, sigma: float | Tensor) -> Tensor:
        wanted = torch.as_tensor(check_sigma(sigma, x, positive=True), device=x.device, dtype=x.dtype).reshape(-1)
        sigmas = network.sigmas.to(x)
        nearest = sigmas[(wanted[:, None] / sigmas).log().abs().argmin(dim=1)].expand(len(x))
        ratio = (nearest / wanted).reshape(-1, *[1] * (x.ndim - 1))
        return network(x, nearest) * ratio

    return score
