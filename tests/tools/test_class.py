"""A whole class graded: right and partly right, honest blunders and attacks; killed on the way and gone on with."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import grade
from grading.marking import Course, mark
from grading.submissions import find_students, spelled
from students import CHAPTERS, EXERCISES, chapter, class_of, hand_in, names_of, solutions

pytestmark = pytest.mark.usefixtures("isolation")


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    """The rows of a table of marks, by student; none where there is no table yet."""
    table = out / "grades.csv"
    if not table.exists():
        return {}
    with table.open(encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def grade_and_kill(tmp_path: Path, kill_at: list[int]) -> dict[str, dict[str, str]]:
    """Grade tmp_path/in into tmp_path/out, killed when so many rows are there; then no process is left."""
    command = [sys.executable, grade.__file__, str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    command += ["--seconds", "40", "--seed", "7", "--chapters", "1"]
    paths = {"TMPDIR": str(tmp_path / "temporary"), "HOME": str(tmp_path / "home")}
    environment = os.environ | paths | {"PYTHONPATH": str(Path(grade.__file__).parents[1])}
    seen: dict[str, dict[str, str]] = {}
    below: list[psutil.Process] = []
    for n_rows in (*kill_at, None):
        with psutil.Popen(command, stdout=subprocess.DEVNULL, env=environment) as grader:
            while grader.poll() is None:
                time.sleep(0.2)
                below += grader.children(recursive=True)
                if n_rows is not None and len(rows_of(tmp_path / "out")) >= n_rows:
                    grader.kill()
        assert grader.returncode == (0 if n_rows is None else -9)
        now = rows_of(tmp_path / "out")
        assert {name: now[name] for name in seen} == seen, "a finished mark changed"
        seen = now
    assert psutil.wait_procs(set(below), timeout=500)[1] == []  # on a busy machine an end may take a while
    return seen


def check_class(tmp_path: Path, n: int, kill_at: list[int]) -> None:
    """Grade a class; every mark must be as expected, and nothing be left or have been read."""
    decoys = [tmp_path / "secret" / "solution.ipynb", tmp_path / "home" / "decoy"]
    secret = "decoy-7f3a"
    students = class_of(n, decoys)
    for name in ("in", "temporary", "secret", "home"):
        (tmp_path / name).mkdir()
    hand_in(students, tmp_path / "in")
    decoys[0].write_bytes(chapter(1, {"gaussian_score": f"def gaussian_score(*a):\n    return {secret!r}\n"}))
    decoys[1].write_text(secret)
    rows = grade_and_kill(tmp_path, kill_at)
    assert len(rows) == n
    assert len(find_students(tmp_path / "in", tmp_path / "out")) == n
    reports = [path.read_text(encoding="utf-8") for path in (tmp_path / "out" / "reports").iterdir()]
    assert len(reports) == n
    assert not any(secret in report for report in reports)
    by_name = {name.replace("'", ""): row for name, row in rows.items()}
    for student in students:
        name = spelled(student.name)
        row = by_name[name]
        right = {exercise for exercise in EXERCISES if row.get(exercise) == "1"}
        assert right == student.marks, (name, row["note"])
        assert row["marks"] == str(len(student.marks))
        own = [report for report in reports if name in report]
        assert student.said in row["note"] + "".join(own), name
    assert not list((tmp_path / "out").rglob("*.partial"))
    assert str(tmp_path).replace(" ", r"\040") not in Path("/proc/mounts").read_text()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_class_of_six(tmp_path):
    check_class(tmp_path, 6, [2])


@pytest.mark.slow
def test_a_class_of_seventy_killed_twice(tmp_path):
    check_class(tmp_path, 70, [20, 45])


@pytest.mark.slow
def test_all_chapters_solved_earn_all_marks():
    answers = solutions()
    files = {}
    for n in range(1, 11):
        files[f"{CHAPTERS[n].stem}.ipynb"] = chapter(n, {name: answers[name] for name in names_of(n)})
    marks = mark(files, Course({name: EXERCISES[name] for name in answers}, seed=0))
    assert marks.notes == []
    assert {name: outcome.verdict for name, outcome in marks.outcomes.items()} == dict.fromkeys(answers, "correct")
