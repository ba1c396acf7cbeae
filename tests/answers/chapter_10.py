"""Answers to chapter 10's exercises."""

import math
from functools import partial

import torch

from answers import WRONG_NOISE, Answers, noise


def ddpm_one_by_one(predict_noise, x, sigma):
    alpha_bar = 1 / (1 + sigma**2)
    noise = predict_noise(torch.stack([a * alpha_bar**0.5 for a in x]), alpha_bar)
    return torch.stack([-e / sigma for e in noise])


def ddpm_through_the_clean_image(predict_noise, x, sigma):
    keep = 1 / math.sqrt(1 + sigma**2)  # √ᾱ
    y = keep * x
    clean = (y - math.sqrt(1 - keep**2) * predict_noise(y, keep**2)) / keep
    return (clean - x) / sigma**2


def step(score, x, a, b, c, generator, *, draw=noise):
    """A step of the family, with other noise."""
    r = b / a
    return x + (1 - r ** (1 + c)) * a**2 * score(x, a) + b * math.sqrt(1 - r ** (2 * c)) * draw(x, generator)


def step_through_the_clean_image(score, x, sigma, sigma_next, c, generator):
    clean = x + sigma**2 * score(x, sigma)
    kept = (sigma_next / sigma) ** c
    old = (x - clean) / sigma
    fresh = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return clean + sigma_next * (kept * old + math.sqrt(1 - kept**2) * fresh)


def step_by_variances(score, x, sigma, sigma_next, c, generator):
    eta = 1 - (sigma_next / sigma) ** (1 + c)
    left = sigma_next**2 - (1 - eta) ** 2 * sigma**2
    mean = x + eta * sigma**2 * score(x, sigma)
    return torch.normal(mean, math.sqrt(max(0.0, left)), generator=generator)


def heun_in_names(score, x, sigma, sigma_next):
    h = sigma_next - sigma
    k1 = -sigma * score(x, sigma)
    k2 = -sigma_next * score(x + h * k1, sigma_next)
    return x + h * (k1 + k2) / 2


def heun_of_two_ends(score, x, sigma, sigma_next):
    first = x - (sigma_next - sigma) * sigma * score(x, sigma)
    return (first + x - (sigma_next - sigma) * sigma_next * score(first, sigma_next)) / 2


def heun_one_by_one(score, x, a, b):
    first = -a * score(x, a)
    end = x + (b - a) * first
    second = -b * score(end, b)
    return torch.stack([p.add(s + t, alpha=(b - a) / 2) for p, s, t in zip(x, first, second, strict=True)])


def velocity_in_names(score, y, tau):
    keep = 1 - tau
    noise = -(tau / keep) * score(y / keep, tau / keep)
    clean = (y - tau * noise) / keep
    return noise - clean


def velocity_without_names(score, y, tau):
    sigma = tau / (1 - tau)
    s = score(y / (1 - tau), sigma)
    return -(y + sigma * s) / (1 - tau)


ANSWERS = {
    "score_of_ddpm": Answers(
        right={
            "one by one": ddpm_one_by_one,
            "through the clean image": ddpm_through_the_clean_image,
        },
    ),
    "level_step": Answers(
        right={
            "through the clean image": step_through_the_clean_image,
            "by variances": step_by_variances,
        },
        wrong={
            "r upside down": lambda score, x, a, b, c, g: step(score, x, b, a, c, g),
            "noise at c = 0 too": lambda score, x, a, b, c, g: step(score, x, a, b, c or 0.25, g),
        }
        | {how: partial(step, draw=draw) for how, draw in WRONG_NOISE.items()},
    ),
    "heun_step": Answers(
        right={
            "in names": heun_in_names,
            "of two ends": heun_of_two_ends,
            "one by one": heun_one_by_one,
        },
        wrong={
            "dσ without sign": lambda score, x, a, b: x + abs(b - a) / (b - a) * (heun_in_names(score, x, a, b) - x),
        },
    ),
    "velocity_of_score": Answers(
        right={
            "in names": velocity_in_names,
            "without naming either": velocity_without_names,
        },
    ),
}
