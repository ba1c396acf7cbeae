"""Score networks, each a `torch.nn.Module` that is called as `network(x, sigma)`."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbgm.guard import (
    Count,
    Generator,
    Ladder,
    NonNegative,
    Number,
    Positive,
    Score,
    Shape,
    Whole,
    as_list,
    checked,
    function_of,
    is_sound,
    number_that,
    require_sigma,
    set_sound,
    sigma_tensor,
    version_of,
)

__all__ = [
    "MLP",
    "ConditionalMLP",
    "DigitNetwork",
    "EnergyMLP",
    "ImageMLP",
    "ResNet",
    "ScoreNetwork",
    "guided",
    "in_range",
]


class ScoreNetwork(nn.Module):
    """A noise conditional score s(x, σ) of images that can be saved, built again and sampled from.

    `type(network)(network.sigmas, **network.arguments)` builds a network of the same architecture. What a subclass
    calls `output` is the part of `forward` that `images.devices.compiled` compiles as a whole.

    Attributes:
        sigmas: (L,) its ladder σ_1 > … > σ_L, a buffer.
        arguments: the other arguments that it was built with; JSON holds them.
        image_shape: (C, H, W) of the images that it is for, or None where it is not known.
        data_range: (low, high) of their values.
        n_classes: classes that a label can name, as a third argument; 0 where the network takes none.
        classes: their names, in the order of the labels; empty where they are not known.
        takes_any_sigma: whether σ may lie off the ladder; if not, `refinenet.rescaled` takes the network there.
        facts: of its making, by name, such as a file of weights holds them.

    Example:
        >>> network = sbgm.ImageMLP([1.0, 0.5], width=16, generator=torch.Generator().manual_seed(0))  # a subclass
        >>> twin = type(network)(network.sigmas, **network.arguments)
        >>> twin.ladder, twin.image_shape
        ([1.0, 0.5], (1, 8, 8))
    """

    image_shape: tuple[int, ...] | None = None
    data_range: tuple[float, float] = (0.0, 1.0)
    takes_any_sigma: bool = True
    n_classes: int = 0
    classes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = {}
    sigmas: Tensor
    _read: tuple[Tensor | None, int | None, list[float]] = (None, None, [])  # a ladder, its version, and its levels

    def __init__(self, sigmas: Ladder, **arguments: Any) -> None:
        super().__init__()
        self.register_buffer("sigmas", torch.tensor(as_list(sigmas)))
        self.arguments = arguments

    @property
    def ladder(self) -> list[float]:
        """σ_1 > … > σ_L as a list. A GPU is asked for it when it has changed."""
        version = version_of(self.sigmas)
        if self._read[0] is not self.sigmas or self._read[1] != version:
            self._read = self.sigmas, version, self.sigmas.tolist()
        return [*self._read[2]]


class MLP(nn.Module):
    """A score s(x) that ignores σ: D → width → … → width → D with softplus between (Fig. 2: 2-128-128-2).

    Softplus, unlike ReLU, has a second derivative, which sliced and exact score matching train through.

    Args:
        dim: D, the dimension of the data.
        width: units in a hidden layer.
        depth: number of hidden layers.
        generator: source of the initial weights; None takes torch's global one.

    Example:
        >>> network = sbgm.MLP(generator=torch.Generator().manual_seed(0))
        >>> network(torch.zeros(5, 2)).shape
        torch.Size([5, 2])
        >>> sbgm.training.n_parameters(network)  # (2 + 1)·128 + (128 + 1)·128 + (128 + 1)·2
        17154
    """

    @checked
    def __init__(
        self, dim: Count = 2, width: Count = 128, depth: Count = 2, *, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.dim = dim
        self.layers = softplus_layers(dim, width, depth, dim, generator)

    def forward(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """(B, D) points -> (B, D) scores, whatever sigma is; or one point (D,) -> (D,)."""
        require_dtype(x, self)
        if x.shape[-1:] != (self.dim,):
            raise ValueError(f"x must have shape (B, {self.dim}), got {tuple(x.shape)}")
        return self.layers(x)


def require_dtype(x: Tensor, network: nn.Module) -> Tensor:
    """Return `x` if it has the dtype of a network's parameters, or any where autocast chooses it; raise otherwise."""
    dtype = next(network.parameters()).dtype
    if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"x must be {dtype}, as the network's parameters are, got {x.dtype}; convert one of them")
    return x


