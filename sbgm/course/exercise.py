"""An exercise and its check: what it asks of a student's function, and how the answer is tried.

`@exercise` turns a function that tries an answer into an `Exercise`. A notebook calls it with the student's function;
the grader calls `try_answer` with one that runs in another process.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sbgm.course.calls import Argument, Runner, Seed, TanhField, local

__all__ = [
    "SAME_NOISE",
    "ChainStep",
    "Exercise",
    "Law",
    "Trial",
    "Verdict",
    "WrongAnswer",
    "chain_law",
    "compare",
    "compare_law",
    "exercise",
    "exercises",
    "in_both_precisions",
    "refuse",
    "step_mistakes",
]

TOLERANCES = {torch.float64: 1e-8, torch.float32: 2e-4, torch.bfloat16: 3e-2, torch.float16: 3e-3}
SAME_NOISE = "the noise is the same whatever the generator: is it seeded inside the function?"
STANDARD_ERRORS = 5.0  # a right number is refused once in two million


class WrongAnswer(AssertionError):
    """A student's answer is not right; the message says in what, and names the likely mistake where one is known."""

    def _render_traceback_(self) -> list[str]:
        """Return the one line that Jupyter and IPython show instead of a traceback."""
        return [f"WrongAnswer: {' '.join(str(self).split())}"]


def refuse(wrong: object, sentence: str) -> None:
    """Raise WrongAnswer with the sentence if something is wrong."""
    if wrong:
        raise WrongAnswer(sentence)


def in_both_precisions(cases: Iterable[Any]) -> Iterator[tuple[Any, torch.dtype]]:
    """Each case with torch.float32, then with torch.float64."""
    return itertools.product(cases, (torch.float32, torch.float64))


@dataclasses.dataclass(frozen=True)
class Law:
    """The law expected of independent draws, by its moments.

    Attributes:
        mean: a number, or a tensor of one draw's shape.
        variance: a number, or a tensor of one draw's shape.
        kurtosis: E(x − mean)⁴/variance², 3 for a Gaussian.
    """

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
    refuse(
        answer.shape != expected.shape,
        f"{what} has shape {tuple(answer.shape)}, and should have {tuple(expected.shape)}",
    )
    refuse(
        expected.ndim and answer.dtype != expected.dtype,
        f"{what} has dtype {answer.dtype} for arguments of {expected.dtype}: keep theirs",
    )
    refuse(
        expected.is_floating_point() and not torch.isfinite(answer).all(),
        f"{what} holds NaN or infinity where every number should be finite",
    )
    if _close(answer, expected, tolerance):
        return
    for sentence, wrong in mistakes.items():
        refuse(wrong.shape == expected.shape and _close(answer, wrong, tolerance), sentence)
    refuse(not answer.any(), f"{what} is zero everywhere")
    refuse(_close(answer, -expected, tolerance), f"{what} has the wrong sign, and is right otherwise")
    distance = float((answer.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1e-30))
    refuse(
        distance < 1e-5,
        f"{what} is right to {distance:.1g} only: is a part of it computed in single precision?",
    )
    raise WrongAnswer(f"{what} is off by up to {distance:.2g} of the largest right value, and by no mistake known here")


def _close(a: Tensor, b: Tensor, tolerance: float | None = None) -> bool:
    if tolerance is None:
        tolerance = max(TOLERANCES.get(a.dtype, 0.0), TOLERANCES.get(b.dtype, 0.0))
    scale = max(float(b.double().abs().max()), 1e-12)
    return math.isfinite(scale) and bool(((a.double() - b.double()).abs() <= tolerance * scale).all())


def compare_law(samples: Tensor, expected: Law, mistakes: Mapping[str, Law], what: str = "your samples") -> None:
    """Raise WrongAnswer unless independent samples (n, *shape) have the law expected, within STANDARD_ERRORS.

    The numbers of one sample must be uncorrelated with one another, and so must neighbouring samples.
    """
    refuse(not torch.isfinite(samples).all(), f"{what} hold NaN or infinity")
    if not (faults := _faults(samples, expected)):
        return
    for sentence, wrong in mistakes.items():
        refuse(not _faults(samples, wrong), sentence)
    raise WrongAnswer(f"{what} have {' and '.join(faults)}")


