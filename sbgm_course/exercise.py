"""An exercise and its check: cases, a right answer, and mistakes, each a function under the sentence that names it.

`@exercise` above a right function makes an `Exercise`, whose `mistakes` are then written down beside it. A student's
function is tried on the cases; where it is wrong, the mistakes are tried on the same case, and the first one that
answers as the student does gives its sentence. Mistakes that are possible in any exercise are written down here, once.
In a notebook the exercise stands above the student's function, as a decorator; `mark` judges that function for a grade.
"""

import contextlib
import dataclasses
import functools
import importlib
import inspect
import itertools
import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import EllipsisType
from typing import Any

import torch
from scipy.special import betaincinv
from torch import Tensor

from sbgm.plots import REFUSED_AS
from sbgm_course.calls import (
    CUT_OFF,
    Argument,
    Asked,
    Field,
    Function,
    MixtureField,
    Reply,
    Seed,
    TanhField,
    WrongAnswer,
    call,
    of_form,
    prepared,
    refuse,
)

TOLERANCES = {torch.float64: 1e-6, torch.float32: 2e-4}  # a σ that was rounded to single precision is no mistake
ROUNDING = 1e-5  # noise with a smaller standard deviation counts as none: it is rounding
STANDARD_ERRORS = 5.5  # of the moments; beyond them is one right answer in 26 million
FALSE_ALARM = 5e-8  # the chance that some pair of right samples, or of their numbers, counts as too alike

FARTHEST = 1e6  # no figure reaches as far, and what is computed with larger numbers soon holds infinity

Case = Sequence[Argument]
Cases = Callable[["Trial"], Iterable[Case]]
Within = Callable[[Tensor, float], Tensor | float]
Parts = Mapping[str, Tensor | EllipsisType]  # of a sample, as masks by a subject of sentences


@dataclasses.dataclass(frozen=True)
class Sign:
    """A mistake that is told by a sign of it, where the numbers it gives may vary.

    Attributes:
        shown: whether an answer, beside the right one, shows the sign.
        mistake: a function that makes the mistake.
    """

    shown: Callable[..., object]
    mistake: Function


# --- numbers ----------------------------------------------------------------------------------------------------------


def of_the_largest(value: Tensor, tolerance: float) -> Tensor:
    """The deviation allowed is relative to the largest number."""
    return tolerance * value.abs().max()


def relative(allowed: float) -> Within:
    """The deviation allowed is relative to each number."""
    return lambda value, tolerance: allowed * value.abs()


def in_double(argument: Any) -> Any:
    """An argument whose floating-point tensors are in double precision."""
    match argument:
        case Tensor():
            return argument.double() if argument.is_floating_point() else argument
        case MixtureField() | TanhField():
            return type(argument)(**{name: value.double() for name, value in vars(argument).items()})
        case Asked():
            return dataclasses.replace(argument, points=argument.points.double())
        case _:
            return argument


def _dtype(case: Case) -> torch.dtype:
    """The dtype that an answer to a case should have, that of its first floating-point tensor."""
    for argument in case:
        tensor = argument.points if isinstance(argument, Asked) else argument
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            return tensor.dtype
    return torch.float64


def _reply(function: Function, case: Case, with_gradients: bool = False) -> Reply:
    """Call a function of ours in double precision."""
    return call(function, [in_double(argument) for argument in case], with_gradients)


def _expected(right: Function, case: Case) -> Tensor:
    """The right answer, of the dtype that an answer should have."""
    reply = _reply(right, case)
    if reply.problem:
        raise RuntimeError(f"the right answer: {reply.problem}")
    (value,) = reply.values
    return value.to(_dtype(case)) if value.is_floating_point() else value


