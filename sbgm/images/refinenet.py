"""The paper's network: a RefineNet with dilated convolutions and a norm for each noise level (Appendix A)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbgm.guard import (
    Count,
    Generator,
    Ladder,
    Score,
    Whole,
    against,
    checked,
    count_from,
    require_sigma,
)
from sbgm.images.networks import for_batch, label_tensor, require_images
from sbgm.networks import ScoreNetwork, drawn_from

__all__ = [
    "RefineNet",
    "rescaled",
]


def upsampled(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation with aligned corners, (B, C, H, W) -> (B, C, *size).

    Row j of the result stands at r = j (H − 1)/(size[0] − 1) among the H rows of x, and takes max(0, 1 − |r − i|) of
    each row i; columns alike.
    """
    if x.shape[2:] == size:
        return x
    rows = _linear_interpolation(x.shape[2], size[0], x)
    columns = _linear_interpolation(x.shape[3], size[1], x)
    return rows @ x @ columns.T


def pooled(x: Tensor, width: int = 5) -> Tensor:
    """The mean over width × width pixels around each, with zeros beyond the border, (B, C, H, W) -> (B, C, H, W)."""
    rows = _band(x.shape[2], width // 2, x)
    columns = _band(x.shape[3], width // 2, x)
    return rows @ x @ columns / width**2  # sums first: 1/width is no number of bfloat16


def _linear_interpolation(n_in: int, n_out: int, like: Tensor) -> Tensor:
    """The matrix (n_out, n_in) that takes n_in values at equal distances to n_out from the first to the last."""
    # In whole numbers, which are exact on any device: a matrix from the CPU would be waited for.
    steps = n_out - 1
    positions = torch.arange(n_out, device=like.device) * (n_in - 1)
    distance = (positions[:, None] - torch.arange(n_in, device=like.device) * steps).abs()
    wide = torch.promote_types(like.dtype, torch.float32)
    return ((steps - distance).clamp(min=0).to(wide) / like.new_full((), steps, dtype=wide)).to(like)


def _band(n: int, reach: int, like: Tensor) -> Tensor:
    """The symmetric matrix (n, n) that adds up the values at a distance of at most `reach`."""
    return like.new_ones(n, n).triu(-reach).tril(reach)


EPS = 1e-5


class ConditionalInstanceNorm(nn.Module):
    """Conditional instance normalisation++: γ_i (x̂ + α_i μ̂) + β_i, with a γ, an α and a β for each noise level i.

    x̂ is the instance norm of x. It forgets the mean μ of each channel, and with it brightness and colour, so μ̂, the
    means normalised over the channels, are added back. (The paper writes γ x̂ + β + α μ̂.)

    Args:
        channels: of the input.
        n_levels: L; 1 makes a norm that is the same for every level, for the baseline of Appendix C.1.
        n_classes: whose γ, α and β, at first 0, are added to the level's; one more stands for any class.
    """

    def __init__(self, channels: int, n_levels: int, n_classes: int = 0) -> None:
        super().__init__()
        self.levels = nn.Embedding(n_levels, 3 * channels)
        self.classes = nn.Embedding(n_classes + 1, 3 * channels) if n_classes else None
        if self.classes is not None:
            nn.init.zeros_(self.classes.weight)
        with torch.no_grad():
            gamma_alpha, beta = self.levels.weight.split([2 * channels, channels], dim=1)
            gamma_alpha.normal_(1.0, 0.02)
            beta.zero_()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """(B, C, H, W) and level indices (B,), 0 for σ_1, or (B, 2) with the classes -> (B, C, H, W)."""
        rows = self.levels(level if self.classes is None else level[:, 0])
        if self.classes is not None:
            rows = rows + self.classes(level[:, 1])
        gamma, alpha, beta = rows.chunk(3, dim=1)
        means = x.mean(dim=(2, 3), dtype=gamma.dtype)
        variance, mean = torch.var_mean(means, dim=1, keepdim=True)
        shift = beta + gamma * alpha * (means - mean) / (variance + EPS).sqrt()
        # An instance norm is the batch norm of one example of B·C channels: γ and the shift cost no pass of their own.
        as_one = x.reshape(1, -1, *x.shape[2:])
        normed = functional.batch_norm(as_one, None, None, gamma.flatten(), shift.flatten(), training=True, eps=EPS)
        return normed.reshape(x.shape)


Norm = Callable[[int], ConditionalInstanceNorm]  # makes a norm for a number of channels


class ResidualBlock(nn.Module):
    """Two convolutions plus a shortcut: the encoder's block.

    Args:
        n_in, n_out: channels.
        norm: see `Norm`.
        downsample: halve height and width, by a 2×2 mean after the second convolution and on the shortcut.
        dilation: spacing of the convolutions' taps; above 1 the block sees further without shrinking the image.
        project: give the shortcut a convolution of its own, as the first block of a stage has.
    """

    def __init__(
        self, n_in: int, n_out: int, norm: Norm, *, downsample: bool = False, dilation: int = 1, project: bool = False
    ) -> None:
        super().__init__()
        hidden = n_in if downsample else n_out
        self.norm1 = norm(n_in)
        self.norm2 = norm(hidden)
        self.conv1 = nn.Conv2d(n_in, hidden, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(hidden, n_out, 3, padding=dilation, dilation=dilation)
        self.pool = nn.AvgPool2d(2) if downsample else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if downsample:
            self.shortcut = nn.Conv2d(n_in, n_out, 1)
        elif project:
            self.shortcut = nn.Conv2d(n_in, n_out, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """(B, n_in, H, W) -> (B, n_out, H, W), or half of H and W."""
        h = self.conv1(functional.elu(self.norm1(x, level), inplace=True))
        h = self.conv2(functional.elu(self.norm2(h, level), inplace=True))
        return self.pool(h) + self.pool(self.shortcut(x))


class ResidualConvUnit(nn.Module):
    """RefineNet's adaptive convolution (RCU): blocks of two convolutions, each with a shortcut around it."""

    def __init__(self, channels: int, norm: Norm, n_blocks: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norm(channels) for _ in range(2 * n_blocks))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2 * n_blocks))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        for i in range(0, len(self.convs), 2):
            h = self.convs[i](functional.elu(self.norms[i](x, level), inplace=True))
            x = x + self.convs[i + 1](functional.elu(self.norms[i + 1](h, level), inplace=True))
        return x


class MultiResolutionFusion(nn.Module):
    """RefineNet's fusion (MSF): brings feature maps to one width and one size, and adds them."""

    def __init__(self, n_in: Sequence[int], n_out: int, norm: Norm) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norm(n) for n in n_in)
        self.convs = nn.ModuleList(nn.Conv2d(n, n_out, 3, padding=1) for n in n_in)

    def forward(self, maps: Sequence[Tensor], level: Tensor, size: tuple[int, int]) -> Tensor:
        """Feature maps (B, n_in[i], H_i, W_i) -> (B, n_out, *size)."""
        total = torch.zeros((), dtype=maps[0].dtype, device=maps[0].device)
        for x, norm, conv in zip(maps, self.norms, self.convs, strict=True):
            total = total + upsampled(conv(norm(x, level)), size)
        return total


class ChainedPooling(nn.Module):
    """RefineNet's chained residual pooling (CRP): pools again and again, adding up what each stage makes of it.

    The pooling is an average over 5×5 (RefineNet's own is a maximum).
    """

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norm(channels) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        stage = functional.elu(x)
        total = stage
        for norm, conv in zip(self.norms, self.convs, strict=True):
            stage = conv(pooled(norm(stage, level)))
            total = total + stage
        return total


class RefineBlock(nn.Module):
    """The decoder's block: convolve each input, fuse them, pool in a chain, convolve the result.

    Args:
        n_in: channels of each input: the encoder's map, and the coarser refined one where there is one.
        n_out: channels out.
        norm: see `Norm`.
        n_output_blocks: blocks of the last convolution unit, 1, or 3 in the network's last refine block.
    """

    def __init__(self, n_in: Sequence[int], n_out: int, norm: Norm, *, n_output_blocks: int = 1) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(ResidualConvUnit(n, norm, 2) for n in n_in)
        self.fusion = MultiResolutionFusion(n_in, n_out, norm) if len(n_in) > 1 else None
        self.pooling = ChainedPooling(n_out, norm)
        self.output = ResidualConvUnit(n_out, norm, n_output_blocks)

    def forward(self, maps: Sequence[Tensor], level: Tensor) -> Tensor:
        """Feature maps, the first of which gives the size -> (B, n_out, H, W)."""
        hidden = [unit(x, level) for unit, x in zip(self.inputs, maps, strict=True)]
        x = hidden[0] if self.fusion is None else self.fusion(hidden, level, maps[0].shape[2:])
        return self.output(self.pooling(x, level), level)


class RefineNet(ScoreNetwork):
    """NCSN: the noise conditional score network s_θ(x, σ) of Section 4 for images in [0, 1].

    An encoder of four stages (the second halves the image, the last two widen their view by dilation 2 and 4), and four
    refine blocks that lead back from the last stage to the first. σ must be a level of the ladder; it selects the
    parameters of the norms. The output is not divided by σ, unless asked for. `rescaled` takes the network to other σ.

    Args:
        sigmas: the ladder σ_1 > … > σ_L, a tensor or a list, that the network is trained on.
        channels: C, an int ≥ 2, 64 for MNIST and 128 for CelebA and CIFAR-10 in the paper. (Norms compare channels.)
        image_channels: an int, 1 for grey images, 3 for colour.
        conditional: False gives the norms one set of parameters for all levels (the baseline of Appendix C.1).
        divide_by_sigma: divide the output by σ, as NCSNv2 does (Song & Ermon 2020, technique 3). Without `conditional`
            the network then takes any σ > 0.
        n_classes: an int, the classes that a label can name, 0 … n_classes − 1; n_classes is any. The paper has 0.
        generator: source of the initial weights; None takes torch's global one.

    Example:
        >>> network = sbgm.RefineNet(
        ...     [1.0, 0.5], channels=8, image_channels=1, generator=torch.Generator().manual_seed(0)
        ... )
        >>> network(torch.zeros(2, 1, 8, 8), 0.5).shape
        torch.Size([2, 1, 8, 8])
        >>> network(torch.zeros(2, 1, 8, 8), 0.25)
        Traceback (most recent call last):
        ValueError: sigma must be a level of the network's ladder [1.0, 0.5], got 0.25
    """

    @checked
    def __init__(
        self,
        sigmas: Ladder,
        channels: Annotated[int, count_from(2)] = 128,
        image_channels: Count = 3,
        *,
        conditional: bool = True,
        divide_by_sigma: bool = False,
        n_classes: Whole = 0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            sigmas,
            channels=channels,
            image_channels=image_channels,
            conditional=conditional,
            divide_by_sigma=divide_by_sigma,
            **({"n_classes": n_classes} if n_classes else {}),  # which files of before there were classes lack
        )
        self.n_classes = n_classes
        self.takes_any_sigma = not conditional
        self.divide_by_sigma = divide_by_sigma
        c = channels

        def norm(n: int) -> ConditionalInstanceNorm:
            return ConditionalInstanceNorm(n, len(sigmas) if conditional else 1, n_classes)

        with drawn_from(generator):
            self.begin = nn.Conv2d(image_channels, c, 3, padding=1)
            stages = [
                [ResidualBlock(c, c, norm), ResidualBlock(c, c, norm)],
                [ResidualBlock(c, 2 * c, norm, downsample=True), ResidualBlock(2 * c, 2 * c, norm)],
            ]
            for dilation in (2, 4):  # these see further without making the image smaller
                first = ResidualBlock(2 * c, 2 * c, norm, dilation=dilation, project=True)
                stages.append([first, ResidualBlock(2 * c, 2 * c, norm, dilation=dilation)])
            self.stages = nn.ModuleList(map(nn.ModuleList, stages))
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

    def forward(self, x: Tensor, sigma: float | Tensor, label: int | Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) with even H and W, σ a level of the ladder or (B,) levels -> scores of x's shape.

        A label, a number or (B,), names the class; None is any. A σ off the ladder is an error.
        """
        require_images(x, self, self.begin.in_channels, multiple=2)
        std = require_sigma(sigma, x, positive=True, waits=False)
        level = x.new_zeros(len(x), dtype=torch.long) if self.takes_any_sigma else self.level(x, sigma)
        index = label_tensor(label, x, self.n_classes)
        if self.n_classes:
            level = torch.stack([level, index], dim=1)
        output = self.output(x, level)
        return output / std if self.divide_by_sigma else output

    def output(self, x: Tensor, level: Tensor) -> Tensor:
        """The layers on images and level indices, as the norms take them: what `torch.compile` can take as a whole."""
        h = self.begin(2 * x - 1)
        maps = []
        for first, second in self.stages:  # pyright: ignore[reportGeneralTypeIssues] - a ModuleList each
            h = second(first(h, level), level)
            maps.append(h)
        refined = self.refines[0]([maps.pop()], level)
        for refine in self.refines[1:]:
            refined = refine([maps.pop(), refined], level)
        return self.end(functional.elu(self.norm(refined, level), inplace=True))

    def level(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The index in the ladder of each example's σ, 0 for σ_1: (B,)."""
        levels = torch.as_tensor(sigma).to(self.sigmas.dtype).reshape(-1)
        ladder = self.sigmas
        if levels.device.type == "cpu":  # such as a float, which is looked up where no one waits
            ladder = levels.new_tensor(self.ladder)
        distance, index = (levels[:, None] / ladder - 1).abs().min(dim=1)
        # NaN, or more than rounding: another level's norms would be taken in silence
        if not bool((distance <= 1e-3).all()):
            off = float(levels[distance.argmax()])
            raise ValueError(f"sigma must be a level of the network's ladder {self.ladder}, got {off:g}")
        return for_batch(index, x)


@checked
def rescaled(network: Score) -> Score:
    """Continue a network's scores from its ladder to every σ > 0: s(x, σ) = s(x, σ_i) σ_i/σ, with σ_i nearest in ratio.

    It is the ‖s‖ ∝ 1/σ of Section 4.2 taken at its word: exact where x/σ is all that the score sees, an approximation
    elsewhere, and no more than that beyond the ends of the ladder.

    Args:
        network: s(x, sigma) with its ladder in `sigmas`.

    Returns:
        A score that takes σ > 0, a float or (B,).

    Raises:
        TypeError: the network has no ladder.

    Example:
        >>> network, x = sbgm.RefineNet([1.0, 0.5], channels=8, image_channels=1), torch.zeros(2, 1, 8, 8)
        >>> torch.allclose(sbgm.rescaled(network)(x, 0.25), 2 * network(x, 0.5))  # half the σ, twice the score
        True
    """
    ladder = getattr(network, "sigmas", None)
    if not isinstance(ladder, Tensor):
        raise TypeError(f"network must have its ladder in `sigmas`, and {type(network).__name__} has none")
    on_cpu = ladder.cpu()

    def score(x: Tensor, sigma: float | Tensor, *label: int | Tensor) -> Tensor:
        std = require_sigma(sigma, x, positive=True)
        if isinstance(std, Tensor):
            level = std.reshape(-1)
            sigmas = ladder.to(x)
        else:  # looked up where no one waits
            level = torch.tensor(std, dtype=x.dtype, device="cpu")
            sigmas = on_cpu.to(x.dtype)
        index = (level[..., None] / sigmas).log().abs().argmin(dim=-1)
        nearest = sigmas[index]
        ratio = nearest / level
        return network(x, nearest.expand(len(x)) if nearest.ndim else float(nearest), *label) * against(ratio, x)

    return score
