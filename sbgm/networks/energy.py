"""An energy-based model, whose score is the gradient −∇E of a learned scalar energy (Section 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sbgm._validate import check_count, check_positive
from sbgm.networks.mlp import check_points, normalised, softplus_layers


class EnergyMLP(nn.Module):
    """A noise conditional energy E(x, σ); the model is p(x, σ) ∝ exp(−E) and its score −∇_x E.

    E = ½‖x/c‖² + (c/σ) f(x/c, log σ) with c = √(σ² + σ_data²) and f a multilayer perceptron. The quadratic part makes
    exp(−E) integrable; the factor c/σ gives the learned part of the score the magnitude 1/σ.

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
        self.layers = softplus_layers(check_count(dim, "dim") + 1, width, depth, 1, generator)

    def energy(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """E(x, σ): (B, D) points, σ > 0 a float or (B,) -> (B,).

        Raises:
            ValueError, TypeError: x is no floating-point tensor of shape (B, D), or a σ is not positive.
        """
        check_points(x, self.layers[0].in_features - 1)
        point, sigma, scale = normalised(x, sigma, self.data_std)
        learned = self.layers(torch.cat([point, sigma.log()], dim=1))
        return (0.5 * point.square().sum(dim=1, keepdim=True) + scale / sigma * learned).squeeze(1)

    def log_prob(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """−E(x, σ), the log-density up to a constant that depends on σ alone: all that a Metropolis step needs."""
        return -self.energy(x, sigma)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The score −∇_x E, (B, D) -> (B, D), which can itself be differentiated, forward or backward.

        Raises:
            ValueError, TypeError: as `energy`.
        """
        check_points(x, self.layers[0].in_features - 1)
        return -torch.func.grad(lambda x: self.energy(x, sigma).sum())(x)