def _compare(
    answer: Tensor,
    expected: Tensor,
    mistakes: Iterable[tuple[str, Tensor | bool]],
    factors: Mapping[str, float],
    subject: str,
    within: Within,
) -> None:
    """Raise WrongAnswer unless `answer` equals `expected`, which has the same shape, up to rounding.

    Args:
        answer: the value that the student's function returned.
        expected: the right value.
        mistakes: sentences, each with the value that the mistake gives, or with whether its sign is shown.
        factors: by which an answer may be wrong, each under words that go on after `subject`.
        subject: of the sentences.
        within: the deviation allowed.
    """
    tolerance = max(TOLERANCES.get(value.dtype, 0.0) for value in (answer, expected))
    answer = answer.double()
    expected = expected.double()

    def close(value: Tensor, within: Within = within) -> bool:
        if value.shape != expected.shape or not value.isfinite().all():
            return False
        return bool(((answer - value).abs() <= within(value, tolerance) + 1e-20).all())

    if close(expected):
        return
    values = []
    for sentence, value in mistakes:
        if isinstance(value, Tensor):
            values.append((sentence, value.double()))
        refuse(close(value.double()) if isinstance(value, Tensor) else value, sentence)
    refuse(not answer.isfinite().all(), f"{subject} holds NaN or infinity where every number should be finite")
    refuse(not answer.any(), f"{subject} is zero everywhere")
    for words, factor in factors.items():
        refuse(close(factor * expected), f"{subject} {words}")
    for sentence, value in values:
        for words, factor in factors.items():
            # always to within rounding: of so many pairs one is nearly right by chance
            both = close(factor * value, of_the_largest)
            refuse(both, f"two mistakes at once. (1) {sentence} (2) {subject} {words}")
    distance = float((answer - expected).abs().max()) / max(float(expected.abs().max()), 1e-30)
    if distance < 1e-5:
        how = "is a part of it computed in single precision, or by finite differences?"
        raise WrongAnswer(f"{subject} is right only to {distance:.1g}: {how}")
    raise WrongAnswer(
        f"{subject} is off by up to {distance:.2g} of the largest right value; the check knows no mistake that gives "
        "these numbers. Work out one small case by hand, and compare"
    )


# --- mistakes in any exercise -----------------------------------------------------------------------------------------

NOT_TOLD = "the second argument is missing where the score, or the network, is called: tell it the level of noise"
OTHER_NOISE = {
    "the noise has the right variance and the wrong law: is it drawn by torch.randn, and only scaled?": "product",
    "the noise is uniform in [0, 1): torch.rand where torch.randn belongs": "uniform",
}


def not_told(right: Function) -> Function:
    """Make the mistake of calling the score, which is the first argument, without σ."""

    def mistaken(score: Function, *arguments: Any) -> Any:
        return right(lambda x, sigma=0.0, *label: score(x, 0.0, *label), *arguments)

    return mistaken


def _factors(case: Case) -> dict[str, float]:
    """Factors by which an answer to a case may be wrong, each under the words for it."""
    factors = {
        "has the wrong sign, and is right otherwise": -1.0,
        "is twice what it should be: is a ½ missing?": 2.0,
        "is half of what it should be: is there a ½ too many?": 0.5,
    }
    batch = next((a for a in case if isinstance(a, Tensor) and a.ndim > 1), None)
    if batch is not None:
        n_numbers = batch[0].numel()
        factors |= {
            "is summed over the batch: average over its examples": len(batch),
            "is divided by the number of examples once too often": 1 / len(batch),
            "is as many times too large as an example has numbers: is something added up over them?": n_numbers,
            "is averaged over the numbers of an example: add them up, and average over the batch only": 1 / n_numbers,
            "is averaged over the numbers of an example, and lacks its ½ (mse_loss? It is equal only where D = 2)":
                2 / n_numbers,
        }  # fmt: skip
    return factors


# --- draws ------------------------------------------------------------------------------------------------------------

MOMENTS = {"normal": (0.0, 1.0, 3.0), "product": (0.0, 1.0, 9.0), "uniform": (0.5, math.sqrt(1 / 12), 1.8)}


class Probe:
    """Stands where a generator does, and hands out no random numbers: the mean of a law or, struck, impulses.

    The draw number i is then larger by one standard deviation in row i of the batch, so that one run of a sampler shows
    with what weight each draw enters its result.

    Attributes:
        n_draws: so far.
    """

    def __init__(self, law: str, struck: bool) -> None:
        self._mean, self._std, _ = MOMENTS[law]
        self._struck = struck
        self.n_draws = 0

    def draw(self, x: Tensor) -> Tensor:
        """The next draw, of x's shape."""
        z = torch.full(x.shape, self._mean, dtype=x.dtype)
        if self._struck:
            z[self.n_draws] += self._std
        self.n_draws += 1
        return z


