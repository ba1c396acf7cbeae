"""Score networks for images: the student's of chapter 8, and that of Fig. 1; `images.refinenet` has the paper's own."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from sbgm.guard import (
    Count,
    Generator,
    Ladder,
    Positive,
    Shape,
    Whole,
    checked,
    number_that,
    sigma_tensor,
)
from sbgm.networks import ScoreNetwork, drawn_from, require_classes, require_dtype, require_image_shape

__all__ = ["DigitNetwork", "ResNet"]


class DigitBlock(nn.Module):
    """h plus what is new in it: seen near, then far, then scaled and shifted as σ demands.

    Args:
        width: channels of h, a multiple of 4 (GroupNorm has 4 groups).
        n_places: number of places, H × W.
    """

    def __init__(self, width: int, n_places: int) -> None:
        super().__init__()
        self.near = nn.Sequential(nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
        self.far = nn.Linear(n_places, n_places)  # one matrix, from every place to every place
        self.norm = nn.GroupNorm(4, width)
        self.level = nn.Linear(width, 2 * width)
        self.end = nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, 1))

    def forward(self, h: Tensor, level: Tensor) -> Tensor:
        """(B, width, H, W) and features of σ, (1, width) or (B, width) -> (B, width, H, W)."""
        update = self.near(h)
        update = update + self.far(update.flatten(2)).reshape(h.shape)
        scale, shift = self.level(level)[:, :, None, None].chunk(2, dim=1)
        # the shortcut h lets gradients pass many blocks, each of which only adds a correction
        return h + self.end((1 + scale) * self.norm(update) + shift)


class DigitNetwork(ScoreNetwork):
    """The student's network of chapter 8: a noise conditional score s(x, σ) or s(x, σ, label) of small images.

    4 × 4 pixels become a place of `width` channels. Blocks look at the neighbours of each place by a convolution, and
    at all places by one matrix. σ scales and shifts what they see; a class adds an image of channels of its own. With
    m and v the mean and the variance of the data's pixels, and f the layers' output, which sees (x − m)/√(v + σ²),

        s(x, σ) = (m − x)/(v + σ²) + √(v/(v + σ²)) f/σ,

    the score of N(m, (v + σ²) I) plus what is learned. Any σ > 0 will do.

    Args:
        sigmas: the ladder σ_1 > … > σ_L that the network is trained on, a tensor or a list; it limits nothing.
        mean, variance: m and v of the data's pixels, a float each.
        n_classes: an int, the classes that a label can name, 0 … n_classes − 1; n_classes itself is any of them.
        image_shape: (C, H, W) with H and W multiples of 4.
        width: channels, an int that is a multiple of 4.
        n_blocks: number of blocks, an int, each a `DigitBlock`.
        generator: source of the initial weights; None takes torch's global one.

    Raises:
        ValueError: image_shape or width is not as above.

    Example:
        >>> network = sbgm.load_network("own_network")  # trained on MNIST's digits, at 30 levels
        >>> type(network).__name__, len(network.ladder), network.n_classes
        ('DigitNetwork', 30, 10)
        >>> x = torch.zeros(2, 1, 28, 28)
        >>> network(x, 0.5).shape, network(x, 0.5, 3).shape, network(x, 0.5, torch.tensor([3, 10])).shape
        (torch.Size([2, 1, 28, 28]), torch.Size([2, 1, 28, 28]), torch.Size([2, 1, 28, 28]))
    """

    @checked
    def __init__(
        self,
        sigmas: Ladder,
        mean: Annotated[float, number_that("be finite", math.isfinite)] = 0.5,
        variance: Positive = 0.25,
        n_classes: Whole = 10,
        image_shape: Shape = (1, 28, 28),
        width: Count = 64,
        n_blocks: Count = 4,
        *,
        generator: Generator | None = None,
    ) -> None:
        if len(image_shape) != 3 or image_shape[1] % 4 or image_shape[2] % 4:
            raise ValueError(f"image_shape must be (C, H, W) with H and W multiples of 4, got {image_shape}")
        if width % 4:
            raise ValueError(f"width must be a multiple of 4, the groups of the norm, got {width}")
        super().__init__(
            sigmas,
            mean=float(mean),
            variance=float(variance),
            n_classes=n_classes,
            image_shape=list(image_shape),
            width=width,
            n_blocks=n_blocks,
        )
        self.register_buffer("sigmas", self.sigmas, persistent=False)  # the weights are those of a plain nn.Module
        self.image_shape = tuple(image_shape)
        self.n_classes = n_classes
        self.mean = float(mean)
        self.variance = float(variance)
        n_pixels = 16 * image_shape[0]  # of a place, in all channels
        rows = image_shape[1] // 4
        columns = image_shape[2] // 4
        with drawn_from(generator):
            self.begin = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(n_pixels, width, 3, padding=1))
            self.level = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
            classes = nn.Embedding(n_classes + 1, width * rows * columns)
            self.label = nn.Sequential(classes, nn.Unflatten(-1, (width, rows, columns)))
            self.blocks = nn.ModuleList(DigitBlock(width, rows * columns) for _ in range(n_blocks))
            self.end = nn.Sequential(nn.SiLU(), nn.Conv2d(width, n_pixels, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, x: Tensor, sigma: float | Tensor, label: int | Tensor | None = None) -> Tensor:
        """Images (B, *image_shape), σ > 0 a float or (B,), label None, a number or (B,) -> scores of x's shape."""
        require_image_shape(x, self)
        sigma = sigma_tensor(sigma, x)
        noisy_variance = self.variance + sigma**2
        h = self.begin((x - self.mean) / noisy_variance.sqrt())  # of mean 0 and variance 1 at every level
        h = h + self.label(label_tensor(label, x, self.n_classes))
        level = self.level(sigma.log().flatten(1))
        for block in self.blocks:
            h = block(h, level)
        # what one Gaussian explains need not be learned: at large σ it is nearly all of the score
        gaussian = (self.mean - x) / noisy_variance
        return gaussian + (self.variance / noisy_variance).sqrt() / sigma * self.end(h)


