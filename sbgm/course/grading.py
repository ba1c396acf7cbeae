"""Grading a class: marks for everyone, a row and a report for each student as soon as they are known."""

import csv
import dataclasses
import hashlib
import itertools
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sbgm.course.exercise import Exercise
from sbgm.course.marking import TOO_SLOW, Outcome, mark_student
from sbgm.course.messages import printable
from sbgm.course.sandbox import Limits, describe
from sbgm.course.submissions import Submission, read_submission
from sbgm.files import write_bytes, write_json

CHANGED = "changed since it was marked; name another --out to mark it anew"


@dataclasses.dataclass(frozen=True)
class Graded:
    """One student's marks.

    Attributes:
        student: of `find_students`.
        outcomes: one for each exercise.
        problems: what of it could not be read, in words.
        fingerprint: of what was handed in.
        isolation: what kept the student's processes apart, as `sandbox.describe` says it.
    """

    student: str
    outcomes: list[Outcome]
    problems: list[str]
    fingerprint: str
    isolation: str

    @property
    def marks(self) -> int:
        """How many answers are correct."""
        return sum(outcome.mark for outcome in self.outcomes)


def cores() -> list[int]:
    """The processor cores that this process may use, by number."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _keep_to_one(free: Iterator[int]) -> None:
    """Keep this thread, and the processes that it starts, to a core of its own, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {next(free)})


def grade(
    students: Mapping[str, Path],
    exercises: Mapping[str, Exercise],
    *,
    seed: int,
    variant: int = 0,
    limits: Limits | None = None,
    n_jobs: int = 1,
    isolated: bool = True,
) -> Iterator[Graded]:
    """Mark every student, and yield each when done. Whatever a submission does ends in that student's marks.

    An answer that was too slow beside others is tried again at the end, alone.

    Args:
        students: of `find_students`.
        exercises: those to mark, by name; one that a student did not hand in counts as missing.
        seed: of the random inputs, the same for everyone.
        variant: the seeded variant that this group was given.
        limits: on each student's processes.
        n_jobs: students marked at a time, each on a core of its own; at most as many as there are `cores`.
        isolated: whether their processes run under bubblewrap; see `sandbox.refusal`.
    """
    limits = limits or Limits()
    isolation = describe(limits, isolated=isolated)

    def graded(student: str, before: Graded | None = None) -> Graded:
        submission, kept = Submission({}, []), {}
        try:
            submission = read_submission(students[student])
            if before and before.fingerprint == submission.fingerprint:
                kept = {outcome.exercise: outcome for outcome in before.outcomes if outcome.verdict != TOO_SLOW}
            asked = {name: exercise for name, exercise in exercises.items() if name not in kept}
            again, problems = mark_student(
                submission.files, asked, seed=seed, variant=variant, limits=limits, isolated=isolated
            )
            found = kept | {outcome.exercise: outcome for outcome in again}
            outcomes = [found[name] for name in exercises]
        except Exception as error:  # a fault of ours, or one that no one thought of: it is this student's alone
            outcomes, problems = [Outcome(name, "failed") for name in exercises], [f"the grader failed: {error!r}"]
        problems = [printable(problem) for problem in [*submission.problems, *problems]]
        return Graded(student, outcomes, problems, submission.fingerprint, isolation)

    pool, late = ThreadPoolExecutor(n_jobs, initializer=_keep_to_one, initargs=(itertools.cycle(cores()),)), []
    try:
        for future in as_completed([pool.submit(graded, student) for student in students]):
            if n_jobs > 1 and any(outcome.verdict == TOO_SLOW for outcome in future.result().outcomes):
                late.append(future.result())
            else:
                yield future.result()
        for before in late:
            yield pool.submit(graded, before.student, before).result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class Marks:
    """A folder of marks: `grades.csv` with a row a student, `points.csv` for a learning platform, and `reports/`.

    `grading.json` says how it is graded, and `students/` holds a file for each student who is done, which says how that
    one's processes were isolated: after a kill they are read again, and stay as they are. `.lock` is held by the
    process that grades, until it ends or this object does.

    Attributes:
        facts: how it is graded; after a resume, as it began.
        graded: the students who are done, by name.
    """

    def __init__(self, folder: Path, facts: Mapping[str, object], *, resume: bool) -> None:
        """Start a folder, or go on in one.

        Args:
            folder: where; a new or empty one, unless to go on.
            facts: version, seed, variant, chapters and limits; one of None is taken from what is there, and a seed
                of None is drawn where there is nothing yet.
            resume: whether to go on.

        Raises:
            FileExistsError: the folder holds something, and it is not to be gone on with.
            BlockingIOError: another process grades into it.
            ValueError: it was begun with other facts, or a file in it is damaged.
        """
        self.folder, self.graded = folder, {}
        settings = folder / "grading.json"
        others = (p for p in folder.glob("*") if not (p.name == ".lock" or p.match("grading.json.*.partial")))
        if not settings.exists() and any(others):
            raise FileExistsError(f"{folder} holds other files, and marks never replace any; name another --out")
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock", timeout=0, thread_local=False, is_singleton=True)  # one a process
        try:
            self._lock.acquire()
        except Timeout:
            raise BlockingIOError(
                f"{folder} is in use: another process grades into it; wait for it, or name another --out"
            ) from None
        if not settings.exists():
            self.facts = {**facts, "seed": secrets.randbits(31) if facts["seed"] is None else facts["seed"]}
            write_json(settings, self.facts)
        elif not resume:
            raise FileExistsError(
                f"{folder} exists: marks are never overwritten; add --resume to go on, or name another --out"
            )
        else:
            self.facts = begun(folder, facts)
            for name, began in self.facts.items():
                if facts[name] not in (began, None):
                    flag = name if name == "version" else f"--{name.replace('_', '-')}"
                    raise ValueError(f"{flag} must be {began}, as {folder} was begun with, got {facts[name]}")
        for path in sorted((folder / "students").glob("*.json")):
            graded = _read_json(path, lambda f: Graded(**{**f, "outcomes": [Outcome(**o) for o in f["outcomes"]]}))
            self.graded[graded.student] = graded
        for partial in folder.rglob("*.partial"):
            partial.unlink()

    def add(self, graded: Graded) -> None:
        """Keep a student's marks, on disk before this returns: the report, then the marks, then the tables."""
        for name in ("reports", "students"):
            (self.folder / name).mkdir(exist_ok=True)
        name = _file_name(graded.student)
        write_bytes(self.folder / "reports" / f"{name}.md", report_of(graded, self.facts).encode())
        write_json(self.folder / "students" / f"{name}.json", dataclasses.asdict(graded))
        self.graded[graded.student] = graded
        self.write_tables()

    def compare(self, student: str, submission: Submission) -> None:
        """Say in a finished student's row if what was handed in is no longer what was marked; the marks stay."""
        graded = self.graded[student]
        if submission.fingerprint != graded.fingerprint and CHANGED not in graded.problems:
            self.add(dataclasses.replace(graded, problems=[*graded.problems, CHANGED]))

    def differences(self, again: Graded) -> list[str]:
        """Say in which marks a second marking of a finished student differs from the first; a line each."""
        first = self.graded[again.student]
        lines = ["changed since it was marked"] if first.fingerprint != again.fingerprint else []
        lines += [
            f"{old.exercise} was {old.verdict}, and is {new.verdict}: {new.message}"
            for old, new in zip(first.outcomes, again.outcomes, strict=True)
            if old.verdict != new.verdict
        ]
        return [printable(f"{again.student}: {line}") for line in lines]

    def write_tables(self) -> Path:
        """Write `grades.csv` and `points.csv` of the students who are done; return the path of the first."""
        done = [self.graded[student] for student in sorted(self.graded)]
        rows: list[dict[str, object]] = [
            {"student": _cell(g.student), "marks": g.marks, "of": len(g.outcomes)}
            | {outcome.exercise: outcome.mark for outcome in g.outcomes}
            | {"note": _cell(printable("; ".join(g.problems)))}  # a spreadsheet's cell holds 32,767 characters
            | {"submission": g.fingerprint, "marked by": _said(self.facts)}
            for g in done
        ]
        solved: dict[str, set[str]] = {}  # one id may have several entries: a file each, or a text beside the files
        for g in done:
            solved.setdefault(_platform_id(g.student), set()).update(o.exercise for o in g.outcomes if o.mark)
        _write_table(self.folder / "points.csv", [{"id": i, "points": len(found)} for i, found in solved.items()])
        return _write_table(self.folder / "grades.csv", rows)


