"""Answers to chapter 3's exercises."""

import math

import torch

from answers import DEPENDENT_NOISE, WRONG_NOISE, Answers, noise


def step_row_by_row(score, x, step_size, generator):
    rows = [row + 0.5 * step_size * s for row, s in zip(x, score(x, 0.0), strict=True)]
    return torch.normal(torch.stack(rows), math.sqrt(step_size), generator=generator)


def step_in_the_other_convention(score, x, step_size, generator):
    h = step_size / 2
    return x + h * score(x) + math.sqrt(2 * h) * noise(x, generator)


def step_with(draw):
    """A step with noise `draw(x, generator)`."""
    return lambda score, x, step_size, generator: (
        x + step_size / 2 * score(x) + math.sqrt(step_size) * draw(x, generator)
    )


def step_in_place(score, x, step_size, generator):
    x += step_size / 2 * score(x)
    x += math.sqrt(step_size) * noise(x, generator)
    return x


def log_q(b, a, score, step_size):
    """log q(b | a), normalised."""
    mean = a + step_size / 2 * score(a)
    return -(b - mean).square().sum(1) / (2 * step_size) - a.shape[1] / 2 * math.log(2 * math.pi * step_size)


def acceptance_by_distribution(log_prob, score, x, y, step_size):
    def q(a):
        mean = a + step_size / 2 * score(a, 0.0)
        scale = torch.full((), math.sqrt(step_size), dtype=a.dtype)
        return torch.distributions.Independent(torch.distributions.Normal(mean, scale), 1)

    return log_prob(y, 0.0) - log_prob(x, 0.0) + q(y).log_prob(x) - q(x).log_prob(y)


def acceptance_one_by_one(log_prob, score, x, y, step_size):
    result = []
    for a, b in zip(x[:, None], y[:, None], strict=True):
        back = ((a - b - step_size / 2 * score(b)) ** 2).sum()
        forth = ((b - a - step_size / 2 * score(a)) ** 2).sum()
        result.append((log_prob(b) - log_prob(a)).squeeze() + (forth - back) / (2 * step_size))
    return torch.stack(result)


ANSWERS = {
    "langevin_step": Answers(
        right={
            "torch.normal, row by row": step_row_by_row,
            "h = ε/2": step_in_the_other_convention,
        },
        wrong={
            "in place": step_in_place,
            "float32 whatever x": lambda score, x, step_size, generator: step_in_the_other_convention(
                score, x, step_size, generator
            ).float(),
        }
        | {how: step_with(draw) for how, draw in (DEPENDENT_NOISE | WRONG_NOISE).items()},
    ),
    "log_acceptance": Answers(
        right={
            "normalised densities": lambda log_prob, score, x, y, step_size: (
                log_prob(y) - log_prob(x) + log_q(x, y, score, step_size) - log_q(y, x, score, step_size)
            ),
            "torch.distributions": acceptance_by_distribution,
            "one by one": acceptance_one_by_one,
        },
        wrong={
            "summed over the batch": lambda *a: acceptance_by_distribution(*a).sum(),
        },
    ),
}
