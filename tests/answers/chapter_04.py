"""Answers to chapter 4's exercises."""

import itertools
import math

import numpy
import torch

import sbgm
from answers import DEPENDENT_NOISE, WRONG_NOISE, noise, with_noise


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


def ladder_of_logarithms(high, low, n):
    return numpy.exp(numpy.linspace(math.log(high), math.log(low), n))


RIGHT = {
    "geometric_ladder": (ladder_of_logarithms,),
    "annealed_langevin": (by_package, by_counting_steps),
    "train_score": (of_the_data,),
}
WRONG = {
    "geometric_ladder": {"a list": lambda high, low, n: [high * (low / high) ** (i / (n - 1)) for i in range(n)]},
    "annealed_langevin": {
        "z and −z in turn, step by step": opposite_noise_in_turn,
        "a chain's noise is the next one's at the next step": noise_passed_on,
        **with_noise(anneal, DEPENDENT_NOISE | WRONG_NOISE),
    },
}