def noise(x: Tensor, generator: torch.Generator | Probe) -> Tensor:
    """z ~ N(0, I) of x's shape and dtype; right answers and mistakes take all their noise from here."""
    if isinstance(generator, Probe):
        return generator.draw(x)
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)


@dataclasses.dataclass(frozen=True)
class Law:
    """The law of independent draws, by its moments.

    Attributes:
        mean: (n or 1, *shape).
        std: (*shape); 0 where there is no noise.
        kurtosis: E(x − mean)⁴/std⁴ where there is noise, 3 for a Gaussian.
    """

    mean: Tensor
    std: Tensor
    kurtosis: float = 3.0

    def part(self, pixels: Tensor | EllipsisType) -> "Law":
        """The law of some of a sample's numbers."""
        return Law(self.mean[:, pixels], self.std[pixels], self.kurtosis)


def law_of(sampler: Function, case: Case, law: str = "normal") -> Law:
    """The law of a sampler's draws for noise of some law that enters linearly, as in a step with a linear score.

    Every row of the batch must have the same law up to its mean. Cumulants of independent draws add up: the variance
    with the square of their weights, the fourth with the fourth power.
    """
    arguments = [in_double(argument) for argument in case]
    struck = Probe(law, struck=True)
    mean = sampler(*map(prepared, arguments), Probe(law, struck=False))
    moved = sampler(*map(prepared, arguments), struck) - mean
    weights = moved[: struck.n_draws]
    std = weights.square().sum(dim=0).sqrt()
    noisy = std > 0
    kurtosis = 3.0
    if noisy.any():
        excess = (MOMENTS[law][2] - 3) * weights.pow(4).sum(dim=0) / std**4
        kurtosis += float(excess[noisy].mean())
    return Law(mean, std, kurtosis)


def compare_law(runs: Tensor, expected: Law, subject: str) -> None:
    """Raise WrongAnswer unless samples (2, n, *shape), of two runs, have the Gaussian law expected and are independent.

    All 2n samples must be uncorrelated with one another, and so must all numbers of a sample. Right samples are refused
    with a chance of 3e-7: four departures of the moments by STANDARD_ERRORS, and twice FALSE_ALARM.
    """
    faults = _faults(runs, expected)
    if expected.std.any():
        _require_independence(runs, expected, subject)
    refuse(faults, f"{subject} have {' and '.join(faults)}")


def _standardised(runs: Tensor, law: Law) -> Tensor:
    """(x − mean)/std of all samples and of those numbers that have noise, (2n, D)."""
    noisy = law.std > 0
    return ((runs.double() - law.mean)[..., noisy] / law.std[noisy]).flatten(0, 1)


def _faults(runs: Tensor, law: Law) -> list[str]:
    """Say how the moments depart from those of a law, as parts of a sentence; empty if they do not."""
    still = law.std == 0
    if still.any() and float((runs.double() - law.mean)[..., still].abs().max()) > ROUNDING:
        return ["noise where there should be none"]
    if still.all():
        return []
    u = _standardised(runs, law)
    n = u.numel()
    n_samples, dim = u.shape
    means = u.mean(dim=0)
    second = float((u - means).square().sum()) / (n - dim)
    spread = max(second, ROUNDING**2) ** 0.5  # that of the samples, whatever it should be
    # Each number has a mean of its own, since errors of two signs cancel in that of all. n times the mean of their
    # squares is χ²/D with D degrees of freedom, whose cube root is nearly normal (Wilson and Hilferty).
    root = (n_samples * float((means / spread).square().mean())) ** (1 / 3)
    variance_of_root = 2 / (9 * dim)
    of_means = (root - 1 + variance_of_root) / math.sqrt(variance_of_root)
    departures = {
        "the wrong mean": max(abs(float(means.mean())) / spread * math.sqrt(n), of_means),
        # Var(u²) = kurtosis − 1, whatever kurtosis is expected
        f"a variance of {second:.3g} times the right one": abs(second - 1) / math.sqrt((law.kurtosis - 1) / n),
    }
    faults = [fault for fault, standard_errors in departures.items() if not standard_errors <= STANDARD_ERRORS]
    kurtosis = float(((u - means) / spread).pow(4).mean())
    # 24/n is a Gaussian's; a heavier tail is compared only as a mistake, where the margin may be wide
    allowed = STANDARD_ERRORS * math.sqrt(24 / n) if law.kurtosis == 3 else 0.5 * law.kurtosis
    if not faults and abs(kurtosis - law.kurtosis) > allowed:
        return [f"a kurtosis of {kurtosis:.3g}, not {law.kurtosis:.3g}: the noise is not of the right law"]
    return faults


