"""Exercises of chapter 9: how a network draws."""

from collections.abc import Iterator
from typing import Any

import torch

from sbgm_course.chapter_01 import weight_mistakes
from sbgm_course.exercise import Sign, Trial, exercise, in_both_precisions, noise


def _around_grey(x, sigma):
    """The score of N(½, 1) with noise: linear, so that the law is known of noise that enters it."""
    return (0.5 - x) / (1 + sigma**2)


def _shaken(trial: Trial) -> Iterator[tuple[Any, ...]]:
    for score, start, _ in trial.batches((100, 1, 20, 15), (150, 2, 14, 8)):
        if start.shape[1] == 1:
            score = _around_grey
        # such that no two of the mistakes below lead to nearly the same law
        sigma = trial.uniform(0.45, 0.5)
        pull = trial.uniform(0.55, 0.6)
        kick = trial.uniform(0.65, 0.75)
        yield score, start[:1].expand_as(start), sigma, pull, kick


def _pulled(trial: Trial) -> Iterator[tuple[Any, ...]]:
    for score, x, sigma, pull, _ in _shaken(trial):
        yield score, x, sigma, pull, 0.0


@exercise("9.1", minutes=10, cases={"your samples": _shaken, "without a kick, your answer": _pulled}, draws=True)
def guess_and_shake(score, x, sigma, pull, kick, generator):
    """`guess_and_shake(score, x, sigma, pull, kick, generator)`: one step, x + pull (x̂ − x) + kick σ z.

    x̂ = x + σ² s(x, σ) is the mean of the clean images behind x, and z ~ N(0, I) is drawn from the generator. x is
    (B, *shape), all else are floats; the result has x's shape and dtype. With pull = ε/(2σ_L²) and kick = √ε/σ_L it is
    a step of Algorithm 1; with pull 1 it replaces all noise.
    """
    guess = x + sigma**2 * score(x, sigma)
    return x + pull * (guess - x) + kick * sigma * noise(x, generator)


def _shaken_with(
    *,
    moved=lambda x, guess, pull: x + pull * (guess - x),
    factor=lambda sigma: sigma**2,
    std=lambda kick, sigma: kick * sigma,
):
    """The step with another move, another factor of the score in the guess, or other noise."""

    def mistaken(score, x, sigma, pull, kick, generator):
        guess = x + factor(sigma) * score(x, sigma)
        return moved(x, guess, pull) + std(kick, sigma) * noise(x, generator)

    return mistaken


guess_and_shake.mistakes = {
    "the noise is not multiplied by σ: a kick is that part of this level's noise":
        _shaken_with(std=lambda kick, sigma: kick),
    "the noise has the standard deviation σ: where is the kick?": _shaken_with(std=lambda kick, sigma: sigma),
    "the noise has variance 1: it still has to be multiplied by kick σ": _shaken_with(std=lambda kick, sigma: 1.0),
    "the noise has the variance kick σ: that is its standard deviation":
        _shaken_with(std=lambda kick, sigma: (kick * sigma) ** 0.5),
    "the noise is multiplied by √kick: the kick is a part of the standard deviation σ":
        _shaken_with(std=lambda kick, sigma: kick**0.5 * sigma),
    "the noise is multiplied by kick σ²": _shaken_with(std=lambda kick, sigma: kick * sigma**2),
    "there is no noise: after the pull comes the kick": _shaken_with(std=lambda kick, sigma: 0.0),
    "the chain jumps all the way to the guess: it moves only a part of the way, the pull":
        _shaken_with(moved=lambda x, guess, pull: guess),
    "pull and 1 − pull are exchanged: a small pull leaves most of x":
        _shaken_with(moved=lambda x, guess, pull: guess + pull * (x - guess)),
    "the chain moves by pull times the guess, where it should move by pull times the way there, x̂ − x":
        _shaken_with(moved=lambda x, guess, pull: x + pull * guess),
    "the old x is lost: the chain starts from where it is": _shaken_with(moved=lambda x, guess, pull: pull * guess),
    "the chain moves away from the guess":
        _shaken_with(moved=lambda x, guess, pull: x - pull * (guess - x)),
    "the move is half of what it should be: pull has Algorithm 1's ½ already":
        _shaken_with(moved=lambda x, guess, pull: x + pull / 2 * (guess - x)),
    "the guess is x + s or x + σ s: the score is multiplied by the variance σ²":
        (_shaken_with(factor=lambda sigma: 1.0), _shaken_with(factor=lambda sigma: sigma)),
    "the move is multiplied by σ² once more: the guess has it already":
        _shaken_with(factor=lambda sigma: sigma**4),
    "the chain does not move towards the guess":
        _shaken_with(factor=lambda sigma: 0.0),
    "the noise comes before the guess: the score is asked at the old x, and the noise is added last":
        lambda score, x, sigma, pull, kick, generator: guess_and_shake.right(
            score, x + kick * sigma * noise(x, generator), sigma, pull, 0.0, generator
        ),
}  # fmt: skip


def _noisy_images(trial):
    sizes = ((5, 12, (1, 3, 4)), (8, 8, (2, 2, 3)))
    for (n_queries, n_data, shape), dtype in in_both_precisions(sizes):
        data = trial.rand(n_data, *shape, dtype=dtype)
        sigma = trial.uniform(0.35, 0.6)
        origin = data[trial.integer(0, n_data)]
        yield origin + sigma * trial.randn(n_queries, *shape, dtype=dtype), data, sigma