def label_tensor(label: int | Tensor | None, x: Tensor, n_classes: int) -> Tensor:
    """The classes of a batch, (B,) whole numbers on x's device; n_classes, which None gives, stands for any class."""
    if label is None:
        return torch.full((len(x),), n_classes, device=x.device)
    if not n_classes:
        raise ValueError("label must be None, because this network was made without classes")
    index = torch.as_tensor(label)
    if index.is_floating_point() or index.dtype == torch.bool or index.shape not in ((), x.shape[:1]):
        raise ValueError(
            f"label must be a whole number, or a tensor of them of shape ({len(x)},), got {tuple(index.shape)} of "
            f"{index.dtype}"
        )
    if index.device.type == "cpu":  # a GPU would be waited for at every call: `guided` and a training look once
        require_classes(index, n_classes)
    return for_batch(index, x)


def for_batch(index: Tensor, x: Tensor) -> Tensor:
    """Whole numbers, () or (B,), as (B,) on x's device; a GPU is not made to wait for a single one from the CPU."""
    if index.numel() == 1 and index.device.type == "cpu":
        return torch.full((len(x),), int(index), device=x.device)
    return index.to(x.device, torch.long).expand(len(x))


class ResNetBlock(nn.Module):
    """ELU(x' + conv → norm → ELU → conv → norm), all 3×3; the shortcut x' is x, or a convolution where sizes differ.

    A block that changes the number of channels resizes the image too: an encoder's halves height and width in its first
    convolution, a decoder's doubles them in its second. The shortcut that does the same has no norm. The residual sum
    comes before the last ELU, as in the authors' code (the paper calls the blocks pre-activation).

    Args:
        n_in, n_out: channels in and out, multiples of 8 (GroupNorm has 8 groups).
        decoder: take transposed convolutions.
    """

    def __init__(self, n_in: int, n_out: int, *, decoder: bool = False) -> None:
        super().__init__()
        convolution = partial(nn.ConvTranspose2d if decoder else nn.Conv2d, kernel_size=3, padding=1)
        resizes = n_in != n_out
        first = {"stride": 2} if resizes and not decoder else {}
        second = {"stride": 2, "output_padding": 1} if resizes and decoder else {}
        self.branch = nn.Sequential(
            convolution(n_in, n_out, **first),
            nn.GroupNorm(8, n_out),
            nn.ELU(),
            convolution(n_out, n_out, **second),
            nn.GroupNorm(8, n_out),
        )
        self.shortcut = convolution(n_in, n_out, **first, **second) if resizes else nn.Identity()
        self.activation = nn.ELU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, H, W) -> (B, n_out, H', W')."""
        return self.activation(self.shortcut(x) + self.branch(x))


class ResNet(nn.Module):
    """The score network of Fig. 1: an encoder that halves the image twice and a decoder that doubles it; it ignores σ.

    conv 3 → C; residual blocks C, 2C (down), 2C, 4C (down), 4C; the decoder's, of transposed convolutions, 4C, 2C (up),
    2C, C (up), C; conv C → 3. The input in [0, 1] is mapped to 2x − 1. ELU is smooth enough for sliced score matching.
    These are the blocks of the authors' code (github.com/ermongroup/ncsn, `ResScore`): 1,379,651 parameters at C = 32.

    Args:
        channels: C, an int that is a multiple of 8; the authors take 32.
        image_channels: an int, 3 for colour images.
        generator: source of the initial weights; None takes torch's global one.

    Example:
        >>> network = sbgm.ResNet(generator=torch.Generator().manual_seed(0))
        >>> sbgm.training.n_parameters(network), network(torch.zeros(1, 3, 32, 32)).shape
        (1379651, torch.Size([1, 3, 32, 32]))
    """

    @checked
    def __init__(self, channels: Count = 32, image_channels: Count = 3, *, generator: Generator | None = None) -> None:
        super().__init__()
        if channels % 8:
            raise ValueError(f"channels must be a multiple of 8, the groups of the norm, got {channels}")
        self.image_channels = image_channels
        sizes = [channels * factor for factor in (1, 1, 2, 2, 4, 4)]
        with drawn_from(generator):
            self.layers = nn.Sequential(
                nn.Conv2d(image_channels, channels, 3, padding=1),
                *(ResNetBlock(a, b) for a, b in itertools.pairwise(sizes)),
                *(ResNetBlock(a, b, decoder=True) for a, b in itertools.pairwise(sizes[::-1])),
                nn.Conv2d(channels, image_channels, 3, padding=1),
            )

    def forward(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Images in [0, 1], (B, C, H, W) with H and W multiples of 4 -> scores of the same shape, whatever sigma is."""
        require_images(x, self, self.image_channels, multiple=4)
        return self.layers(2 * x - 1)


def require_images(x: Tensor, network: nn.Module, channels: int, multiple: int) -> None:
    """Raise unless x is images (B, channels, H, W) of a network's dtype, with H and W multiples of a number."""
    require_dtype(x, network)
    if x.ndim != 4 or x.shape[1] != channels or x.shape[2] % multiple or x.shape[3] % multiple:
        raise ValueError(
            f"x must be images (B, {channels}, H, W) with H and W multiples of {multiple}, got shape {tuple(x.shape)}"
        )
