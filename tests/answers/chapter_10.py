"""Answers to chapter 10's exercises; `levels_needed` is that of variant 0."""

from __future__ import annotations

import itertools
import math
import statistics

import torch
from scipy.optimize import brentq

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


def ratio_by_scipy(dim, overlap):
    return brentq(lambda g: share(g, dim) - overlap, 1, 10)


def ratio_in_closed_form(dim, overlap):  # the first Φ is 1 there
    root = math.sqrt(2 * dim)
    return (root + NORMAL.inv_cdf(1 - overlap)) / (root - 3)


def ratio_in_tensors(dim, overlap):
    low, high = torch.ones((), dtype=torch.float64), torch.full((), 4.0, dtype=torch.float64)
    while high - low > 1e-12:
        middle = (low + high) / 2
        ends = math.sqrt(2 * dim) * (middle - 1) + torch.tensor([3.0, -3.0]) * middle
        above, below = torch.special.ndtr(ends)
        low, high = (middle, high) if above - below > overlap else (low, middle)
    return high


def ratio_keeping_the_wrong_half(dim, overlap):
    low, high = 1.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if share(middle, dim) > overlap else (middle, high)
    return middle


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


def fresh(sigma, sigma_next, eta):
    return sigma_next * math.sqrt(1 - ((1 - eta) * sigma / sigma_next) ** 2)


def consistent(score, x, sigma, sigma_next, eta, z):
    return x + eta * sigma**2 * score(x, sigma) + fresh(sigma, sigma_next, eta) * z


def consistent_one_by_one(score, x, sigma, sigma_next, eta, z):
    s, scale = score(x, sigma), (sigma_next**2 - (1 - eta) ** 2 * sigma**2) ** 0.5
    return torch.stack([a + eta * sigma**2 * b + scale * c for a, b, c in zip(x, s, z, strict=True)])


def consistent_through_the_clean_image(score, x, sigma, sigma_next, eta, z):
    clean = x + sigma**2 * score(x, sigma)
    kept = 1 - eta
    return clean + kept * (x - clean) + math.sqrt(sigma_next**2 - (kept * sigma) ** 2) * z


def consistent_with(scale):
    """The step with a given idea of the fresh noise's scale."""
    return lambda score, x, sigma, sigma_next, eta, z: (
        x + eta * sigma**2 * score(x, sigma) + scale(sigma, sigma_next, eta) * z
    )


def consistent_drift(drift):
    """The step with a given idea of what the score is multiplied by."""
    return lambda score, x, sigma, sigma_next, eta, z: (
        x + drift(sigma, sigma_next, eta) * score(x, sigma) + fresh(sigma, sigma_next, eta) * z
    )


def kept(sigma, sigma_next, eta):
    return (1 - eta) * sigma / sigma_next


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


ANSWERS = {
    "ladder_ratio": Answers(
        right={
            "bisection": ratio_by_bisection,
            "scipy's brentq": ratio_by_scipy,
            "closed form": ratio_in_closed_form,
            "bisection in tensors": ratio_in_tensors,
        },
        wrong={
            "γ − 1": lambda dim, overlap: ratio_by_bisection(dim, overlap) - 1,
            "1/γ": lambda dim, overlap: 1 / ratio_by_bisection(dim, overlap),
            "the wrong half kept": ratio_keeping_the_wrong_half,
            "1 − overlap": lambda dim, overlap: ratio_by_bisection(dim, 1 - overlap),
            "√D": lambda dim, overlap: bisected(lambda g: share(g, dim, math.sqrt(dim)), overlap),
            "2D": lambda dim, overlap: bisected(lambda g: share(g, dim, 2 * dim), overlap),
            "3 for 3γ": lambda dim, overlap: bisected(lambda g: share(g, dim, width=3), overlap),
            "γ for 3γ": lambda dim, overlap: bisected(lambda g: share(g, dim, width=g), overlap),
            "six bisections": lambda dim, overlap: bisected(lambda g: share(g, dim), overlap, 6),
            "ten bisections": lambda dim, overlap: bisected(lambda g: share(g, dim), overlap, 10),
            "rounded": lambda dim, overlap: round(ratio_by_bisection(dim, overlap), 3),
            "too short an interval": lambda dim, overlap: bisected(lambda g: share(g, dim), overlap, high=1.02),
            "overlap ½ whatever is asked": lambda dim, overlap: ratio_by_bisection(dim, 0.5),
            "D of CIFAR-10": lambda dim, overlap: ratio_by_bisection(3_072, overlap),
            "linear interpolation": lambda dim, overlap: 1 + (1 - overlap) * 3 / math.sqrt(2 * dim),
        },
        takes_tensors=False,
        gives_number=True,
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
    "consistent_step": Answers(
        right={
            "as written": consistent,
            "variances subtracted, one by one": consistent_one_by_one,
            "through the clean image": consistent_through_the_clean_image,
        },
        wrong={
            "no fresh noise": consistent_with(lambda a, b, eta: 0.0),
            "all of the next level's noise": consistent_with(lambda a, b, eta: b),
            "σ for σ′ before the root": consistent_with(lambda a, b, eta: fresh(a, b, eta) * a / b),
            "no root": consistent_with(lambda a, b, eta: b * (1 - kept(a, b, eta) ** 2)),
            "a square missing": consistent_with(lambda a, b, eta: b * math.sqrt(1 - kept(a, b, eta))),
            "standard deviations subtracted": consistent_with(lambda a, b, eta: b * (1 - kept(a, b, eta))),
            "1 − η not squared": consistent_with(lambda a, b, eta: math.sqrt(max(0.0, b**2 - (1 - eta) * a**2))),
            "no r": consistent_with(lambda a, b, eta: b * math.sqrt(1 - (1 - eta) ** 2)),
            "r upside down": consistent_with(lambda a, b, eta: b * math.sqrt(1 - ((1 - eta) * b / a) ** 2)),
            "η for 1 − η": consistent_with(lambda a, b, eta: b * math.sqrt(max(0.0, 1 - (eta * a / b) ** 2))),
            "Langevin's noise": consistent_with(lambda a, b, eta: a * math.sqrt(2 * eta)),
            "½ in the drift": consistent_drift(lambda a, b, eta: eta * a**2 / 2),
            "σ′² in the drift": consistent_drift(lambda a, b, eta: eta * b**2),
            "σ in the drift": consistent_drift(lambda a, b, eta: eta * a),
            "no σ² in the drift": consistent_drift(lambda a, b, eta: eta),
            "no η in the drift": consistent_drift(lambda a, b, eta: a**2),
            "sign of the drift": consistent_drift(lambda a, b, eta: -eta * a**2),
            "sign of z": consistent_with(lambda a, b, eta: -fresh(a, b, eta)),
            "score at σ′": lambda score, x, sigma, sigma_next, eta, z: (
                x + eta * sigma**2 * score(x, sigma_next) + fresh(sigma, sigma_next, eta) * z
            ),
            "no σ for the score": lambda score, x, sigma, sigma_next, eta, z: (
                x + eta * sigma**2 * score(x) + fresh(sigma, sigma_next, eta) * z
            ),
            "x forgotten": lambda score, x, *rest: consistent(score, x, *rest) - x,
            "its own noise": lambda score, x, a, b, eta, z: consistent(score, x, a, b, eta, torch.randn_like(z)),
            "ancestral whatever η": lambda score, x, a, b, eta, z: consistent(score, x, a, b, 1 - (b / a) ** 2, z),
        },
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
}
