"""Marking one student: the checks run here, the student's functions in processes of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sbgm.course.calls import Argument, Reply, Runner, as_reply, encoded_arguments
from sbgm.course.checks import Exercise, WrongAnswer
from sbgm.course.messages import MessageError, OutOfTimeError, printable, receive, send
from sbgm.course.notebook import Answer, Notebook
from sbgm.course.sandbox import Limits, Sandbox

__all__ = ["Outcome", "mark_student"]

MISSING, NOT_ATTEMPTED, FAILED, WRONG, CORRECT = VERDICTS = "missing", "not attempted", "failed", "wrong", "correct"
MOST_SOURCE = 20_000  # characters kept of an answer


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one exercise.

    Attributes:
        exercise: its name.
        verdict: "correct", "wrong", "failed" (it could not be called), "not attempted" or "missing" (no such function).
        message: why, for the student; empty for a correct answer.
        answer: the student's source.
        notebook: the file that it stands in.
    """

    exercise: str
    verdict: str
    message: str = ""
    answer: str = ""
    notebook: str = ""

    @property
    def mark(self) -> int:
        """1 for a correct answer, else 0."""
        return int(self.verdict == CORRECT)


def mark_student(
    files: Mapping[str, bytes],
    exercises: Mapping[str, Exercise],
    *,
    seed: int,
    variant: int = 0,
    limits: Limits | None = None,
    isolated: bool = True,
) -> tuple[list[Outcome], list[str]]:
    """Try a student's answer to each exercise on inputs made from `seed`; nothing untrusted can raise here.

    Args:
        files: the content of each notebook, by its name.
        exercises: those to mark, by name.
        seed: of the random inputs; keep it to yourself until the marks are out.
        variant: the seeded variant that this student's group was given.
        limits: on the student's processes.
        isolated: whether they run under bubblewrap.

    Returns:
        An outcome for each exercise, the best where several notebooks answer it; and what is wrong with the notebooks.
    """
    with contextlib.closing(_Student(limits or Limits(), isolated)) as student:
        notebooks = {name: student.read(name, content, list(exercises)) for name, content in files.items()}
        outcomes = []
        for name, exercise in exercises.items():
            best = Outcome(name, MISSING, f"no notebook defines a function {name}")
            for file, notebook in notebooks.items():
                if name in notebook.answers and best.verdict != CORRECT:
                    verdict, message = student.judge(exercise, file, notebook, seed, variant)
                    source = printable(notebook.answers[name].source, MOST_SOURCE)
                    best = max(best, Outcome(name, verdict, message, source, file), key=_rank)
            outcomes.append(best)
    return outcomes, [f"{name}: {notebook.problem}" for name, notebook in notebooks.items() if notebook.problem]


def _rank(outcome: Outcome) -> int:
    return VERDICTS.index(outcome.verdict)


class _Gone(BaseException):
    """The student's process ended, or took too long, and no check can go on; the message says which."""


