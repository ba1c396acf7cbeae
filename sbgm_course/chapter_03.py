"""Exercises of chapter 3: Langevin dynamics."""

import math
from functools import partial
from typing import Any

import torch

from sbgm_course.calls import LogProbOf, MixtureField, TanhField
from sbgm_course.exercise import exercise, in_both_precisions, noise


def _starts(trial):
    for n, dim, dtype in ((100, 300, torch.float32), (150, 200, torch.float64)):
        step_size = trial.uniform(0.2, 0.7)
        std = torch.tensor([trial.uniform(1.5, 2.5)])
        target = MixtureField(torch.ones(1), torch.zeros(1, dim), std)
        x = (3 * trial.randn(1, dim, dtype=dtype)).expand(n, dim)  # so far out that the drift is seen in the noise
        yield target, x, step_size


@exercise("3.1", minutes=10, cases=_starts, draws=True)
def langevin_step(score, x, step_size, generator):
    """`langevin_step(score, x, step_size, generator)`: one step of Langevin dynamics (Eq. 4), x + (ε/2) s(x) + √ε z.

    x is (B, D); z ~ N(0, I) is drawn from the generator. The result has x's shape and dtype.
    """
    return x + step_size / 2 * score(x) + math.sqrt(step_size) * noise(x, generator)


def step_mistakes(symbol: str) -> dict[str, dict[str, Any]]:
    """Mistakes in x + ε/2 s + √ε z, as options of a function that takes such a step; `symbol` stands for ε."""
    return {
        "the drift is twice what it should be": {"drift": 1.0},
        "the drift has the wrong sign: a step goes up the density": {"drift": -0.5},
        f"the noise has the variance {symbol}²: is it multiplied by {symbol} or by √{symbol}?": {"power": 1.0},
        f"the noise has the variance 2{symbol}: this is the other convention, x + h s + √(2h) z with h = {symbol}":
            {"drift": 1.0, "size": math.sqrt(2)},
        "the noise has variance 1: it still has to be scaled": {"power": 0.0},
        "the old x is lost: a step starts from where the chain is": {"start": 0.0},
        "there is no noise: a Langevin step has a random part": {"size": 0.0},
    }  # fmt: skip


def step_with(score, x, step_size, generator, *, start=1.0, drift=0.5, size=1.0, power=0.5):
    """A step with another drift, or noise of another size."""
    return start * x + drift * step_size * score(x) + size * step_size**power * noise(x, generator)


langevin_step.mistakes = {
    sentence: partial(step_with, **options) for sentence, options in step_mistakes("ε").items()
} | {
    "the noise has the variance ε/2; in the paper's convention it is ε": partial(step_with, size=math.sqrt(0.5)),
}


def _proposals(trial):
    for dim, dtype in in_both_precisions((1, 3)):
        step_size = trial.uniform(0.4, 0.9)
        means = trial.randn(2, dim)
        weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
        target = MixtureField(weights, means, 0.7 + trial.rand(2))
        x = trial.randn(7, dim, dtype=dtype)
        y = trial.randn(7, dim, dtype=dtype)
        yield LogProbOf(target), target, x, y, step_size


@exercise("3.5", minutes=15, cases=_proposals)
def log_acceptance(log_prob, score, x, y, step_size):
    """`log_acceptance(log_prob, score, x, y, step_size)`: log of p(y) q(x|y) / (p(x) q(y|x)), not capped at 0.

    x and y are (B, D), q(·|x) is one Langevin step from x; the result is (B,).
    """
    way_back = _log_q(x, y, score(y), step_size)
    return log_prob(y) + way_back - log_prob(x) - _log_q(y, x, score(x), step_size)


def _log_q(b, a, s, step_size, drift=0.5, power=1):
    """log q(b | a) up to a constant, which cancels, with the score s at a."""
    return -(b - a - drift * step_size * s).square().sum(dim=1) / (2 * step_size**power)


