"""Answers to chapter 10's exercises; `levels_needed` is that of variant 0."""

import math
import statistics
from functools import partial

import torch
from scipy.optimize import brentq

from answers import WRONG_NOISE, Answers, noise
from sbgm.course.problems import ladder_problem
from sbgm.theory import count_levels

NORMAL = statistics.NormalDist()
PROBLEM = ladder_problem(variant=0)


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


def levels(gamma=None, high=None, low=None):
    """L, not rounded."""
    gamma = gamma_of(PROBLEM["dim"]) if gamma is None else gamma
    high, low = high or PROBLEM["sigma_max"], low or PROBLEM["sigma_min"]
    return 1 + math.log(high / low) / math.log(gamma)


def gamma_of(dim, **options):
    return brentq(lambda g: share(g, dim, **options) - 0.5, 1, 3)


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


def heun(score, x, a, b, *, second=lambda score, x, end, a, b: -b * score(end, b), mean=lambda s, t: (s + t) / 2):
    """Heun's step with given ideas of the second slope and of how the two are put together."""
    slope = -a * score(x, a)
    return x + (b - a) * mean(slope, second(score, x, x + (b - a) * slope, a, b))


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
        wrong={
            "the noise": partial(ddpm, scale=lambda a, sigma: 1.0),
            "minus the noise": partial(ddpm, scale=lambda a, sigma: -1.0),
            "sign": partial(ddpm, scale=lambda a, sigma: 1 / sigma),
            "σ²": partial(ddpm, scale=lambda a, sigma: -1 / sigma**2),
            "times σ": partial(ddpm, scale=lambda a, sigma: -sigma),
            "the score of y": partial(ddpm, scale=lambda a, sigma: -1 / math.sqrt(1 - a)),
            "x for y": partial(ddpm, y_of=lambda x, a: x),
            "x/√ᾱ for y": partial(ddpm, y_of=lambda x, a: x / math.sqrt(a)),
            "ᾱx for y": partial(ddpm, y_of=lambda x, a: a * x),
            "told σ": partial(ddpm, level=lambda a, sigma: sigma),
            "told 1 − ᾱ": partial(ddpm, level=lambda a, sigma: 1 - a),
            "told √ᾱ": partial(ddpm, level=lambda a, sigma: math.sqrt(a)),
            "told nothing": lambda predict_noise, x, sigma: -predict_noise(x / math.sqrt(1 + sigma**2)) / sigma,
            "ᾱ for 1 − ᾱ": partial(ddpm, alpha=lambda sigma: sigma**2 / (1 + sigma**2)),
            "σ² = 1 − ᾱ": partial(ddpm, alpha=lambda sigma: 1 - sigma**2),
            "1/(1 + σ)": partial(ddpm, alpha=lambda sigma: 1 / (1 + sigma)),
            "the clean image": lambda predict_noise, x, sigma: x + sigma**2 * ddpm(predict_noise, x, sigma),
        },
    ),
    "levels_needed": Answers(
        right={
            "from the ratio": lambda: round(levels()),
            "sbgm": lambda: count_levels(**{"dimensions" if k == "dim" else k: v for k, v in PROBLEM.items()}),
            "the number itself": lambda: 523,
            "as a tensor": lambda: torch.tensor(levels()).round().long(),
        },
        wrong={
            "the number of ratios": lambda: round(levels() - 1),
            "the number of ratios, cut off": lambda: int(levels() - 1),
            "cut off": lambda: int(levels()),
            "not rounded": levels,
            "one too many": lambda: round(levels() + 1),
            "equal differences": lambda: round(
                1 + (PROBLEM["sigma_max"] - PROBLEM["sigma_min"]) / (gamma_of(PROBLEM["dim"]) - 1)
            ),
            "γ − 1 for ln γ": lambda: round(
                1 + math.log(PROBLEM["sigma_max"] / PROBLEM["sigma_min"]) / (gamma_of(PROBLEM["dim"]) - 1)
            ),
            "√D": lambda: round(levels(gamma_of(PROBLEM["dim"], root=math.sqrt(PROBLEM["dim"])))),
            "3 for 3γ": lambda: round(levels(gamma_of(PROBLEM["dim"], width=3))),
            "γ rounded to two digits": lambda: round(levels(round(gamma_of(PROBLEM["dim"]), 2))),
            "γ of CIFAR-10": lambda: round(levels(1.0398)),
            "upside down": lambda: round(levels(high=PROBLEM["sigma_min"], low=PROBLEM["sigma_max"])),
            "CIFAR-10's levels": lambda: 219,
            "variant 1's": lambda: 542,
            "another variant's": lambda: 205,
            "the ratio": lambda: gamma_of(PROBLEM["dim"]),
        },
    ),
    "level_step": Answers(
        right={
            "as written": step,
            "through the clean image": step_through_the_clean_image,
            "by variances": step_by_variances,
        },
        wrong={
            "sign": partial(step, eta=lambda r, c: r ** (1 + c) - 1),
            "the flow's share": partial(step, eta=lambda r, c: 1 - r),
            "1 − r^c": partial(step, eta=lambda r, c: 1 - r**c),
            "what is left": partial(step, eta=lambda r, c: r ** (1 + c)),
            "σ for σ²": partial(step, times=lambda a, b: a),
            "σ′² for σ²": partial(step, times=lambda a, b: b**2),
            "no σ²": partial(step, times=lambda a, b: 1),
            "score at σ′": partial(step, told=lambda a, b: b),
            "no σ for the score": partial(step, told=lambda a, b: 0.0),
            "all taken off": partial(step, eta=lambda r, c: 1),
            "x lost": partial(step, keep=0),
            "ancestral whatever c": partial(step, eta=lambda r, c: 1 - r**2, fresh=lambda r, c: math.sqrt(1 - r**2)),
            "no noise": partial(step, fresh=lambda r, c: 0),
            "σ′ z": partial(step, fresh=lambda r, c: 1),
            "σ for σ′ in the noise": partial(step, fresh=lambda r, c: math.sqrt(1 - r ** (2 * c)) / r),
            "no root": partial(step, fresh=lambda r, c: 1 - r ** (2 * c)),
            "1 − r^c in the root": partial(step, fresh=lambda r, c: math.sqrt(1 - r**c)),
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
            "sign": lambda score, x, a, b: heun_in_names(lambda x, sigma: -score(x, sigma), x, a, b),
            "dσ without sign": lambda score, x, a, b: x + abs(b - a) / (b - a) * (heun_in_names(score, x, a, b) - x),
            "Euler": lambda score, x, a, b: x - (b - a) * a * score(x, a),
            "added up": partial(heun, mean=lambda s, t: s + t),
            "from the end": lambda score, x, a, b: heun_in_names(score, x, a, b) - (b - a) * a * score(x, a),
            "the end's slope": partial(heun, mean=lambda s, t: t),
            "both slopes at x": partial(heun, second=lambda score, x, end, a, b: -b * score(x, b)),
            "σ for σ′": partial(heun, second=lambda score, x, end, a, b: -a * score(end, a)),
            "factor σ for σ′": partial(heun, second=lambda score, x, end, a, b: -a * score(end, b)),
            "score told σ for σ′": partial(heun, second=lambda score, x, end, a, b: -b * score(end, a)),
            "sign of the second": partial(heun, second=lambda score, x, end, a, b: b * score(end, b)),
            "no σ": lambda score, x, a, b: x - (b - a) / 2 * (score(x, a) + score(x - (b - a) * score(x, a), b)),
            "midpoint": lambda score, x, a, b: (
                x - (b - a) * (a + b) / 2 * score(x - (b - a) / 2 * a * score(x, a), (a + b) / 2)
            ),
            "one σ for both": partial(heun, second=lambda score, x, end, a, b: -a * score(end, b)),
            "no σ for the scores": lambda score, x, a, b: heun_in_names(lambda x, sigma: score(x), x, a, b),
            "x forgotten": lambda score, x, a, b: heun_in_names(score, x, a, b) - x,
            "nothing moves": lambda score, x, a, b: x.clone(),
        },
    ),
    "velocity_of_score": Answers(
        right={
            "in names": velocity_in_names,
            "in one line": lambda score, y, t: -(y + t / (1 - t) * score(y / (1 - t), t / (1 - t))) / (1 - t),
            "of the two ends": velocity,
        },
        wrong={
            "sign": partial(velocity, both=lambda clean, noise, y: clean - noise),
            "the noise": partial(velocity, both=lambda clean, noise, y: noise),
            "minus the clean point": partial(velocity, both=lambda clean, noise, y: -clean),
            "the clean point": partial(velocity, both=lambda clean, noise, y: clean),
            "added up": partial(velocity, both=lambda clean, noise, y: clean + noise),
            "sign of the noise": partial(velocity, sign=1),
            "no square": partial(velocity, power=1),
            "from y": partial(velocity, both=lambda clean, noise, y: noise - y),
            "y for x": partial(velocity, point=lambda y, t: y),
            "τ for σ": partial(velocity, level=lambda t: t),
            "y for x and τ for σ": partial(velocity, point=lambda y, t: y, level=lambda t: t),
            "told τ": partial(velocity, told=lambda t: t),
            "told nothing": partial(velocity, told=lambda t: 0.0),
            "σ upside down": partial(velocity, level=lambda t: (1 - t) / t),
            "τ and 1 − τ exchanged": lambda score, y, t: velocity_in_names(score, y, 1 - t),
            "shrunken": lambda score, y, t: (1 - t) * velocity_in_names(score, y, t),
            "the score": lambda score, y, t: score(y / (1 - t), t / (1 - t)),
        },
    ),
}
