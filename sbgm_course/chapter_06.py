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
    "the weight is another power of σ: λ(σ) = σ², once": tuple(_ncsn_with(power=power) for power in (0.5, -1)),
    "σ² stands inside the norm: only its root, σ, goes in": (_ncsn_with(power=2), _ncsn_with(power=2, target=-2)),
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


def _noisy_rows(trial):
    for network, x, _ in trial.batches((6, 4), (5, 7)):
        sigma = 10 ** torch.linspace(-1, 0.3, len(x), dtype=x.dtype)[torch.randperm(len(x), generator=trial.generator)]
        mean, variance = (torch.tensor(trial.uniform(*ends), dtype=x.dtype) for ends in ((0.3, 0.6), (0.1, 0.2)))
        yield network, x, sigma, mean, variance


@exercise("6.2", minutes=10, cases=_noisy_rows, gradients=True)
def scaled(network, x, sigma, mean, variance):
    """`scaled(network, x, sigma, mean, variance)`: a score made of layers that see, and give, numbers of one size.

    x is (B, D) and σ (B,); a clean number has the mean m and the variance v. The layers, network(u, σ), are given the
    noisy numbers brought to mean 0 and variance 1. The score is that of Gaussian numbers, plus the layers' answer
    divided by σ: (m − x)/(v + σ²) + network((x − m)/√(v + σ²), σ)/σ. It is differentiable.
    """
    each = sigma[:, None]
    noisy_variance = variance + each**2
    return (mean - x) / noisy_variance + network((x - mean) / noisy_variance.sqrt(), sigma) / each


def _scaled_with(
    *,
    spread=lambda sigma, variance: variance + sigma**2,
    width=lambda sigma, variance: (variance + sigma**2).sqrt(),
    shift=1,
    gaussian=1,
    seen=lambda u, x: u,
    factor=lambda sigma, variance: 1 / sigma,
    told=lambda sigma: sigma,
):
    """The scaling with a mistake.

    Args:
        spread: what the Gaussian's score is divided by, of σ (B, 1) and v.
        width: what the layers' input is divided by, of σ (B, 1) and v.
        shift: how often the mean is taken off the layers' input.
        gaussian: the factor of the Gaussian's score.
        seen: what the layers are given, of the scaled input and of x.
        factor: of the layers' answer, of σ (B, 1) and v.
        told: what the layers are told, of σ (B,).
    """

    def mistaken(network, x, sigma, mean, variance):
        each = sigma[:, None]
        u = (x - shift * mean) / width(each, variance)
        answer = network(seen(u, x), told(sigma))
        return gaussian * (mean - x) / spread(each, variance) + factor(each, variance) * answer

    return mistaken


def _with_noisy_variance(noisy_variance):
    """The scaling with another variance of a noisy number, of σ (B, 1) and v, wherever there is one."""
    return _scaled_with(spread=noisy_variance, width=lambda sigma, variance: noisy_variance(sigma, variance).sqrt())


def _gaussian_of_the_input(network, x, sigma, mean, variance):
    each = sigma[:, None]
    u = (x - mean) / (variance + each**2).sqrt()
    return -u + network(u, sigma) / each


scaled.mistakes = {
    "the noise is left out: a noisy number has the variance v + σ²":
        _with_noisy_variance(lambda sigma, variance: variance + 0 * sigma),
    "σ is a standard deviation, and variances add: a noisy number has v + σ²": (
        _with_noisy_variance(lambda sigma, variance: variance + sigma),
        _with_noisy_variance(lambda sigma, variance: (variance.sqrt() + sigma) ** 2),
        _with_noisy_variance(lambda sigma, variance: variance**2 + sigma**2),
    ),
    "the layers see x as it comes: bring their input to mean 0 and variance 1": _scaled_with(seen=lambda u, x: x),
    "the mean is still in the layers' input": _scaled_with(shift=0),
    "the layers' input is divided by the variance: its root, the standard deviation, brings it to variance 1":
        _scaled_with(width=lambda sigma, variance: variance + sigma**2),
    "the layers' input is divided by the width of clean numbers, or of the noise alone: it has both": (
        _scaled_with(width=lambda sigma, variance: variance.sqrt()),
        _scaled_with(width=lambda sigma, variance: sigma),
    ),
    "the layers' input is only shifted: divide it, too": _scaled_with(width=lambda sigma, variance: 1),
    "the layers' input is multiplied where it should be divided":
        _scaled_with(width=lambda sigma, variance: (variance + sigma**2) ** -0.5),
    "the Gaussian's score is missing": _scaled_with(gaussian=0),
    "the Gaussian's score has the wrong sign: it leads to the mean": _scaled_with(gaussian=-1),
    "the Gaussian's score is divided by a standard deviation: it is (m − x) over the variance":
        (_scaled_with(spread=lambda sigma, variance: (variance + sigma**2).sqrt()), _gaussian_of_the_input),
    "the Gaussian's score is that of clean numbers, or of the noise alone: which variance have noisy ones?": (
        _scaled_with(spread=lambda sigma, variance: variance),
        _scaled_with(spread=lambda sigma, variance: sigma**2),
    ),
    "the layers' answer is not divided by σ": _scaled_with(factor=lambda sigma, variance: 1),
    "the layers' answer is multiplied by σ: scores grow as σ falls": _scaled_with(factor=lambda sigma, variance: sigma),
    "the layers' answer is divided by another power of σ: scores grow about as 1/σ": (
        _scaled_with(factor=lambda sigma, variance: sigma**-2),
        _scaled_with(factor=lambda sigma, variance: sigma**-0.5),
    ),
    "the layers' answer is divided by √(v + σ²), which stays large where σ is small":
        _scaled_with(factor=lambda sigma, variance: (variance + sigma**2) ** -0.5),
    "the layers' answer is divided by v + σ²: only the Gaussian's score is":
        _scaled_with(factor=lambda sigma, variance: 1 / (variance + sigma**2)),
    "the layers' answer has the wrong sign: it is added": _scaled_with(factor=lambda sigma, variance: -1 / sigma),
    "the layers' answer is missing": _scaled_with(factor=lambda sigma, variance: 0 * sigma),
    "both terms are divided by σ: the Gaussian's score has its size already":
        lambda network, x, sigma, mean, variance:
            scaled.right(network, x, sigma, mean, variance)
            + (1 / sigma[:, None] - 1) * (mean - x) / (variance + sigma[:, None] ** 2),
    "the layers are told log σ: they take σ itself": _scaled_with(told=torch.log),
    "all examples are scaled by the first one's σ": lambda network, x, sigma, mean, variance:
        scaled.right(lambda u, _: network(u, sigma), x, sigma[:1].expand(len(x)), mean, variance),
}  # fmt: skip
