"""Exercises of chapter 2: the objectives of score matching."""

from __future__ import annotations

import torch
from torch import Tensor

from sbgm.course.calls import TanhField
from sbgm.course.exercise import Trial, exercise

SHAPES = ((6, 2), (3, 1, 4, 4))


@exercise("2.4", minutes=5)
def dsm_target(trial: Trial) -> None:
    """`dsm_target(x, x_noisy, sigma)`: the target of denoising score matching, ∇ log q_σ(x̃ | x) (§ 2.1.1).

    x and x̃ are (B, *shape), σ is a float; the target has their shape.
    """
    for _, x, z in trial.batches(*SHAPES):
        sigma = trial.uniform(0.3, 0.8)
        x_noisy = x + sigma * z
        difference = x_noisy - x
        trial.expect(
            -difference / sigma**2,
            x,
            x_noisy,
            sigma,
            mistakes={
                "the sign is wrong: does the score point from the noisy point back to the data, or away from them?":
                    difference / sigma**2,
                "off by a factor σ: is the difference divided by σ or by σ²?": -difference / sigma,
                "off by a factor σ² (and the sign is wrong): is the difference divided by σ²?": difference,
                "off by a factor σ²: the difference still has to be divided by the variance of the noise":
                    -difference,
                "off by a factor σ²: is the variance squared once more?":
                    -difference / sigma**4,
                "off by a factor 2: the ½ of the exponent goes when the square is differentiated":
                    -difference / (2 * sigma**2),
                "this is the score of a standard normal at x̃: it does not know x": -x_noisy / sigma**2,
                "this pulls to the origin, not to x̃'s own x": -x / sigma**2,
            },
        )  # fmt: skip


@dsm_target.lends
def _(x, x_noisy, sigma):
    return -(x_noisy - x) / sigma**2


@exercise("2.5", minutes=10)
def dsm_loss(trial: Trial) -> None:
    """`dsm_loss(score, x, sigma, z)`: denoising score matching (Eq. 2), ½E‖s(x̃, σ) + (x̃ − x)/σ²‖², x̃ = x + σz.

    x and z are (B, *shape), σ is a float; the loss is one number: summed over an example's coordinates, averaged over
    the batch. It must be differentiable by the score's parameters.
    """

    def loss(score: TanhField, x: Tensor, sigma: float, z: Tensor, scale: float = 0.5, sign: float = 1.0) -> Tensor:
        residual = score(x + sigma * z, sigma) + sign * z / sigma
        return scale * residual.square().flatten(1).sum(dim=1).mean()

    for score, x, z in trial.batches(*SHAPES):
        sigma = trial.uniform(0.3, 0.8)
        right = loss(score, x, sigma, z)
        at_clean = score(x, sigma) + z / sigma
        by_variance = score(x + sigma * z, sigma) + z / sigma**2
        too_much_noise = score(x + sigma**2 * z, sigma) + z / sigma
        trial.expect(
            right,
            score,
            x,
            sigma,
            z,
            mistakes={
                "off by a factor 2: Eq. 2 has a ½ in front": 2 * right,
                "the target has the wrong sign: which way from x̃ are the data?":
                    loss(score, x, sigma, z, sign=-1.0),
                "summed over the batch: the expectation is a mean over the examples": right * len(x),
                "averaged over the coordinates too: ‖·‖² is a sum over an example's numbers, only the batch is "
                "averaged": right / x[0].numel(),
                "the score is taken at the clean x: it has to be trained where the noise puts the points":
                    0.5 * at_clean.square().flatten(1).sum(dim=1).mean(),
                "the target is off by a factor σ: x̃ − x is σz, so what is it over σ²?":
                    0.5 * by_variance.square().flatten(1).sum(dim=1).mean(),
                "too little noise: is σ a variance or a standard deviation?":
                    0.5 * too_much_noise.square().flatten(1).sum(dim=1).mean(),
                "the score was not told σ: it is s(x̃, σ)":
                    0.5 * (score(x + sigma * z, 0.0) + z / sigma).square().flatten(1).sum(dim=1).mean(),
                "this is weighted by σ², as Eq. 6 does over a ladder; Eq. 2 is not": right * sigma**2,
            },
        )  # fmt: skip
        trial.expect_gradients(loss, score, x, sigma, z)


@dsm_loss.lends
def _(score, x, sigma, z):
    residual = score(x + sigma * z, sigma) + z / sigma
    return 0.5 * residual.flatten(1).square().sum(dim=1).mean()


@exercise("2.2", minutes=15)
def sliced_loss(trial: Trial) -> None:
    """`sliced_loss(score, x, sigma, v)`: sliced score matching (Eq. 3), E[vᵀ∇_x s(x, σ) v + ½‖s(x, σ)‖²].

    x and the directions v are (B, *shape), σ is a float that the score wants; the loss is one number, averaged over the
    batch, and must be differentiable by the score's parameters.
    """

    def parts(score: TanhField, x: Tensor, sigma: float, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """vᵀ∇s v, ½‖s‖² and ½(vᵀs)² of each example, (B,)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            s = score(x, sigma)
            along = (v * s).flatten(1).sum(dim=1)
            (slope,) = torch.autograd.grad(along.sum(), x, create_graph=True)
            return (slope * v).flatten(1).sum(dim=1), 0.5 * s.square().flatten(1).sum(dim=1), 0.5 * along**2

    def loss(score: TanhField, x: Tensor, sigma: float, v: Tensor) -> Tensor:
        curvature, norm, _ = parts(score, x, sigma, v)
        return (curvature + norm).mean()

    for score, x, v in trial.batches(*SHAPES):
        sigma = trial.uniform(0.3, 0.8)
        curvature, norm, along = (part.detach() for part in parts(score, x, sigma, v))
        trial.expect(
            (curvature + norm).mean(),
            score,
            x,
            sigma,
            v,
            mistakes={
                "the squared norm lacks its ½": (curvature + 2 * norm).mean(),
                "the sign of vᵀ∇s v is wrong: a large squared norm has to be paid for by a negative slope":
                    (norm - curvature).mean(),
                "there is only the squared norm: is vᵀ∇s v lost, by a detach() or a gradient taken of it?":
                    norm.mean(),
                "there is only vᵀ∇s v: the norm keeps it from running off": curvature.mean(),
                "the ½ belongs to the squared norm only": (0.5 * curvature + norm).mean(),
                "½(vᵀs)² where Eq. 3 has its expectation over v, ½‖s‖²: right on average, but noisier":
                    (curvature + along).mean(),
                "summed over the batch: the expectation is a mean over the examples": (curvature + norm).sum(),
                "the score was not told σ: it is s(x, σ)": loss(score, x, 0.0, v).detach(),
            },
        )  # fmt: skip
        trial.expect_gradients(
            loss,
            score,
            x,
            sigma,
            v,
            mistakes={
                "the value is right, but vᵀ∇s v does not pull on the network: its gradient needs create_graph=True":
                    lambda score, x, sigma, v: 0.5 * score(x, sigma).square().flatten(1).sum(dim=1).mean(),
            },
        )  # fmt: skip


@sliced_loss.lends
def _(score, x, sigma, v):
    x = x.detach().requires_grad_()
    s = score(x, sigma)
    (gradient,) = torch.autograd.grad((v * s).sum(), x, create_graph=True)
    curvature = (gradient * v).flatten(1).sum(dim=1)
    return (curvature + 0.5 * s.flatten(1).square().sum(dim=1)).mean()
