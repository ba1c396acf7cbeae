"""Exercises of chapter 2: the objectives of score matching."""

import torch

from sbgm_course.exercise import exercise


def _with_noise(trial):
    for score, x, z in trial.batches((7, 3), (5, 1, 4, 4)):  # B/D is no factor that another mistake leaves
        yield score, x, trial.uniform(0.3, 0.8), z


WRONG_AXIS = "summed over the batch and averaged over an example's coordinates: it is the other way round"


def half_square(s):
    """½‖s‖² of each example, (B,)."""
    return 0.5 * s.flatten(1).square().sum(dim=1)


@exercise("2.4", minutes=10, cases=_with_noise, gradients=True)
def dsm_loss(score, x, sigma, z):
    """`dsm_loss(score, x, sigma, z)`: denoising score matching (Eq. 2), ½E‖s(x̃, σ) + (x̃ − x)/σ²‖², x̃ = x + σz.

    x and z are (B, *shape), σ is a float; the loss is one number: summed over an example's coordinates, averaged over
    the batch. It must be differentiable by the score's parameters.
    """
    residual = score(x + sigma * z, sigma) + z / sigma
    return half_square(residual).mean()


def dsm_with(target):
    """A loss with another target, of x, x̃ and σ."""

    def loss(score, x, sigma, z):
        noisy = x + sigma * z
        return half_square(score(noisy, sigma) - target(x, noisy, sigma)).mean()

    return loss


def _dsm_at(place):
    """A loss with the score at another point, of x, σ and z."""
    return lambda score, x, sigma, z: half_square(score(place(x, sigma, z), sigma) + z / sigma).mean()


dsm_loss.mistakes = {
    "the target has the wrong sign: which way from x̃ are the data?":
        dsm_with(lambda x, noisy, sigma: (noisy - x) / sigma**2),
    "the length is not squared: Eq. 2 has ‖·‖²":
        lambda score, x, sigma, z: 0.5 * (score(x + sigma * z, sigma) + z / sigma).flatten(1).norm(dim=1).mean(),
    "the score is taken at the clean x: it has to be trained where the noise puts the points":
        _dsm_at(lambda x, sigma, z: x),
    "the noise in x̃ is not σz: σ is its standard deviation":
        tuple(_dsm_at(lambda x, sigma, z, power=power: x + sigma**power * z) for power in (0, 0.5, 2)),
    "this is weighted by σ², as Eq. 6 does over a ladder; Eq. 2 is not":
        lambda score, x, sigma, z: sigma**2 * dsm_loss.right(score, x, sigma, z),
    "the target is off by a power of σ: it is the difference x̃ − x, divided once by the variance of the noise":
        tuple(dsm_with(lambda x, noisy, sigma, power=power: (x - noisy) / sigma**power) for power in (0, 1, 3, 4)),
    "the target is off by a factor 2: the ½ of the exponent goes when the square is differentiated":
        dsm_with(lambda x, noisy, sigma: -(noisy - x) / (2 * sigma**2)),
    "the target does not lead from x̃ back to its own x":
        (dsm_with(lambda x, noisy, sigma: -noisy / sigma**2), dsm_with(lambda x, noisy, sigma: -x / sigma**2)),
    WRONG_AXIS:
        lambda score, x, *rest: dsm_loss.right(score, x, *rest) * len(x) / x[0].numel(),
}  # fmt: skip


@exercise("2.2", minutes=15, cases=_with_noise, gradients=True)
def sliced_loss(score, x, sigma, v):
    """`sliced_loss(score, x, sigma, v)`: sliced score matching (Eq. 3), E[vᵀ∇_x s(x, σ) v + ½‖s(x, σ)‖²].

    x and the directions v are (B, *shape), σ is a float that the score wants; the loss is one number, averaged over the
    batch, and must be differentiable by the score's parameters.
    """
    return (slope(score, x, sigma, v, v) + half_square(score(x, sigma))).mean()


def slope(score, x, sigma, v, w, *, create_graph=True):
    """vᵀ∇_x s(x, σ) w of each example, (B,)."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad((v * score(x, sigma)).sum(), x, create_graph=create_graph)
    return (gradient * w).flatten(1).sum(dim=1)


def sliced_with(combine=torch.add, left=lambda v: v, right=lambda v: v):
    """A loss that combines the parts vᵀ∇s v and ½‖s‖² of each example in another way, or takes another v in the former.

    The one on the left is that of the score, the one on the right that of the gradient.
    """

    def loss(score, x, sigma, v):
        slopes = slope(score, x, sigma, left(v), right(v))
        return combine(slopes, half_square(score(x, sigma))).mean()

    return loss


def _unit(v):
    """Each example's direction, scaled to length 1."""
    return torch.nn.functional.normalize(v.flatten(1)).reshape(v.shape)


sliced_loss.mistakes = {
    "v stands on one side of ∇s only: it belongs on both":
        (sliced_with(left=torch.ones_like), sliced_with(right=torch.ones_like)),
    "v is not taken as it is given: neither its length nor its components are changed":
        (sliced_with(left=_unit, right=_unit), sliced_with(left=torch.sign, right=torch.sign)),
    "the norm is not squared":
        tuple(sliced_with(lambda slopes, norms, a=a: slopes + a * (2 * norms).sqrt()) for a in (0.5, 1.0)),
    "the squared norm lacks its ½":
        sliced_with(lambda slopes, norms: slopes + 2 * norms),
    "the sign of vᵀ∇s v is wrong: it is added to ½‖s‖², not subtracted":
        sliced_with(lambda slopes, norms: norms - slopes),
    "½‖s‖² is subtracted: it is added to vᵀ∇s v":
        sliced_with(lambda slopes, norms: slopes - norms),
    "there is only the squared norm: where is vᵀ∇s v?":
        sliced_with(lambda slopes, norms: norms),
    "there is only vᵀ∇s v: without the squared norm it has no lower bound":
        sliced_with(lambda slopes, norms: slopes),
    "the ½ belongs to the squared norm only":
        sliced_with(lambda slopes, norms: 0.5 * slopes + norms),
    "½(vᵀs)² where Eq. 3 has its expectation over v, ½‖s‖²: right on average, but noisier":
        lambda score, x, sigma, v: (
            slope(score, x, sigma, v, v) + 0.5 * (v * score(x, sigma)).flatten(1).sum(dim=1).square()
        ).mean(),
    "the value is right, but vᵀ∇s v gives the network no gradient: torch.autograd.grad needs create_graph=True":
        lambda score, x, sigma, v: (
            slope(score, x, sigma, v, v, create_graph=False) + half_square(score(x, sigma))
        ).mean(),
    "the value is right, but ½‖s‖² gives the network no gradient: is s detached?":
        lambda score, x, sigma, v: (slope(score, x, sigma, v, v) + half_square(score(x, sigma).detach())).mean(),
    WRONG_AXIS:
        lambda score, x, *rest: sliced_loss.right(score, x, *rest) * len(x) / x[0].numel(),
}  # fmt: skip
