"""One student's notebooks marked: they run in a sandbox, one after the other, and the checks try the answers here."""

import dataclasses
import functools
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import cloudpickle

from grading.messages import MessageError, as_reply, encoded_arguments, printable
from grading.sandbox import Gone, Limits, Sandbox
from sbgm.checks.calls import Argument, Reply
from sbgm.checks.exercise import Exercise, WrongAnswer, exercises

VERDICTS = ("missing", "not attempted", "too slow", "failed", "wrong", "correct")
MISSING, NOT_ATTEMPTED, TOO_SLOW, FAILED, WRONG, CORRECT = VERDICTS
UNWRITTEN = (
    "your function, or one that it uses, raises NotImplementedError; while it is tried nothing is lent in place of an "
    "untouched stub"
)
MOST_TRIES = 50  # of an exercise in one notebook
MOST_NOTES = 20
MOST_SOURCE = 20_000  # characters kept of a cell


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one exercise.

    Attributes:
        verdict: "correct", "wrong", "failed" (the process ended), "too slow", "not attempted" or "missing" (no notebook
            has such a function).
        message: why, for the student; empty for a correct answer.
        source: of the cell in which the function was tried.
        notebook: the file in which it stands.
    """

    verdict: str
    message: str = ""
    source: str = ""
    notebook: str = ""


@dataclasses.dataclass(frozen=True)
class Course:
    """How a class is marked.

    Attributes:
        exercises: those that count, by name.
        seed: of the random inputs, the same for everyone.
        variant: the variant that this group was given.
        limits: on each student's processes.
        isolated: whether they run under bubblewrap.
    """

    exercises: Mapping[str, Exercise]
    seed: int
    variant: int = 0
    limits: Limits = dataclasses.field(default_factory=Limits)
    isolated: bool = True


@dataclasses.dataclass
class Marks:
    """What came of one student's notebooks.

    Attributes:
        outcomes: by the exercise's name.
        notes: what could not be read or run, a line each.
        late: whether something took too long, so that it may be tried again.
    """

    outcomes: dict[str, Outcome]
    notes: list[str]
    late: bool

    @property
    def total(self) -> int:
        """How many answers are correct."""
        return sum(outcome.verdict == CORRECT for outcome in self.outcomes.values())

    def better(self, other: "Marks") -> "Marks":
        """The better outcome of each exercise, this one where both are as good, and the other's notes."""
        outcomes = {name: max(old, other.outcomes[name], key=_rank) for name, old in self.outcomes.items()}
        return Marks(outcomes, other.notes, other.late)


def _rank(outcome: Outcome) -> int:
    return VERDICTS.index(outcome.verdict)


def mark(files: Mapping[str, bytes], course: Course) -> Marks:
    """Run a student's notebooks, by name, and mark the answers in them; nothing that a notebook does raises here."""
    outcomes = {name: Outcome(MISSING, f"no notebook has a function {name}") for name in course.exercises}
    marks = Marks(outcomes, [], late=False)
    until = time.monotonic() + 60 * course.limits.minutes
    for file, content in files.items():
        run = _Run(file, course)
        run.follow(content, until)
        if run.doubtful:
            # What was lent could be read, and handed in: where it may have been, nothing is lent, and this run counts.
            again = _Run(file, course, run.doubtful)
            again.follow(content, until)
            for name in run.doubtful:
                run.outcomes[name] = again.outcomes.get(name, outcomes[name])
        of_file = {name: run.outcomes.get(name, outcome) for name, outcome in outcomes.items()}
        marks = marks.better(Marks(of_file, [*marks.notes, *run.notes], marks.late or run.late))
    return marks


