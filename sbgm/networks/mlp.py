"""Multilayer perceptrons for scores in a few dimensions: the network of Fig. 2, and one conditioned on σ."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from sbgm._validate import check_count, check_floating, check_generator, check_positive, check_sigma


class MLP(nn.Module):
    """A score s(x) that ignores σ: D → width → … → width → D with softplus between (Fig. 2: 2-128-128-2).

    Softplus, unlike ReLU, has a second derivative, which sliced and exact score matching train through.

    Args:
        dim: D, the dimension of the data.
        width: units in a hidden layer.
        depth: number of hidden layers.
        generator: source of the initial weights; None takes torch's global one.
    """

    def __init__(
        self, dim: int = 2, width: int = 128, depth: int = 2, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.layers = softplus_layers(check_count(dim, "dim"), width, depth, dim, generator)

    def forward(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """(B, D) points -> (B, D) scores, whatever sigma is; or one point (D,) -> (D,).

        Raises:
            ValueError, TypeError: x is no floating-point tensor of points of D dimensions.
        """
        dim = self.layers[0].in_features
        if check_floating(x).shape[-1:] != (dim,):
            raise ValueError(f"x must have shape (B, {dim}), got {tuple(x.shape)}")
        return self.layers(x)


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
    """

    def __init__(
        self,
        dim: int = 2,
        width: int = 128,
        depth: int = 3,
        *,
        data_std: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.data_std = check_positive(data_std, "data_std")
        self.layers = softplus_layers(check_count(dim, "dim") + 1, width, depth, dim, generator)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """(B, D) points, σ > 0 a float or (B,) -> (B, D) scores.

        Raises:
            ValueError, TypeError: x is no floating-point tensor of shape (B, D), or a σ is not positive.
        """
        check_points(x, self.layers[0].in_features - 1)
        point, sigma, _ = normalised(x, sigma, self.data_std)
        return self.layers(torch.cat([point, sigma.log()], dim=1)) / sigma


def check_points(x: Tensor, dim: int) -> Tensor:
    """Return `x` if it is a floating-point tensor (B, dim), whatever its values; raise otherwise."""
    if check_floating(x).shape[1:] != (dim,):
        raise ValueError(f"x must have shape (B, {dim}), got {tuple(x.shape)}")
    return x


def normalised(x: Tensor, sigma: float | Tensor, data_std: float) -> tuple[Tensor, Tensor, Tensor]:
    """x/c of shape (B, D), σ as (B, 1) and c = √(σ² + σ_data²) as (B, 1), about the standard deviation of x̃."""
    sigma = torch.as_tensor(check_sigma(sigma, x, positive=True), dtype=x.dtype, device=x.device).expand(len(x), 1)
    scale = (sigma**2 + data_std**2).sqrt()
    return x / scale, sigma, scale


def softplus_layers(
    n_in: int, width: int, depth: int, n_out: int, generator: torch.Generator | None = None
) -> nn.Sequential:
    """Linear layers n_in → width (depth times) → n_out with softplus between, initialised as torch does by default."""
    check_count(width, "width")
    sizes = [n_in, *[width] * check_count(depth, "depth"), n_out]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [linear(a, b, generator), nn.Softplus()]
    return nn.Sequential(*layers[:-1])


def linear(n_in: int, n_out: int, generator: torch.Generator | None = None) -> nn.Linear:
    """A linear layer with torch's own law of initial weights, U(−1/√n_in, 1/√n_in), from the generator if given."""
    if generator is None:
        return nn.Linear(n_in, n_out)
    check_generator(generator)
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
    for p in layer.parameters():
        nn.init.uniform_(p, -(n_in**-0.5), n_in**-0.5, generator=generator)
    return layer