def _require_independence(runs: Tensor, law: Law, subject: str) -> None:
    """Raise WrongAnswer if samples share noise, or numbers within them, or if draws come up again elsewhere."""
    first, other = runs
    alike = torch.equal(first, first[:1].expand_as(first))
    refuse(alike, f"{subject} are all alike: is there any noise, and does each have its own?")
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
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-3)  # rows that differ by rounding alone: no correlation
    limit = math.sqrt(1 - betaincinv((dim - 2) / 2, 0.5, FALSE_ALARM / (m * (m - 1) / 2)))
    return (rows @ rows.T).triu(diagonal=1), limit


# --- a trial ----------------------------------------------------------------------------------------------------------


class _NotAttempted(Exception):
    """The student's function is an untouched stub."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcome of a check that did not raise: `dsm_loss: correct`, or `dsm_loss: not attempted yet`."""

    exercise: str
    correct: bool

    def __repr__(self) -> str:
        return f"{self.exercise}: {'correct' if self.correct else 'not attempted yet'}"


class Trial:
    """One run of a check: the answer under test, and the random inputs to try it on.

    Attributes:
        generator: the source of the inputs.
        returned: the values that the student's function returned last.
        is_usable: whether every answer so far had the right form, and numbers that the cells below can work with.
    """

    def __init__(self, function: Function, seed: int) -> None:
        self._function = function
        self.generator = torch.Generator().manual_seed(seed)
        self.returned: tuple[Tensor, ...] = ()
        self.is_usable = True

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

    def answer(self, like: Tensor, *arguments: Argument) -> Tensor:
        """Call the student's function and return its one value, of the shape and dtype of `like`.

        Where no argument is a tensor, or one number is asked for, single and double precision will both do.

        Args:
            like: of the right shape and dtype.
            arguments: what it is called with; a `Seed` reaches it as a generator.

        Raises:
            WrongAnswer: it raised, returned anything else, or did what `calls.call` says is a problem.
        """
        was_usable = self.is_usable
        self.is_usable = False
        reply = call(self._function, arguments)
        if not reply.attempted:
            raise _NotAttempted
        self.returned = reply.values
        shapes = ", ".join(str(tuple(a.shape)) for a in arguments if isinstance(a, Tensor))
        problem = reply.problem
        if problem.startswith("your function raised RuntimeError") and "size" in problem:
            problem += f" (the tensors in its arguments have shapes {shapes}: does your function fit any size?)"
        refuse(problem, problem)
        answer = of_form(reply.values, like, free=not shapes)
        self.is_usable = was_usable and _within_reach(answer)
        return answer

    def runs(self, like: Tensor, *arguments: Argument) -> Tensor:
        """Call a student's function that draws, with two generators after the arguments, for samples (2, *like.shape).

        Raises:
            WrongAnswer: twice the same generator gives two results; and as `answer` does.
        """
        seed = self.integer(0, 2**31)
        first, again, other = (self.answer(like, *arguments, Seed(s)) for s in (seed, seed, seed + 1))
        samples = torch.stack([first, other])
        refuse(not samples.isfinite().all(), "your answer holds NaN or infinity where every number should be finite")
        differ = not torch.equal(first, again)
        refuse(differ, "two runs with the same seed differ: does all the noise come from the generator?")
        return samples

    def gradients(self, *arguments: Argument) -> tuple[Tensor, ...]:
        """The gradients of the answer's sum; see `Reply`.

        Raises:
            WrongAnswer: the answer depends on nothing that could be learned.
        """
        reply = call(self._function, arguments, with_gradients=True)
        self.is_usable &= bool(reply.gradients) and all(map(_within_reach, reply.gradients))
        refuse(reply.problem, reply.problem)
        refuse(not reply.gradients, CUT_OFF)
        return reply.gradients


def _within_reach(numbers: Tensor) -> bool:
    """Whether no number is NaN, infinite or beyond FARTHEST."""
    return bool((numbers.double().abs() <= FARTHEST).all())


