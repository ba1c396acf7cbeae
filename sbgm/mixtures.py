"""Mixtures of isotropic Gaussians, whose score is known exactly at every noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sbgm.guard import (
    Count,
    Fraction,
    Generator,
    NonNegative,
    Sigma,
    checked,
    require_finite,
    require_floats,
    require_sigma,
    widened,
)

__all__ = [
    "GaussianMixture",
    "paper_mixture",
]


class GaussianMixture:
    """p(x) = Σ_k π_k N(x | μ_k, s_k² I), and the same mixture perturbed by noise, q_σ = p ∗ N(0, σ²I).

    Adding noise only widens the components, q_σ(x) = Σ_k π_k N(x | μ_k, (s_k² + σ²) I), so that density, score and
    samples are closed forms at every σ. A component of std 0 is a point: it has a density only once σ > 0.

    Args:
        weights: (K,) mixture weights π_k, positive, with sum 1.
        means: (K, D) means μ_k.
        stds: standard deviations s_k ≥ 0, one for all components or (K,).

    Raises:
        ValueError: shapes disagree, a value is not finite, the weights do not sum to 1, or a std is negative.

    Example:
        >>> mixture = sbgm.GaussianMixture([0.5, 0.5], [[-3.0], [3.0]])  # N(−3, 1) and N(3, 1), equally likely
        >>> mixture.score(torch.tensor([[0.0], [4.0]])).round(decimals=2)  # 0 halfway, and −(x − 3) near the mode at 3
        tensor([[ 0.],
                [-1.]])
        >>> mixture.sample(100, sigma=0.5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([100, 1])
    """

    def __init__(
        self,
        weights: Tensor | Sequence[float],
        means: Tensor | Sequence[Sequence[float]],
        stds: float | Tensor | Sequence[float] = 1.0,
    ) -> None:
        self.weights = _floats(weights, "weights")
        self.means = _floats(means, "means")
        self.stds = _floats(stds, "stds")
        if self.means.ndim != 2:
            raise ValueError(f"means must have shape (K, D), got {tuple(self.means.shape)}")
        n = len(self.means)
        if self.weights.shape != (n,):
            raise ValueError(
                f"weights must have shape ({n},), one for each of the means, got {tuple(self.weights.shape)}"
            )
        if self.stds.ndim == 0:
            self.stds = self.stds.expand(n).clone()
        if self.stds.shape != (n,):
            raise ValueError(f"stds must be a float or have shape ({n},), got {tuple(self.stds.shape)}")
        if bool((self.weights <= 0).any()) or abs(float(self.weights.sum()) - 1) > 1e-5:  # up to float32's rounding
            raise ValueError(f"weights must be positive and sum to 1, got {self.weights.tolist()}")
        if bool((self.stds < 0).any()):
            raise ValueError(f"stds must not be negative, got {self.stds.tolist()}")

    @property
    def dim(self) -> int:
        """D, the dimension of the space."""
        return self.means.shape[1]

    def __repr__(self) -> str:
        weights = [float(f"{weight:.4g}") for weight in self.weights.tolist()]
        stds = [float(f"{std:.4g}") for std in self.stds.tolist()]
        return f"GaussianMixture(weights={weights}, means={self.means.tolist()}, stds={stds})"

    @checked
    def sample(self, n: Count, sigma: NonNegative = 0.0, *, generator: Generator) -> Tensor:
        """Draw n exact, independent samples of q_σ.

        Args:
            n: number of samples, an int.
            sigma: standard deviation of the added noise, a float.
            generator: source of randomness; the samples come on its device.

        Returns:
            (n, D) float tensor in the dtype of `means`.
        """
        device = generator.device
        component = torch.multinomial(self.weights.to(device), n, replacement=True, generator=generator)
        z = torch.randn(n, self.dim, generator=generator, device=device, dtype=self.means.dtype)
        # the noise is independent of the component's own: their variances add, and one draw makes both
        variances = self.stds.to(z)[component] ** 2 + sigma**2
        return self.means.to(device)[component] + variances.sqrt()[:, None] * z

    def log_prob(self, x: Tensor, sigma: Sigma = 0.0) -> Tensor:
        """The exact log-density log q_σ(x), in nats: (B, D) -> (B,), float32 where x is in half precision."""
        log_joint, _, _ = self._log_joint(x, sigma)
        return log_joint.logsumexp(dim=0)  # far from every mode each density is rounded to 0, and its log to −∞

    def score(self, x: Tensor, sigma: Sigma = 0.0) -> Tensor:
        """The exact score ∇_x log q_σ(x) = Σ_k r_k(x) (μ_k − x)/(s_k² + σ²), with r_k the posterior of component k.

        Args:
            x: (B, D) points. One that holds NaN or infinity, or whose square does (in float32 from 2·10¹⁹ on), has a
                score of NaN: a chain that diverges is for its sampler to notice.
            sigma: noise level, a float or (B,).

        Returns:
            (B, D) scores.

        Raises:
            ValueError: x has another dimension, or a component has no density.
        """
        log_joint, offsets, variances = self._log_joint(x, sigma)
        posterior = log_joint.softmax(dim=0)
        pull = posterior / variances
        return (pull[:, None, :] * offsets).sum(dim=0).T.contiguous().to(x.dtype)

    def _log_joint(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log π_k N(x | μ_k, v_k I) as (K, B), the offsets μ_k − x as (K, D, B), and v_k = s_k² + σ² as (K, ·).

        The batch comes last, since sums over a short last dimension are slow: samplers spend their time here.
        """
        if x.shape[1:] != (self.dim,):
            raise ValueError(f"x must have shape (B, {self.dim}), got {tuple(x.shape)}")
        x = widened(require_floats(x))
        noise = require_sigma(sigma, x)
        if isinstance(noise, Tensor):
            noise = noise.T
        weights = self.weights.to(x)
        means = self.means.to(x)
        stds = self.stds.to(x)
        variances = stds[:, None].square() + noise**2
        if not bool((variances > 0).all()):
            raise ValueError("sigma must be positive where a component has std 0: a point has no density by itself")
        offsets = means[:, :, None] - x.T.contiguous()  # ‖x‖² − 2μᵀx + ‖μ‖² would lose the digits of near points
        squared = offsets.square().sum(dim=1)
        log_height = weights.log()[:, None] - self.dim / 2 * torch.log(2 * math.pi * variances)
        return log_height - squared / (2 * variances), offsets, variances


@checked
def paper_mixture(stds: float = 1.0, *, weight: Fraction = 0.8) -> GaussianMixture:
    """The mixture of Sections 3 and 4: (1 − w) N((−5, −5), I) + w N((5, 5), I), with w = 4/5.

    Args:
        stds: standard deviation of both components; 0 gives two points, whose perturbation by σ is the form that the
            authors' code anneals (there σ is the component's whole standard deviation).
        weight: w, the weight of the mode at (5, 5), a float in (0, 1).

    Example:
        >>> sbgm.paper_mixture()
        GaussianMixture(weights=[0.2, 0.8], means=[[-5.0, -5.0], [5.0, 5.0]], stds=[1.0, 1.0])
        >>> sbgm.paper_mixture().score(torch.tensor([[5.0, 7.0]]))  # two above a mode of std 1
        tensor([[ 0., -2.]])
    """
    return GaussianMixture([1 - weight, weight], [[-5.0, -5.0], [5.0, 5.0]], stds)


def _floats(value: float | Tensor | Sequence, name: str) -> Tensor:
    """`value` as a finite floating-point tensor of its dtype, and float32 for whole numbers and half precision."""
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be a tensor or a sequence of numbers, got {value!r}") from error
    require_finite(tensor, name)
    return widened(tensor) if tensor.is_floating_point() else tensor.float()
