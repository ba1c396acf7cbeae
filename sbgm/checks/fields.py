"""Scores that a check hands to a student's function.

Both obey the contract `score(x, sigma)`, and both are made of nothing but named tensors, so that the grader can have
them built anew in another process.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sbgm.distributions import GaussianMixture


class MixtureField:
    """The exact score of a mixture of Gaussians, and its `log_prob`: see `GaussianMixture`."""

    kind = "mixture"

    def __init__(self, weights: Tensor, means: Tensor, stds: Tensor) -> None:
        self.tensors = {"weights": weights, "means": means, "stds": stds}
        self._mixture = GaussianMixture(weights, means, stds)

    def __call__(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """∇ log q_σ(x), (B, D)."""
        return self._mixture.score(x, sigma)

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """log q_σ(x), (B,)."""
        return self._mixture.log_prob(x, sigma)

    def parameters(self) -> list[Tensor]:
        """None: it has nothing to learn."""
        return []


class TanhField:
    """A small differentiable network, s(x, σ) = W₂ tanh(W₁ x + b)/(1 + σ), for x of any shape of D numbers.

    It is no gradient of any density, so that a trace taken wrongly shows; it depends on σ, so that a wrong σ shows.
    """

    kind = "tanh"

    def __init__(self, inner: Tensor, bias: Tensor, outer: Tensor) -> None:
        self.tensors = {"inner": inner, "bias": bias, "outer": outer}

    @classmethod
    def random(cls, dim: int, generator: torch.Generator, dtype: torch.dtype, hidden: int = 5) -> TanhField:
        """A field of `dim` dimensions with Gaussian weights."""
        shapes = {"inner": (dim, hidden), "bias": (hidden,), "outer": (hidden, dim)}
        tensors = {
            name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
            for name, shape in shapes.items()
        }
        return cls(**tensors)

    def __call__(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """s(x, σ), of x's shape."""
        hidden = torch.tanh(x.flatten(1) @ self.tensors["inner"] + self.tensors["bias"])
        s = (hidden @ self.tensors["outer"]).reshape(x.shape)
        scale = 1 + sigma.reshape(-1, *[1] * (x.ndim - 1)) if isinstance(sigma, Tensor) and sigma.ndim else 1 + sigma
        return s / scale

    def parameters(self) -> list[Tensor]:
        """W₁, b and W₂."""
        return list(self.tensors.values())


Field = MixtureField | TanhField
FIELDS: dict[str, type[Field]] = {field.kind: field for field in (MixtureField, TanhField)}


def rebuilt(field: Field, *, requires_grad: bool = False) -> Field:
    """A copy on tensors of its own, whose gradients can be asked for."""
    tensors = {name: value.detach().clone().requires_grad_(requires_grad) for name, value in field.tensors.items()}
    return FIELDS[field.kind](**tensors)