def _faults(samples: Tensor, expected: Law) -> list[str]:
    """Say how the samples depart from the law expected, as parts of a sentence; empty if they do not."""
    variance = torch.as_tensor(expected.variance, dtype=torch.float64)
    offset = samples.double() - torch.as_tensor(expected.mean, dtype=torch.float64)
    if bool((variance <= 0).any()):  # a mistake that draws no noise at all
        return [] if float(offset.abs().max()) < 1e-5 else ["noise where there should be none"]
    u = (offset / variance.sqrt()).flatten(1)
    n = u.numel()
    mean, second = float(u.mean()), float(u.square().mean())
    kurtosis = float(u.pow(4).mean()) / second**2 if second else 0.0
    apart = float(u.mean(dim=0).abs().max())  # each number's own mean: errors of two signs cancel in that of all
    # 24/n is a Gaussian's; a heavier tail is compared only as a mistake, where the margin may be wide
    spread = math.sqrt(24 / n) if expected.kurtosis == 3 else 0.15 * expected.kurtosis
    departures = {
        "the wrong mean": max(abs(mean) * math.sqrt(n), apart * math.sqrt(len(u))),
        # Var(u²) = kurtosis − 1, for whatever kurtosis is expected
        f"a variance of {second:.3g} times the right one": abs(second - 1) / math.sqrt((expected.kurtosis - 1) / n),
        f"a kurtosis of {kurtosis:.3g}, not {expected.kurtosis:.3g}: the noise is not of the right law":
            abs(kurtosis - expected.kurtosis) / spread,
    }  # fmt: skip
    faults = [fault for fault, standard_errors in departures.items() if standard_errors > STANDARD_ERRORS]
    dependent = ["numbers that depend on one another: is one draw used more than once?"]
    return faults or (dependent if _correlated(u) else [])


def _correlated(u: Tensor) -> bool:
    """Tell whether standardised numbers (n, D) are correlated within a sample, or between neighbouring samples."""
    n, dim = u.shape
    pairs = u.sum(dim=1).square() - u.square().sum(dim=1)  # Σ_{i≠j} u_i u_j: mean 0, variance 2D(D − 1)
    within = float(pairs.mean()) / math.sqrt(2 * dim * (dim - 1) / n) if dim > 1 else 0.0
    between = float((u[1:] * u[:-1]).mean()) * math.sqrt((n - 1) * dim)
    return max(abs(within), abs(between)) > STANDARD_ERRORS


