"""Exercises of chapter 6: noise conditional score networks."""

import torch

from sbgm.guard import against
from sbgm_course.calls import Asked, TanhField
from sbgm_course.chapter_02 import half_square
from sbgm_course.exercise import exercise, in_both_precisions


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


def _maps(trial):
    for shape, dtype in in_both_precisions(((2, 3, 4, 4), (3, 5, 2, 3))):
        places = shape[2] * shape[3]
        yield tuple(trial.randn(*size, dtype=dtype) for size in (shape, (places, places), (places,)))


@exercise("6.2", minutes=10, cases=_maps, gradients=True)
def look_far(h, weight, bias):
    """`look_far(h, weight, bias)`: at every place a weighted sum over all places, Σ_q W_pq h_q + b_p, in each channel.

    h is (B, C, H, W), and its P = H·W places are numbered row by row; weight is (P, P), bias (P,). The result has h's
    shape and is differentiable.
    """
    return (h.flatten(2) @ weight.T + bias).reshape(h.shape)


def _by_columns(h, weight, bias):
    turned = look_far.right(h.mT.contiguous(), weight, bias)
    return turned.mT


look_far.mistakes = {
    "the matrix multiplies h from the wrong side: which index of W is summed over, p or q?":
        lambda h, weight, bias: look_far.right(h, weight.T, bias),
    "where is the bias b_p?": lambda h, weight, bias: look_far.right(h, weight, 0 * bias),
    "the bias is averaged over the places: each place has its own":
        lambda h, weight, bias: look_far.right(h, weight, bias.mean().expand_as(bias)),
    "the bias has the wrong sign": lambda h, weight, bias: look_far.right(h, weight, -bias),
    "h itself is added: what is new is asked for, the block adds it to h later":
        lambda h, weight, bias: look_far.right(h, weight, bias) + h,
    "the places are numbered column by column: flatten(2) numbers them row by row": _by_columns,
    "the sum over the places is divided by their number: it is a weighted sum, no mean":
        lambda h, weight, bias: look_far.right(h, weight / len(bias), bias),
    "the bias is multiplied by W as well: it is added after the sum":
        lambda h, weight, bias: look_far.right(h + bias.reshape(h.shape[2:]), weight, 0 * bias),
    "each place sees itself only: where is the sum over q?":
        lambda h, weight, bias: look_far.right(h, weight.diagonal().diag(), bias),
    "each place has the sum of W's row: where is h_q?":
        lambda h, weight, bias: look_far.right(torch.ones_like(h), weight, bias),
    "the sums are right, and stand at wrong places: which axis did the product put last?":
        lambda h, weight, bias: look_far.right(h, weight, bias).flatten(2).mT.reshape(h.shape),
    "the channels are mixed: each channel has a sum of its own":
        (
            lambda h, weight, bias: look_far.right(h.mean(dim=1, keepdim=True).expand_as(h), weight, bias),
            lambda h, weight, bias: look_far.right(h.sum(dim=1, keepdim=True).expand_as(h), weight, bias),
        ),
    "the images of the batch are mixed: each image has a sum of its own":
        lambda h, weight, bias: look_far.right(h.mean(dim=0, keepdim=True).expand_as(h), weight, bias),
}  # fmt: skip


def _between_levels(trial):
    for score, x, z in trial.batches((5, 2), (3, 1, 4, 4)):
        sigma = trial.uniform(0.6, 0.9)
        yield score, x, sigma, sigma * trial.uniform(0.4, 0.8), z


@exercise("6.3", minutes=10, cases=_between_levels)
def renewed(score, x, sigma, next_sigma, z):
    """`renewed(score, x, sigma, next_sigma, z)`: a clean image guessed by Tweedie's formula, and noise of the next σ.

    x and z are (B, *shape), both σ are floats, and the score takes (x, σ). The result is x + σ² s(x, σ) + σ' z.
    """
    return x + sigma**2 * score(x, sigma) + next_sigma * z


def _renewed_with(*, start=1.0, factor=1.0, power=2, of=0, told=0, kick=lambda sigma, after: after):
    """The step start · x + factor · σ^power s + kick · z.

    Where `of` is 1, the next level's σ is raised to the power; where `told` is 1, it is told to the score.
    """

    def mistaken(score, x, sigma, after, z):
        levels = (sigma, after)
        return start * x + factor * levels[of] ** power * score(x, levels[told]) + kick(sigma, after) * z

    return mistaken