def in_both_precisions(cases: Iterable[Any]) -> Iterator[tuple[Any, torch.dtype]]:
    """Each case with torch.float64, in which few mistakes look alike, then with torch.float32."""
    return itertools.product(cases, TOLERANCES)


# --- exercises --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def named(answer: Function) -> Iterator[None]:
    """Let a function find itself by its name, which Python binds only after a decorator has returned."""
    function = inspect.unwrap(answer)
    name = getattr(function, "__name__", "")
    namespace = getattr(function, "__globals__", {})
    if getattr(function, "__qualname__", "") != name:  # not the notebook's own name, but one within a function or class
        namespace = {}
    before = namespace.get(name, ...)
    namespace[name] = answer
    try:
        yield
    finally:
        if before is ...:
            del namespace[name]
        else:
            namespace[name] = before


class Exercise:
    """An exercise with its check: `@checks.dsm_loss` above the student's function.

    Attributes:
        name: of the check and of the function that the student writes.
        number: the exercise's number in the lessons, such as "2.4".
        chapter: where it is set.
        minutes: that it should take.
        right: a right answer.
        mistakes: wrong answers, each a function of the student's signature, or several, or a `Sign`, by the sentence
            that names the mistake.
        answer: the function that the exercise stood above last, or was called with; None before.
        refused: whether its numbers or its form were wrong, also where `right` then stands in for it.
    """

    def __init__(self, right: Function, number: str, minutes: int, judge: Callable[["Exercise", Trial], None]) -> None:
        functools.update_wrapper(self, right)
        self.name = right.__name__
        self.number = number
        self.minutes = minutes
        self.chapter = int(number.partition(".")[0])
        self.right = right
        self.mistakes: Mapping[str, Function | tuple[Function, ...] | Sign] = {}
        self.answer: Function | None = None
        self.refused = False
        self._judge = judge

    def __repr__(self) -> str:
        return f"<exercise {self.number}, {self.name}>"

    def __call__(self, answer: Function | EllipsisType = ..., *, seed: int = 0) -> Any:
        """Check a student's function: print the verdict, or why it is wrong, in one line.

        Args:
            answer: the function; none in `@exercise(seed=1)`.
            seed: of the random inputs that it is tried on.

        Returns:
            The function for the cells below: the student's own if it is right or only its numbers are wrong, and else
            `right`: for an untouched stub, for what raises, returns another form, NaN or a number beyond FARTHEST, and
            for what changes its arguments or torch's global generator. Without an answer, the decorator.

        Raises:
            TypeError: it is no function.
        """
        if isinstance(answer, EllipsisType):
            return functools.partial(self, seed=seed)
        if not callable(answer):
            raise TypeError(f"answer must be the function you wrote, got {type(answer).__name__}: leave out the ()")
        self.answer = answer
        self.refused = False
        try:
            verdict = self.try_answer(answer, seed=seed)
        except KeyboardInterrupt:
            words = f"the check of {self.name} was stopped: does your function end? Run this cell again"
            raise KeyboardInterrupt(words) from None
        except WrongAnswer as error:
            self.refused = True
            whose = "your function" if error.is_usable else "ours"
            print(*error._render_traceback_(), f"(the cells below use {whose})", file=sys.stderr)
            if not error.is_usable:
                return self.right
            with contextlib.suppress(AttributeError):  # a bound method can't bear a mark
                setattr(answer, REFUSED_AS, self.name)
            return answer
        called = getattr(answer, "__name__", self.name)
        # a helper, a lambda or the work of another decorator may have any name; nearly the right one is a slip
        if called != self.name and get_close_matches(called, [self.name], cutoff=0.8):
            problem = f"your function is called {called}: the cells below look for {self.name}, and do not find it"
            print(f"WrongAnswer: {problem}", file=sys.stderr)
            return answer
        if verdict.correct:
            print(verdict)
            return answer
        print(f"{verdict}; until you do, the cells below use ours")
        return self.right

    def mark(self, *, seed: int) -> None:
        """Judge, for a grade, the function that the exercise stood above last; return only if it is right.

        The name of the function does not count: by then an untouched stub's name holds ours. What is written to stderr,
        as by a warning or a progress bar, goes to stdout, because nbgrader gives no point to a cell that writes there.
        Nothing is logged: a logger has kept the stderr that it first wrote to.

        Args:
            seed: of the random inputs; the check in the notebook uses 0.

        Raises:
            WrongAnswer: it is not right, is ours, or was never there; the message says which.
        """
        if self.answer is None:
            raise WrongAnswer(f"no function of yours stood under @checks.{self.name}")
        is_ours = inspect.unwrap(self.answer) is self.right  # also under another decorator
        refuse(is_ours, f"the function under @checks.{self.name} is the one that sbgm lends")
        disabled = logging.root.manager.disable
        logging.disable()
        try:
            with contextlib.redirect_stderr(sys.stdout):
                verdict = self.try_answer(self.answer, seed=seed)
        except KeyboardInterrupt:
            raise WrongAnswer("your function was stopped: it did not end in the time that a cell may take") from None
        finally:
            logging.disable(disabled)
        refuse(not verdict.correct, f"not attempted: your {self.name} raises NotImplementedError")

    def try_answer(self, answer: Function, *, seed: int = 0) -> Verdict:
        """Check a function, whatever it is called.

        Nothing that is raised, an interrupt included, carries a traceback into the check: it would show the solution.

        Raises:
            WrongAnswer: it is not right; the message says in what.
        """
        trial = Trial(answer, seed)
        try:
            with named(answer):
                self._judge(self, trial)
        except _NotAttempted:
            return Verdict(self.name, correct=False)
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, WrongAnswer):
                shapes = [f": it has shape {tuple(v.shape)} and dtype {v.dtype}" for v in trial.returned[:1]]
                error = WrongAnswer("your answer can't be compared with a right one" + "".join(shapes))
            elif isinstance(error, WrongAnswer):
                error.is_usable = trial.is_usable and str(error) != NOT_TOLD  # the chapters' networks must be told
            raise error.with_traceback(None) from None
        return Verdict(self.name, correct=True)


