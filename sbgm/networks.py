"""Score networks, each a `torch.nn.Module` that is called as `network(x, sigma)`."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
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
    as_list,
    checked,
    function_of,
    require_sigma,
    sigma_tensor,
)

__all__ = [
    "MLP",
    "ConditionalMLP",
    "ImageMLP",
    "ScoreNetwork",
    "guided",
    "in_range",
]


class ScoreNetwork(nn.Module):
    """A noise conditional score s(x, σ) of images that can be saved, built again and sampled from.

    `type(network)(network.sigmas, **network.arguments)` builds a network of the same architecture. What a subclass
    calls `output` is the part of `forward` that `images.devices.compiled` compiles as a whole.

    Args:
        sigmas: the ladder σ_1 > … > σ_L, a tensor or a list.
        arguments: the others that a subclass takes.

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
        version = None if self.sigmas.is_inference() else self.sigmas._version  # torch counts changes in place
        if self._read[0] is not self.sigmas or self._read[1] != version:
            self._read = self.sigmas, version, self.sigmas.tolist()
        return [*self._read[2]]


class MLP(nn.Module):
    """A score s(x) that ignores σ: D → width → … → width → D with softplus between (Fig. 2: 2-128-128-2).

    Softplus, unlike ReLU, has a second derivative, which sliced and exact score matching train through.

    Args:
        dim: D, the dimension of the data, an int.
        width: units in a hidden layer, an int.
        depth: number of hidden layers, an int.
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
        dim: D, the dimension of the data, an int.
        width: units in a hidden layer, an int.
        depth: number of hidden layers, an int.
        data_std: σ_data, a float, the standard deviation of the clean data around the origin, in its units.
        generator: source of the initial weights; None takes torch's global one.

    Example:
        >>> network = sbgm.ConditionalMLP(dim=3, generator=torch.Generator().manual_seed(0))
        >>> network(torch.zeros(5, 3), 0.1).shape, network(torch.zeros(5, 3), torch.ones(5)).shape
        (torch.Size([5, 3]), torch.Size([5, 3]))
    """

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
        self.layers = softplus_layers(dim + 1, width, depth, dim, generator)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """(B, D) points, σ > 0 a float or (B,) -> (B, D) scores."""
        require_dtype(x, self)
        if x.shape[1:] != (self.dim,):
            raise ValueError(f"x must have shape (B, {self.dim}), got {tuple(x.shape)}")
        level = sigma_tensor(sigma, x).expand(len(x), 1)
        scale = (level**2 + self.data_std**2).sqrt()
        # divided by σ, since scores of data near a point are −z/σ: the layers then learn numbers of the size 1
        return self.layers(torch.cat([x / scale, level.log()], dim=1)) / level


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


NormName = Literal["layer", "none"]
N_WAVES = 8  # that describe log σ


class ResidualMLPBlock(nn.Module):
    """h + W₂ silu(W₁ norm(h) + V f): a correction of h that depends on the noise level through its features f.

    Args:
        width: number of hidden units, the length of h.
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
        sigmas: the ladder σ_1 > … > σ_L that the network is trained on, a tensor or a list; it limits nothing.
        image_shape: that of one image, (C, H, W).
        width: units in a hidden layer, an int.
        n_blocks: residual blocks, an int, of two layers each.
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


def require_image_shape(x: Tensor, network: ScoreNetwork) -> None:
    """Raise unless images are of a network's dtype and image shape, (B, C, H, W)."""
    require_dtype(x, network)
    shape = network.image_shape or ()
    if x.shape[1:] != shape:
        raise ValueError(f"x must be images (B, {', '.join(map(str, shape))}), got {tuple(x.shape)}")


def require_classes(label: int | Tensor, n_classes: int) -> None:
    """Raise unless each label is one of the classes 0 … n_classes − 1, or n_classes, which stands for any."""
    index = torch.as_tensor(label)
    if not bool(((index >= 0) & (index <= n_classes)).all()):
        raise ValueError(f"label must be a class from 0 to {n_classes - 1}, or {n_classes} for any, got {label}")


@checked
def in_range(score: Score, low: Number = 0.0, high: Number = 1.0) -> Score:
    """Keep what a score takes for the clean point, D(x, σ) = x + σ² s(x, σ), between low and high.

    s'(x, σ) = (min{max{D(x, σ), low}, high} − x)/σ². The true D is an expectation of data within [low, high] and lies
    there itself, so that clamping brings every coordinate nearer to it or leaves it alone. It counts at large σ, where
    a small relative error of the score is a large one of D.

    Args:
        score: noise conditional score s(x, sigma), such as a network's.
        low, high: the data's range, two floats such as a network's `data_range`.

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
        w: the weight of the guidance, a float.

    Returns:
        A score(x, sigma), of two evaluations of the network.

    Example:
        >>> network, x = sbgm.load_network("own_network"), torch.zeros(2, 1, 28, 28)
        >>> torch.allclose(sbgm.guided(network, 3, 1.0)(x, 0.5), network(x, 0.5, 3), atol=1e-4)
        True
        >>> sbgm.guided(network, 11, 2.0)
        Traceback (most recent call last):
        ValueError: label must be a class from 0 to 9, or 10 for any, got 11
    """
    if getattr(network, "n_classes", 0):
        require_classes(label, network.n_classes)  # pyright: ignore[reportFunctionMemberAccess] - it has them

    def score(x: Tensor, sigma: float | Tensor) -> Tensor:
        of_any = network(x, sigma)
        return of_any + w * (network(x, sigma, label) - of_any)

    return score
