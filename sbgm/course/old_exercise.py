"""What the chapters that are not ported yet use: goes with the last of them."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from scipy.special import betaincinv
from torch import Tensor

from sbgm.course import exercise as engine
from sbgm.course.calls import Argument, Runner, Seed, TanhField, local
from sbgm.course.exercise import Exercise, WrongAnswer, _NotAttempted, _require_dtype, refuse

TOLERANCES = {torch.float64: 1e-8, torch.float32: 2e-4}
STANDARD_ERRORS = 5.5
FALSE_ALARM = 5e-8


def refuse_first(mistakes: Mapping[str, object]) -> None:
    """Raise WrongAnswer with the first sentence whose mistake was made."""
    for sentence, made in mistakes.items():
        refuse(made, sentence)


def in_both_precisions(cases: Iterable[Any]) -> Iterator[tuple[Any, torch.dtype]]:
    """Each case with torch.float64, by whose 1e-8 few mistakes look alike, then with torch.float32."""
    return itertools.product(cases, TOLERANCES)


def as_tensor(value: Tensor | float) -> Tensor:
    """A tensor as it is; a number in double precision, ()."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def compare(
    answer: Tensor,
    expected: Tensor | float,
    mistakes: Mapping[str, Tensor | float | bool],
    what: str = "your answer",
    *,
    tolerance: float | None = None,
    each: bool = False,
) -> None:
    """Raise WrongAnswer unless `answer` equals `expected`, which has the same shape, up to rounding.

    Args:
        answer: what the student's function returned.
        expected: the right value.
        mistakes: by the sentence that names a mistake, the wrong value that it leads to, or whether it was made; tried
            in order.
        what: the subject of the sentences.
        tolerance: relative to the largest number; that of the dtypes if None.
        each: whether each number is measured by its own size, and not by the largest.
    """
    expected = as_tensor(expected)
    if tolerance is None:
        tolerance = max(TOLERANCES.get(value.dtype, 0.0) for value in (answer, expected))

    def close(value: Tensor) -> bool:
        sizes = value.double().abs().clamp(min=1e-12)
        within = tolerance * (sizes if each else sizes.max())
        return bool(sizes.isfinite().all() and ((answer.double() - value.double()).abs() <= within).all())

    if close(expected):
        return
    for sentence, wrong in mistakes.items():
        value = as_tensor(wrong)
        refuse(wrong if isinstance(wrong, bool) else value.shape == expected.shape and close(value), sentence)
    refuse(not torch.isfinite(answer).all(), f"{what} holds NaN or infinity where every number should be finite")
    refuse(not answer.any(), f"{what} is zero everywhere")
    refuse(close(-expected), f"{what} has the wrong sign, and is right otherwise")
    distance = float((answer.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1e-30))
    refuse(
        distance < 1e-5,
        f"{what} is right only to {distance:.1g}: is a part of it computed in single precision?",
    )
    raise WrongAnswer(
        f"{what} is off by up to {distance:.2g} of the largest right value; the check knows no mistake that gives "
        "these numbers. Work out one small case by hand, and compare"
    )


@dataclasses.dataclass(frozen=True)
class Law:
    """The law expected of independent draws, by its moments.

    Attributes:
        mean: a number, or a tensor that broadcasts against the samples.
        variance: 0 for no noise.
        kurtosis: E(x − mean)⁴/variance², 3 for a Gaussian.
    """

    mean: Tensor | float
    variance: float
    kurtosis: float = 3.0


def compare_law(runs: Tensor, expected: Law, mistakes: Mapping[str, Law], what: str = "your samples") -> None:
    """Raise WrongAnswer unless samples (2, n, *shape), of two runs, have the Gaussian law expected and are independent.

    All 2n samples must be uncorrelated with one another, and so must all numbers of a sample. Right samples are refused
    with a chance of 3e-7: four departures of the moments by STANDARD_ERRORS, and twice FALSE_ALARM.
    """
    if faults := _faults(runs, expected):
        for sentence, wrong in mistakes.items():
            refuse(not _faults(runs, wrong), sentence)
    if expected.variance:
        _require_independence(runs, expected, what)
    refuse(faults, f"{what} have {' and '.join(faults)}")


def _standardised(runs: Tensor, law: Law) -> Tensor:
    """(x − mean)/std of all samples and numbers, (2n, D)."""
    return ((runs.double() - law.mean) / math.sqrt(law.variance)).flatten(2).flatten(0, 1)


