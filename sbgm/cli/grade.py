"""Mark students' notebooks: a CSV of marks, and a report for each student. No notebook is trusted."""

from __future__ import annotations

import argparse
import os
import secrets
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
    parser.add_argument("--variant", type=int, default=0, help="the variant that this group was given (0)")
    parser.add_argument("--seed", type=int, help="of the random inputs; drawn, and stated in the reports, unless given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="students marked at a time (all cores)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for one exercise of one student (60)")
    parser.add_argument("--memory", type=float, default=2.0, help="GiB for a student's process (2)")


def run(options: argparse.Namespace) -> int:
    """Grade, write the marks, and print where they are."""
    # here, since they need IPython and what only Linux and macOS have
    from sbgm.course.exercise import exercises
    from sbgm.course.grading import find_submissions, grade, require_new, write_marks
    from sbgm.course.sandbox import Limits, isolation

    require_new(options.out)
    for name in ("jobs", "seconds", "memory"):
        if getattr(options, name) <= 0:
            raise ValueError(f"--{name} must be positive, got {getattr(options, name)}")
    submissions = find_submissions(options.submissions)
    seed = secrets.randbits(31) if options.seed is None else options.seed
    limits = Limits(exercise_seconds=options.seconds, memory=int(options.memory * 2**30))
    marking = grade(submissions, exercises(), seed=seed, variant=options.variant, limits=limits, n_jobs=options.jobs)
    graded = list(tqdm(marking, total=len(submissions), desc="grading", unit="student"))
    facts = {"seed": seed, "variant": options.variant, "isolation": isolation().describe()}
    path = write_marks(graded, options.out, facts)
    print(f"{len(graded)} student{'s' if len(graded) != 1 else ''}: {path}; isolation: {facts['isolation']}")
    return 0
