"""Answers to chapter 4's exercises."""

import itertools
import math
from functools import partial

import numpy
import torch
from torch import nn

import sbgm
from answers import DEPENDENT_NOISE, WRONG_NOISE, Answers, changed, noise


def ladder_by_multiplying(sigma_max, sigma_min, n_levels):
    ratio, levels = (sigma_min / sigma_max) ** (1 / (n_levels - 1)), [sigma_max]
    while len(levels) < n_levels:
        levels.append(levels[-1] * ratio)
    return torch.tensor(levels)


def anneal(score, x, sigmas, epsilon, n_steps, generator, *, draw=noise):
    """Algorithm 1, with other noise."""
    for sigma in sigmas.tolist():
        alpha = epsilon * sigma**2 / float(sigmas[-1]) ** 2
        for _ in range(n_steps):
            x = x + alpha / 2 * score(x, sigma) + alpha**0.5 * draw(x, generator)
    return x


def by_package(score, x, sigmas, epsilon, n_steps, generator):
    states = sbgm.annealed_langevin(score, x, sigmas, step_size=epsilon, n_steps=n_steps, generator=generator)
    return sbgm.final(states)


def by_tensors_in_the_other_convention(score, x, sigmas, epsilon, n_steps, generator):
    halves = epsilon / 2 * (sigmas / sigmas[-1]) ** 2
    for sigma, h in zip(sigmas, halves, strict=True):
        for _ in range(n_steps):
            x = torch.normal(x + h * score(x, sigma), (2 * h).sqrt(), generator=generator)
    return x


def by_counting_steps(score, x, sigmas, epsilon, n_steps, generator):
    chains, step = x.clone(), 0
    while step < n_steps * len(sigmas):
        sigma = sigmas[step // n_steps].expand(len(x))
        alpha = float(epsilon * (sigma[0] / sigmas[-1]) ** 2)
        chains += alpha / 2 * score(chains, sigma)
        chains += alpha**0.5 * noise(x, generator)
        step += 1
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


def every_state(score, x, sigmas, epsilon, n_steps, generator):
    states = []
    for sigma in sigmas.tolist():
        alpha = epsilon * sigma**2 / float(sigmas[-1]) ** 2
        for _ in range(n_steps):
            x = x + alpha / 2 * score(x, sigma) + alpha**0.5 * noise(x, generator)
            states.append(x)
    return torch.stack(states)


def yielding(score, x, sigmas, epsilon, n_steps, generator):
    yield anneal(score, x, sigmas, epsilon, n_steps, generator)


def in_place(score, x, sigmas, epsilon, n_steps, generator):
    for sigma in sigmas.tolist():
        alpha = epsilon * sigma**2 / float(sigmas[-1]) ** 2
        for _ in range(n_steps):
            x += alpha / 2 * score(x, sigma)
            x += alpha**0.5 * noise(x, generator)
    return x


KEPT = {}  # scores, by the seed of the generator: several answers change what one training gives


def one_hot(data, sigmas, generator):
    """The network sees the level's number, and predicts −z; it is trained once for each trial."""
    key = generator.initial_seed()
    if key not in KEPT:
        KEPT[key] = one_hot_trained(data, sigmas, generator)
    return KEPT[key]


def one_hot_trained(data, sigmas, generator):
    layers = nn.Sequential(nn.Linear(2 + len(sigmas), 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    optimiser = torch.optim.Adam(layers.parameters(), 2e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 600)
    for _ in range(600):
        x = data[torch.randint(len(data), (800,), generator=generator)]
        level = torch.randint(len(sigmas), (800,), generator=generator)
        sigma, z = sigmas[level][:, None], torch.randn(x.shape, generator=generator)
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


ANSWERS = {
    "geometric_ladder": Answers(
        right={
            "logspace": lambda high, low, n: torch.logspace(math.log10(high), math.log10(low), n, dtype=torch.float64),
            "by multiplying": ladder_by_multiplying,
            "numpy, a linspace of logarithms": lambda high, low, n: numpy.exp(
                numpy.linspace(math.log(high), math.log(low), n)
            ),
        },
        wrong={
            "a level too many": lambda high, low, n: high * (low / high) ** (torch.arange(n + 1) / n),
            "a list of numbers": lambda high, low, n: [high * (low / high) ** (i / (n - 1)) for i in range(n)],
        },
    ),
    "annealed_langevin": Answers(
        right={
            "the package's": by_package,
            "tensors, h = α/2, torch.normal": by_tensors_in_the_other_convention,
            "one loop, on a copy": by_counting_steps,
        },
        wrong={
            "every state": every_state,
            "a generator of states": yielding,
            "float32 whatever x": lambda *arguments: anneal(*arguments).float(),
            "in place": in_place,
            "z and −z in turn, step by step": opposite_noise_in_turn,
            "a chain's noise is the next one's at the next step": noise_passed_on,
        }
        | {how: partial(anneal, draw=draw) for how, draw in (DEPENDENT_NOISE | WRONG_NOISE).items()},
    ),
    "train_score": Answers(
        right={
            "the level as one of L, noise predicted": one_hot,
            "the exact score of the data": of_the_data,
        },
        wrong={
            "a batch of one point only": changed(one_hot, lambda s, x, sigma: s[:1]),
        },
    ),
}
