"""Mark students' notebooks: a table of marks, and a report for each student. No notebook is trusted.

    python tools/grade.py submissions/ --variant 1

Each notebook runs from the top in bubblewrap, cell by cell, and where a check stands its function is tried on other
random inputs; docs/instructors.md says what this is proof against. The marks come to a folder of their own, each
student's as soon as it is known: `grades.csv`, `points.csv` for a learning platform, and `reports/`. The same command
again goes on where a grading was stopped; no mark that is there changes.
"""

import argparse
import csv
import hashlib
import json
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas
from filelock import FileLock, Timeout
from tqdm import tqdm

import sbgm
from grading.marking import CORRECT, Course, Marks, mark
from grading.messages import printable
from grading.sandbox import LOST, Limits, refusal
from grading.submissions import find_students, fingerprint, for_spreadsheets, read_submission
from sbgm.checks.exercise import exercises
from sbgm.files import write_bytes, write_json

CHANGED = "changed since it was marked; name another --out to mark it anew"
Row = dict[str, str]


def main(arguments: list[str] | None = None) -> int:
    """Grade, write each student's marks as they come, and say where they are; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("submissions", type=Path, nargs="+", help="a folder with a notebook, or a folder of them, for each student")
    option("--out", type=Path, default=Path("grades"), help="folder for the marks (grades)")
    option("--variant", type=whole(0, 2**31), default=0, help="the variant that this group was given (0)")
    option("--chapters", type=whole(1, 10), nargs="+", default=range(1, 11), help="whose exercises count (all)")
    option("--seed", type=whole(0, 2**63 - 1), help="of the random inputs; drawn and written down unless given")
    option("--seconds", type=whole(1, 3_600), default=Limits.seconds, help="for a cell, or a call of a function (120)")
    option("--minutes", type=whole(1, 1_440), default=Limits.minutes, help="for all notebooks of a student (60)")
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
    facts = {name: getattr(options, name) for name in ("seed", "variant", "seconds", "minutes")}
    facts |= {"chapters": sorted(set(options.chapters)), "version": sbgm.__version__}
    facts["isolation"] = "bubblewrap" if isolated else f"none: {LOST}"
    folder = options.out
    if folder.exists() and any(folder.iterdir()) and not (folder / "grading.json").exists():
        raise FileExistsError(f"{folder} holds other files, and marks never replace any; name another --out")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            facts = begun(folder, facts)
            limits = Limits(seconds=facts["seconds"], minutes=facts["minutes"])
            asked = {name: e for name, e in exercises().items() if e.chapter in facts["chapters"]}
            course = Course(asked, facts["seed"], facts["variant"], limits, isolated)
            mark_class(students, course, folder, facts)
    except Timeout:
        raise BlockingIOError(f"{folder} is in use: another process grades into it; name another --out") from None
    print(f"{len(students)} students: {folder / 'grades.csv'}\nisolation: {facts['isolation']}")


def begun(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """How the grading into a folder began, which may be now; raise ValueError if it was with other options."""
    settings = folder / "grading.json"
    if not settings.exists():
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
    bar = tqdm(total=len(students), desc="grading", unit="student", initial=len(rows))
    for student, entry in students.items():
        if student in rows and rows[student]["submission"] != fingerprint(read_submission(entry)[0]):
            rows[student]["note"] = CHANGED
    for student, files, problems, marks in marked({s: p for s, p in students.items() if s not in rows}, course):
        notes = [printable(note) for note in [*problems, *marks.notes]]
        row = {"student": student, "marks": marks.total, "of": len(course.exercises)}
        row |= {name: int(outcome.verdict == CORRECT) for name, outcome in marks.outcomes.items()}
        row |= {"note": for_spreadsheets(printable("; ".join(notes))), "submission": fingerprint(files)}
        report = report_of(student, notes, marks, course, {**facts, "submission": row["submission"]})
        (folder / "reports").mkdir(exist_ok=True)
        write_bytes(folder / "reports" / f"{file_name(student)}.md", report.encode())
        rows[student] = {column: str(value) for column, value in row.items()}
        write_rows(folder, rows)
        bar.update()
    write_rows(folder, rows)


def marked(students: Mapping[str, Path], course: Course) -> Iterator[tuple[str, dict[str, bytes], list[str], Marks]]:
    """Yield each student, what was handed in, what of it could not be read, and the marks.

    Those of whom something took too long come last: it is tried again before it counts.
    """
    again: dict[str, Marks] = {}
    for student, entry in students.items():
        files, problems = read_submission(entry)
        marks = mark(files, course)
        if marks.late:
            again[student] = marks
        else:
            yield student, files, problems, marks
    for student, first in again.items():
        files, problems = read_submission(students[student])
        yield student, files, problems, first.better(mark(files, course))


def read_rows(path: Path) -> dict[str, Row]:
    """The rows of a table of marks, by student; none where there is no table yet."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def write_rows(folder: Path, rows: Mapping[str, Row]) -> None:
    """Write `grades.csv`, and `points.csv`: an id and the points, where several entries of one id count together."""
    ordered = [rows[student] for student in sorted(rows)]
    solved: dict[str, set[str]] = {}
    for row in ordered:
        names = {name for name in exercises() if row.get(name) == "1"}
        solved.setdefault(platform_id(row["student"]), set()).update(names)
    points = [{"id": student, "points": len(names)} for student, names in solved.items()]
    for name, table in (("grades.csv", ordered), ("points.csv", points)):
        text = pandas.DataFrame(table).to_csv(index=False, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        write_bytes(folder / name, text.encode())


def platform_id(student: str) -> str:
    """The id of a student on a learning platform: Moodle's, from `NAME_123_assignsubmission_file`, or the name.

    A part of that is of a student's choosing: where there are two such numbers, neither is believed.
    """
    numbers = re.findall(r"_(\d+)(?=_assignsubmission_)", student)
    return numbers[0] if len(numbers) == 1 else student


def file_name(student: str) -> str:
    """The student's name where it can be that of a file anywhere; elsewhere the beginning of it and a hash."""
    plain = re.sub(r"[^\w .,@=+-]", "_", student)[:40].strip()
    if plain == student and not re.search(r"-[0-9a-f]{8}$", student):
        return plain
    return f"{plain}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"


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
