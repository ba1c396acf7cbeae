"""The convolutional ResNet that Fig. 1 trains by sliced score matching (Appendix B.1 and the authors' code)."""

from __future__ import annotations

from torch import Tensor, nn

from sbgm._validate import check_count, check_floating


class ResidualBlock(nn.Module):
    """ELU(x' + conv → norm → ELU → conv → norm), where the shortcut x' is x, projected if its shape changes.

    The residual sum comes before the last ELU, as in the authors' code (the paper calls the blocks pre-activation).

    Args:
        n_in, n_out: channels in and out, multiples of 8 (GroupNorm has 8 groups).
        resample: "none", "down" (halves height and width) or "up" (doubles them, by a transposed convolution).
    """

    def __init__(self, n_in: int, n_out: int, resample: str = "none") -> None:
        super().__init__()

        def first(kernel: int) -> nn.Module:
            if resample == "up":
                return nn.ConvTranspose2d(n_in, n_out, kernel, stride=2, padding=kernel // 2, output_padding=1)
            return nn.Conv2d(n_in, n_out, kernel, stride=2 if resample == "down" else 1, padding=kernel // 2)

        self.branch = nn.Sequential(
            first(3), nn.GroupNorm(8, n_out), nn.ELU(), nn.Conv2d(n_out, n_out, 3, padding=1), nn.GroupNorm(8, n_out)
        )
        unchanged = n_in == n_out and resample == "none"
        self.shortcut = nn.Identity() if unchanged else nn.Sequential(first(1), nn.GroupNorm(8, n_out))
        self.activation = nn.ELU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, H, W) -> (B, n_out, H', W')."""
        return self.activation(self.shortcut(x) + self.branch(x))


class ResNet(nn.Module):
    """The score network of Fig. 1: an encoder that halves the image twice and its mirror image; it ignores σ.

    conv 3 → C; residual blocks C, 2C (down), 2C, 4C (down), 4C; the mirrored decoder with transposed convolutions;
    conv C → 3. The input in [0, 1] is mapped to 2x − 1. ELU is smooth enough for sliced score matching.

    Args:
        channels: C, a multiple of 8; the authors take 32.
        image_channels: 3 for colour images.
    """

    def __init__(self, channels: int = 32, image_channels: int = 3) -> None:
        super().__init__()
        c = check_count(channels, "channels")
        if c % 8:
            raise ValueError(f"channels must be a multiple of 8, the groups of the norm, got {c}")
        self.layers = nn.Sequential(
            nn.Conv2d(check_count(image_channels, "image_channels"), c, 3, padding=1),
            ResidualBlock(c, c),
            ResidualBlock(c, 2 * c, "down"),
            ResidualBlock(2 * c, 2 * c),
            ResidualBlock(2 * c, 4 * c, "down"),
            ResidualBlock(4 * c, 4 * c),
            ResidualBlock(4 * c, 4 * c),
            ResidualBlock(4 * c, 2 * c, "up"),
            ResidualBlock(2 * c, 2 * c),
            ResidualBlock(2 * c, c, "up"),
            ResidualBlock(c, c),
            nn.Conv2d(c, image_channels, 3, padding=1),
        )

    def forward(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Images in [0, 1], (B, C, H, W) with H and W multiples of 4 -> scores of the same shape, whatever sigma is.

        Raises:
            ValueError, TypeError: x has another shape, or no floating-point numbers.
        """
        if check_floating(x).ndim != 4 or x.shape[2] % 4 or x.shape[3] % 4:
            raise ValueError(f"x must be images (B, C, H, W) with H and W multiples of 4, got shape {tuple(x.shape)}")
        if x.shape[1] != self.layers[0].in_channels:
            raise ValueError(f"x must have {self.layers[0].in_channels} channels, got shape {tuple(x.shape)}")
        return self.layers(2 * x - 1)