class _Run:
    """One run of one notebook.

    Attributes:
        outcomes: of the exercises that were tried, by name; the last time counts, but at the notebook's end.
        notes: what could not be read, and the cells that raised.
        late: whether a cell or a call took too long.
        doubtful: the exercises that were answered after their right function had been lent.
    """

    def __init__(self, file: str, course: Course, withheld: frozenset[str] | set[str] = frozenset()) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.notes: list[str] = []
        self.late = False
        self.doubtful: set[str] = set()
        self._file = file
        self._course = course
        self._withheld = withheld
        self._lent: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._cells: list[str] = []
        self._cell = 0

    def follow(self, content: bytes, until: float) -> None:
        """Run the notebook, until `time.monotonic()` at the latest."""
        numbers = {name: exercise.number for name, exercise in _all_exercises().items()}
        asked = list(self._course.exercises)
        begin = {"exercises": numbers, "asked": asked, "seconds": self._course.limits.seconds}
        with Sandbox(self._course.limits, isolated=self._course.isolated, until=until) as sandbox:
            try:
                fields, _ = sandbox.exchange(begin, content)
                while fields.get("say") != "done":
                    fields, _ = sandbox.exchange(*self._answer(fields, sandbox))
            except Gone as gone:
                self.late |= gone.late
                self._note(f"this notebook was not run to its end: {gone}")

    def _answer(self, fields: dict, sandbox: Sandbox) -> tuple[dict[str, object] | None, bytes]:
        """Take in a message; return the answer to it, None where it has none."""
        match fields:
            case {"say": "cells", "sources": [*sources]}:
                self._cells = [printable(str(source), MOST_SOURCE) for source in sources]
            case {"say": "unread", "problem": str(problem)}:
                self._note(problem)
            case {"say": "cell", "number": int(number)}:
                self._cell = number
            case {"say": "raised", "problem": str(problem), "late": bool(late)}:
                self.late |= late
                self._note(f"{problem} (Run All stops there)")
            case {"say": "check", "name": str(name)} if name in _all_exercises():
                return {"ask": "verdict", "verdict": self._check(name, sandbox)}, b""
            case {"say": "lend", "name": str(name)} if name in _all_exercises():
                self._lent.add(name)
                return {}, b"" if name in self._withheld else _carried(_all_exercises()[name])
            case _:
                raise Gone("its process sent a message of another form", late=False)
        return None, b""

    def _note(self, problem: str) -> None:
        where = f"cell [{self._cell}]: " if self._cell else ""
        if len(self.notes) < MOST_NOTES:
            self.notes.append(printable(f"{self._file}: {where}{problem}", 400))

    def _check(self, name: str, sandbox: Sandbox) -> str:
        """Try a function; return the verdict, the only thing that the student's process learns of it."""
        self._tries[name] += 1
        if self._tries[name] > MOST_TRIES:
            raise Gone(f"{name} was checked more than {MOST_TRIES} times", late=False)
        try:
            verdict, message = self._judged(_all_exercises()[name], sandbox)
        except Gone as gone:
            verdict = TOO_SLOW if gone.late else FAILED
            self._enter(name, verdict, f"while your function ran: {gone}")
            raise
        self._enter(name, verdict, message)
        return verdict

    def _enter(self, name: str, verdict: str, message: str) -> None:
        if name in self._lent and verdict != NOT_ATTEMPTED:
            self.doubtful.add(name)
        if name in self._course.exercises:
            source = self._cells[self._cell - 1] if 0 < self._cell <= len(self._cells) else ""
            self.outcomes[name] = Outcome(verdict, printable(message), source, self._file)

    def _judged(self, exercise: Exercise, sandbox: Sandbox) -> tuple[str, str]:
        def call(arguments: Sequence[Argument], with_gradients: bool) -> Reply:
            asked = {"ask": "call", "with_gradients": with_gradients}
            fields, blob = sandbox.exchange(asked, encoded_arguments(arguments))
            if fields.get("late") is True:
                raise _TooSlow
            try:
                return as_reply(fields, blob)
            except MessageError as error:
                raise Gone(f"its process sent what can't be read: {error}", late=False) from error

        try:
            verdict = exercise.try_answer(call, seed=self._course.seed, variant=self._course.variant)
        except WrongAnswer as error:
            return WRONG, str(error)
        except _TooSlow:
            self.late = True
            return TOO_SLOW, f"a call of your function took longer than {self._course.limits.seconds} seconds"
        return (CORRECT, "") if verdict.correct else (NOT_ATTEMPTED, UNWRITTEN)


class _TooSlow(BaseException):
    """A call of a student's function took too long."""


@functools.cache
def _all_exercises() -> dict[str, Exercise]:
    return exercises()


@functools.cache
def _carried(exercise: Exercise) -> bytes:
    """The right function and what it uses of its chapter, for a process that has not the chapter."""
    if exercise.lent is None:
        return b""
    cloudpickle.register_pickle_by_value(sys.modules[exercise.lent.__module__])
    return cloudpickle.dumps(exercise.lent)