def step_mistakes(x: Tensor, drift: Tensor, step_size: float, symbol: str) -> dict[str, Law]:
    """The laws that known mistakes make of a Langevin step, x + drift + √ε z, by the sentence that names each.

    Args:
        x: where the step starts.
        drift: ε/2 times the score.
        step_size: ε.
        symbol: the step size's name in the sentences.
    """
    mean = x + drift
    return {
        "the drift is twice what it should be": Law(mean + drift, step_size),
        "the drift has the wrong sign: a step goes up the density": Law(x - drift, step_size),
        f"the noise has the variance {symbol}²: is it multiplied by {symbol} or by √{symbol}?":
            Law(mean, step_size**2),
        f"the noise has the variance 2{symbol}: this is the other convention, x + h s + √(2h) z with h = {symbol}":
            Law(mean + drift, 2 * step_size),
        "the noise has variance 1: it still has to be scaled": Law(mean, 1.0),
        "the noise is a product of two normal draws: its variance is right and its law is wrong":
            Law(mean, step_size, kurtosis=9.0),
        "the noise is uniform in [0, 1): torch.rand where torch.randn belongs":
            Law(mean + 0.5 * math.sqrt(step_size), step_size / 12, kurtosis=1.8),
        "the old x is lost: a step starts from where the chain is": Law(drift, step_size),
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ChainStep:
    """One step of a chain, x + drift·s(x, σ) + √noise·z."""

    drift: float
    noise: float
    sigma: float


def chain_law(
    offset: Tensor,
    variance: float,
    levels: Sequence[Sequence[ChainStep]],
    *,
    kurtosis: float = 3.0,
    noise_mean: float = 0.0,
    fresh: str = "step",
) -> Law:
    """The moments of chains on N(0, vI) that all start at one point, with exact scores −x/(v + σ²).

    A step multiplies x by 1 − drift/(v + σ²) and adds √noise·z; `closed_forms.annealed_variance` is the same for the
    variance of Algorithm 1. The fourth cumulant follows with the fourth power of that factor.

    Args:
        offset: (1, D) the start.
        variance: v of the data.
        levels: the steps of each level.
        kurtosis: of z.
        noise_mean: of z, whose variance is counted in the steps' noise.
        fresh: whether a new z is drawn every "step", every "level", or "never" after the first.
    """
    settled, current, fourth = 0.0, 0.0, 0.0  # variance due to earlier draws, weight of the present one, 4th cumulant
    for steps in levels:
        for step in steps:
            if fresh == "step":
                settled, current = settled + current**2, 0.0
            keep = 1 - step.drift / (variance + step.sigma**2)
            offset = keep * offset + noise_mean * math.sqrt(step.noise)
            settled, current = keep**2 * settled, keep * current + math.sqrt(step.noise)
            fourth = keep**4 * fourth + (kurtosis - 3) * step.noise**2
        if fresh == "level":
            settled, current = settled + current**2, 0.0
    total = settled + current**2
    return Law(offset, total, 3 + fourth / total**2)


class _NotAttempted(Exception):
    """The student's function is an untouched stub."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcome of a check that did not raise: `dsm_target: correct`, or `dsm_target: not attempted yet`."""

    exercise: str
    correct: bool

    def __repr__(self) -> str:
        return f"{self.exercise}: {'correct' if self.correct else 'not attempted yet'}"


class Trial:
    """One run of a check: the answer under test, and the random inputs to try it on.

    Attributes:
        generator: the source of the inputs.
        variant: which of the seeded variants of the exercise is asked for.
        returned: what the student's function returned last.
    """

    def __init__(self, run: Runner, seed: int, variant: int) -> None:
        self._run = run
        self.generator = torch.Generator().manual_seed(seed)
        self.variant = variant
        self.returned: tuple[Tensor, ...] = ()

    def randn(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Standard normal numbers, the same for every dtype up to rounding."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(dtype)

    def rand(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Uniform numbers in [0, 1)."""
        return torch.rand(shape, generator=self.generator, dtype=torch.float64).to(dtype)

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        return low + (high - low) * float(self.rand(1))

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high` − 1."""
        return int(torch.randint(low, high, (1,), generator=self.generator))

    def field(self, dim: int, dtype: torch.dtype = torch.float64) -> TanhField:
        """A random differentiable score of `dim` dimensions."""
        return TanhField.random(dim, self.generator, dtype)

    def answers(self, *arguments: Argument, may_draw: bool = False) -> tuple[Tensor, ...]:
        """Call the student's function and return all that it returned.

        Args:
            arguments: what it is called with; a `Seed` reaches it as a generator, a `LogProb` as a function.
            may_draw: whether it may use torch's global generator.

        Raises:
            WrongAnswer: it raised, returned nothing, changed an argument, or touched the global generator.
        """
        reply = self._run(arguments, False)
        if not reply.attempted:
            raise _NotAttempted
        refuse(reply.problem, reply.problem)
        names = ", ".join(str(position + 1) for position in reply.changed)
        refuse(names, f"your function changes its argument number {names} in place: work on a copy")
        refuse(reply.reseeded, "your function sets torch's global seed, and so the random numbers of all other code")
        refuse(
            reply.drew and not may_draw,
            "your function draws from torch's global generator: pass the generator on to torch.randn"
            if any(isinstance(a, Seed) for a in arguments)
            else "your function draws random numbers, and needs none: what is random is among its arguments",
        )
        self.returned = reply.values
        return reply.values

    def answer(self, *arguments: Argument) -> Tensor:
        """Call the student's function and return its one value; raises as `answers` does."""
        values = self.answers(*arguments)
        refuse(len(values) != 1, f"your function must return one value, it returned {len(values)}")
        return values[0]

    def expect(self, expected: Tensor, *arguments: Argument, mistakes: Mapping[str, Tensor] | None = None) -> None:
        """Call the student's function and compare its value; see `compare`."""
        compare(self.answer(*arguments), expected, mistakes or {})

    def expect_gradients(
        self, function: Callable[..., Tensor], *arguments: Argument, mistakes: Mapping[str, Callable[..., Tensor]] = {}
    ) -> None:
        """Compare the gradients of the answer's sum with those of a right `function` of the same arguments.

        They are by the fields' parameters or, where there is no field, by the tensors; see `compare`.

        Raises:
            WrongAnswer: they are wrong, or the answer depends on none of these.
        """
        reply = self._run(arguments, True)
        refuse(reply.problem, reply.problem)
        refuse(
            not reply.gradients,
            "no gradient flows back from your answer: a .detach(), .item(), torch.no_grad() or torch.tensor(...) "
            "cuts it off, and nothing would be learned",
        )
        right = local(function)(arguments, True).gradients
        wrong = {sentence: local(f)(arguments, True).gradients for sentence, f in mistakes.items()}
        for i, (found, expected) in enumerate(zip(reply.gradients, right, strict=True)):
            known = {sentence: g[i] for sentence, g in wrong.items() if g}
            compare(found, expected, known, "the value is right, but its gradient")


class Exercise:
    """An exercise with its check, `exercise(student_function)`.

    Attributes:
        name: of the check and of the function that the student writes.
        chapter: where it is set.
        minutes: that it should take.
    """

    def __init__(self, judge: Callable[[Trial], None], chapter: int, minutes: int) -> None:
        functools.update_wrapper(self, judge)
        self.name, self.chapter, self.minutes = judge.__name__, chapter, minutes
        self._judge = judge

    def __repr__(self) -> str:
        return f"<exercise {self.name} of chapter {self.chapter}>"

    def __call__(self, answer: Callable[..., object], *, seed: int = 0, variant: int = 0) -> Verdict:
        """Check a student's function.

        Args:
            answer: the function.
            seed: of the random inputs that it is tried on.
            variant: of the exercise, for those that have several.

        Raises:
            WrongAnswer: it is not right; the message says in what.
            TypeError: it is no function.
        """
        if not callable(answer):
            raise TypeError(f"answer must be the function you wrote, got {type(answer).__name__}: leave out the ()")
        return self.try_answer(local(answer), seed=seed, variant=variant)

    def try_answer(self, run: Runner, *, seed: int, variant: int) -> Verdict:
        """Check an answer that is called by `run`; raises as the exercise itself does.

        Nothing that is raised, an interrupt included, carries a traceback into the check: it would show the solution.
        """
        trial = Trial(run, seed, variant)
        try:
            self._judge(trial)
        except _NotAttempted:
            return Verdict(self.name, correct=False)
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, WrongAnswer):
                error = WrongAnswer(
                    "what your function returned can't be compared with a right answer"
                    + "".join(f": it has shape {tuple(v.shape)} and dtype {v.dtype}" for v in trial.returned[:1])
                )
            raise error.with_traceback(None) from None
        return Verdict(self.name, correct=True)


def exercise(*, chapter: int, minutes: int) -> Callable[[Callable[[Trial], None]], Exercise]:
    """Make an Exercise of a function that tries an answer, and raises WrongAnswer where it is wrong."""

    return lambda judge: Exercise(judge, chapter, minutes)


def exercises() -> dict[str, Exercise]:
    """Return every exercise by name, as the chapters set them."""
    chapters = [importlib.import_module(f"sbgm.course.chapter_{number:02d}") for number in range(1, 11)]
    return {name: value for chapter in chapters for name, value in vars(chapter).items() if isinstance(value, Exercise)}