def _faults(runs: Tensor, law: Law) -> list[str]:
    """Say how the moments depart from those of a law, as parts of a sentence; empty if they do not."""
    if law.variance == 0:  # a mistake that draws no noise at all
        return ["noise where there should be none"] if float((runs.double() - law.mean).abs().max()) > 1e-5 else []
    u = _standardised(runs, law)
    n, (n_samples, dim) = u.numel(), u.shape
    mean, second = float(u.mean()), float(u.square().mean())
    kurtosis = float(u.pow(4).mean()) / second**2 if second else 0.0
    # each number's own mean, for errors of two signs cancel in that of all: χ² of D, whose cube root is nearly normal
    own = (n_samples * float(u.mean(dim=0).square().mean())) ** (1 / 3)
    # 24/n is a Gaussian's; a heavier tail is compared only as a mistake, where the margin may be wide
    spread = math.sqrt(24 / n) if law.kurtosis == 3 else 0.15 * law.kurtosis
    departures = {
        "the wrong mean": max(abs(mean) * math.sqrt(n), abs(own - 1 + 2 / (9 * dim)) / math.sqrt(2 / (9 * dim))),
        # Var(u²) = kurtosis − 1, for whatever kurtosis is expected
        f"a variance of {second:.3g} times the right one": abs(second - 1) / math.sqrt((law.kurtosis - 1) / n),
        f"a kurtosis of {kurtosis:.3g}, not {law.kurtosis:.3g}: the noise is not of the right law":
            abs(kurtosis - law.kurtosis) / spread,
    }  # fmt: skip
    return [fault for fault, standard_errors in departures.items() if standard_errors > STANDARD_ERRORS]


def _require_independence(runs: Tensor, law: Law, what: str) -> None:
    """Raise WrongAnswer if samples share noise, or numbers within them, or if draws come up again elsewhere."""
    first, other = runs
    alike = torch.equal(first, first[:1].expand_as(first))
    refuse(alike, f"{what} are all alike: is there any noise, and does each have its own?")
    refuse(torch.equal(first, other), "the noise is the same whatever the generator: is it seeded inside the function?")
    u = _standardised(runs, law)
    for rows, those in ((u - u.mean(dim=0), "two examples of the batch"), (u.T, "two numbers of every example")):
        correlations, limit = _correlations(rows)
        refuse(correlations.max() > limit, f"{those} share their noise: is a draw used more than once?")
        refuse(correlations.min() < -limit, f"{those} have opposite noise, z and −z: is a draw used more than once?")
    repeated = (u / u.std()).abs().flatten().sort().values.diff() < 1e-6  # 4 % of 60,000 independent draws
    refuse(repeated.double().mean() > 0.2, "the same draws come up again elsewhere: is noise copied, or shuffled?")


def _correlations(rows: Tensor) -> tuple[Tensor, float]:
    """Return the correlations of all pairs of the rows (m, D), and the limit that any passes with chance FALSE_ALARM.

    For two independent Gaussian rows r² is Beta(½, (D − 2)/2); there are m(m − 1)/2 pairs.
    """
    m, dim = rows.shape
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-3)  # what only rounding tells apart has no correlation
    limit = math.sqrt(1 - betaincinv((dim - 2) / 2, 0.5, FALSE_ALARM / (m * (m - 1) / 2)))
    return (rows @ rows.T).triu(diagonal=1), limit


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
        "the old x is lost: a step starts from where the chain is": Law(drift, step_size),
    } | noise_mistakes(mean, step_size)  # fmt: skip


