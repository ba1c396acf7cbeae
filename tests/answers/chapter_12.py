"""Answers to chapter 12's exercises."""

import math

import torch

from answers import WRONG_NOISE, noise, with_noise


def ddpm_one_by_one(predict_noise, x, sigma):
    alpha_bar = 1 / (1 + sigma**2)
    rows = [-e / sigma for e in predict_noise(x * alpha_bar**0.5, alpha_bar)]
    return torch.stack(rows)


def ddpm_through_the_clean_image(predict_noise, x, sigma):
    keep = 1 / math.sqrt(1 + sigma**2)  # √ᾱ
    y = keep * x
    clean = (y - math.sqrt(1 - keep**2) * predict_noise(y, keep**2)) / keep
    return (clean - x) / sigma**2


def step(score, x, a, b, c, generator, draw=noise):
    """A step of the family, with other noise."""
    r = b / a
    mean = x + (1 - r ** (1 + c)) * a**2 * score(x, a)
    return mean + b * math.sqrt(1 - r ** (2 * c)) * draw(x, generator)


def step_through_the_clean_image(score, x, sigma, sigma_next, c, generator):
    clean = x + sigma**2 * score(x, sigma)
    r_to_c = (sigma_next / sigma) ** c
    old = (x - clean) / sigma
    fresh = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    z = r_to_c * old + math.sqrt(1 - r_to_c**2) * fresh
    return clean + sigma_next * z


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
    step = sigma_next - sigma
    first = x - step * sigma * score(x, sigma)
    return (first + x - step * sigma_next * score(first, sigma_next)) / 2


def velocity_in_names(score, y, tau):
    keep = 1 - tau
    noise = -(tau / keep) * score(y / keep, tau / keep)
    clean = (y - tau * noise) / keep
    return noise - clean


def velocity_without_names(score, y, tau):
    sigma = tau / (1 - tau)
    s = score(y / (1 - tau), sigma)
    return -(y + sigma * s) / (1 - tau)


def r_upside_down(score, x, a, b, c, generator):
    return step(score, x, b, a, c, generator)


def noise_without_c(score, x, a, b, c, generator):
    return step(score, x, a, b, c or 0.25, generator)


def without_sign(score, x, a, b):
    return x + abs(b - a) / (b - a) * (heun_in_names(score, x, a, b) - x)


RIGHT = {
    "score_of_ddpm": (ddpm_one_by_one, ddpm_through_the_clean_image),
    "level_step": (step_through_the_clean_image, step_by_variances),
    "heun_step": (heun_in_names, heun_of_two_ends),
    "velocity_of_score": (velocity_in_names, velocity_without_names),
}
WRONG = {
    "level_step": {
        "r upside down": r_upside_down,
        "noise at c = 0 too": noise_without_c,
        **with_noise(step, WRONG_NOISE),
    },
    "heun_step": {"dσ without sign": without_sign},
}
