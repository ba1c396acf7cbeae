"""Mark students' notebooks: a CSV of marks, and a report for each student. No notebook is trusted.

A student asks `sbgm grade --dry-run my.ipynb` what the grader will read, without running any of it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

import sbgm

if TYPE_CHECKING:
    from sbgm.course.exercise import Exercise
    from sbgm.course.submissions import Submission

LIMITS = {  # as NUMBERS; sandbox.Limits counts memory in bytes
    "seconds": (60.0, 1, 10**6, "for an exercise of one student, not counting what it waits for a processor (60)"),
    "total_seconds": (900.0, 1, 10**6, "the same, for all of a student (900)"),
    "patience": (10.0, 1, 10**6, "seconds on the clock for each of these (10)"),
    "memory": (2.0, 0.5, 2**20, "GiB for all of a student's processes (2)"),
}
NUMBERS = {  # the options that are numbers: the number where none is given, the least, the most, and what it is
    "verify": (None, 1, 10**9, "mark N finished students of --out again, as they were, and compare"),
    "variant": (0, 0, 2**31 - 1, "the variant that this group was given (0)"),
    "seed": (None, 0, 2**63 - 1, "of the random inputs; drawn, and stated in the reports, unless given"),
    "jobs": (None, 1, 2**31, "students marked at a time, each on a core of its own (all cores)"),
} | LIMITS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "submissions",
        type=Path,
        nargs="+",
        metavar="FOLDER_OR_NOTEBOOK",
        help="a folder with a notebook, or a folder of notebooks, for each student; or notebooks",
    )
    parser.add_argument("--out", type=Path, default=Path("grades"), help="new folder for the marks (grades)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be marked, run nothing, write nothing")
    parser.add_argument("--resume", action="store_true", help="go on in --out where a grading was stopped")
    parser.add_argument("--chapters", type=int, nargs="+", help="whose exercises make the total (all)")
    for name, (default, _, _, what) in NUMBERS.items():
        kind = float if isinstance(default, float) else int
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, metavar="N", help=what)
    parser.add_argument(
        "--without-isolation",
        action="store_true",
        help="run notebooks without bubblewrap, where it can't be had: they can then read and change your files",
    )


def run(options: argparse.Namespace) -> int:
    """Grade, write each student's marks as they come, and print where they are."""
    from sbgm.course.exercise import exercises
    from sbgm.course.submissions import find_students, read_submission

    known, out = exercises(), os.path.realpath(options.out)
    found = find_students(options.submissions)
    students = {student: path for student, path in found.items() if os.path.realpath(path) != out}
    chapters = sorted(set(options.chapters or (e.chapter for e in known.values())))
    if not {e.chapter for e in known.values()}.issuperset(chapters):
        raise ValueError(f"--chapters must be among 1 to 10, got {options.chapters}")
    if options.dry_run:
        for student, path in students.items():
            _say_what_is_read(student, read_submission(path), [e for e in known.values() if e.chapter in chapters])
        return 0

    # here, since they need what only Linux and macOS have
    from sbgm.course.grading import Marks, begun, cores, grade
    from sbgm.course.marking import shortfall
    from sbgm.course.sandbox import LOST, Limits, refusal

    for name, (_, least, most, _) in NUMBERS.items():
        value, most = getattr(options, name), len(cores()) if name == "jobs" else most
        if value is not None and not least <= value <= most:
            raise ValueError(f"--{name.replace('_', '-')} must be from {least} to {most}, got {value}")
    isolated = not options.without_isolation
    if isolated and (why := refusal()):
        raise OSError(f"notebooks can't be isolated: {why}. They run all the same --without-isolation; then {LOST}")
    facts: dict[str, Any] = {
        "version": sbgm.__version__,
        "seed": options.seed,
        "variant": options.variant,
        "chapters": chapters,
    }
    facts |= {name: getattr(options, name) for name in LIMITS}
    if options.verify:
        facts = begun(options.out, facts) | {"version": sbgm.__version__}
    limits = Limits(**{name: facts[name] for name in LIMITS} | {"memory": int(facts["memory"] * 2**30)})
    if why := shortfall(limits, isolated):
        given = ", ".join(f"--{name.replace('_', '-')} {facts[name]:g}" for name in LIMITS)
        raise ValueError(f"with {given} not even an empty answer can be run, and no one gets a mark: {why}")
    marks = Marks(options.out, facts, resume=options.resume or bool(options.verify))
    again, done = students.keys() - marks.graded, sorted(students.keys() & marks.graded)
    if options.verify:
        again = random.sample(done, min(options.verify, len(done)))
    else:
        for student in done:
            marks.compare(student, read_submission(students[student]))
    marking = grade(
        {student: path for student, path in students.items() if student in again},
        {name: exercise for name, exercise in known.items() if exercise.chapter in facts["chapters"]},
        seed=marks.facts["seed"],
        variant=facts["variant"],
        limits=limits,
        n_jobs=options.jobs or len(cores()),
        isolated=isolated,
    )
    marking = tqdm(marking, total=len(again), desc="verifying" if options.verify else "grading", unit="student")
    if options.verify:
        differences = [line for graded in marking for line in marks.differences(graded)]
        print("\n".join([*differences, f"{len(again)} marked again, {len(differences)} differences"]))
        return int(bool(differences))
    try:
        for graded in marking:
            marks.add(graded)
    except KeyboardInterrupt:
        print(f"Stopped; {options.out} holds what is done, and --resume goes on.", file=sys.stderr, flush=True)
        os._exit(130)  # at once: what students' processes still do is for nothing, and ends with this one
    print(f"{len(marks.graded)} student{'s' if len(marks.graded) != 1 else ''}: {marks.write_tables()}")
    for isolation, n in Counter(graded.isolation for graded in marks.graded.values()).items():
        print(f"isolation of {n}: {isolation}")
    return 0


def _say_what_is_read(student: str, submission: Submission, asked: Iterable[Exercise]) -> None:
    """Print which answers the grader's reader finds in a submission, and what would be run for each."""
    from sbgm.course.notebook import RULE, read_notebook

    numbers = {exercise.name: exercise.number for exercise in asked}
    lines = [student, *submission.problems]
    for file, content in submission.files.items():
        notebook = read_notebook(content, list(numbers))
        lines += ["", f"{file}: {notebook.problem or f'{len(notebook.answers)} answers'}"]
        for name, answer in notebook.answers.items():
            state = "not attempted" if answer.untouched else answer.problem or "is marked; what is run:"
            run = [] if answer.untouched else answer.statements
            lines += [f"  {numbers[name]} {name}: {state}", *(f"      {s.splitlines()[0]}" for s in run)]
    print("\n".join([*lines, "", RULE]))
