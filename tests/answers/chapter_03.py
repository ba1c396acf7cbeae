"""Answers to chapter 3's exercises."""

import math

import torch

from answers import DEPENDENT_NOISE, WRONG_NOISE, noise, with_noise


def step_row_by_row(score, x, step_size, generator):
    rows = []
    for row, s in zip(x, score(x, 0.0), strict=True):
        rows.append(row + 0.5 * step_size * s)
    return torch.normal(torch.stack(rows), math.sqrt(step_size), generator=generator)


def step_in_the_other_convention(score, x, step_size, generator, draw=noise):
    h = step_size / 2
    return x + h * score(x) + math.sqrt(2 * h) * draw(x, generator)


RIGHT = {"langevin_step": (step_row_by_row, step_in_the_other_convention)}
WRONG = {"langevin_step": with_noise(step_in_the_other_convention, DEPENDENT_NOISE | WRONG_NOISE)}
