"""Exercises of chapter 8: an image network of one's own."""

import torch

from sbgm_course.calls import Asked
from sbgm_course.exercise import exercise


def _between_levels(trial):
    for score, x, z in trial.batches((5, 2), (3, 1, 4, 4)):
        sigma = trial.uniform(0.6, 0.9)
        yield score, x, sigma, sigma * trial.uniform(0.4, 0.8), z


@exercise("8.1", minutes=10, cases=_between_levels)
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


@exercise("8.2", minutes=10, cases=_labelled)
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
