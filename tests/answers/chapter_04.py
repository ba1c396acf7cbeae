"""Answers to chapter 4's exercises."""

import itertools
import math

import numpy
import torch
from torch import nn

import sbgm
from answers import DEPENDENT_NOISE, WRONG_NOISE, noise, with_noise


def ladder_by_multiplying(sigma_max, sigma_min, n_levels):
    ratio = (sigma_min / sigma_max) ** (1 / (n_levels - 1))
    levels = [sigma_max]
    while len(levels) < n_levels:
        levels.append(levels[-1] * ratio)
    return torch.tensor(levels)


def anneal(score, x, sigmas, epsilon, n_steps, generator, draw=noise):
    """Algorithm 1, with other noise."""
    for sigma in sigmas.tolist():
        alpha = epsilon * sigma**2 / float(sigmas[-1]) ** 2
        for _ in range(n_steps):
            x = x + alpha / 2 * score(x, sigma) + alpha**0.5 * draw(x, generator)
    return x


def by_package(score, x, sigmas, epsilon, n_steps, generator):
    states = sbgm.annealed_langevin(score, x, sigmas, step_size=epsilon, n_steps=n_steps, generator=generator)
    return sbgm.final(states)


def by_counting_steps(score, x, sigmas, epsilon, n_steps, generator):
    chains = x.clone()
    for step in range(n_steps * len(sigmas)):
        sigma = sigmas[step // n_steps].expand(len(x))
        alpha = float(epsilon * (sigma[0] / sigmas[-1]) ** 2)
        chains += alpha / 2 * score(chains, sigma)
        chains += alpha**0.5 * noise(x, generator)
    return chains


def opposite_noise_in_turn(score, x, sigmas, epsilon, n_steps, generator):
    drawn = (sign * z for z in iter(lambda: noise(x, generator), None) for sign in (1, -1))
    return anneal(score, x, sigmas, epsilon, n_steps, generator, draw=lambda x, g: next(drawn))


def noise_passed_on(score, x, sigmas, epsilon, n_steps, generator):
    z = noise(x, generator)
    step = itertools.count()
    return anneal(score, x, sigmas, epsilon, n_steps, generator, draw=lambda x, g: z.roll(next(step), dims=0))


def of_the_data(data, sigmas, generator):
    """The exact score of 500 of the data with noise σ: nothing is trained."""
    origins = data[:500]

    def score(x, sigma):
        posterior = (-(torch.cdist(x, origins) ** 2) / (2 * sigma**2)).softmax(dim=1)
        return (posterior @ origins - x) / sigma**2

    return score


def one_hot(data, sigmas, generator):
    """The network sees the level's number, and predicts −z."""
    layers = nn.Sequential(nn.Linear(2 + len(sigmas), 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    optimiser = torch.optim.Adam(layers.parameters(), 2e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 600)
    for _ in range(600):
        x = data[torch.randint(len(data), (800,), generator=generator)]
        level = torch.randint(len(sigmas), (800,), generator=generator)
        sigma = sigmas[level][:, None]
        z = torch.randn(x.shape, generator=generator)
        noisy = (x + sigma * z) / (16 + sigma**2).sqrt()
        out = layers(torch.cat([noisy, nn.functional.one_hot(level, len(sigmas))], dim=1))
        optimiser.zero_grad()
        (out + z).square().mean().backward()
        optimiser.step()
        schedule.step()

    def score(x, sigma):
        number = int((sigmas - sigma).abs().argmin())
        code = nn.functional.one_hot(torch.full((len(x),), number), len(sigmas))
        return layers(torch.cat([x / math.sqrt(16 + sigma**2), code], dim=1)) / sigma

    return score


def ladder_of_logarithms(high, low, n):
    return numpy.exp(numpy.linspace(math.log(high), math.log(low), n))


RIGHT = {
    "geometric_ladder": (ladder_by_multiplying, ladder_of_logarithms),
    "annealed_langevin": (by_package, by_counting_steps),
    "train_score": (of_the_data, one_hot),
}
WRONG = {
    "geometric_ladder": {"a list": lambda high, low, n: [high * (low / high) ** (i / (n - 1)) for i in range(n)]},
    "annealed_langevin": {
        "z and −z in turn, step by step": opposite_noise_in_turn,
        "a chain's noise is the next one's at the next step": noise_passed_on,
        **with_noise(anneal, DEPENDENT_NOISE | WRONG_NOISE),
    },
}
