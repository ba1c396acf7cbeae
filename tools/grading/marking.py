"""One student's notebooks marked: they run in a sandbox, one after the other, and the checks try the answers here.

Of what comes from a student's process only data are read: JSON, and tensors in the safetensors format.
"""

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import cloudpickle
import safetensors.torch

from grading.sandbox import LARGEST, START, Gone, Limits, Student, student_process
from sbgm_course.calls import KINDS_OF_NUMBER, Argument, Reply
from sbgm_course.exercise import Exercise, WrongAnswer, exercises

VERDICTS = ("missing", "not attempted", "too slow", "failed", "wrong", "correct")
MISSING, NOT_ATTEMPTED, TOO_SLOW, FAILED, WRONG, CORRECT = VERDICTS
UNWRITTEN = (
    "your function, or one that it uses, raises NotImplementedError; while it is tried nothing is lent in place of an "
    "untouched stub"
)
MOST_TRIES = 50  # of an exercise in one notebook
MOST_NOTES = 20
LARGEST_HEADER = 2**16  # bytes that may name tensors

ALL = exercises()
# A student's process has no chapters: what a right function uses of its own goes along with it.
for chapter in {sys.modules[exercise.lent.__module__] for exercise in ALL.values()}:
    cloudpickle.register_pickle_by_value(chapter)


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
        outcomes = {}
        for name, outcome in self.outcomes.items():
            outcomes[name] = max(outcome, other.outcomes[name], key=lambda outcome: VERDICTS.index(outcome.verdict))
        return Marks(outcomes, other.notes, other.late)


def mark(files: Mapping[str, bytes], course: Course) -> Marks:
    """Run a student's notebooks, by name, and mark the answers in them; nothing that a notebook does raises here."""
    missing = {name: Outcome(MISSING, f"no notebook has a function {name}") for name in course.exercises}
    marks = Marks(missing, [], late=False)
    until = time.monotonic() + course.limits.in_all
    for file, notebook in files.items():
        run = Run(file, course)
        run.follow(notebook, until)
        outcomes = missing | run.outcomes
        if run.doubtful:
            # What was lent could be read, and handed in: where it may have been, nothing is lent, and this run counts.
            again = Run(file, course, withheld=run.doubtful)
            again.follow(notebook, until)
            outcomes |= {name: again.outcomes.get(name, missing[name]) for name in run.doubtful}
        marks = marks.better(Marks(outcomes, [*marks.notes, *run.notes], marks.late or run.late))
    return marks


class Run:
    """One run of one notebook.

    Args:
        file: its name.
        course: how it is marked.
        withheld: the exercises whose right function is lent to nobody.

    Attributes:
        outcomes: of the exercises that were tried and count, by name; the last time counts.
        notes: what could not be read, and the cells that raised.
        late: whether a cell or a call took too long.
        doubtful: the exercises that were answered after their right function had been lent.
    """

    def __init__(self, file: str, course: Course, withheld: Collection[str] = ()) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.notes: list[str] = []
        self.late = False
        self.doubtful: set[str] = set()
        self._file = file
        self._course = course
        self._withheld = withheld
        self._lent: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._cell = 0
        self._source = ""

    def follow(self, notebook: bytes, until: float) -> None:
        """Run the notebook, until `time.monotonic()` at the latest."""
        course = self._course
        begin = {
            "notebook": notebook,
            "exercises": {name: exercise.number for name, exercise in ALL.items()},
            "asked": [*course.exercises],
            "seconds": course.limits.seconds,
            "largest": LARGEST,
        }
        with student_process(course.limits, isolated=course.isolated, until=until) as student:
            try:
                fields, _ = student.exchange(begin, grace=START)
                while fields != {"say": "done"}:
                    fields, _ = student.exchange(self._answer(fields, student))
            except Gone as gone:
                self.late |= gone.late
                self._note(f"this notebook was not run to its end: {gone}")

    def _answer(self, fields: Any, student: Student) -> dict[str, object]:
        """Take in a message of a student's process, and return the answer to it; see `grading.student`."""
        match fields:
            case {"say": "cell", "number": int(number), "source": str(source)}:
                self._cell = number
                self._source = printable(source, 20_000)
            case {"say": "note", "text": str(text), "late": bool(late)}:
                self.late |= late
                self._note(text)
            case {"say": "check", "name": str(name)} if name in ALL:
                return self._check(ALL[name], student)
            case _:
                raise Gone("its process sent a message of another form")
        return {}

    def _note(self, text: str) -> None:
        where = f"cell [{self._cell}]: " if self._cell else ""
        if len(self.notes) < MOST_NOTES:
            self.notes.append(printable(f"{self._file}: {where}{text}", 400))

    def _check(self, exercise: Exercise, student: Student) -> dict[str, object]:
        """Try a function; return the verdict, and what is lent: all that the student's process learns of it."""
        name = exercise.name
        self._tries[name] += 1
        if self._tries[name] > MOST_TRIES:
            raise Gone(f"{name} was checked more than {MOST_TRIES} times")
        verdict, message = self._judged(exercise, student)
        if name in self._course.exercises:
            self.outcomes[name] = Outcome(verdict, printable(message), self._source, self._file)
        if verdict == NOT_ATTEMPTED:
            self._lent.add(name)
        elif name in self._lent:
            self.doubtful.add(name)
        is_lent = verdict == NOT_ATTEMPTED and name not in self._withheld
        return {"verdict": verdict, "lent": exercise.lent if is_lent else None}

    def _judged(self, exercise: Exercise, student: Student) -> tuple[str, str]:
        """The verdict on a function of the student's, and why."""

        def call(arguments: Sequence[Argument], with_gradients: bool) -> Reply:
            return as_reply(*student.exchange({"arguments": list(arguments), "with_gradients": with_gradients}))

        try:
            verdict = exercise.try_answer(call, seed=self._course.seed, variant=self._course.variant)
        except WrongAnswer as error:
            return WRONG, str(error)
        except Gone as gone:
            self.late |= gone.late
            return TOO_SLOW if gone.late else FAILED, f"while your function ran: {gone}"
        return (CORRECT, "") if verdict.correct else (NOT_ATTEMPTED, UNWRITTEN)


def as_reply(fields: Any, blob: bytes) -> Reply:
    """The reply that a student's process sent; raise Gone where it has not the form of one."""
    match fields:
        case {"late": True}:
            raise Gone("a call took longer than it may", late=True)
        case {"problem": str(problem), "attempted": bool(attempted), "n_values": int(n_values)}:
            pass
        case _:
            raise Gone("its process sent a reply that lacks a field, or has one of another type")
    if int.from_bytes(blob[:8], "little") > LARGEST_HEADER:
        raise Gone(f"its process sent tensors whose names and shapes take more than {LARGEST_HEADER} bytes")
    try:
        named = safetensors.torch.load(blob)
        tensors = tuple(named[str(i)] for i in range(len(named)))
    except Exception as error:  # whatever another hand may have put there
        raise Gone(f"its process sent what can't be read: {type(error).__name__}") from error
    if any(tensor.dtype not in KINDS_OF_NUMBER for tensor in tensors):
        raise Gone("its process sent tensors that are not plain real numbers")
    return Reply(tensors[:n_values], tensors[n_values:], printable(problem), attempted)


def printable(text: str, most: int = 2_000) -> str:
    """The first `most` characters of a text that a student wrote, each control character replaced by �."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text[:most])