class _Student:
    """A student's process, started when first needed and anew after it was lost."""

    def __init__(self, limits: Limits, isolated: bool) -> None:
        self._limits, self._isolated, self._sandbox = limits, isolated, None
        self._errors: dict[str, list[str]] = {}  # of the definitions, by notebook, in the process that runs
        self._lost: dict[str, str] = {}  # why a notebook can't be defined, and is not tried again
        self._end = time.monotonic() + limits.student_seconds

    def close(self) -> None:
        """End the process."""
        if self._sandbox:
            self._sandbox.close()
        self._sandbox, self._errors = None, {}

    def read(self, file: str, content: bytes, exercises: list[str]) -> Notebook:
        """Reduce a notebook to what is run of it."""
        late = f"this notebook can't be read within {self._limits.read_seconds:g} seconds"
        try:
            fields = self._asked(
                {"ask": "read", "exercises": exercises},
                content,
                seconds=self._limits.read_seconds,
                late=late,
                ended="this notebook can't be read: the process that did ended",
            )
        except _Gone as gone:
            return Notebook(problem=str(gone))
        answers = {name: Answer(**answer) for name, answer in fields["answers"].items()}
        return Notebook(fields["statements"], answers, fields["problem"])

    def judge(self, exercise: Exercise, file: str, notebook: Notebook, seed: int, variant: int) -> tuple[str, str]:
        """Return the verdict on a notebook's answer to an exercise, and the reason; an untouched one is not called."""
        answer = notebook.answers[exercise.name]
        if answer.untouched:
            return NOT_ATTEMPTED, ""
        if answer.problem:
            return FAILED, printable(answer.problem)
        try:
            verdict = exercise.try_answer(self._runner(exercise.name, file, notebook), seed=seed, variant=variant)
        except WrongAnswer as error:
            return WRONG, printable(str(error))
        except _Gone as gone:
            return FAILED, printable(str(gone))
        return (CORRECT, "") if verdict.correct else (NOT_ATTEMPTED, "")

    def _runner(self, name: str, file: str, notebook: Notebook) -> Runner:
        """Return what has a notebook's function called; its time starts with its first call."""
        limits, begin = self._limits, None

        def run(arguments: Sequence[Argument], with_gradients: bool) -> Reply:
            nonlocal begin
            self._define(file, notebook)
            begin = begin or time.monotonic()
            kinds, blob = encoded_arguments(arguments)
            reply = self._asked(
                {"ask": "call", "notebook": file, "name": name, "arguments": kinds, "gradients": with_gradients},
                blob,
                as_reply,
                seconds=min(limits.call_seconds, begin + limits.exercise_seconds - time.monotonic()),
                late=f"your function took too long: one call may take {limits.call_seconds:g} seconds, all of an "
                f"exercise's calls {limits.exercise_seconds:g}",
                ended="the process ended while your function ran: did it exit, or run out of memory?",
            )
            errors = self._errors[file] if reply.problem.startswith("there is no function") else []
            return dataclasses.replace(reply, problem="; the notebook raised ".join([reply.problem, *errors]))

        return run

    def _define(self, file: str, notebook: Notebook) -> None:
        """Run a notebook's definitions, unless this process has; once they were the end of one, not again."""
        if file in self._lost:
            raise _Gone(self._lost[file])
        if self._sandbox and file in self._errors:
            return
        seconds = self._limits.start_seconds
        try:
            errors = self._asked(
                {"ask": "define", "notebook": file, "statements": notebook.statements},
                as_found=_errors,
                seconds=seconds,
                late=f"the notebook's definitions took longer than {seconds:g} seconds",
                ended="the process ended while the notebook's definitions ran",
            )
        except _Gone as gone:
            self._lost[file] = str(gone)
            raise
        self._errors[file] = errors

    def _asked(
        self,
        fields: Mapping[str, object],
        blob: bytes = b"",
        as_found: Callable[[dict, bytes], Any] = lambda fields, blob: fields,
        *,
        seconds: float,
        late: str,
        ended: str,
    ) -> Any:
        """Ask the process something and return its answer; raise _Gone, and end it, if none comes as it should."""
        left = self._end - time.monotonic()
        deadline = time.monotonic() + min(seconds, left)
        problem = f"your notebooks took longer than {self._limits.student_seconds:g} seconds in all"
        try:
            if left > 0:
                self._sandbox = self._sandbox or Sandbox(self._limits, isolated=self._isolated)
                send(self._sandbox.sink, fields, blob, deadline - time.monotonic())
                return as_found(*receive(self._sandbox.source, deadline - time.monotonic()))
        except OutOfTimeError:
            problem = late
        except (EOFError, OSError):
            problem = ended
        except MessageError as error:
            problem = f"what your notebook's process sent can't be read: {error}"
        exceeded = f" ({self._sandbox.exceeded})" if self._sandbox and self._sandbox.exceeded else ""
        self.close()
        raise _Gone(problem + exceeded)


def _errors(fields: dict, blob: bytes) -> list[str]:
    """The errors that definitions raised, as a student's process names them."""
    errors = fields.get("errors")
    return [printable(str(error)) for error in errors[:5]] if isinstance(errors, list) else []
