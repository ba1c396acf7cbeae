"""Marking one notebook: the checks run here, the student's functions in a process of their own."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from sbgm.course.calls import Argument, Reply
from sbgm.course.checks import Exercise, WrongAnswer
from sbgm.course.messages import MessageError, OutOfTimeError, as_reply, printable, receive, send, send_call
from sbgm.course.sandbox import Limits, student_process
from sbgm.course.submissions import Submission

__all__ = ["Outcome", "mark_notebook"]

CORRECT, WRONG, NOT_ATTEMPTED, MISSING, FAILED = "correct", "wrong", "not attempted", "missing", "failed"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one exercise of one notebook.

    Attributes:
        exercise: its name.
        verdict: "correct", "wrong", "not attempted", "missing" (no such function) or "failed" (it could not be called).
        message: why, for the student; empty for a correct answer.
        answer: the student's source.
    """

    exercise: str
    verdict: str
    message: str = ""
    answer: str = ""

    @property
    def mark(self) -> int:
        """1 for a correct answer, else 0."""
        return int(self.verdict == CORRECT)


class _Gone(BaseException):
    """The student's process ended, or took too long, and no check can go on; the message says which."""


def mark_notebook(
    submission: Submission,
    exercises: Mapping[str, Exercise],
    *,
    seed: int,
    variant: int = 0,
    limits: Limits | None = None,
) -> list[Outcome]:
    """Try each exercise's answer on inputs made from `seed`; an untrusted notebook can't raise here.

    Args:
        submission: of `read_submission`.
        exercises: those to mark, by name.
        seed: of the random inputs; keep it to yourself until the marks are out.
        variant: the seeded variant that this student's group was given.
        limits: on the student's process.
    """
    limits = limits or Limits()
    if submission.problem:
        return [Outcome(name, FAILED, submission.problem) for name in exercises]
    outcomes = []
    with ExitStack() as stack:
        student = _Student(submission, limits, stack)
        for name, exercise in exercises.items():
            answer = submission.answers.get(name, "")
            verdict, message = _tried(student, exercise, seed, variant) if answer else (MISSING, _MISSING.format(name))
            outcomes.append(Outcome(name, verdict, message, answer))
    return outcomes


_MISSING = "the notebook defines no function {}"


def _tried(student: _Student, exercise: Exercise, seed: int, variant: int) -> tuple[str, str]:
    student.begin(exercise.name)
    try:
        verdict = exercise.try_answer(student.run, seed=seed, variant=variant)
    except WrongAnswer as error:
        return WRONG, str(error)
    except _Gone as error:
        student.stop()
        return FAILED, str(error)
    return (CORRECT, "") if verdict.correct else (NOT_ATTEMPTED, "")


class _Student:
    """A student's process, started when first needed and anew after it was lost."""

    def __init__(self, submission: Submission, limits: Limits, stack: ExitStack) -> None:
        self._submission, self._limits, self._outer = submission, limits, stack
        self._process, self._own, self._errors = None, None, []
        self._name, self._deadline = "", 0.0

    def begin(self, name: str) -> None:
        """Turn to the exercise `name`; its time starts with its first call."""
        self._name, self._deadline = name, 0.0

    def stop(self) -> None:
        """End the process."""
        if self._own is not None:
            self._own.close()
        self._process, self._own = None, None

    def run(self, arguments: Sequence[Argument], with_gradients: bool) -> Reply:
        """Have the student's function called; a Runner."""
        if self._process is None:
            self._start()
        self._deadline = self._deadline or time.monotonic() + self._limits.exercise_seconds
        seconds = min(self._limits.call_seconds, self._deadline - time.monotonic())
        reply = self._exchange(
            lambda sink: send_call(sink, self._name, arguments, with_gradients),
            as_reply,
            max(seconds, 0.0),
            late=f"your function took too long: one call may take {self._limits.call_seconds:g} seconds, "
            f"all of an exercise's calls {self._limits.exercise_seconds:g}",
            ended="the process ended while your function ran: did it exit, or run out of memory?",
        )
        if reply.problem.startswith("there is no function") and self._errors:
            return dataclasses.replace(reply, problem=f"{reply.problem}; the notebook raised {'; '.join(self._errors)}")
        return reply

    def _start(self) -> None:
        self._own = self._outer.enter_context(ExitStack())
        self._process = self._own.enter_context(student_process(self._limits))
        errors = self._exchange(
            lambda sink: send(sink, {"statements": list(self._submission.statements)}),
            lambda fields, tensors: fields.get("errors"),
            self._limits.start_seconds,
            late=f"the notebook's definitions took longer than {self._limits.start_seconds:g} seconds",
            ended="the process ended while the notebook's definitions ran",
        )
        errors = errors[:5] if isinstance(errors, list) else []
        self._errors = [printable(e)[:200] for e in errors if isinstance(e, str)]

    def _exchange(
        self, ask: Callable[[int], None], read: Callable[..., Any], seconds: float, *, late: str, ended: str
    ) -> Any:
        """Ask the process something, and read its answer; raise _Gone if none that can be read comes in time."""
        try:
            ask(self._process.stdin.fileno())
            return read(*receive(self._process.stdout.fileno(), seconds))
        except OutOfTimeError:
            raise _Gone(late) from None
        except (EOFError, OSError):
            raise _Gone(ended) from None
        except MessageError as error:
            raise _Gone(f"what your notebook's process sent can't be read: {error}") from error