class ConditionalMLP(nn.Module):
    """A noise conditional score s(x, σ) for data in a few dimensions: ‖s‖ ∝ 1/σ is built in, the rest is learned.

    With c = √(σ² + σ_data²), about the standard deviation of x̃, the network sees the normalised point x/c and log σ,
    and its output is divided by σ.

    Args:
        dim: D, the dimension of the data.
        width: units in a hidden layer.
        depth: number of hidden layers.
        data_std: σ_data, the standard deviation of the clean data around the origin, in its units.
        generator: source of the initial weights; None takes torch's global one.

    Example:
        >>> network = sbgm.ConditionalMLP(dim=3, generator=torch.Generator().manual_seed(0))
        >>> network(torch.zeros(5, 3), 0.1).shape, network(torch.zeros(5, 3), torch.ones(5)).shape
        (torch.Size([5, 3]), torch.Size([5, 3]))
    """

    n_out: int | None = None  # numbers that the layers give, None for D of them

    @checked
    def __init__(
        self,
        dim: Count = 2,
        width: Count = 128,
        depth: Count = 3,
        *,
        data_std: Positive = 1.0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.data_std = data_std
        self.layers = softplus_layers(dim + 1, width, depth, self.n_out or dim, generator)

    def require_points(self, x: Tensor) -> None:
        """Raise unless `x` is of shape (B, D) and of the dtype of the parameters, whatever its values."""
        require_dtype(x, self)
        if x.shape[1:] != (self.dim,):
            raise ValueError(f"x must have shape (B, {self.dim}), got {tuple(x.shape)}")

    def normalised(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x/c of shape (B, D), σ as (B, 1) and c as (B, 1)."""
        self.require_points(x)
        level = sigma_tensor(sigma, x).expand(len(x), 1)
        scale = (level**2 + self.data_std**2).sqrt()
        return x / scale, level, scale

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """(B, D) points, σ > 0 a float or (B,) -> (B, D) scores."""
        point, level, _ = self.normalised(x, sigma)
        # divided by σ, since scores of data near a point are −z/σ: the layers then learn numbers of the size 1
        return self.layers(torch.cat([point, level.log()], dim=1)) / level


@contextlib.contextmanager
def drawn_from(generator: torch.Generator | None) -> Iterator[None]:
    """Let torch's own layers, which ask the global generator for their initial weights, draw them from another.

    The global generator is as before afterwards, and `generator` stands where the draws left it. None changes nothing.
    """
    if generator is None:
        yield
        return
    if generator.device.type != "cpu":
        raise ValueError(f"generator must be on the CPU, where networks begin, got one on {generator.device}")
    with torch.random.fork_rng(devices=[]):  # torch's layers take no generator, so the global one stands in for it
        torch.set_rng_state(generator.get_state())
        yield
        generator.set_state(torch.get_rng_state())


def softplus_layers(
    n_in: int, width: int, depth: int, n_out: int, generator: torch.Generator | None = None
) -> nn.Sequential:
    """Linear layers n_in → width (depth times) → n_out with softplus between, initialised as torch does by default."""
    sizes = [n_in, *[width] * depth, n_out]
    layers: list[nn.Module] = []
    with drawn_from(generator):
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b), nn.Softplus()]
    return nn.Sequential(*layers[:-1])


class EnergyMLP(ConditionalMLP):
    """A noise conditional energy E(x, σ); the model is p(x, σ) ∝ exp(−E) and its score −∇_x E.

    E = ½‖x/c‖² + (c/σ) f(x/c, log σ) with c = √(σ² + σ_data²) and f the layers of a `ConditionalMLP`, which here give
    one number. The quadratic part makes exp(−E) integrable; the factor c/σ gives the learned part of the score the
    magnitude 1/σ.

    Args:
        dim, width, depth, data_std, generator: as for `ConditionalMLP`.

    Example:
        >>> network = sbgm.EnergyMLP(generator=torch.Generator().manual_seed(0))
        >>> x = torch.tensor([[1.0, 2.0]])
        >>> network.energy(x, 0.5).shape, network(x, 0.5).shape
        (torch.Size([1]), torch.Size([1, 2]))
        >>> jacobian = torch.func.jacrev(lambda x: network(x, 0.5))(x).reshape(2, 2)
        >>> torch.allclose(jacobian, jacobian.T, atol=1e-5)  # a gradient field has a symmetric Jacobian
        True
    """

    n_out = 1

    def energy(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """E(x, σ): (B, D) points, σ > 0 a float or (B,) -> (B,)."""
        point, level, scale = self.normalised(x, sigma)
        learned = self.layers(torch.cat([point, level.log()], dim=1))
        quadratic = 0.5 * point.square().sum(dim=1, keepdim=True)
        return (quadratic + scale / level * learned).squeeze(1)

    def log_prob(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """−E(x, σ), the log-density up to a constant that depends on σ alone: all that a Metropolis step needs."""
        return -self.energy(x, sigma)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The score −∇_x E, (B, D) -> (B, D), which can itself be differentiated, forward or backward."""
        self.require_points(x)  # so that a wrong x is named from here, not from inside torch.func
        return -torch.func.grad(lambda x: self.energy(x, sigma).sum())(x)


NormName = Literal["layer", "none"]
N_WAVES = 8  # that describe log σ


class ResidualMLPBlock(nn.Module):
    """h + W₂ silu(W₁ norm(h) + V f): a correction of h that depends on the noise level through its features f.

    Args:
        width: length of h.
        norm: "layer" brings h to mean 0 and variance 1 first (layer norm), "none" takes it as it is.
    """

    def __init__(self, width: int, norm: NormName = "layer") -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm == "layer" else nn.Identity()
        self.first = nn.Linear(width, width)
        self.level = nn.Linear(2 * N_WAVES, width)
        self.second = nn.Linear(width, width)

    def forward(self, h: Tensor, features: Tensor) -> Tensor:
        """(B, width) and (B, 2·N_WAVES) -> (B, width)."""
        return h + self.second(functional.silu(self.first(self.norm(h)) + self.level(features)))


class ImageMLP(ScoreNetwork):
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
        ValueError: image_shape is not (C, H, W).

    Example:
        >>> network = sbgm.ImageMLP([1.0, 0.1], image_shape=(1, 8, 8), generator=torch.Generator().manual_seed(0))
        >>> scores = network(torch.ones(5, 1, 8, 8), sigma=0.3)
        >>> scores.shape, bool((scores == 0).all())  # untrained, it is the zero score
        (torch.Size([5, 1, 8, 8]), True)
    """

    frequencies: Tensor

    @checked
    def __init__(
        self,
        sigmas: Ladder,
        image_shape: Shape = (1, 8, 8),
        width: Count = 256,
        n_blocks: Count = 3,
        norm: NormName = "layer",
        *,
        generator: Generator | None = None,
    ) -> None:
        if len(image_shape) != 3:
            raise ValueError(f"image_shape must be (C, H, W), got {image_shape}")
        super().__init__(sigmas, image_shape=list(image_shape), width=width, n_blocks=n_blocks, norm=norm)
        self.image_shape = tuple(image_shape)
        self.register_buffer("frequencies", torch.logspace(-0.5, 0.5, N_WAVES), persistent=False)

        n_pixels = math.prod(image_shape)
        with drawn_from(generator):
            self.begin = nn.Linear(n_pixels, width)
            self.blocks = nn.ModuleList(ResidualMLPBlock(width, norm) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(width) if norm == "layer" else nn.Identity()
        self.end = nn.utils.skip_init(nn.Linear, width, n_pixels, device=torch.get_default_device())  # draws nothing
        for p in self.end.parameters():
            nn.init.zeros_(p)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Images (B, C, H, W) of the network's shape, σ > 0 a float or (B,) -> scores of x's shape."""
        require_image_shape(x, self)
        sigma = sigma_tensor(sigma, x).reshape(-1, 1).expand(len(x), 1)
        # ladders are geometric, so that levels are evenly spaced in log σ, and waves tell neighbours apart
        waves = sigma.log() * self.frequencies
        features = torch.cat([waves.sin(), waves.cos()], dim=1)
        # 2x − 1 has the noise 2σ: divided so, what the layers see has about the size 1 at every level
        h = self.begin((2 * x.flatten(1) - 1) / (1 + 4 * sigma**2).sqrt())
        for block in self.blocks:
            h = block(h, features)
        score = self.end(functional.silu(self.norm(h))) / sigma
        return score.reshape(x.shape)


class DigitBlock(nn.Module):
    """h plus what is new in it: seen near, then far, then scaled and shifted as σ demands.

    Args:
        width: channels of h, a multiple of 4 (GroupNorm has 4 groups).
        n_places: H × W.
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
    """The student's network of chapter 6: a noise conditional score s(x, σ) or s(x, σ, label) of small images.

    4 × 4 pixels become a place of `width` channels. Blocks look at the neighbours of each place by a convolution, and
    at all places by one matrix. σ scales and shifts what they see; a class adds an image of channels of its own. With
    m and v the mean and the variance of the data's pixels, and f the layers' output, which sees (x − m)/√(v + σ²),

        s(x, σ) = (m − x)/(v + σ²) + √(v/(v + σ²)) f/σ,

    the score of N(m, (v + σ²) I) plus what is learned. Any σ > 0 will do.

    Args:
        sigmas: the ladder σ_1 > … > σ_L that the network is trained on; it is kept, and limits nothing.
        mean, variance: m and v.
        n_classes: classes that a label can name, 0 … n_classes − 1; the label n_classes stands for any of them.
        image_shape: (C, H, W) with H and W multiples of 4.
        width: channels, a multiple of 4.
        n_blocks: number of blocks, each a `DigitBlock`.
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


def require_image_shape(x: Tensor, network: ScoreNetwork) -> None:
    """Raise unless images are of a network's dtype and image shape, (B, C, H, W)."""
    require_dtype(x, network)
    shape = network.image_shape or ()
    if x.shape[1:] != shape:
        raise ValueError(f"x must be images (B, {', '.join(map(str, shape))}), got {tuple(x.shape)}")


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
    must = "class", n_classes
    if not is_sound(index, must) and not bool(((index >= 0) & (index <= n_classes)).all()):
        raise ValueError(f"label must be a class from 0 to {n_classes - 1}, or {n_classes} for any, got {label}")
    set_sound(index, must)
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
        channels: C, a multiple of 8; the authors take 32.
        image_channels: 3 for colour images.
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


@checked
def in_range(score: Score, low: Number = 0.0, high: Number = 1.0) -> Score:
    """Keep what a score takes for the clean point, D(x, σ) = x + σ² s(x, σ), between low and high.

    s'(x, σ) = (min{max{D(x, σ), low}, high} − x)/σ². The true D is an expectation of data within [low, high] and lies
    there itself, so that clamping brings every coordinate nearer to it or leaves it alone. It counts at large σ, where
    a small relative error of the score is a large one of D.

    Args:
        score: noise conditional score s(x, sigma), such as a network's.
        low, high: the data's range, such as a network's `data_range`.

    Returns:
        A score that takes what `score` takes; sigma must be positive.

    Raises:
        ValueError: the range is empty.

    Example:
        >>> zero = lambda x, sigma: torch.zeros_like(x)  # takes every x for clean
        >>> sbgm.in_range(zero)(torch.tensor([[0.5, 3.0]]), 1.0)  # 3 is no pixel: towards 1
        tensor([[ 0., -2.]])
    """
    if not low < high:
        raise ValueError(f"low must be smaller than high = {high}, got {low}")

    def clamped(x: Tensor, sigma: float | Tensor) -> Tensor:
        variance = require_sigma(sigma, x, positive=True) ** 2
        clean = x + variance * score(x, sigma)
        return (clean.clamp(low, high) - x) / variance

    return clamped


@checked
def guided(
    network: Annotated[Callable[..., Tensor], function_of("x, sigma, label")], label: int | Tensor, w: NonNegative
) -> Score:
    """Bind a class to a network, exaggerated: s(x, σ) + w (s(x, σ, label) − s(x, σ)) (Ho & Salimans 2022).

    w = 0 leaves the class out, w = 1 gives the class's own score, and w > 1 moves away from what all classes share.
    (Ho & Salimans write 1 + w for this w.)

    Args:
        network: s(x, sigma) and s(x, sigma, label), such as a `DigitNetwork`.
        label: the class, or one for each image, (B,) whole numbers.
        w: weight of the guidance.

    Returns:
        A score(x, sigma), of two evaluations of the network.

    Example:
        >>> network, x = sbgm.load_network("own_network"), torch.zeros(2, 1, 28, 28)
        >>> torch.allclose(sbgm.guided(network, 3, 1.0)(x, 0.5), network(x, 0.5, 3), atol=1e-4)
        True
        >>> sbgm.guided(network, 11, 2.0)(x, 0.5)
        Traceback (most recent call last):
        ValueError: label must be a class from 0 to 9, or 10 for any, got 11
    """

    def score(x: Tensor, sigma: float | Tensor) -> Tensor:
        of_any = network(x, sigma)
        return of_any + w * (network(x, sigma, label) - of_any)

    return score
