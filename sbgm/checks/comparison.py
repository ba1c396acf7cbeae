"""Comparing an answer with what it should be, and naming the mistake when it looks like a known one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

TOLERANCES = {torch.float64: 1e-8, torch.float32: 2e-4, torch.bfloat16: 3e-2, torch.float16: 3e-3}
STANDARD_ERRORS = 5.0  # a right number is refused once in two million


class WrongAnswer(AssertionError):
    """A student's answer is not right; the message says in what, and names the likely mistake where one is known."""

    def _render_traceback_(self) -> list[str]:
        """Return the one line that Jupyter and IPython show instead of a traceback."""
        return [f"WrongAnswer: {' '.join(str(self).split())}"]


@dataclasses.dataclass(frozen=True)
class Moments:
    """What independent numbers should have: a mean (a number, or a tensor of one example's shape), a variance, and a
    kurtosis E(x − mean)⁴/variance², 3 for a Gaussian."""

    mean: Tensor | float
    variance: Tensor | float
    kurtosis: float = 3.0


def compare(
    answer: Tensor,
    expected: Tensor,
    mistakes: Mapping[str, Tensor],
    what: str = "your answer",
    *,
    tolerance: float | None = None,
) -> None:
    """Raise WrongAnswer unless `answer` equals `expected` up to rounding.

    Args:
        answer: what the student's function returned.
        expected: the right value; where it is no scalar, the answer must have its dtype too.
        mistakes: wrong values, by the sentence that names what leads to them; tried in order.
        what: the subject of the sentences.
        tolerance: relative to the largest number; that of the dtypes if None.
    """
    if answer.shape != expected.shape:
        raise WrongAnswer(f"{what} has shape {tuple(answer.shape)}, and should have {tuple(expected.shape)}")
    if expected.ndim and answer.dtype != expected.dtype:
        raise WrongAnswer(f"{what} has dtype {answer.dtype} for arguments of {expected.dtype}: keep theirs")
    if expected.is_floating_point() and not bool(torch.isfinite(answer).all()):
        raise WrongAnswer(f"{what} holds NaN or infinity where every number should be finite")
    if _close(answer, expected, tolerance):
        return
    for sentence, wrong in mistakes.items():
        if wrong.shape == expected.shape and _close(answer, wrong, tolerance):
            raise WrongAnswer(sentence)
    if not bool(answer.any()):
        raise WrongAnswer(f"{what} is zero everywhere")
    if _close(answer, -expected, tolerance):
        raise WrongAnswer(f"{what} has the wrong sign, and is right otherwise")
    distance = float((answer.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1e-30))
    if distance < 1e-5:
        raise WrongAnswer(f"{what} is right to {distance:.1g} only: is a part of it computed in single precision?")
    raise WrongAnswer(f"{what} is off by up to {distance:.2g} of the largest right value, and by no mistake known here")


def _close(a: Tensor, b: Tensor, tolerance: float | None = None) -> bool:
    if tolerance is None:
        tolerance = max(TOLERANCES.get(a.dtype, 0.0), TOLERANCES.get(b.dtype, 0.0))
    scale = max(float(b.double().abs().max()), 1e-12)
    return math.isfinite(scale) and bool(((a.double() - b.double()).abs() <= tolerance * scale).all())


def compare_moments(
    samples: Tensor, expected: Moments, mistakes: Mapping[str, Moments], what: str = "your samples"
) -> None:
    """Raise WrongAnswer unless independent samples (n, *shape) have the moments expected, within STANDARD_ERRORS.

    The numbers of one sample must be uncorrelated with one another, and so must neighbouring samples.
    """
    if not bool(torch.isfinite(samples).all()):
        raise WrongAnswer(f"{what} hold NaN or infinity")
    if not (faults := _moment_faults(samples, expected)):
        return
    for sentence, wrong in mistakes.items():
        if not _moment_faults(samples, wrong):
            raise WrongAnswer(sentence)
    raise WrongAnswer(f"{what} have {' and '.join(faults)}")


def _moment_faults(samples: Tensor, expected: Moments) -> list[str]:
    """What is wrong with the samples' moments, as parts of a sentence; empty if nothing is."""
    variance = torch.as_tensor(expected.variance, dtype=torch.float64)
    if bool((variance <= 0).any()):  # a mistake that draws no noise at all
        off = (samples.double() - torch.as_tensor(expected.mean, dtype=torch.float64)).abs().max()
        return [] if float(off) < 1e-5 else ["noise where there should be none"]
    u = ((samples.double() - torch.as_tensor(expected.mean, dtype=torch.float64)) / variance.sqrt()).flatten(1)
    n = u.numel()
    mean, second = float(u.mean()), float(u.square().mean())
    kurtosis = float(u.pow(4).mean()) / second**2 if second else 0.0
    faults = []
    apart = float(u.mean(dim=0).abs().max())  # each number's own mean: errors of two signs cancel in that of all
    if abs(mean) > STANDARD_ERRORS / math.sqrt(n) or apart > STANDARD_ERRORS / math.sqrt(len(u)):
        faults.append("the wrong mean")
    # Var(u²) = kurtosis − 1, for whatever kurtosis is expected
    if abs(second - 1) > STANDARD_ERRORS * math.sqrt((expected.kurtosis - 1) / n):
        faults.append(f"a variance of {second:.3g} times the right one")
    # 24/n is a Gaussian's; a heavier tail is compared only as a mistake, where the margin may be wide
    spread = math.sqrt(24 / n) if expected.kurtosis == 3 else 0.15 * expected.kurtosis
    if abs(kurtosis - expected.kurtosis) > STANDARD_ERRORS * spread:
        faults.append(f"a kurtosis of {kurtosis:.3g}, not {expected.kurtosis:.3g}: the noise is not of the right law")
    if not faults and _correlated(u):
        faults.append("numbers that depend on one another: is one draw used more than once?")
    return faults


def _correlated(u: Tensor) -> bool:
    """Whether standardised numbers (n, D) are correlated within a sample, or between neighbouring samples."""
    n, dim = u.shape
    pairs = u.sum(dim=1).square() - u.square().sum(dim=1)  # Σ_{i≠j} u_i u_j: mean 0, variance 2D(D − 1)
    within = float(pairs.mean()) / math.sqrt(2 * dim * (dim - 1) / n) if dim > 1 else 0.0
    between = float((u[1:] * u[:-1]).mean()) * math.sqrt((n - 1) * dim)
    return max(abs(within), abs(between)) > STANDARD_ERRORS
