"""The blocks of the RefineNet with dilated convolutions (Appendix A): its norm, the encoder's block and the decoder's.

Where the paper and the authors' code differ this follows the code, whose parameter counts it has. Every block applies
its layers in the order norm → ELU → convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbgm.networks.resampling import pooled, upsampled

EPS = 1e-5


class ConditionalInstanceNorm(nn.Module):
    """Conditional instance normalisation++: γ_i (x̂ + α_i μ̂) + β_i, with a γ, an α and a β for each noise level i.

    x̂ is the instance norm of x. It forgets the mean μ of each channel, and with it brightness and colour, so μ̂, the
    means normalised over the channels, are added back. (The paper writes γ x̂ + β + α μ̂.)

    Args:
        channels: of the input.
        n_levels: L; 1 makes a norm that is the same for every level, for the baseline of Appendix C.1.
    """

    def __init__(self, channels: int, n_levels: int) -> None:
        super().__init__()
        self.levels = nn.Embedding(n_levels, 3 * channels)
        with torch.no_grad():
            self.levels.weight[:, : 2 * channels].normal_(1.0, 0.02)  # γ and α
            self.levels.weight[:, 2 * channels :].zero_()  # β

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """(B, C, H, W) and level indices (B,), 0 for σ_1 -> (B, C, H, W)."""
        gamma, alpha, beta = self.levels(level).chunk(3, dim=1)
        means = x.mean(dim=(2, 3), dtype=gamma.dtype)
        variance, mean = torch.var_mean(means, dim=1, keepdim=True)
        shift = beta + gamma * alpha * (means - mean) / (variance + EPS).sqrt()
        # An instance norm is the batch norm of one example of B·C channels: γ and the shift cost no pass of their own.
        one = x.reshape(1, -1, *x.shape[2:])
        normed = functional.batch_norm(one, None, None, gamma.flatten(), shift.flatten(), training=True, eps=EPS)
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
        self.norm1, self.norm2 = norm(n_in), norm(hidden)
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
        total = 0
        for x, norm, conv in zip(maps, self.norms, self.convs, strict=True):
            total = total + upsampled(conv(norm(x, level)), size)
        return total


class ChainedPooling(nn.Module):
    """RefineNet's chained residual pooling (CRP): pools again and again, adding up what each stage makes of it.

    The pooling is an average over 5×5 (RefineNet's own is a maximum).
    """

    def __init__(self, channels: int, norm: Norm, n_stages: int = 2) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norm(channels) for _ in range(n_stages))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(n_stages))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        total = stage = functional.elu(x)
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
