"""The score matching objectives: exact (Eq. 1), denoising (Eq. 2 and 5), sliced (Eq. 3) and over a ladder (Eq. 6).

Each takes a score, any callable `score(x, sigma)`, and differentiates it one example at a time: a network whose output
for one example depends on the others (batch normalisation in training mode) is not a score in this sense. A loss has
the dtype of x, or float32 where x is in half precision.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad

from sbgm.guard import (
    Batch,
    Generator,
    Ladder,
    Score,
    Sigma,
    against,
    checked,
    function_of,
    require_sigma,
    score_at,
    widened,
)
from sbgm.noise import randn_like

__all__ = [
    "denoising_score_matching_loss",
    "ncsn_loss",
    "score_matching_loss",
    "sliced_score_matching_loss",
]

NO_SLOPE = (
    "the score's slope in x can't be computed: score(x, sigma) must be differentiable with respect to x, without "
    "detach, torch.no_grad, torch.inference_mode or NumPy; if the score is the same for every x, add 0 * x to it"
)
Reduction = Literal["mean", "none"]  # a scalar, or one value an example, (B,)


@checked
def score_matching_loss(score: Score, x: Batch, sigma: Sigma = 0.0, *, reduction: Reduction = "mean") -> Tensor:
    """Exact score matching (Eq. 1; Hyvärinen 2005): E[tr(∇_x s(x)) + ½‖s(x)‖²].

    It equals the Fisher divergence ½E‖s − ∇log p‖² up to a constant that does not depend on s. The trace takes D
    backward passes for data of D dimensions.

    Args:
        score: the model s, in which no example depends on another: not by batch normalisation in training mode.
        x: a tensor (B, *shape) of samples of the distribution whose score is wanted.
        sigma: passed on to the score.
        reduction: "mean" gives a scalar, "none" one value an example, (B,).

    Raises:
        ValueError: torch can't differentiate the score with respect to x.

    Example:
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> sbgm.score_matching_loss(lambda x, sigma: -x, x, reduction="none").tolist()  # s' + s²/2 = −1 + x²/2
        [-1.0, 1.0]
    """
    require_sigma(sigma, x)
    keep_graph = torch.is_grad_enabled()
    with torch.enable_grad():  # ∇_x is needed even where no gradient of the loss is
        x = x.detach().requires_grad_()
        s = score_at(score, x, sigma)
        loss = 0.5 * _dot(s, s)
        # The trace needs ∂s_d/∂x_d alone, but a backward pass gives a row of the Jacobian: D passes for D numbers.
        components = s.flatten(1)
        for d in range(components.shape[1]):
            slope = _gradient(components[:, d], x, keep_graph)
            loss = loss + slope.flatten(1)[:, d]
    return _reduced(loss if keep_graph else loss.detach(), reduction)


@checked
def denoising_score_matching_loss(
    score: Score, x: Batch, sigma: Sigma, *, generator: Generator, reduction: Reduction = "mean"
) -> Tensor:
    """Denoising score matching (Eq. 2 and 5; Vincent 2011): ½E‖s(x̃, σ) + (x̃ − x)/σ²‖², x̃ ~ N(x, σ²I).

    Its minimiser is the score of the perturbed distribution q_σ, not that of the data.

    Args:
        score: the model s.
        x: a tensor (B, *shape) of clean data.
        sigma: noise level, a positive float or (B,).
        generator: source of the noise.
        reduction: "mean" gives a scalar, "none" one value an example, (B,).

    Example:
        >>> zero = lambda x, sigma: torch.zeros_like(x)
        >>> x, g = torch.zeros(100_000, 2), torch.Generator().manual_seed(0)
        >>> loss = sbgm.denoising_score_matching_loss(zero, x, sigma=0.5, generator=g)
        >>> f"{loss:.1f}"  # D/(2σ²), the loss of the zero score
        '4.0'
    """
    require_sigma(sigma, x, positive=True)
    return _reduced(_denoising_losses(functools.partial(score_at, score), x, sigma, generator), reduction)


def _denoising_losses(score: Score, x: Tensor, sigma: float | Tensor, generator: torch.Generator) -> Tensor:
    """½‖s(x̃, σ) + (x̃ − x)/σ²‖² of each example, (B,)."""
    std = against(sigma, x)
    z = randn_like(x, generator)
    x_noisy = x + std * z
    target = -z / std  # −(x̃ − x)/σ², without the rounding error of forming x̃ − x
    error = score(x_noisy, sigma) - target
    return 0.5 * _dot(error, error)


@checked
def sliced_score_matching_loss(
    score: Score,
    x: Batch,
    sigma: Sigma = 0.0,
    *,
    generator: Generator,
    projection: Literal["gaussian", "rademacher"] = "gaussian",
    autodiff: Literal["reverse", "forward"] = "reverse",
    reduction: Reduction = "mean",
) -> Tensor:
    """Sliced score matching (Eq. 3; Song et al. 2019): E_v E_x[vᵀ∇_x s(x) v + ½‖s(x)‖²], one direction v an example.

    It estimates the score of the distribution that x comes from; x is not perturbed here.

    Args:
        score: the model s, in which no example depends on another: not by batch normalisation in training mode.
        x: a tensor (B, *shape) of samples.
        sigma: passed on to the score.
        generator: source of the projections v.
        projection: "gaussian", v ~ N(0, I), or "rademacher", v uniform on {−1, 1}^D.
        autodiff: "reverse", vᵀ∇(vᵀs) by double backward, or "forward", (∇s)v by a Jacobian-vector product.
        reduction: "mean" gives a scalar, "none" one value an example, (B,).

    Raises:
        ValueError: torch can't differentiate the score with respect to x.

    Example:
        >>> x, g = torch.tensor([[0.0], [2.0]]), torch.Generator().manual_seed(0)
        >>> options = {"projection": "rademacher", "reduction": "none"}  # v² = 1: in one dimension the trace itself
        >>> sbgm.sliced_score_matching_loss(lambda x, sigma: -x, x, generator=g, **options).tolist()  # −1 + x²/2
        [-1.0, 1.0]
    """
    require_sigma(sigma, x)
    keep_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = randn_like(x, generator)
        if projection == "rademacher":
            v = torch.where(v < 0, -1.0, 1.0).to(x)
        if autodiff == "reverse":
            s = score_at(score, x, sigma)
            slope = _gradient(_dot(v, s), x, keep_graph)  # ∇(vᵀs): one pass, however many dimensions there are
        else:
            s, slope = _directional(score, x, sigma, v)
        loss = _dot(v, slope) + 0.5 * _dot(s, s)  # E(vᵀs)² = ‖s‖², which needs no v
    return _reduced(loss if keep_graph else loss.detach(), reduction)


@checked
def ncsn_loss(
    score: Score,
    x: Batch,
    sigmas: Ladder,
    *,
    generator: Generator,
    weighting: Annotated[Callable[[Tensor], Tensor], function_of("sigma")] = torch.square,
    reduction: Reduction = "mean",
) -> Tensor:
    """The noise conditional objective (Eq. 6): (1/L) Σ_i λ(σ_i) ℓ(θ; σ_i), with λ(σ) = σ² unless told otherwise.

    The sum over levels is estimated by one level an example, drawn uniformly, as the authors do.

    Args:
        score: the noise conditional model s(x, σ).
        x: a tensor (B, *shape) of clean data.
        sigmas: σ_1 > … > σ_L > 0, a tensor (L,) or a list.
        generator: source of the levels and of the noise.
        weighting: λ, from a (B,) tensor of σ to a (B,) tensor of weights, or to one number.
        reduction: "mean" gives a scalar, "none" one value an example, (B,).

    Raises:
        ValueError: weighting gives another shape than (B,).

    Example:
        >>> zero = lambda x, sigma: torch.zeros_like(x)
        >>> x, g = torch.zeros(100_000, 2), torch.Generator().manual_seed(0)
        >>> f"{sbgm.ncsn_loss(zero, x, [3.0, 1.0, 0.3], generator=g):.2f}"  # σ²·D/(2σ²) = D/2 at every level
        '1.00'
    """
    losses = ncsn_losses(functools.partial(score_at, score), x, sigmas, generator, weighting)
    return _reduced(losses, reduction)


def ncsn_losses(
    score: Score,
    x: Tensor,
    sigmas: Ladder,
    generator: torch.Generator,
    weighting: Callable[[Tensor], Tensor] = torch.square,
) -> Tensor:
    """The terms of `ncsn_loss`, λ(σ) ℓ(θ; σ) at a level drawn for each example: (B,).

    Only the shape of the weights is looked at. The other arguments are as for `ncsn_loss`.
    """
    # in float32 at least: in half precision neighbouring levels of a long ladder round to one
    ladder = torch.as_tensor(sigmas, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
    levels = torch.randint(len(ladder), (len(x),), generator=generator, device=generator.device).to(x.device)
    sigma = ladder[levels]
    weights = weighting(sigma.clone())  # a copy: one that works in place would change the noise
    # (B, 1) would broadcast against the losses (B,) to (B, B), and the mean of that is another number
    if getattr(weights, "shape", ()) not in ((), sigma.shape):
        raise ValueError(f"weighting must return one weight an example, shape ({len(x)},), got {tuple(weights.shape)}")
    # λ = σ² makes the term of every level about as large, since ‖s‖ ∝ 1/σ: none drowns the others
    return weights * _denoising_losses(score, x, sigma, generator)


def _gradient(value: Tensor, x: Tensor, keep_graph: bool) -> Tensor:
    """∇_x of each example's value, (B,) -> x's shape, differentiable if `keep_graph`."""
    if not value.requires_grad:
        raise ValueError(NO_SLOPE)
    # the sum's gradient holds each example's own, because no example depends on another
    (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=keep_graph, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise ValueError(NO_SLOPE)
    return gradient


def _directional(score: Score, x: Tensor, sigma: float | Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """s(x, σ) and (∇s)v by forward differentiation."""
    with forward_ad.dual_level():
        s, slope = forward_ad.unpack_dual(score_at(score, forward_ad.make_dual(x, v), sigma))
    if slope is None:
        raise ValueError(NO_SLOPE)
    return s, slope


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (widened(a) * widened(b)).flatten(1).sum(dim=1)


def _reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    return loss.mean() if reduction == "mean" else loss
