"""Exercises of chapter 3: Langevin dynamics."""

import math

import torch

from sbgm.course.calls import LogProbOf, MixtureField
from sbgm.course.old_exercise import Law, Trial, compare_law, exercise, in_both_precisions, step_mistakes


@exercise("3.1", minutes=10)
def langevin_step(trial: Trial) -> None:
    """`langevin_step(score, x, step_size, generator)`: one step of Langevin dynamics (Eq. 4), x + (ε/2) s(x) + √ε z.

    x is (B, D); z ~ N(0, I) is drawn from the generator. The result has x's shape and dtype.
    """
    for n, dim, dtype in ((100, 300, torch.float32), (150, 200, torch.float64)):
        step_size, std = trial.uniform(0.2, 0.7), trial.uniform(1.5, 2.5)
        target = MixtureField(torch.ones(1), torch.zeros(1, dim), torch.tensor([std]))
        x = (3 * trial.randn(1, dim, dtype=dtype)).expand(n, dim)  # so far out that the drift is seen in the noise
        drift = step_size / 2 * target(x).double()
        mean = x + drift
        mistakes = step_mistakes(x, drift, step_size, "ε") | {
            "the noise has the variance ε/2; in the paper's convention it is ε": Law(mean, step_size / 2),
            "there is no noise: this climbs to the nearest mode": Law(mean, 0.0),
        }
        compare_law(trial.runs(x, target, x, step_size), Law(mean, step_size), mistakes)


@langevin_step.lends
def _(score, x, step_size, generator):
    z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return x + step_size / 2 * score(x) + math.sqrt(step_size) * z


@exercise("3.3", minutes=10)
def largest_stable_step(trial: Trial) -> None:
    """`largest_stable_step(stds)`: the ε at which Langevin dynamics on N(0, diag(stds²)) begins to diverge.

    `stds` are D standard deviations, (D,); the answer is one number.
    """
    for dim in (1, 2, 5):
        stds = 0.2 + 3 * trial.rand(dim)
        narrow, wide = stds.min(), stds.max()
        trial.expect(
            4 * narrow**2,
            stds,
            mistakes={
                "the widest direction does not set the bound: which one does a large step overshoot first?":
                    4 * wide**2,
                "a factor 2 is missing. Two causes are common: this bounds h in x + h s + √(2h) z, or it is the ε that "
                "forgets the start in one step, beyond which the chain is still stable": 2 * narrow**2,
                "a standard deviation where the variance belongs": 4 * narrow,
                "the mean over the directions does not set the bound: every one of them must be stable":
                    4 * (stds**2).mean(),
            },
        )  # fmt: skip


@largest_stable_step.lends
def _(stds):
    return 4 * stds.min() ** 2


@exercise("3.5", minutes=15)
def log_acceptance(trial: Trial) -> None:
    """`log_acceptance(log_prob, score, x, y, step_size)`: log of p(y) q(x|y) / (p(x) q(y|x)), not capped at 0.

    x and y are (B, D), q(·|x) is one Langevin step from x; the result is (B,).
    """
    for dim, dtype in in_both_precisions((1, 3)):
        step_size = trial.uniform(0.4, 0.9)
        means = trial.randn(2, dim)
        target = MixtureField(torch.tensor([0.3, 0.7], dtype=torch.float64), means, 0.7 + trial.rand(2))
        x, y = trial.randn(7, dim, dtype=dtype), trial.randn(7, dim, dtype=dtype)

        def log_q(b, a, drift=0.5, variance=step_size, target=target, step_size=step_size):
            return -(b - a - drift * step_size * target(a)).square().sum(dim=1) / (2 * variance)

        right = log_acceptance.lent(target.log_prob, target, x, y, step_size)
        ratio = target.log_prob(y) - target.log_prob(x)
        proposal = right - ratio
        trial.expect(
            right.to(dtype),
            LogProbOf(target),
            target,
            x,
            y,
            step_size,
            mistakes={
                "upside down: is p(y) above the line?": -right,
                "the proposal's densities are swapped: q(x|y) belongs to the way back": ratio - proposal,
                "only p(y)/p(x): a Langevin step is not symmetric, q does not cancel": ratio,
                "only the proposal's ratio: where is p?": proposal,
                "the drift in q is twice what it should be":
                    ratio + log_q(x, y, drift=1.0) - log_q(y, x, drift=1.0),
                "q's variance is ε: is its exponent divided by 2ε?":
                    ratio + log_q(x, y, variance=step_size**2) - log_q(y, x, variance=step_size**2),
                "q's exponent lacks its ½": ratio + 2 * proposal,
                "capped at 0: here the ratio itself is asked for": right.clamp(max=0),
                "the score is taken at the same point both ways: q(x|y) drifts from y":
                    ratio
                    - (x - y - step_size / 2 * target(x)).square().sum(dim=1) / (2 * step_size)
                    - log_q(y, x),
            },
        )  # fmt: skip


@log_acceptance.lends
def _(log_prob, score, x, y, step_size):
    def log_q(b, a):  # up to a constant, which cancels
        return -(b - a - step_size / 2 * score(a)).square().sum(dim=1) / (2 * step_size)

    return log_prob(y) + log_q(x, y) - log_prob(x) - log_q(y, x)
