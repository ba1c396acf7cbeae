"""Grading a folder: who handed in what, marks for all of them, a CSV and a report for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas

from sbgm.course.checks import Exercise
from sbgm.course.marking import Outcome, mark_notebook
from sbgm.course.sandbox import Limits, hide_memory, isolation
from sbgm.course.submissions import Submission, read_submission
from sbgm.files import written_whole

__all__ = ["Graded", "find_submissions", "grade", "report_of", "require_new", "write_marks"]

LARGEST_NOTEBOOK = 32 * 2**20  # bytes


@dataclasses.dataclass(frozen=True)
class Graded:
    """One student's outcomes, notebook by notebook."""

    student: str
    notebooks: dict[str, list[Outcome]]

    def outcomes(self) -> dict[str, Outcome]:
        """The best outcome of each exercise, should a student have handed in one twice."""
        best: dict[str, Outcome] = {}
        for outcome in (o for outcomes in self.notebooks.values() for o in outcomes):
            if outcome.exercise not in best or outcome.mark > best[outcome.exercise].mark:
                best[outcome.exercise] = outcome
        return best


def find_submissions(paths: list[Path]) -> dict[str, list[Path]]:
    """Notebooks by student: below a folder each entry is a student, a notebook or a folder of them; a notebook given by
    itself is its own student's.

    Raises:
        FileNotFoundError: a path does not exist, or there is no notebook at all.
        ValueError: two entries are the same student.
    """
    found: dict[str, list[Path]] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"there is no {path}; name a folder of notebooks, or notebooks")
        for entry in sorted(path.iterdir()) if path.is_dir() else [path]:
            if entry.name.startswith("."):
                continue
            below = entry.rglob("*.ipynb") if entry.is_dir() else [entry]
            notebooks = sorted(n for n in below if n.suffix == ".ipynb" and ".ipynb_checkpoints" not in n.parts)
            student = entry.stem if entry.is_file() else entry.name
            if notebooks and student in found:
                raise ValueError(f"two submissions are called {student!r}: {found[student][0]} and {notebooks[0]}")
            if notebooks:
                found[student] = notebooks
    if not found:
        raise FileNotFoundError(f"no notebook (.ipynb) in {', '.join(map(str, paths))}")
    return found


def grade(
    submissions: Mapping[str, list[Path]],
    exercises: Mapping[str, Exercise],
    *,
    seed: int,
    variant: int = 0,
    limits: Limits | None = None,
    n_jobs: int = 1,
) -> Iterator[Graded]:
    """Mark every student's notebooks, and yield each student when done, in the order given.

    All notebooks are read before the first one runs, and nothing is written meanwhile: no notebook can change another.
    An exercise is marked if the notebook names it; the other exercises of its chapters count as missing.

    Args:
        submissions: of `find_submissions`.
        exercises: all exercises, by name.
        seed: of the random inputs, the same for everyone.
        variant: the seeded variant that this group was given.
        limits: on each student's process.
        n_jobs: students marked at a time.
    """
    hide_memory()
    isolation()
    read = {
        student: {str(path): _submission_at(path, set(exercises)) for path in paths}
        for student, paths in submissions.items()
    }

    def graded(student: str) -> Graded:
        notebooks = {}
        for path, submission in read[student].items():
            chapters = {exercises[name].chapter for name in submission.answers}
            asked = {name: e for name, e in exercises.items() if e.chapter in chapters or submission.problem}
            notebooks[path] = mark_notebook(submission, asked, seed=seed, variant=variant, limits=limits)
        return Graded(student, notebooks)

    with ThreadPoolExecutor(n_jobs) as pool:
        yield from pool.map(graded, read)


def _submission_at(path: Path, names: set[str]) -> Submission:
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST_NOTEBOOK:
            return Submission(problem=f"the notebook is a link, or larger than {LARGEST_NOTEBOOK} bytes")
        return read_submission(path.read_bytes(), names)
    except OSError as error:
        return Submission(problem=f"the notebook can't be read: {error.strerror}")


def write_marks(graded: list[Graded], folder: Path, facts: Mapping[str, object]) -> Path:
    """Write `grades.csv`, a row a student, and `reports/STUDENT.md`; return the path of the CSV.

    Args:
        graded: every student.
        folder: new; it is created.
        facts: how it was graded, for the reports: seed, variant, isolation.

    Raises:
        FileExistsError: the folder exists.
    """
    require_new(folder)
    (folder / "reports").mkdir(parents=True)
    rows = []
    for student in graded:
        marks = {name: outcome.mark for name, outcome in student.outcomes().items()}
        rows.append({"student": _cell(student.student), "marks": sum(marks.values()), "of": len(marks)} | marks)
        with written_whole(folder / "reports" / f"{student.student}.md") as partial:
            partial.write_text(report_of(student, facts), encoding="utf-8")
    path = folder / "grades.csv"
    with written_whole(path) as partial:
        pandas.DataFrame(rows, dtype=object).to_csv(partial, index=False)
    return path


def require_new(folder: Path) -> None:
    """Raise FileExistsError if the folder for the marks exists."""
    if folder.exists():
        raise FileExistsError(f"{folder} exists: marks are never overwritten; name another folder with --out")


def _cell(text: str) -> str:
    """The text in a form that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in "=+-@\t\r" else text


def report_of(student: Graded, facts: Mapping[str, object]) -> str:
    """One student's report, in Markdown: a verdict and a reason for each exercise, and the source that was judged."""
    outcomes = student.outcomes()
    lines = [f"# {student.student}: {sum(o.mark for o in outcomes.values())} of {len(outcomes)}", ""]
    for path, marked in student.notebooks.items():
        lines += [f"## {Path(path).name}", ""]
        lines += [] if marked else ["No exercise of this course is answered in this notebook.", ""]
        for outcome in marked:
            lines += [f"### {outcome.exercise}: {outcome.verdict}", ""]
            lines += [_fenced(outcome.message, "text"), ""] if outcome.message else []
            lines += [_fenced(outcome.answer, "python"), ""] if outcome.answer else []
    return "\n".join([*lines, "---", "", "; ".join(f"{name}: {fact}" for name, fact in facts.items()), ""])


def _fenced(text: str, language: str) -> str:
    """Text in a fence that it can't close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
