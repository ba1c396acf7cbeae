"""Mark students' notebooks: a CSV of marks, and a report for each student. No notebook is trusted."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm


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
    parser.add_argument("--resume", action="store_true", help="go on in --out where a grading was stopped")
    parser.add_argument("--chapters", type=int, nargs="+", help="whose exercises make the total (all)")
    parser.add_argument("--variant", type=int, default=0, help="the variant that this group was given (0)")
    parser.add_argument("--seed", type=int, help="of the random inputs; drawn, and stated in the reports, unless given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="students marked at a time (all cores)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for one exercise of one student (60)")
    parser.add_argument("--memory", type=float, default=2.0, help="GiB for all of a student's processes (2)")
    parser.add_argument(
        "--without-isolation",
        action="store_true",
        help="run notebooks without bubblewrap, where it can't be had: they can then read and change your files",
    )


def run(options: argparse.Namespace) -> int:
    """Grade, write each student's marks as they come, and print where they are."""
    # here, since they need what only Linux and macOS have
    from sbgm.course.exercise import exercises
    from sbgm.course.grading import Marks, grade
    from sbgm.course.sandbox import LOST, Limits, refusal
    from sbgm.course.submissions import find_students, read_submission

    for name in ("jobs", "seconds", "memory"):
        if getattr(options, name) <= 0:
            raise ValueError(f"--{name} must be positive, got {getattr(options, name)}")
    if options.variant < 0:
        raise ValueError(f"--variant must not be negative, got {options.variant}")
    isolated = not options.without_isolation
    if isolated and (why := refusal()):
        raise OSError(f"notebooks can't be isolated: {why}. They run all the same --without-isolation; then {LOST}")
    if set(options.chapters or ()) - {e.chapter for e in exercises().values()}:
        raise ValueError(f"chapters must be among 1 to 10, got {options.chapters}")
    asked = {name: e for name, e in exercises().items() if not options.chapters or e.chapter in options.chapters}
    found, out = find_students(options.submissions), options.out.resolve()
    students = {student: path for student, path in found.items() if path.resolve() != out}
    limits = Limits(exercise_seconds=options.seconds, memory=int(options.memory * 2**30))
    facts = {
        "seed": options.seed,
        "variant": options.variant,
        "chapters": sorted({e.chapter for e in asked.values()}),
        "seconds": options.seconds,
        "memory": options.memory,
    }
    marks = Marks(options.out, facts, resume=options.resume)
    for student in students.keys() & marks.graded:
        marks.compare(student, read_submission(students[student]))
    marking = grade(
        {student: path for student, path in students.items() if student not in marks.graded},
        asked,
        seed=marks.facts["seed"],
        variant=options.variant,
        limits=limits,
        n_jobs=options.jobs,
        isolated=isolated,
    )
    try:
        for graded in tqdm(marking, total=len(students), initial=len(marks.graded), desc="grading", unit="student"):
            marks.add(graded)
    except KeyboardInterrupt:
        print(f"Stopped; {options.out} holds what is done, and --resume goes on.", file=sys.stderr, flush=True)
        os._exit(130)  # at once: what students' processes still do is for nothing, and ends with this one
    path = marks.write_tables()
    print(f"{len(marks.graded)} student{'s' if len(marks.graded) != 1 else ''}: {path}")
    for isolation, n in Counter(graded.isolation for graded in marks.graded.values()).items():
        print(f"isolation of {n}: {isolation}")
    return 0
