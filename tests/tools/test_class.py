"""A class graded, killed on the way and gone on with; and all chapters' solutions."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import grade
import sbgm_course as checks
from grading.marking import Course, mark
from students import CHAPTERS, chapter, solutions

pytestmark = pytest.mark.usefixtures("isolation")

EXERCISES = checks.exercises()
FIRST, *OTHERS = solutions(1)
DAEMON = """
import os, time
def gaussian_score(x, *arguments):
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
    return x
"""


def handed_in() -> dict[str, tuple[bytes, set[str]]]:
    """Each student's chapter 1, and the exercises that earn a mark."""
    answers = solutions(1)
    right = chapter(1, answers)
    cells = [{key: cell[key] for key in ("cell_type", "source")} for cell in json.loads(right)["cells"]]
    without_tags = json.dumps({"cells": cells}, indent="\t").replace("\n", "\r\n")
    return {
        "another editor": (b"\xef\xbb\xbf" + without_tags.encode(), {*answers}),
        "daemon": (chapter(1, answers | {FIRST: DAEMON}), {*OTHERS}),
        "first only": (chapter(1, {FIRST: answers[FIRST]}), {FIRST}),
        "syntax error": (chapter(1, answers | {FIRST: f"def {FIRST}(:\n    return"}), {*OTHERS}),
    }


def test_a_class_goes_on_after_it_was_killed(tmp_path):
    """No mark changes that was written before; nothing is left running, and no file but marks."""
    students = handed_in()
    for name, (content, _) in students.items():
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "01.ipynb").write_bytes(content)
    (tmp_path / "temporary").mkdir()
    out = tmp_path / "out"
    command = [sys.executable, grade.__file__, tmp_path / "in", "--out", out, "--seconds", "40", "--chapters", "1"]
    environment = os.environ | {
        "TMPDIR": str(tmp_path / "temporary"),
        "PYTHONPATH": str(Path(grade.__file__).parents[1]),
    }
    with psutil.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, env=environment) as grader:
        while len(grade.read_rows(out / "grades.csv")) < 2:
            assert grader.poll() is None
            time.sleep(0.2)
        below = grader.children(recursive=True)
        grader.kill()
    before = grade.read_rows(out / "grades.csv")
    assert len(before) < len(students)
    with psutil.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, env=environment) as grader:
        while grader.poll() is None:
            below += grader.children(recursive=True)
            time.sleep(0.2)
    assert grader.returncode == 0
    assert psutil.wait_procs(set(below), timeout=500)[1] == []  # on a busy machine an end may take a while
    rows = grade.read_rows(out / "grades.csv")
    assert {name: rows[name] for name in before} == before
    marks = {name: {exercise for exercise in EXERCISES if row.get(exercise) == "1"} for name, row in rows.items()}
    assert marks == {name: right for name, (_, right) in students.items()}
    assert not list(out.rglob("*.partial"))
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.slow
def test_all_chapters_solved_earn_all_marks():
    files = {f"{path.stem}.ipynb": chapter(number, solutions(number)) for number, path in CHAPTERS.items()}
    answers = {name: answer for number in CHAPTERS for name, answer in solutions(number).items()}
    marks = mark(files, Course({name: EXERCISES[name] for name in answers}, seed=0))
    assert marks.notes == []
    assert {name: outcome.verdict for name, outcome in marks.outcomes.items()} == dict.fromkeys(answers, "correct")
