"""Answers to chapter 10's exercises; `levels_needed` is that of variant 0."""

import itertools
import math
import statistics

import torch

from answers import Answers
from sbgm import checks
from sbgm.theory import count_levels

NORMAL = statistics.NormalDist()
PROBLEM = checks.ladder_problem(variant=0)


def share(gamma, dim, root=None, width=None):
    shift = (math.sqrt(2 * dim) if root is None else root) * (gamma - 1)
    width = 3 * gamma if width is None else width
    return NORMAL.cdf(shift + width) - NORMAL.cdf(shift - width)


def bisected(function, overlap, n_steps=60, high=3.0):
    low = 1.0
    for _ in range(n_steps):
        middle = (low + high) / 2
        if function(middle) > overlap:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def ratio_by_bisection(dim, overlap):
    return bisected(lambda g: share(g, dim), overlap)


def ddpm_one_by_one(predict_noise, x, sigma):
    alpha_bar = 1 / (1 + sigma**2)
    noise = predict_noise(torch.stack([a * alpha_bar**0.5 for a in x]), alpha_bar)
    return torch.stack([-e / sigma for e in noise])


def ddpm_through_the_clean_image(predict_noise, x, sigma):
    keep = 1 / math.sqrt(1 + sigma**2)  # √ᾱ
    y = keep * x
    clean = (y - math.sqrt(1 - keep**2) * predict_noise(y, keep**2)) / keep
    return (clean - x) / sigma**2


def ddpm(y_of=lambda x, a: math.sqrt(a) * x, level=lambda a, sigma: a, scale=lambda a, sigma: -1 / sigma, alpha=None):
    """The score with given ideas of the network's input, of what it is told, and of the factor of its noise."""

    def score(predict_noise, x, sigma):
        alpha_bar = 1 / (1 + sigma**2) if alpha is None else alpha(sigma)
        return scale(alpha_bar, sigma) * predict_noise(y_of(x, alpha_bar), level(alpha_bar, sigma))

    return score


def levels_by_hand():
    gamma, sigma, n = ratio_by_bisection(PROBLEM["dim"], 0.5), PROBLEM["sigma_max"], 1
    while sigma / math.sqrt(gamma) > PROBLEM["sigma_min"]:  # to the nearest, in ratios
        sigma, n = sigma / gamma, n + 1
    return n


def levels(gamma=None, high=None, low=None):
    """L, not rounded."""
    gamma = ratio_by_bisection(PROBLEM["dim"], 0.5) if gamma is None else gamma
    high, low = high or PROBLEM["sigma_max"], low or PROBLEM["sigma_min"]
    return 1 + math.log(high / low) / math.log(gamma)


def gamma_of(dim, **options):
    return bisected(lambda g: share(g, dim, **options), 0.5)


def flow_through_the_clean_image(score, x, sigma, sigma_next):
    clean = x + sigma**2 * score(x, sigma)
    return clean + sigma_next / sigma * (x - clean)


def flow_one_by_one(score, x, sigma, sigma_next):
    slopes = -sigma * score(x, sigma)
    return torch.stack([a.add(slope, alpha=sigma_next - sigma) for a, slope in zip(x, slopes, strict=True)])


def heun(score, x, sigma, sigma_next):
    slope = -sigma * score(x, sigma)
    end = x + (sigma_next - sigma) * slope
    return x + (sigma_next - sigma) / 2 * (slope - sigma_next * score(end, sigma_next))


def flow_in_small_steps(score, x, sigma, sigma_next):
    levels = torch.linspace(sigma, sigma_next, 11).tolist()
    for a, b in itertools.pairwise(levels):
        x = x - (b - a) * a * score(x, a)
    return x


def guided(score, score_of_class, x, sigma, weight):
    s = score(x, sigma)
    return s + weight * (score_of_class(x, sigma) - s)


def guided_with(combine):
    """The guided score with a given idea of how the two are put together."""
    return lambda score, score_of_class, x, sigma, weight: combine(score(x, sigma), score_of_class(x, sigma), weight)


