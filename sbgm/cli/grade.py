"""Mark students' notebooks: a CSV of marks, and a report for each student. No notebook is trusted.

A student asks `sbgm grade --dry-run my.ipynb` what the grader will read, without running any of it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

import sbgm

if TYPE_CHECKING:
    from sbgm.course.sandbox import Limits
    from sbgm.course.submissions import Submission

LIMITS = ("seconds", "total_seconds", "patience", "memory")
RANGES = {  # of the options that are numbers
    "variant": (0, 2**31 - 1),
    "seed": (0, 2**63 - 1),
    "verify": (1, 10**9),
    "memory": (0.5, 2**20),
    **dict.fromkeys(LIMITS[:3], (1, 10**6)),
}


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
    parser.add_argument(
        "--verify", type=int, metavar="N", help="mark N finished students of --out again, as they were, and compare"
    )
    parser.add_argument("--chapters", type=int, nargs="+", help="whose exercises make the total (all)")
    parser.add_argument("--variant", type=int, default=0, help="the variant that this group was given (0)")
    parser.add_argument("--seed", type=int, help="of the random inputs; drawn, and stated in the reports, unless given")
    parser.add_argument("--jobs", type=int, help="students marked at a time, each on a core of its own (all cores)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="for one exercise of one student, not counting what its processes wait for a processor (60)",
    )
    parser.add_argument("--total-seconds", type=float, default=900.0, help="the same, for all of a student (900)")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds on the clock for each of these (10)")
    parser.add_argument("--memory", type=float, default=2.0, help="GiB for all of a student's processes (2)")
    parser.add_argument(
        "--without-isolation",
        action="store_true",
        help="run notebooks without bubblewrap, where it can't be had: they can then read and change your files",
    )


def run(options: argparse.Namespace) -> int:
    """Grade, write each student's marks as they come, and print where they are."""
    from sbgm.course.exercise import exercises
    from sbgm.course.submissions import find_students, read_submission

    found, out = find_students(options.submissions), os.path.realpath(options.out)
    students = {student: path for student, path in found.items() if os.path.realpath(path) != out}
    if set(options.chapters or ()) - {e.chapter for e in exercises().values()}:
        raise ValueError(f"chapters must be among 1 to 10, got {options.chapters}")
    chapters = sorted(set(options.chapters or [e.chapter for e in exercises().values()]))
    if options.dry_run:
        for student, path in students.items():
            _say_what_is_read(student, read_submission(path), chapters)
        return 0

    # here, since they need what only Linux and macOS have
    from sbgm.course.grading import Marks, cores, grade
    from sbgm.course.sandbox import LOST, refusal

    options.jobs = len(cores()) if options.jobs is None else options.jobs
    for name, (least, most) in (RANGES | {"jobs": (1, len(cores()))}).items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:
            raise ValueError(f"{name} must be from {least} to {most}, got {value}")
    isolated = not options.without_isolation
    if isolated and (why := refusal()):
        raise OSError(f"notebooks can't be isolated: {why}. They run all the same --without-isolation; then {LOST}")
    facts = {"version": sbgm.__version__, "seed": options.seed, "variant": options.variant, "chapters": chapters}
    facts |= {name: getattr(options, name) for name in LIMITS}
    if options.verify:
        if not (options.out / "grading.json").exists():
            raise FileNotFoundError(f"there are no marks in {options.out}; name in --out the folder to verify")
        facts = dict.fromkeys(facts) | {"version": sbgm.__version__}  # the rest as it was
    else:
        _require_room(facts, isolated)
    marks = Marks(options.out, facts, resume=options.resume or bool(options.verify))
    done = students.keys() & marks.graded
    if options.verify:
        again = set(random.sample(sorted(done), min(options.verify, len(done))))
        _require_room(marks.facts, isolated)
    else:
        again = students.keys() - done
        for student in done:
            marks.compare(student, read_submission(students[student]))
    marking = grade(
        {student: path for student, path in students.items() if student in again},
        {name: e for name, e in exercises().items() if e.chapter in marks.facts["chapters"]},
        seed=marks.facts["seed"],
        variant=marks.facts["variant"],
        limits=_limits(marks.facts),
        n_jobs=options.jobs,
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
    path = marks.write_tables()
    print(f"{len(marks.graded)} student{'s' if len(marks.graded) != 1 else ''}: {path}")
    for isolation, n in Counter(graded.isolation for graded in marks.graded.values()).items():
        print(f"isolation of {n}: {isolation}")
    return 0


def _limits(facts: Mapping[str, Any]) -> Limits:
    from sbgm.course.sandbox import Limits

    return Limits(*(facts[name] for name in LIMITS[:3]), memory=int(facts["memory"] * 2**30))


def _require_room(facts: Mapping[str, Any], isolated: bool) -> None:
    """Raise ValueError if limits are such that no answer could be right."""
    from sbgm.course.marking import shortfall

    if why := shortfall(_limits(facts), isolated):
        given = ", ".join(f"--{name.replace('_', '-')} {facts[name]:g}" for name in LIMITS)
        raise ValueError(f"with {given} not even an empty answer can be run, and no one gets a mark: {why}")


def _say_what_is_read(student: str, submission: Submission, chapters: list[int]) -> None:
    """Print which answers the grader's reader finds in a submission, and what would be run for each."""
    from sbgm.course.exercise import exercises
    from sbgm.course.notebook import RULE, read_notebook

    asked = {name: exercise for name, exercise in exercises().items() if exercise.chapter in chapters}
    print("\n".join([student, *submission.problems]))
    for file, content in submission.files.items():
        notebook = read_notebook(content, list(asked))
        print(f"\n{file}: {notebook.problem or f'{len(notebook.answers)} answers'}")
        for name, answer in notebook.answers.items():
            state = "not attempted" if answer.untouched else answer.problem or "is marked; what is run:"
            print(f"  {asked[name].number} {name}: {state}")
            for statement in [] if answer.untouched else answer.statements:
                print(f"      {statement.partition(chr(10))[0]}")
    print(f"\n{RULE}")
