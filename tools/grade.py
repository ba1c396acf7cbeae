"""Mark students' notebooks: a table of marks, and a report for each student. No notebook is trusted.

    python tools/grade.py submissions/ --variant 1

Each notebook runs from the top in bubblewrap, cell by cell, and where a check stands its function is tried on other
random inputs; docs/instructors.md says what this is proof against. The marks come to a folder of their own, each
student's as soon as it is known: `grades.csv`, and `reports/`. The same command again goes on where a grading was
stopped; no mark that is there changes.
"""

import argparse
import csv
import hashlib
import json
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas
from tqdm import tqdm

import sbgm
from grading.marking import ALL, CORRECT, Course, Marks, mark, printable
from grading.sandbox import LOST, Limits, refusal
from grading.submissions import find_students, fingerprint, for_spreadsheets, read_submission
from sbgm.files import write_bytes, write_json

CHANGED = "changed since it was marked; name another --out to mark it anew"
IN_ALL = 30  # times the seconds for a cell: for all notebooks of a student


def main(arguments: list[str] | None = None) -> int:
    """Grade, write each student's marks as they come, and say where they are; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("submissions", type=Path, help="a folder that holds a notebook, or a folder of them, for each student")
    option("--out", type=Path, default=Path("grades"), help="folder for the marks (grades)")
    option("--variant", type=whole(0, 2**31), default=0, help="the variant that this group was given (0)")
    option("--chapters", type=whole(1, 10), nargs="+", default=range(1, 11), help="whose exercises count (all)")
    option("--seed", type=whole(0, 2**31), help="of the random inputs; drawn and written down unless given")
    option("--seconds", type=whole(1, 3_600), default=120, help="for a cell, or a call; 30 times that in all (120)")
    option("--without-isolation", action="store_true", help="run notebooks without bubblewrap, with all your rights")
    options = parser.parse_args(arguments)
    try:
        grade(options)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Stopped; {options.out} holds what is done, and the same command goes on.", file=sys.stderr)
        return 130
    return 0


def whole(least: int, most: int) -> Callable[[str], int]:
    """Parse a whole number within bounds."""

    def parse(text: str) -> int:
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be from {least} to {most}, got {text}")
        return int(text)

    return parse


def grade(options: argparse.Namespace) -> None:
    """Mark the students who are not marked yet.

    Raises:
        OSError: notebooks can't be isolated, or the folder of marks can't be used.
        ValueError: there are no submissions, or the folder was begun with other options.
    """
    students = find_students(options.submissions, leave_out=options.out)
    isolated = not options.without_isolation
    if isolated and (why := refusal()):
        raise OSError(f"notebooks can't be isolated: {why}. They run all the same --without-isolation; then {LOST}")
    facts = {name: getattr(options, name) for name in ("seed", "variant", "seconds")}
    facts |= {"chapters": sorted(set(options.chapters)), "version": sbgm.__version__}
    facts["isolation"] = "bubblewrap" if isolated else f"none: {LOST}"
    facts = begun(options.out, facts)
    asked = {name: exercise for name, exercise in ALL.items() if exercise.chapter in options.chapters}
    limits = Limits(seconds=options.seconds, in_all=IN_ALL * options.seconds)
    mark_class(students, Course(asked, facts["seed"], options.variant, limits, isolated), options.out, facts)
    print(f"{len(students)} students: {options.out / 'grades.csv'}\nisolation: {facts['isolation']}")


def begun(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """How the grading into a folder began, which may be now.

    Raises:
        FileExistsError: the folder holds something else.
        ValueError: it began with other options.
    """
    settings = folder / "grading.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not settings.exists():
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder} holds other files, and marks never replace any; name another --out")
        seed = secrets.randbits(31) if facts["seed"] is None else facts["seed"]
        write_json(settings, {**facts, "seed": seed})
    first = json.loads(settings.read_text(encoding="utf-8"))
    for name, value in facts.items():
        if value not in (None, first[name]):
            raise ValueError(f"{name} must be {first[name]}, as {folder} was begun with, got {value}")
    return first


def mark_class(students: Mapping[str, Path], course: Course, folder: Path, facts: Mapping[str, object]) -> None:
    """Mark those students who have no row yet; write the row and the report of each as soon as they are known."""
    rows = read_rows(folder / "grades.csv")
    for student, entry in tqdm(students.items(), desc="grading", unit="student"):
        files, problems = read_submission(entry)
        submission = fingerprint(files)
        if student in rows:
            note = rows[student]["note"].removesuffix(CHANGED).removesuffix("; ")
            changed = CHANGED if rows[student]["submission"] != submission else ""
            rows[student]["note"] = "; ".join(filter(None, [note, changed]))
            continue
        marks = mark(files, course)
        if marks.late:  # the machine may have been busy: what was too slow counts if it is so again
            marks = marks.better(mark(files, course))
        notes = [printable(note) for note in [*problems, *marks.notes]]
        report = report_of(student, notes, marks, course, {**facts, "submission": submission})
        (folder / "reports").mkdir(exist_ok=True)
        write_bytes(folder / "reports" / file_name(student), report.encode())
        row = {"student": student, "marks": str(marks.total), "of": str(len(course.exercises))}
        for name, outcome in marks.outcomes.items():
            row[name] = "1" if outcome.verdict == CORRECT else "0"
        rows[student] = row | {"note": for_spreadsheets(printable("; ".join(notes))), "submission": submission}
        write_rows(folder / "grades.csv", rows)
    write_rows(folder / "grades.csv", rows)


def read_rows(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a table of marks, by student; none where there is no table yet."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def write_rows(path: Path, rows: Mapping[str, Mapping[str, str]]) -> None:
    """Write a table of marks, a row for each student."""
    table = pandas.DataFrame([rows[student] for student in sorted(rows)])
    write_bytes(path, table.to_csv(index=False, quoting=csv.QUOTE_ALL, lineterminator="\r\n").encode())


def file_name(student: str) -> str:
    """The name of a student's report; of a student whose name is too long for one, the beginning of it and a hash."""
    if len(student.encode()) > 200:
        student = f"{student[:50]}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"
    return f"{student}.md"


def report_of(student: str, notes: list[str], marks: Marks, course: Course, facts: Mapping[str, object]) -> str:
    """One student's report, in Markdown: a verdict and a reason for each exercise, and the cell that was judged.

    All that the student wrote stands in fences, where neither a browser nor a terminal takes it for more than text.
    """
    parts = [f"# {marks.total} of {len(marks.outcomes)}", fenced(student)]
    if notes:
        parts.append(fenced("\n".join(notes)))
    for name, outcome in marks.outcomes.items():
        parts.append(f"## {course.exercises[name].number} {name}: {outcome.verdict}")
        if outcome.message:
            parts.append(fenced(outcome.message))
        if outcome.source:
            parts += [fenced(f"in {outcome.notebook}"), fenced(outcome.source, "python")]
    said = "; ".join(f"{name}: {value}" for name, value in facts.items())
    return "\n\n".join([*parts, "---", said, ""])


def fenced(text: str, language: str = "text") -> str:
    """Text in a fence that it can't close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


if __name__ == "__main__":
    sys.exit(main())
