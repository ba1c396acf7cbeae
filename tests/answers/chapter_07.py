"""Answers to chapter 7's exercises."""

from functools import partial

import torch

from answers import DEPENDENT_NOISE, WRONG_NOISE, Answers, noise


def shake(score, x, sigma, pull, kick, generator, *, draw=noise):
    """The step, with other noise."""
    guess = x + sigma**2 * score(x, sigma)
    return x + pull * (guess - x) + kick * sigma * draw(x, generator)


def shake_along_the_score(score, x, sigma, pull, kick, generator):
    return x + pull * sigma * sigma * score(x, sigma) + sigma * (kick * noise(x, generator))


def shake_between(score, x, sigma, pull, kick, generator):
    guess = torch.stack([x_i + sigma**2 * s_i for x_i, s_i in zip(x, score(x, sigma), strict=True)])
    return torch.normal(torch.lerp(x, guess, pull), kick * sigma, generator=generator)


def shake_in_place(score, x, sigma, pull, kick, generator):
    x += pull * sigma**2 * score(x, sigma) + kick * sigma * noise(x, generator)
    return x


def shake_before_asking(score, x, sigma, pull, kick, generator):
    return shake(score, x + kick * sigma * noise(x, generator), sigma, pull, 0.0, generator)


def fit_of(x, data, sigma):
    """−‖x̃ − x_i‖²/(2σ²), (B, N)."""
    return -(x.flatten(1)[:, None] - data.flatten(1)).square().sum(dim=2) / (2 * sigma**2)


def weighted(weights, data):
    return (weights @ data.flatten(1)).view(-1, *data.shape[1:])


def best_guess_one_by_one(x, data, sigma):
    guesses = []
    for one in x:
        exponents = torch.stack([-(one - image).pow(2).sum() / (2 * sigma * sigma) for image in data])
        weights = torch.exp(exponents - exponents.max())
        guesses.append(sum(w * image for w, image in zip(weights / weights.sum(), data, strict=True)))
    return torch.stack(guesses)


def best_guess_by_exponents(x, data, sigma):
    fit = fit_of(x, data, sigma)
    return weighted((fit - fit.logsumexp(dim=1, keepdim=True)).exp(), data)


def best_guess_by_expansion(x, data, sigma):
    q, d = x.flatten(1), data.flatten(1)
    squared = q.square().sum(1)[:, None] + d.square().sum(1) - 2 * q @ d.T
    return weighted((-squared / (2 * sigma**2)).softmax(dim=1), data)


def nearest_one_by_one(queries, data):
    found = [min(range(len(data)), key=lambda i: float((query - data[i]).pow(2).sum())) for query in queries]
    return torch.tensor(found)


def nearest_by_expansion(queries, data):
    q, d = queries.flatten(1), data.flatten(1)
    return (q.square().sum(1)[:, None] + d.square().sum(1) - 2 * q @ d.T).topk(1, largest=False).indices[:, 0]


def distances(queries, data, p=2.0):
    return torch.cdist(queries.flatten(1), data.flatten(1), p=p)


ANSWERS = {
    "guess_and_shake": Answers(
        right={
            "along the score": shake_along_the_score,
            "between x and the guess": shake_between,
        },
        wrong={
            "noise before the guess": shake_before_asking,
            "noise even without a kick": lambda score, x, sigma, pull, kick, generator: shake(
                score, x, sigma, pull, kick or 0.7, generator
            ),
            "in place": shake_in_place,
            "float64 whatever x": lambda *a: shake(*a).double(),
        }
        | {how: partial(shake, draw=draw) for how, draw in (DEPENDENT_NOISE | WRONG_NOISE).items()},
    ),
    "best_guess": Answers(
        right={
            "one by one": best_guess_one_by_one,
            "largest exponent taken off": best_guess_by_exponents,
            "‖a‖² + ‖b‖² − 2 a·b": best_guess_by_expansion,
        },
    ),
    "nearest": Answers(
        right={
            "all differences at once": lambda queries, data: (
                (queries[:, None] - data[None]).flatten(2).square().sum(dim=2).argmin(dim=1)
            ),
            "one by one": nearest_one_by_one,
            "‖a‖² + ‖b‖² − 2 a·b": nearest_by_expansion,
        },
        wrong={
            "distances": lambda queries, data: distances(queries, data).amin(dim=1),
            "one index for all": lambda queries, data: distances(queries, data).argmin(),
            "a column": lambda queries, data: distances(queries, data).topk(1, largest=False).indices,
            "int32": lambda queries, data: distances(queries, data).argmin(dim=1).int(),
            "values and indices": lambda queries, data: tuple(distances(queries, data).min(dim=1)),
        },
    ),
}