def _write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    import pandas

    text = pandas.DataFrame(rows).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    write_bytes(path, text.encode())
    return path


def begun(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """How the grading into a folder began: its facts of these names.

    Raises:
        FileNotFoundError: nothing was graded into it.
        ValueError: its file is damaged.
    """
    if not (folder / "grading.json").exists():
        raise FileNotFoundError(f"there are no marks in {folder}; name in --out the folder to verify")
    return _read_json(folder / "grading.json", lambda facts: {name: facts[name] for name in names})


def _read_json(path: Path, made: Callable[[dict], Any]) -> Any:
    try:
        return made(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it, or grade into another --out") from error


def _cell(text: str) -> str:
    """The text in a form in which no spreadsheet takes a part of it for a formula, whatever divides its columns."""
    return re.sub(r"(^|[;,|\t\n])(?=\s*[=+\-@＝＋－＠])", r"\1'", text)


def _platform_id(student: str) -> str:
    """The id of a student on a learning platform: Moodle's, from `NAME_123_assignsubmission_file`, or the name.

    A part of that is of a student's choosing: where there are two such numbers, neither is believed.
    """
    numbers = re.findall(r"_(\d+)(?=_assignsubmission_)", student)
    return numbers[0] if len(numbers) == 1 else _cell(student)


def _file_name(student: str) -> str:
    """The student's name where it can be that of a file anywhere; elsewhere the beginning of it and a hash."""
    plain = re.sub(r"[^\w .,@=+-]", "_", student)[:40].strip()
    is_own = plain == student and not re.search(r"-[0-9a-f]{8}$", student)
    return plain if is_own else f"{plain}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"


def report_of(graded: Graded, facts: Mapping[str, object]) -> str:
    """One student's report, in Markdown: a verdict and a reason for each exercise, and the source that was judged.

    All that the student wrote stands in fences, where neither a browser nor a terminal takes it for more than text.
    """
    lines = [f"# {graded.marks} of {len(graded.outcomes)}", "", _fenced(graded.student), ""]
    lines += [_fenced("\n".join(graded.problems)), ""] if graded.problems else []
    for outcome in graded.outcomes:
        lines += [f"## {outcome.number} {outcome.exercise}: {outcome.verdict}", ""]
        reason = "\n".join(filter(None, [outcome.notebook and f"in {outcome.notebook}", outcome.message]))
        lines += [_fenced(reason), ""] if reason else []
        lines += [_fenced(outcome.answer, "python"), ""] if outcome.answer else []
    return "\n".join([*lines, "---", "", f"{_said(facts)}; submission: {graded.fingerprint}", "", graded.isolation, ""])


def _said(facts: Mapping[str, object]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in facts.items())


def _fenced(text: str, language: str = "text") -> str:
    """Text in a fence that it can't close."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}{language}\n{text}\n{fence}"