ANSWERS = {
    "score_of_ddpm": Answers(
        right={
            "as written": ddpm(),
            "one by one": ddpm_one_by_one,
            "through the clean image": ddpm_through_the_clean_image,
        },
        wrong={
            "the noise": ddpm(scale=lambda a, sigma: 1.0),
            "minus the noise": ddpm(scale=lambda a, sigma: -1.0),
            "sign": ddpm(scale=lambda a, sigma: 1 / sigma),
            "σ²": ddpm(scale=lambda a, sigma: -1 / sigma**2),
            "times σ": ddpm(scale=lambda a, sigma: -sigma),
            "the score of y": ddpm(scale=lambda a, sigma: -1 / math.sqrt(1 - a)),
            "x for y": ddpm(y_of=lambda x, a: x),
            "x/√ᾱ for y": ddpm(y_of=lambda x, a: x / math.sqrt(a)),
            "ᾱx for y": ddpm(y_of=lambda x, a: a * x),
            "told σ": ddpm(level=lambda a, sigma: sigma),
            "told 1 − ᾱ": ddpm(level=lambda a, sigma: 1 - a),
            "told √ᾱ": ddpm(level=lambda a, sigma: math.sqrt(a)),
            "told nothing": lambda predict_noise, x, sigma: -predict_noise(x / math.sqrt(1 + sigma**2)) / sigma,
            "ᾱ for 1 − ᾱ": ddpm(alpha=lambda sigma: sigma**2 / (1 + sigma**2)),
            "σ² = 1 − ᾱ": ddpm(alpha=lambda sigma: 1 - sigma**2),
            "1/(1 + σ)": ddpm(alpha=lambda sigma: 1 / (1 + sigma)),
            "the clean image": lambda predict_noise, x, sigma: x + sigma**2 * ddpm()(predict_noise, x, sigma),
        },
    ),
    "levels_needed": Answers(
        right={
            "from the ratio": lambda: round(levels()),
            "sbgm": lambda: count_levels(**{"dimensions" if k == "dim" else k: v for k, v in PROBLEM.items()}),
            "down the ladder": levels_by_hand,
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
                1 + (PROBLEM["sigma_max"] - PROBLEM["sigma_min"]) / (ratio_by_bisection(PROBLEM["dim"], 0.5) - 1)
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
        takes_tensors=False,
        gives_number=True,
    ),
    "flow_step": Answers(
        right={
            "as written": lambda score, x, sigma, sigma_next: x + (sigma_next - sigma) * (-sigma * score(x, sigma)),
            "through the clean image": flow_through_the_clean_image,
            "one by one": flow_one_by_one,
        },
        wrong={
            "sign": lambda score, x, a, b: x + (b - a) * a * score(x, a),
            "dσ without sign": lambda score, x, a, b: x + abs(b - a) * a * score(x, a),
            "no σ": lambda score, x, a, b: x - (b - a) * score(x, a),
            "σ²": lambda score, x, a, b: x - (b - a) * a**2 * score(x, a),
            "no dσ": lambda score, x, a, b: x - a * score(x, a),
            "σ′ for σ": lambda score, x, a, b: x - (b - a) * b * score(x, a),
            "score at σ′": lambda score, x, a, b: x - (b - a) * a * score(x, b),
            "all at σ′": lambda score, x, a, b: x - (b - a) * b * score(x, b),
            "in σ²": lambda score, x, a, b: x + (a**2 - b**2) / 2 * score(x, a),
            "ancestral drift": lambda score, x, a, b: x + (a**2 - b**2) * score(x, a),
            "Heun": heun,
            "½": lambda score, x, a, b: x - (b - a) / 2 * a * score(x, a),
            "denoised": lambda score, x, a, b: x + a**2 * score(x, a),
            "no σ for the score": lambda score, x, a, b: x - (b - a) * a * score(x),
            "x forgotten": lambda score, x, a, b: -(b - a) * a * score(x, a),
            "the slope": lambda score, x, a, b: -a * score(x, a),
            "ten small steps": flow_in_small_steps,
            "nothing moves": lambda score, x, a, b: x.clone(),
        },
    ),
    "guided_score": Answers(
        right={
            "as written": guided,
            "weighted mean": guided_with(lambda s, c, w: (1 - w) * s + w * c),
            "torch.lerp": guided_with(torch.lerp),
        },
        wrong={
            "1 + w": guided_with(lambda s, c, w: (1 + w) * c - w * s),
            "sign": guided_with(lambda s, c, w: s - w * (c - s)),
            "exchanged": guided_with(lambda s, c, w: c + w * (s - c)),
            "no difference": guided_with(lambda s, c, w: s + w * c),
            "the difference alone": guided_with(lambda s, c, w: w * (c - s)),
            "the class alone": guided_with(lambda s, c, w: c),
            "no guidance": guided_with(lambda s, c, w: s),
            "w²": guided_with(lambda s, c, w: s + w**2 * (c - s)),
            "weighted the wrong way": guided_with(lambda s, c, w: w * s + (1 - w) * c),
            "clamped to a mean": guided_with(lambda s, c, w: s + min(w, 1.0) * (c - s)),
            "no σ for the scores": lambda score, of_class, x, sigma, w: score(x) + w * (of_class(x) - score(x)),
            "a step": lambda score, of_class, x, sigma, w: x + guided(score, of_class, x, sigma, w),
        },
    ),
}