def _far_images(trial):
    """One image nearby, and others where exp(−‖·‖²/2σ²) is zero and only double precision tells which is nearest."""
    for x, data, sigma in _noisy_images(trial):
        if x.dtype == torch.float64:
            yield torch.cat([x[:1], x[1:] + 30 * trial.rand(*x.shape[1:])]), data, sigma


@exercise("9.3", minutes=15, cases={"your answer": _noisy_images, "far from the data, your answer": _far_images})
def best_guess(x, data, sigma):
    """`best_guess(x, data, sigma)`: the mean of the images in `data`, weighted by exp(−‖x̃ − x_i‖²/2σ²) for each x̃ in x.

    x is (B, *shape), `data` are (N, *shape), σ is a float; the result has x's shape and dtype. It is x + σ² s(x, σ) of
    the exact score of N points with noise σ.
    """
    weights = torch.softmax(-_squares(x, data) / (2 * sigma**2), dim=1)
    return (weights @ data.flatten(1)).view_as(x)


def _squares(x, data):
    """‖x̃ − x_i‖², (B, N)."""
    return (x.flatten(1)[:, None] - data.flatten(1)).square().sum(dim=2)


def _weighing(weigh):
    """The mean by other weights, `weigh(squares, sigma)`, (B, N)."""

    def mistaken(x, data, sigma):
        weights = weigh(_squares(x, data), sigma)
        return (weights @ data.flatten(1)).view_as(x)

    return mistaken


def _naive(squares, sigma):
    weights = torch.exp(-squares / (2 * sigma**2))
    return weights / weights.sum(dim=1, keepdim=True)


best_guess.mistakes = {
    "your answer is NaN or infinite: far from the data every weight is rounded to 0, and 0/0 is no mean. A softmax "
    "takes the largest exponent of each x̃ off first":
        Sign(lambda answer, right: not answer.isfinite().all(), _weighing(_naive)),
    "the squared differences are averaged over the pixels: every pixel adds to the evidence":
        lambda x, data, sigma: best_guess.right(x, data, sigma * x[0].numel() ** 0.5),
    "this is the score: the mean itself is asked for":
        lambda x, data, sigma: (best_guess.right(x, data, sigma) - x) / sigma**2,
    "this is the way from x to the mean: the mean itself is asked for":
        lambda x, data, sigma: best_guess.right(x, data, sigma) - x,
} | {sentence: _weighing(weigh) for sentence, weigh in weight_mistakes("x", "images").items()}  # fmt: skip


def _queries(trial):
    # as many queries as data first: there a minimum over the wrong axis has the right shape
    sizes = ((24, 24, (1, 4, 4)), (17, 60, (3, 2, 3)), (9, 5, (1, 6, 2)))
    for (n_queries, n_data, shape), dtype in in_both_precisions(sizes):
        data = trial.rand(n_data, *shape, dtype=dtype)
        queries = trial.rand(n_queries, *shape, dtype=dtype)
        queries[-1] = data[trial.integer(0, n_data)]  # a query that is a copy of a training image
        yield queries, data


@exercise("9.4", minutes=10, cases=_queries)
def nearest(queries, data):
    """`nearest(queries, data)`: for each query image the index of the training image nearest in pixel ℓ2.

    `queries` are (Q, *shape), `data` are (N, *shape); the result is (Q,) of torch.int64.
    """
    q = queries.flatten(1)
    d = data.flatten(1)
    return (d.square().sum(dim=1) - 2 * q @ d.T).argmin(dim=1)


def _by(order):
    """The first in another order, `order(q, d)`: (Q, N), of images in rows."""

    def mistaken(queries, data):
        q = queries.flatten(1)
        d = data.flatten(1)
        return order(q, d).argmin(dim=1)

    return mistaken


def _unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def _ranks(queries, data):
    """The training images in the order of their distance to each query, (Q, N)."""
    return torch.cdist(queries.flatten(1), data.flatten(1)).argsort(dim=1)


nearest.mistakes = {
    "these are the farthest images":
        _by(lambda q, d: -torch.cdist(q, d)),
    "the minimum runs over the queries: this is the query nearest to each training image":
        lambda queries, data: nearest.right(data, queries),
    "nearest by another distance: the differences are squared, and then summed over all pixels": (
        _by(lambda q, d: torch.cdist(q, d, p=1)),
        _by(lambda q, d: torch.cdist(q, d, p=torch.inf)),
        _by(lambda q, d: (q.sum(dim=1, keepdim=True) - d.sum(dim=1)).abs()),
    ),
    "largest cosine similarity: it does not see that one image is darker than the other":
        _by(lambda q, d: -_unit(q) @ _unit(d).T),
    "largest inner product: that favours bright training images, however far they are":
        _by(lambda q, d: -q @ d.T),
    "‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b: is a term missing, or a 2, or is a sign wrong?": (
        _by(lambda q, d: q @ d.T),
        _by(lambda q, d: d.square().sum(dim=1) - q @ d.T),
        _by(lambda q, d: d.square().sum(dim=1) + 2 * q @ d.T),
    ),
    "second nearest: a query is not one of the training images that it is compared with":
        lambda queries, data: _ranks(queries, data)[:, 1],
    "the place in the order of all images, not the image: argsort of an argsort?":
        lambda queries, data: _ranks(queries, data).argsort(dim=1)[:, 0],
}  # fmt: skip