def _ratio_with(p=1.0, q=1.0, **options):
    """A log-acceptance with p times the target's part, q times the proposal's, and options of `_log_q`."""

    def ratio(log_prob, score, x, y, step_size):
        proposal = _log_q(x, y, score(y), step_size, **options) - _log_q(y, x, score(x), step_size, **options)
        return p * (log_prob(y) - log_prob(x)) + q * proposal

    return ratio


log_acceptance.mistakes = {
    "the proposal's densities are swapped: q(x|y) belongs to the way back": _ratio_with(q=-1.0),
    "only p(y)/p(x): a Langevin step is not symmetric, q does not cancel": _ratio_with(q=0.0),
    "only the proposal's ratio: where is p?": _ratio_with(p=0.0),
    "the drift in q is twice what it should be": _ratio_with(drift=1.0),
    "q's variance is ε: is its exponent divided by 2ε?": _ratio_with(power=2),
    "q's exponent lacks its ½": _ratio_with(q=2.0),
    "capped at 0: here the ratio itself is asked for": lambda *case: log_acceptance.right(*case).clamp(max=0),
    "this is the ratio; its logarithm is asked for":
        lambda *case: log_acceptance.right(*case).exp(),
    "the score is taken at the same point both ways: q(x|y) drifts from y":
        lambda log_prob, score, x, y, step_size: (
            log_prob(y) + _log_q(x, y, score(x), step_size) - log_prob(x) - _log_q(y, x, score(x), step_size)
        ),
}  # fmt: skip


def _pairs(trial):
    for (dim, n_points), dtype in in_both_precisions(((1, 5), (3, 4), (2, 2))):
        score = TanhField.random(dim, trial.generator, dtype)
        yield score, trial.randn(6, dim, dtype=dtype), trial.randn(6, dim, dtype=dtype), n_points


@exercise("3.6", minutes=15, cases=_pairs)
def log_rise(score, x, y, n_points):
    """`log_rise(score, x, y, n_points)`: log p(y) − log p(x), (B,), by the trapezium rule on the straight way.

    x and y are (B, D); the score is asked at n_points ≥ 2 evenly spaced points on the way, both ends among them.
    """
    return torch.trapezoid(_slopes(score, x, y, n_points), dx=1 / (n_points - 1), dim=0)


def _slopes(score, x, y, n_points):
    """The slope of log p along the way at each point of it, (n_points, B)."""
    shares = torch.linspace(0, 1, n_points).tolist()
    return torch.stack([(score(x + share * (y - x)) * (y - x)).sum(dim=1) for share in shares])


def _adding(rule):
    """A mistake in how the slopes are added up."""
    return lambda *case: rule(_slopes(*case))


log_rise.mistakes = {
    "the points are averaged with equal weights: in the trapezium rule the two ends count half":
        _adding(lambda slopes: slopes.mean(dim=0)),
    "between n points there are n − 1 gaps, so each is 1/(n − 1) of the way":
        _adding(lambda slopes: torch.trapezoid(slopes, dim=0) / len(slopes)),
    "the slopes are added up: by which share of the way do they lie apart?":
        (_adding(lambda slopes: torch.trapezoid(slopes, dim=0)), _adding(lambda slopes: slopes.sum(dim=0))),
    "the last point is left out: a rule with one end only": _adding(lambda slopes: slopes[:-1].mean(dim=0)),
    "the score is asked at one end only: it changes on the way":
        (_adding(lambda slopes: slopes[0]), _adding(lambda slopes: slopes[-1])),
    "only the two ends are asked, however many points there should be":
        _adding(lambda slopes: (slopes[0] + slopes[-1]) / 2),
    "the direction has length 1 in your answer: log p rises by the slope times the length of the way":
        lambda score, x, y, n_points: log_rise.right(score, x, y, n_points) / (y - x).norm(dim=1),
}  # fmt: skip
