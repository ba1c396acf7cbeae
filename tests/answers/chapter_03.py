"""Answers to chapter 3's exercises."""

import math

import torch
from torch.distributions import Independent, Normal

from answers import DEPENDENT_NOISE, WRONG_NOISE, noise, with_noise


def step_row_by_row(score, x, step_size, generator):
    rows = []
    for row, s in zip(x, score(x, 0.0), strict=True):
        rows.append(row + 0.5 * step_size * s)
    return torch.normal(torch.stack(rows), math.sqrt(step_size), generator=generator)


def step_in_the_other_convention(score, x, step_size, generator, draw=noise):
    h = step_size / 2
    return x + h * score(x) + math.sqrt(2 * h) * draw(x, generator)


def acceptance_by_distribution(log_prob, score, x, y, step_size):
    def q(a):
        mean = a + step_size / 2 * score(a, 0.0)
        scale = torch.tensor(math.sqrt(step_size), dtype=a.dtype)
        return Independent(Normal(mean, scale), 1)

    return log_prob(y, 0.0) - log_prob(x, 0.0) + q(y).log_prob(x) - q(x).log_prob(y)


def acceptance_one_by_one(log_prob, score, x, y, step_size):
    result = []
    for a, b in zip(x[:, None], y[:, None], strict=True):
        back = a - b - step_size / 2 * score(b)
        forth = b - a - step_size / 2 * score(a)
        of_steps = (forth**2 - back**2).sum() / (2 * step_size)
        result.append((log_prob(b) - log_prob(a)).squeeze() + of_steps)
    return torch.stack(result)


def rise_gap_by_gap(score, x, y, n_points):
    gap = (y - x) / (n_points - 1)
    rise = torch.zeros(len(x), dtype=x.dtype)
    for i in range(n_points - 1):
        before = score(x + i * gap)
        after = score(x + (i + 1) * gap)
        rise += torch.einsum("bd,bd->b", before + after, gap) / 2
    return rise


def rise_in_one_call(score, x, y, n_points):
    shares = torch.linspace(0, 1, n_points, dtype=x.dtype)[:, None, None]
    points = torch.lerp(x[None], y[None], shares)
    slopes = score(points.flatten(0, 1), 0.0).reshape(points.shape) * (y - x)
    return torch.trapezoid(slopes.sum(dim=2), shares[:, :, 0], dim=0)


RIGHT = {
    "langevin_step": (step_row_by_row, step_in_the_other_convention),
    "log_rise": (rise_gap_by_gap, rise_in_one_call),
    "log_acceptance": (acceptance_by_distribution, acceptance_one_by_one),
}
WRONG = {"langevin_step": with_noise(step_in_the_other_convention, DEPENDENT_NOISE | WRONG_NOISE)}
