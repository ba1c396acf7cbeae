"""Exercises of chapter 3: Langevin dynamics."""

import math
from functools import partial
from typing import Any

import torch

from sbgm_course.calls import MixtureField
from sbgm_course.exercise import exercise, noise


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
        f"the noise has the variance 2{symbol}: √(2h) belongs to the other convention, in which h = {symbol}/2":
            {"size": math.sqrt(2)},
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