renewed.mistakes = {
    "no noise is added: what does the next level expect to find?": _renewed_with(kick=lambda sigma, after: 0.0),
    "the noise is not scaled: its size is that of the next level": _renewed_with(kick=lambda sigma, after: 1.0),
    "the noise has the size of the old level: the chain would stay there":
        _renewed_with(kick=lambda sigma, after: sigma),
    "the noise is scaled by another power of σ': σ' is its standard deviation": (
        _renewed_with(kick=lambda sigma, after: after**2),
        _renewed_with(kick=lambda sigma, after: after**0.5),
    ),
    "the size of the noise is a difference of levels: the guess has no noise, so all noise is new":
        _renewed_with(kick=lambda sigma, after: (sigma**2 - after**2) ** 0.5),
    "the noise is subtracted": _renewed_with(kick=lambda sigma, after: -after),
    "the noise is added before the score is asked: guess first, from the x that came in":
        lambda score, x, sigma, after, z: renewed.right(score, x + after * z, sigma, 0.0, z),
    "the noise is added to x: the guess is lost": _renewed_with(factor=0.0),
    "the step has the wrong sign: does the score point to the data, or away from them?":
        _renewed_with(factor=-1.0),
    "x is lost: Tweedie's formula has two terms": (_renewed_with(start=0.0), _renewed_with(start=0.0, power=0)),
    "the score is multiplied by another power of σ: what does Tweedie's formula say?":
        tuple(_renewed_with(power=power) for power in (1, 0, -2)),
    "off by a factor 2: Tweedie's formula has no ½; a Langevin step has one": _renewed_with(factor=0.5),
    "only a part of the noise is taken off, as other samplers do: here the guess has no noise, and all noise is new": (
        lambda score, x, a, b, z: x + (a**2 - b**2) * score(x, a) + b * z,
        lambda score, x, a, b, z: x + (a**2 - b**2) * score(x, a) + b / a * (a**2 - b**2) ** 0.5 * z,
        lambda score, x, a, b, z: x + (a**2 - a * b) * score(x, a),
    ),
    "the score, or its factor, is that of the next level: which noise does x have?":
        (_renewed_with(told=1), _renewed_with(of=1), _renewed_with(of=1, told=1)),
    "the two levels are interchanged": _renewed_with(of=1, told=1, kick=lambda sigma, after: sigma),
    "this is a Langevin step: here the step goes all the way to the guess":
        _renewed_with(factor=0.5, kick=lambda sigma, after: sigma),
}  # fmt: skip


def _labelled(trial):
    for network, x, _ in trial.batches((6, 2), (4, 1, 3, 3)):
        label = torch.randperm(10, generator=trial.generator)[: len(x)]
        levels = torch.tensor([trial.uniform(1, 2), trial.uniform(0.3, 0.6)], dtype=torch.float64)
        for w in (trial.uniform(2, 4), trial.uniform(0.2, 0.8)):
            yield network, label, w, Asked(x, levels)


@exercise("6.4", minutes=10, cases=_labelled)
def guided(network, label, w):
    """`guided(network, label, w)`: the score s(x, σ) + w (s(x, σ, c) − s(x, σ)), a function of x and σ.

    network(x, σ) is the score of all classes, network(x, σ, label) that of the classes in label, (B,); w is a float.
    """

    def score(x, sigma):
        of_any = network(x, sigma)
        of_class = network(x, sigma, label)
        return of_any + w * (of_class - of_any)

    return score


def _combined(combine):
    """A score that combines those of any class, of the class, and w in another way."""
    return lambda network, label, w: lambda x, sigma: combine(network(x, sigma), network(x, sigma, label), w)


guided.mistakes = {
    "this is the other convention, (1 + w) s_c − w s, in which w = 0 is the class's own score":
        _combined(lambda s, c, w: c + w * (c - s)),
    "the difference has the wrong sign: it should lead from all classes to the one":
        _combined(lambda s, c, w: s - w * (c - s)),
    "the two scores are interchanged: w = 0 is to be no guidance": _combined(lambda s, c, w: c + w * (s - c)),
    "the class's score is added whole: what do both scores have in common?": _combined(lambda s, c, w: s + w * c),
    "this is the difference alone: to what is it added?": _combined(lambda s, c, w: w * (c - s)),
    "this is the class's score, w = 1, whatever the weight": _combined(lambda s, c, w: c),
    "this is the score without guidance, w = 0, whatever the weight": _combined(lambda s, c, w: s),
    "the weight is used as its square": _combined(lambda s, c, w: s + w**2 * (c - s)),
    "the class's score is multiplied by w, and nothing else happens": _combined(lambda s, c, w: w * c),
    "the two scores are averaged: where is w?": _combined(lambda s, c, w: (s + c) / 2),
    "all images have the first one's label: each has its own":
        lambda network, label, w: guided.right(network, label[:1], w),
}  # fmt: skip