def exercise(
    number: str,
    *,
    minutes: int,
    cases: Cases | dict[str, Cases],
    within: Within = of_the_largest,
    gradients: bool = False,
    draws: bool = False,
    parts: Callable[..., Parts] | None = None,
) -> Callable[[Function], Exercise]:
    """Make an Exercise of a right function.

    Args:
        number: in the lessons.
        minutes: that it should take.
        cases: the arguments to try, made of a trial's random numbers; several functions by the subject of the sentences
            that are said of them, such as "far from the data your answer".
        within: the deviation allowed.
        gradients: whether the answer's gradients are compared, too, in the cases in double precision.
        draws: whether the function draws; it then has a generator as its last argument, which is in no case, and is
            judged by the law of what it draws.
        parts: of a sample, made of a case; each is judged by itself.
    """
    if not isinstance(cases, dict):
        cases = {"your samples" if draws else "your answer": cases}

    def judge(exercise: Exercise, trial: Trial) -> None:
        to_try = ((subject, case) for subject, of_subject in cases.items() for case in of_subject(trial))
        to_differentiate = []
        try:
            for subject, case in to_try:
                if draws:
                    _judge_draws(exercise, trial, case, parts(*case) if parts else {subject: ...}, subject)
                else:
                    _judge_numbers(exercise, trial, case, subject, within)
                if gradients and _dtype(case) == torch.float64:
                    to_differentiate.append(case)
            for case in to_differentiate:
                _judge_gradients(exercise, trial, case)
        except WrongAnswer:
            # its numbers are wrong; all cases tell whether they are numbers, in the right form
            with contextlib.suppress(WrongAnswer, _NotAttempted):
                for again in [case, *(untried for _, untried in to_try)]:
                    arguments = [*again, Seed(0)] if draws else again
                    trial.answer(_expected(exercise.right, arguments), *arguments)
                    if gradients:
                        trial.gradients(*again)
            raise

    return lambda right: Exercise(right, number, minutes, judge)


def mistakes_in(exercise: Exercise, case: Case) -> Iterator[tuple[str, Function | Sign]]:
    """Each mistake after its sentence: those of the exercise, then one that is possible wherever a score is called."""
    for sentence, mistakes in exercise.mistakes.items():
        for mistake in mistakes if isinstance(mistakes, tuple) else [mistakes]:
            yield sentence, mistake
    if isinstance(case[0], Field):
        yield NOT_TOLD, not_told(exercise.right)


