"""Marking one student: the checks run here, the student's functions in processes of their own."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sbgm.course.calls import Argument, Reply, as_reply, encoded_arguments
from sbgm.course.checks import Exercise, WrongAnswer
from sbgm.course.messages import MessageError, printable, receive, send
from sbgm.course.notebook import Answer, Notebook
from sbgm.course.sandbox import Limits, Sandbox

VERDICTS = ("missing", "not attempted", "too slow", "failed", "wrong", "correct")
MISSING, NOT_ATTEMPTED, TOO_SLOW, FAILED, WRONG, CORRECT = VERDICTS
UNWRITTEN = (
    "your function, or one that it uses, raises NotImplementedError; in the notebook sbgm lends a function in place of "
    "an untouched stub, here it does not"
)
MOST_SOURCE = 20_000  # characters kept of an answer


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one exercise.

    Attributes:
        exercise: its name.
        verdict: "correct", "wrong", "failed" (it could not be called), "too slow", "not attempted" or "missing" (there
            is no such function).
        message: why, for the student; empty for a correct answer.
        answer: the student's source.
        notebook: the file that it stands in.
        number: of the exercise in the lessons.
    """

    exercise: str
    verdict: str
    message: str = ""
    answer: str = ""
    notebook: str = ""
    number: str = ""

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
        late = [notebook.problem for notebook in notebooks.values() if notebook.late]
        outcomes, rank = [], lambda outcome: VERDICTS.index(outcome.verdict)
        for name, exercise in exercises.items():
            none = (TOO_SLOW, late[0]) if late else (MISSING, f"no notebook defines a function {name}")
            best = Outcome(name, *none, number=exercise.number)
            for file, notebook in notebooks.items():
                if name in notebook.answers and best.verdict != CORRECT:
                    verdict, message = student.judge(exercise, file, notebook.answers[name], seed, variant)
                    source = printable(notebook.answers[name].source, MOST_SOURCE)
                    best = max(best, Outcome(name, verdict, message, source, file, exercise.number), key=rank)
            outcomes.append(best)
    return outcomes, [f"{name}: {notebook.problem}" for name, notebook in notebooks.items() if notebook.problem]


@functools.cache
def shortfall(limits: Limits, isolated: bool) -> str:
    """Say why not even an answer without code can be defined within limits, found by trying; "" if it can."""
    with contextlib.closing(_Student(limits, isolated)) as student:
        try:
            student.define("", Answer(""))
        except _Gone as gone:
            return gone.args[1]
    return ""


class _Gone(BaseException):
    """The student's process ended, or took too long, and no check can go on; with the verdict, and a message."""


class _Student:
    """A student's process, started when first needed and anew after it was lost."""

    def __init__(self, limits: Limits, isolated: bool) -> None:
        self._limits, self._isolated, self._sandbox = limits, isolated, None
        self._errors: dict[str, str] = {}  # of the definitions, by answer, in the process that runs
        self._used = 0.0  # seconds, as Limits counts them

    def close(self) -> None:
        """End the process."""
        sandbox, self._sandbox, self._errors = self._sandbox, None, {}
        if sandbox:
            sandbox.close()

    def read(self, file: str, content: bytes, exercises: list[str]) -> Notebook:
        """Reduce a notebook to what is run of it."""
        try:
            fields = self._asked(
                {"ask": "read", "exercises": exercises},
                content,
                late=f"this notebook can't be read within {self._limits.seconds:g} seconds",
                ended="this notebook can't be read: the process that did ended",
            )
        except _Gone as gone:
            return Notebook(problem=gone.args[1], late=gone.args[0] == TOO_SLOW)
        return Notebook({name: Answer(**answer) for name, answer in fields["answers"].items()}, fields["problem"])

    def judge(self, exercise: Exercise, file: str, answer: Answer, seed: int, variant: int) -> tuple[str, str]:
        """Return the verdict on an answer to an exercise, and the reason; an untouched one is not called."""
        if answer.untouched:
            return NOT_ATTEMPTED, ""
        if answer.problem:
            return FAILED, printable(answer.problem)
        key, left = f"{file}: {exercise.name}", self._limits.seconds

        def run(arguments: Sequence[Argument], with_gradients: bool) -> Reply:
            nonlocal left
            self.define(key, answer)
            before = self._used
            reply = self._asked(
                {"ask": "call", "answer": key, "name": exercise.name, "gradients": with_gradients},
                encoded_arguments(arguments),
                as_reply,
                seconds=left,
                late=f"your function took too long: all calls of it together may take {self._limits.seconds:g} seconds",
                ended="the process ended while your function ran: did it exit, or run out of memory?",
            )
            left -= self._used - before
            unknown = reply.problem.startswith(("there is no function", "your function raised NameError"))
            return dataclasses.replace(reply, problem=reply.problem + self._errors[key] * unknown)

        try:
            verdict = exercise.try_answer(run, seed=seed, variant=variant)
        except WrongAnswer as error:
            return WRONG, printable(str(error))
        except _Gone as gone:
            return gone.args
        return (CORRECT, "") if verdict.correct else (NOT_ATTEMPTED, UNWRITTEN)

    def define(self, key: str, answer: Answer) -> None:
        """Run an answer's definitions, unless this process has."""
        if key in self._errors:
            return
        self._errors[key] = self._asked(
            {"ask": "define", "answer": key, "statements": answer.statements},
            as_found=lambda fields, _: printable(said) if isinstance(said := fields.get("errors"), str) else "",
            late=f"the notebook's definitions took longer than {self._limits.seconds:g} seconds",
            ended="the process ended while the notebook's definitions ran",
        )

    def _asked(
        self,
        fields: Mapping[str, object],
        blob: bytes = b"",
        as_found: Callable[[dict, bytes], Any] = lambda fields, blob: fields,
        *,
        seconds: float | None = None,
        late: str,
        ended: str,
    ) -> Any:
        """Ask the process something and return its answer; raise _Gone, and end it, if none comes as it should."""
        left = self._limits.total_seconds - self._used
        if left <= 0:
            raise _Gone(TOO_SLOW, f"your notebooks took longer than {self._limits.total_seconds:g} seconds in all")
        sandbox = self._sandbox = self._sandbox or Sandbox(self._limits, isolated=self._isolated)
        seconds = min(self._limits.seconds if seconds is None else seconds, left)
        sandbox.allow(seconds)
        try:
            send(sandbox.sink, fields, blob)
            return as_found(*receive(sandbox.source))
        except (EOFError, OSError):
            problem = ended
        except MessageError as error:
            problem = f"what your notebook's process sent can't be read: {error}"
        finally:
            self._used += sandbox.used()
            sandbox.allow(math.inf)
        self.close()  # which may find out that memory ran out
        if sandbox.late:
            raise _Gone(TOO_SLOW, late)
        raise _Gone(FAILED, printable(problem) + f" ({sandbox.exceeded})" * bool(sandbox.exceeded))
