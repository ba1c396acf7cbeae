"""Exercises of chapter 6: noise conditional score networks."""

import torch

from sbgm.guard import against
from sbgm_course.calls import TanhField
from sbgm_course.chapter_02 import half_square
from sbgm_course.exercise import exercise


def _on_ladders(trial):
    for score, x, z in trial.batches((7, 3), (5, 1, 4, 4)):  # B/D is no factor that another mistake leaves
        sigmas = 2.0 * trial.uniform(0.4, 0.6) ** torch.arange(4, dtype=x.dtype)
        told = TanhField(score.inner, trial.randn(len(x), 5, dtype=x.dtype), score.outer)  # each example's class
        yield told, x, sigmas, torch.randperm(len(x), generator=trial.generator) % 4, z


@exercise("6.1", minutes=15, cases=_on_ladders, gradients=True)
def ncsn_loss(score, x, sigmas, levels, z):
    """`ncsn_loss(score, x, sigmas, levels, z)`: the objective over a ladder (Eq. 5 and 6) with λ(σ) = σ².

    x and z are (B, *shape), sigmas is a descending tensor (L,), levels holds an index from 0 for every example, (B,),
    and the score takes (x, σ) of the whole batch, σ of shape (B,). The loss is one number, averaged over the batch,
    and must be differentiable by the score's parameters.
    """
    sigma = sigmas[levels]
    each = sigma.reshape(-1, *[1] * (x.ndim - 1))  # broadcasts against x
    residual = each * score(x + each * z, sigma) + z
    return 0.5 * residual.flatten(1).square().sum(dim=1).mean()


def _ncsn_with(
    *,
    power=1.0,
    noise=1.0,
    target=-1,
    at=lambda x, noisy: noisy,
    told=lambda sigmas, levels: sigmas[levels],
    mean_weight=None,
):
    """The objective with a mistake.

    Args:
        power: of σ in the root of the weight.
        noise: the power of σ that multiplies z in x̃.
        target: the power of σ that multiplies −z.
        at: the point at which the score is taken, x or x̃.
        told: what the score is told, of the ladder (L,) and the levels (B,).
        mean_weight: of the ladder's variances (L,) and of each example's, (B,); it multiplies the mean of the losses.
    """

    def mistaken(score, x, sigmas, levels, z):
        sigma = against(sigmas[levels], x)
        noisy = x + sigma**noise * z
        residual = score(at(x, noisy), told(sigmas, levels)) + sigma**target * z
        loss = half_square(sigma**power * residual).mean()
        if mean_weight:
            loss = mean_weight(sigmas**2, sigmas[levels] ** 2).mean() * loss
        return loss

    return mistaken


ncsn_loss.mistakes = {
    "the levels are not weighted: where is λ?": _ncsn_with(power=0),
    "the weight is another power of σ: λ(σ) = σ², once": tuple(_ncsn_with(power=power) for power in (0.5, 2, -1)),
    "λ is averaged over the examples or over the ladder: each example's loss has its own weight": (
        _ncsn_with(power=0, mean_weight=lambda ladder, examples: examples),
        _ncsn_with(power=0, mean_weight=lambda ladder, examples: ladder),
    ),
    "the target has the wrong sign: which way from x̃ are the data?":
        lambda score, x, *rest: ncsn_loss.right(lambda x, sigma: -score(x, sigma), x, *rest),
    "the target is off by a power of σ: x̃ − x is σz, and it is divided by σ²":
        (_ncsn_with(target=-2), _ncsn_with(target=0)),
    "the score is taken at the clean x: it has to be trained where the noise puts the points":
        _ncsn_with(at=lambda x, noisy: x),
    "x̃ is x + σz: the noise is scaled by σ, its standard deviation":
        (_ncsn_with(noise=2), _ncsn_with(noise=0), _ncsn_with(noise=0.5)),
    "the score is told the level's index: which is its second argument?":
        _ncsn_with(told=lambda sigmas, levels: levels.to(sigmas.dtype)),
    "the score is told log σ: it takes σ itself": _ncsn_with(told=lambda sigmas, levels: sigmas[levels].log()),
    "divided by the number of levels, too: with one level per example the batch's mean is already one over the levels":
        lambda score, x, sigmas, *rest: ncsn_loss.right(score, x, sigmas, *rest) / len(sigmas),
    "summed over the batch and averaged over an example's coordinates: it is the other way round":
        lambda score, x, *rest: ncsn_loss.right(score, x, *rest) * len(x) / x[0].numel(),
    "the ladder is read from its wrong end: which σ has index 0?":
        lambda score, x, sigmas, levels, z: ncsn_loss.right(score, x, sigmas.flip(0), levels, z),
    "off by one level: indices begin at 0":
        lambda score, x, sigmas, levels, z: ncsn_loss.right(score, x, sigmas, levels - 1, z),
    "all examples have the level of the first one":
        lambda score, x, sigmas, levels, z: ncsn_loss.right(score, x, sigmas, levels[:1].expand(len(x)), z),
}  # fmt: skip
