"""Answers to chapter 9's exercises."""

import torch

from answers import DEPENDENT_NOISE, WRONG_NOISE, noise, with_noise


def shake(score, x, sigma, pull, kick, generator, draw=noise):
    """The step, with other noise."""
    guess = x + sigma**2 * score(x, sigma)
    return x + pull * (guess - x) + kick * sigma * draw(x, generator)


def shake_along_the_score(score, x, sigma, pull, kick, generator):
    return x + pull * sigma * sigma * score(x, sigma) + sigma * (kick * noise(x, generator))


def shake_between(score, x, sigma, pull, kick, generator):
    guess = x + sigma**2 * score(x, sigma)
    return torch.normal(torch.lerp(x, guess, pull), kick * sigma, generator=generator)


def best_guess_one_by_one(x, data, sigma):
    guesses = []
    for one in x:
        squares = (one - data).flatten(1).pow(2).sum(1)
        exponents = -squares / (2 * sigma * sigma)
        weights = torch.exp(exponents - exponents.max())
        guesses.append(torch.einsum("n,n...->...", weights / weights.sum(), data))
    return torch.stack(guesses)


def best_guess_by_expansion(x, data, sigma):
    q = x.flatten(1)
    d = data.flatten(1)
    squares = q.square().sum(1)[:, None] + d.square().sum(1) - 2 * q @ d.T
    weights = (-squares / (2 * sigma**2)).softmax(dim=1)
    return (weights @ d).view(-1, *data.shape[1:])


def best_guess_with_one_maximum(x, data, sigma):
    """One image of the batch may be near the data, where the exponents of the others are far below its own."""
    exponents = -(distances(x, data) ** 2) / (2 * sigma**2)
    weights = (exponents - exponents.max()).exp()
    return (weights / weights.sum(dim=1, keepdim=True) @ data.flatten(1)).view_as(x)


def nearest_one_by_one(queries, data):
    places = []
    for query in queries:
        squares = (query - data).flatten(1).pow(2).sum(1)
        places.append(int(squares.argmin()))
    return torch.tensor(places)


def distances(queries, data):
    return torch.cdist(queries.flatten(1), data.flatten(1))


def nearest_by_topk(queries, data):
    return distances(queries, data).topk(1, largest=False).indices[:, 0]


def noise_without_a_kick(score, x, sigma, pull, kick, generator):
    return shake(score, x, sigma, pull, kick or 0.7, generator)


RIGHT = {
    "guess_and_shake": (shake_along_the_score, shake_between),
    "best_guess": (best_guess_one_by_one, best_guess_by_expansion),
    "nearest": (nearest_one_by_one, nearest_by_topk),
}
WRONG = {
    "guess_and_shake": {
        "noise even without a kick": noise_without_a_kick,
        **with_noise(shake, DEPENDENT_NOISE | WRONG_NOISE),
    },
    "best_guess": {"one maximum for the batch": best_guess_with_one_maximum},
    "nearest": {"values and indices": lambda queries, data: tuple(distances(queries, data).min(dim=1))},
}
