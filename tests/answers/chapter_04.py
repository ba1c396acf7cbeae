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


def fitted(layers, code, optimiser, n_steps, falls, data, sigmas, generator, draw=noise):
    """A score of layers that see x in units of its size and a code of the level's number, and learn to predict −z."""

    def out(x, level):
        size = (16 + sigmas[level, None] ** 2).sqrt()
        return layers(torch.cat([x / size, code(level)], dim=1))

    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: (1 + math.cos(math.pi * step / n_steps)) / 2 if falls else 1.0
    )
    for _ in range(n_steps):
        x = data[torch.randint(len(data), (500,), generator=generator)]
        level = torch.randint(len(sigmas), (500,), generator=generator)
        z = draw(x, generator)
        optimiser.zero_grad()
        (out(x + sigmas[level, None] * z, level) + z).square().mean().backward()
        optimiser.step()
        schedule.step()

    def score(x, sigma):
        level = torch.full((len(x),), int((sigmas - sigma).abs().argmin()))
        return out(x, level) / sigma

    return score


def one_hot(data, sigmas, generator, n_steps=800):
    layers = nn.Sequential(nn.Linear(2 + len(sigmas), 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    optimiser = torch.optim.Adam(layers.parameters(), 2e-2)
    return fitted(
        layers, lambda i: nn.functional.one_hot(i, len(sigmas)), optimiser, n_steps, True, data, sigmas, generator
    )


def at_a_constant_rate(data, sigmas, generator, n_steps=2_000):
    layers = nn.Sequential(nn.Linear(3, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 2))
    optimiser = torch.optim.Adam(layers.parameters(), 2e-3)
    return fitted(layers, lambda i: sigmas[i, None].log(), optimiser, n_steps, False, data, sigmas, generator)


def with_noise_from_elsewhere(data, sigmas, generator, n_steps=500):
    """Batches and levels come from the generator, and noise from the global one."""
    layers = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
    optimiser = torch.optim.Adam(layers.parameters(), 2e-2)
    draw = WRONG_NOISE["global generator"]
    return fitted(layers, lambda i: sigmas[i, None].log(), optimiser, n_steps, True, data, sigmas, generator, draw)


def untrained(data, sigmas, generator, n_steps=500):
    """No optimizer.step()."""
    layers = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
    still = torch.optim.SGD(layers.parameters(), 0.0)
    return fitted(layers, lambda i: sigmas[i, None].log(), still, n_steps, True, data, sigmas, generator)


def gradient_of_an_energy(data, sigmas, generator, n_steps=500):
    """Of a function of x that is not even trained, without gradients at hand where the score is asked."""

    def score(x, sigma):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(-x.square().sum() / 2, x)[0]

    return score


def ladder_of_logarithms(high, low, n):
    return numpy.exp(numpy.linspace(math.log(high), math.log(low), n))


def hardly_trained(data, sigmas, generator, n_steps=500):
    return one_hot(data, sigmas, generator, 20)


RIGHT = {
    "geometric_ladder": (ladder_by_multiplying, ladder_of_logarithms),
    "annealed_langevin": (by_package, by_counting_steps),
    "train_score": (one_hot, at_a_constant_rate),
}
RIGHT_FORM = {"train_score": hardly_trained}  # a check looks at the form first
WRONG = {
    "geometric_ladder": {"a list": lambda high, low, n: [high * (low / high) ** (i / (n - 1)) for i in range(n)]},
    "annealed_langevin": {
        "z and −z in turn, step by step": opposite_noise_in_turn,
        "a chain's noise is the next one's at the next step": noise_passed_on,
        **with_noise(anneal, DEPENDENT_NOISE | WRONG_NOISE),
    },
    "train_score": {
        "noise from the global generator": with_noise_from_elsewhere,
        "no step": untrained,
        "an energy's gradient": gradient_of_an_energy,
    },
}
