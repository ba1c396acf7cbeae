"""An exercise and its check: what it asks of a student's function, and how the answer is tried.

`@exercise` turns a function that tries an answer into an `Exercise`. A notebook calls it with the student's function;
the grader calls `try_answer` with one that runs in another process.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sbgm.checks.calls import Argument, Runner, local
from sbgm.checks.comparison import Moments, WrongAnswer, compare, compare_moments
from sbgm.checks.fields import TanhField


class _NotAttempted(Exception):
    """The student's function is an untouched stub."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of a check that did not raise: `dsm_target: correct`, or `dsm_target: not attempted yet`."""

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
        if reply.problem:
            raise WrongAnswer(reply.problem)
        if reply.changed:
            names = ", ".join(str(position + 1) for position in reply.changed)
            raise WrongAnswer(f"your function changes its argument number {names} in place: work on a copy")
        if reply.reseeded:
            raise WrongAnswer("your function sets torch's global seed, and so the random numbers of all other code")
        if reply.drew and not may_draw:
            raise WrongAnswer(
                "your function draws from torch's global generator: pass the generator on to torch.randn"
                if any(type(a).__name__ == "Seed" for a in arguments)
                else "your function draws random numbers, and needs none: what is random is among its arguments"
            )
        self.returned = reply.values
        return reply.values

    def answer(self, *arguments: Argument) -> Tensor:
        """Call the student's function and return its one value; raises as `answers` does."""
        values = self.answers(*arguments)
        if len(values) != 1:
            raise WrongAnswer(f"your function must return one value, it returned {len(values)}")
        return values[0]

    def gradients(self, *arguments: Argument) -> tuple[Tensor, ...]:
        """Gradients of the answer's sum by the fields' parameters or, where there is no field, by the tensors.

        Raises:
            WrongAnswer: the answer depends on none of them.
        """
        reply = self._run(arguments, True)
        if reply.problem:
            raise WrongAnswer(reply.problem)
        if not reply.gradients:
            raise WrongAnswer(
                "no gradient flows back from your answer: a .detach(), .item(), torch.no_grad() or torch.tensor(...) "
                "cuts it off, and nothing would be learned"
            )
        return reply.gradients

    def expect(self, expected: Tensor, *arguments: Argument, mistakes: Mapping[str, Tensor] | None = None) -> None:
        """Call the student's function and compare its value; see `compare`."""
        compare(self.answer(*arguments), expected, mistakes or {})

    def expect_gradients(
        self, function: Callable[..., Tensor], *arguments: Argument, mistakes: Mapping[str, Callable[..., Tensor]] = {}
    ) -> None:
        """Compare the answer's gradients with those of a right `function` of the same arguments; see `compare`."""
        right = local(function)(arguments, True).gradients
        wrong = {sentence: local(f)(arguments, True).gradients for sentence, f in mistakes.items()}
        for i, (found, expected) in enumerate(zip(self.gradients(*arguments), right, strict=True)):
            known = {sentence: g[i] for sentence, g in wrong.items() if g}
            compare(found, expected, known, "the value is right, but its gradient")

    def expect_moments(
        self, expected: Moments, *arguments: Argument, mistakes: Mapping[str, Moments] | None = None
    ) -> None:
        """Call the student's function and compare its samples' moments; see `compare_moments`."""
        compare_moments(self.answer(*arguments), expected, mistakes or {})


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

    def made(judge: Callable[[Trial], None]) -> Exercise:
        if not inspect.getdoc(judge):
            raise ValueError(f"{judge.__name__} needs a docstring that states the exercise")
        return Exercise(judge, chapter, minutes)

    return made
