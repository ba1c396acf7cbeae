"""Answers to chapter 10's exercises; `levels_needed` is that of variant 0."""

import math
import statistics
from functools import partial

import torch

from answers import WRONG_NOISE, Answers, noise

NORMAL = statistics.NormalDist()


def share(gamma, dim, root=None, width=None):
    shift = (math.sqrt(2 * dim) if root is None else root) * (gamma - 1)
    width = 3 * gamma if width is None else width
    return NORMAL.cdf(shift + width) - NORMAL.cdf(shift - width)


def ddpm_one_by_one(predict_noise, x, sigma):
    alpha_bar = 1 / (1 + sigma**2)
    noise = predict_noise(torch.stack([a * alpha_bar**0.5 for a in x]), alpha_bar)
    return torch.stack([-e / sigma for e in noise])


def ddpm_through_the_clean_image(predict_noise, x, sigma):
    keep = 1 / math.sqrt(1 + sigma**2)  # √ᾱ
    y = keep * x
    clean = (y - math.sqrt(1 - keep**2) * predict_noise(y, keep**2)) / keep
    return (clean - x) / sigma**2


def ddpm(
    predict_noise,
    x,
    sigma,
    *,
    y_of=lambda x, a: math.sqrt(a) * x,
    level=lambda a, sigma: a,
    scale=lambda a, sigma: -1 / sigma,
    alpha=lambda sigma: 1 / (1 + sigma**2),
):
    """The score with given ideas of the network's input, of what it is told, of the factor of its noise, and of ᾱ."""
    alpha_bar = alpha(sigma)
    return scale(alpha_bar, sigma) * predict_noise(y_of(x, alpha_bar), level(alpha_bar, sigma))


def step(
    score,
    x,
    a,
    b,
    c,
    generator,
    *,
    eta=lambda r, c: 1 - r ** (1 + c),
    fresh=lambda r, c: math.sqrt(1 - r ** (2 * c)),
    draw=noise,
    told=lambda a, b: a,
    times=lambda a, b: a**2,
    keep=1,
):
    """A step of the family with given ideas of the share taken off and of the fresh noise, in units of σ′."""
    off = eta(b / a, c) * times(a, b) * score(x, told(a, b))
    return keep * x + off + b * fresh(b / a, c) * draw(x, generator)


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
    first, second = -a * score(x, a), -b * score(x - (b - a) * a * score(x, a), b)
    return torch.stack([p.add(s + t, alpha=(b - a) / 2) for p, s, t in zip(x, first, second, strict=True)])


def velocity_in_names(score, y, tau):
    keep = 1 - tau
    noise = -(tau / keep) * score(y / keep, tau / keep)
    clean = (y - tau * noise) / keep
    return noise - clean


def velocity(
    score,
    y,
    tau,
    *,
    both=lambda clean, noise, y: noise - clean,
    point=lambda y, t: y / (1 - t),
    level=lambda t: t / (1 - t),
    told=None,
    power=2,
    sign=-1,
):
    """The velocity with given ideas of x, of σ, of what the score is told, and of the two ends of the way."""
    x, sigma = point(y, tau), level(tau)
    s = score(x, (told or level)(tau))
    return both(x + sigma**power * s, sign * sigma * s, y)


ANSWERS = {
    "score_of_ddpm": Answers(
        right={
            "as written": ddpm,
            "one by one": ddpm_one_by_one,
            "through the clean image": ddpm_through_the_clean_image,
        },
    ),
    "level_step": Answers(
        right={
            "as written": step,
            "through the clean image": step_through_the_clean_image,
            "by variances": step_by_variances,
        },
        wrong={
            "r upside down": lambda score, x, a, b, c, g: step(score, x, b, a, c, g),
            "noise at c = 0 too": partial(step, fresh=lambda r, c: math.sqrt(1 - r ** (2 * c or 0.5))),
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
            "in one line": lambda score, y, t: -(y + t / (1 - t) * score(y / (1 - t), t / (1 - t))) / (1 - t),
            "of the two ends": velocity,
        },
    ),
}