def noise_mistakes(mean: Tensor, variance: float) -> dict[str, Law]:
    """The laws that noise of the right size makes which is no normal noise, by the sentence that names each."""
    return {
        "the noise is a product of two normal draws: its variance is right and its law is wrong":
            Law(mean, variance, kurtosis=9.0),
        "the noise is uniform in [0, 1): torch.rand where torch.randn belongs":
            Law(mean + 0.5 * math.sqrt(variance), variance / 12, kurtosis=1.8),
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
    draw: Callable[[int], int] = int,
) -> Law:
    """The moments of chains on N(0, vI) that all start at one point, with exact scores −x/(v + σ²).

    A step multiplies x by 1 − drift/(v + σ²) and adds √noise·z; `theory.annealed_variance` is the same for the
    variance of Algorithm 1. Cumulants of independent draws add up, the fourth with the fourth power of their weights.

    Args:
        offset: (1, D) the start.
        variance: v of the data.
        levels: the steps of each level.
        kurtosis: of z.
        noise_mean: of z, whose variance is counted in the steps' noise.
        draw: the number of the draw of z that step i = 0, 1, … uses; each its own by default.
    """
    weights: dict[int, float] = {}
    for i, step in enumerate(itertools.chain.from_iterable(levels)):
        keep = 1 - step.drift / (variance + step.sigma**2)
        offset = keep * offset + noise_mean * math.sqrt(step.noise)
        weights = {number: keep * weight for number, weight in weights.items()}
        weights[draw(i)] = weights.get(draw(i), 0.0) + math.sqrt(step.noise)
    total = sum(weight**2 for weight in weights.values())
    fourth = (kurtosis - 3) * sum(weight**4 for weight in weights.values())
    return Law(offset, total, 3 + (fourth / total**2 if total else 0.0))


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

    def batches(self, *shapes: tuple[int, ...]) -> Iterator[tuple[TanhField, Tensor, Tensor]]:
        """A random differentiable score and two standard normal batches, for each shape (B, *shape) and precision."""
        for shape, dtype in in_both_precisions(shapes):
            score = TanhField.random(math.prod(shape[1:]), self.generator, dtype)
            yield score, self.randn(*shape, dtype=dtype), self.randn(*shape, dtype=dtype)

    def answer(self, like: Tensor | float, *arguments: Argument) -> Tensor:
        """Call the student's function and return its one value, of the shape and dtype of `like`.

        Where no argument is a tensor, or one number is asked for, single and double precision will both do.

        Args:
            like: of the right shape and dtype.
            arguments: what it is called with; a `Seed` reaches it as a generator, a `LogProbOf` as a function.

        Raises:
            WrongAnswer: it raised, returned anything else, or did what `calls.call` says is a problem.
        """
        reply, like = self._run(arguments, False), as_tensor(like)
        if not reply.attempted:
            raise _NotAttempted
        self.returned = reply.values
        shapes = ", ".join(str(tuple(a.shape)) for a in arguments if isinstance(a, Tensor))
        unfit = reply.problem.startswith("your function raised RuntimeError") and "size" in reply.problem
        hint = f" (the tensors given have shapes {shapes}: does your function fit any size?)" if unfit else ""
        refuse(reply.problem, reply.problem + hint)
        kind = f"have shape {tuple(like.shape)}" if like.ndim else "be one number"
        n_values = len(reply.values)
        refuse(n_values != 1, f"your function returned {n_values} values: only one, which should {kind}, is asked for")
        (answer,) = reply.values
        refuse(answer.shape != like.shape, f"your answer has shape {tuple(answer.shape)}, and should {kind}")
        _require_dtype(answer, like, free=like.ndim == 0 or not shapes)
        return answer

    def expect(
        self,
        expected: Tensor | float,
        *arguments: Argument,
        mistakes: Mapping[str, Tensor | float | bool],
        **options: Any,
    ) -> None:
        """Call the student's function and compare its value; see `compare`, which takes the options."""
        compare(self.answer(expected, *arguments), expected, mistakes, **options)

    def runs(self, like: Tensor, *arguments: Argument) -> Tensor:
        """Call a student's function that draws, with two generators after the arguments, for samples (2, *like.shape).

        Raises:
            WrongAnswer: twice the same generator gives two results; and as `answer` does.
        """
        seed = self.integer(0, 2**31)
        first, again, other = (self.answer(like, *arguments, Seed(s)) for s in (seed, seed, seed + 1))
        samples = torch.stack([first, other])
        refuse(not samples.isfinite().all(), "your answer holds NaN or infinity where every number should be finite")
        refuse(
            not torch.equal(first, again),
            "two runs with the same seed differ: does all the noise come from the generator?",
        )
        return samples

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
            refuse(found.shape != expected.shape, f"a gradient has shape {tuple(found.shape)}")  # a forged reply's
            compare(found, expected, known, "the value is right, but its gradient")




def exercise(number: str, *, minutes: int):
    def of(judge):
        def judge_old(exercise, trial):
            old = Trial.__new__(Trial)
            old.__dict__ = trial.__dict__
            judge(old)

        made = Exercise(judge, number, minutes, judge_old)

        def lends(function):
            function.__name__ = made.name
            made.right = made.lent = function
            return function

        made.lends = lends
        return made

    return of