def _values(exercise: Exercise, case: Case, answer: Tensor, expected: Tensor) -> Iterator[tuple[str, Tensor | bool]]:
    """Each mistake's sentence, with the value that the mistake gives or with whether its sign is shown."""
    for sentence, mistake in mistakes_in(exercise, case):
        if isinstance(mistake, Sign):
            yield sentence, bool(mistake.shown(answer, expected))
        else:
            for value in _reply(mistake, case).values[:1]:
                yield sentence, value


def _judge_numbers(exercise: Exercise, trial: Trial, case: Case, subject: str, within: Within) -> None:
    """Compare the value of the student's function."""
    expected = _expected(exercise.right, case)
    answer = trial.answer(expected, *case)
    _compare(answer, expected, _values(exercise, case, answer, expected), _factors(case), subject, within)


def _judge_gradients(exercise: Exercise, trial: Trial, case: Case) -> None:
    """Compare the gradients of the answer's sum, by the fields' parameters or, without a field, by the tensors."""
    answers = trial.gradients(*case)
    right = _reply(exercise.right, case, True)

    def wrong(i: int) -> Iterator[tuple[str, Tensor]]:
        """The gradients of those mistakes whose value is right."""
        for sentence, mistake in mistakes_in(exercise, case):
            if isinstance(mistake, Sign):
                continue
            reply = _reply(mistake, case, True)
            if reply.gradients and torch.allclose(reply.values[0], right.values[0]):
                yield sentence, reply.gradients[i]

    for i, (answer, expected) in enumerate(zip(answers, right.gradients, strict=True)):
        _compare(answer, expected, wrong(i), {}, "the value is right, but its gradient", of_the_largest)


def _laws(exercise: Exercise, case: Case) -> Iterator[tuple[str, Law]]:
    """Each mistake's sentence, with the law of its draws."""
    for sentence, mistake in mistakes_in(exercise, case):
        if not isinstance(mistake, Sign):
            yield sentence, law_of(mistake, case)
    for sentence, other in OTHER_NOISE.items():
        yield sentence, law_of(exercise.right, case, other)


def _judge_draws(exercise: Exercise, trial: Trial, case: Case, parts: Parts, subject: str) -> None:
    """Compare the law of what the student's function draws, part by part."""
    law = law_of(exercise.right, case)
    like = law.mean.to(_dtype(case))
    if not law.std.any():
        first, other = (trial.answer(like, *case, Seed(seed)) for seed in (0, 1))
        refuse((first - other).abs().max() > ROUNDING, f"{subject} has noise where there should be none")
        return _judge_numbers(exercise, trial, [*case, Seed(0)], subject, of_the_largest)
    runs = trial.runs(like, *case)
    wrong_parts = [pixels for pixels in parts.values() if _faults(runs[:, :, pixels], law.part(pixels))]
    if wrong_parts:
        laws = []
        # best a mistake that explains the whole sample, else one that explains a part which is wrong
        for sentence, of_mistake in _laws(exercise, case):
            refuse(not _faults(runs, of_mistake), sentence)
            laws.append((sentence, of_mistake))
        for pixels in wrong_parts:
            for sentence, of_mistake in laws:
                refuse(not _faults(runs[:, :, pixels], of_mistake.part(pixels)), sentence)
    for subject, pixels in parts.items():
        part = law.part(pixels)
        compare_law(runs[:, :, pixels], part, subject)
        if not part.std.any():
            copied = torch.equal(runs[:, :, pixels], part.mean.to(runs.dtype).expand_as(runs[:, :, pixels]))
            refuse(not copied, f"{subject} are nearly right, but not bit for bit: copy them, without arithmetic")
    if len(parts) > 1:
        _require_independence(runs, law, subject)  # of the parts of one another


def exercises() -> dict[str, Exercise]:
    """Return every exercise by name, in the order of the lessons."""
    numbers = (*range(1, 7), *range(8, 13))  # chapter 7 asks for functions of chapters 4 and 6
    chapters = [importlib.import_module(f"sbgm_course.chapter_{number:02d}") for number in numbers]
    all_of_them = [value for chapter in chapters for value in vars(chapter).values() if isinstance(value, Exercise)]
    return {e.name: e for e in sorted(all_of_them, key=lambda e: [int(part) for part in e.number.split(".")])}
