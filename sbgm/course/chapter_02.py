"""Exercises of chapter 2: the objectives of score matching."""

import torch
from torch import Tensor

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
            dsm_target.lent(x, x_noisy, sigma),
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

    def of(residual: Tensor) -> Tensor:
        return 0.5 * residual.square().flatten(1).sum(dim=1).mean()

    for score, x, z in trial.batches(*SHAPES):
        sigma = trial.uniform(0.3, 0.8)
        x_noisy, right = x + sigma * z, dsm_loss.lent(score, x, sigma, z)
        trial.expect(
            right,
            score,
            x,
            sigma,
            z,
            mistakes={
                "off by a factor 2: Eq. 2 has a ½ in front": 2 * right,
                "the target has the wrong sign: which way from x̃ are the data?": of(score(x_noisy, sigma) - z / sigma),
                "summed over the batch: the expectation is a mean over the examples": right * len(x),
                "averaged over the coordinates too: ‖·‖² is a sum over an example's numbers, only the batch is "
                "averaged": right / x[0].numel(),
                "the score is taken at the clean x: it has to be trained where the noise puts the points":
                    of(score(x, sigma) + z / sigma),
                "the target is off by a factor σ: x̃ − x is σz, so what is it over σ²?":
                    of(score(x_noisy, sigma) + z / sigma**2),
                "too little noise: is σ a variance or a standard deviation?":
                    of(score(x + sigma**2 * z, sigma) + z / sigma),
                "the score was not told σ: it is s(x̃, σ)": of(score(x_noisy, 0.0) + z / sigma),
                "this is weighted by σ², as Eq. 6 does over a ladder; Eq. 2 is not": right * sigma**2,
            },
        )  # fmt: skip
        trial.expect_gradients(dsm_loss.lent, score, x, sigma, z)


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

    for score, x, v in trial.batches(*SHAPES):
        sigma = trial.uniform(0.3, 0.8)
        s = score(x, sigma)
        right, norm = sliced_loss.lent(score, x, sigma, v), 0.5 * s.square().flatten(1).sum(dim=1).mean()
        curvature, along = right - norm, 0.5 * (v * s).flatten(1).sum(dim=1).square().mean()
        trial.expect(
            right,
            score,
            x,
            sigma,
            v,
            mistakes={
                "the squared norm lacks its ½": curvature + 2 * norm,
                "the sign of vᵀ∇s v is wrong: a large squared norm has to be paid for by a negative slope":
                    norm - curvature,
                "there is only the squared norm: is vᵀ∇s v lost, by a detach() or a gradient taken of it?":
                    norm,
                "there is only vᵀ∇s v: the norm keeps it from running off": curvature,
                "the ½ belongs to the squared norm only": 0.5 * curvature + norm,
                "½(vᵀs)² where Eq. 3 has its expectation over v, ½‖s‖²: right on average, but noisier":
                    curvature + along,
                "summed over the batch: the expectation is a mean over the examples": right * len(x),
                "the score was not told σ: it is s(x, σ)": sliced_loss.lent(score, x, 0.0, v),
            },
        )  # fmt: skip
        trial.expect_gradients(
            sliced_loss.lent,
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
