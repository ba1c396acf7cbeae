"""A whole class graded: right and partly right, honest blunders and attacks; killed on the way and gone on with."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sbgm.course.marking import mark_student
from sbgm.course.submissions import find_students, spelled
from students import CHAPTERS, EXERCISES, chapter, class_of, hand_in, names_of, solutions

MEMORY = 2 * 2**30 + os.getpid()  # bytes for a student, a number that no other process is given

pytestmark = pytest.mark.usefixtures("isolation")


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    """The rows of a table of marks, by student; none where there is no table yet."""
    table = out / "grades.csv"
    return {row["student"]: row for row in csv.DictReader(table.open(encoding="utf-8"))} if table.exists() else {}


def processes_left() -> list[psutil.Process]:
    """The students' processes that run now, known by their limit on memory."""
    limit = f"RLIMIT_DATA={MEMORY}"
    return [process for process in psutil.process_iter(["cmdline"]) if limit in (process.info["cmdline"] or [])]


def grade_and_kill(tmp_path: Path, kill_at: list[int]) -> dict[str, dict[str, str]]:
    """Grade tmp_path/in into tmp_path/out, killed when so many rows are there, and return the rows of each time."""
    command = [sys.executable, "-m", "sbgm", "grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    command += ["--jobs", "2", "--seconds", "30", "--seed", "7", "--memory", str(MEMORY / 2**30)]
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "HOME": str(tmp_path / "home")}
    seen: dict[str, dict[str, str]] = {}
    for i, n_rows in enumerate([*kill_at, None]):
        grader = subprocess.Popen([*command, *["--resume"] * (i > 0)], stdout=subprocess.DEVNULL, env=environment)
        while grader.poll() is None:
            time.sleep(0.2)
            if n_rows is not None and len(rows_of(tmp_path / "out")) >= n_rows:
                grader.kill()
        grader.wait()
        assert grader.returncode == (0 if n_rows is None else -9)
        now = rows_of(tmp_path / "out")
        assert {name: now[name] for name in seen} == seen, "a finished mark changed"
        seen = now
    return seen


def check_class(tmp_path: Path, n: int, kill_at: list[int]) -> None:
    """Grade a class; every mark must be as expected, and nothing be left or have been read."""
    decoys = [tmp_path / "secret" / "solution.ipynb", tmp_path / "home" / "decoy"]
    secret = "decoy-7f3a"
    students = class_of(n, decoys)
    for name in ("in", "temporary", "secret", "home"):
        (tmp_path / name).mkdir()
    hand_in(students, tmp_path / "in")
    decoys[0].write_bytes(chapter(2, {"dsm_target": f"def dsm_target(*a):\n    return {secret!r}\n"}))
    decoys[1].write_text(secret)
    rows = grade_and_kill(tmp_path, kill_at)
    assert len(rows) == n == len(find_students([tmp_path / "in"]))
    states = {row["student"].replace("'", ""): row for row in rows.values()}
    found = {s.name: {e for e in EXERCISES if states[spelled(s.name)][e] == "1"} for s in students}
    assert found == {s.name: s.marks for s in students}, [row["note"] for row in rows.values()]
    totals = [(states[spelled(s.name)]["marks"], states[spelled(s.name)]["of"]) for s in students]
    assert totals == [(str(len(s.marks)), str(len(EXERCISES))) for s in students]
    reports = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "out" / "reports").iterdir()}
    assert len(reports) == n
    assert not [name for name, text in reports.items() if secret in text]
    for student in students:
        said = states[spelled(student.name)]["note"] + "".join(
            t for t in reports.values() if spelled(student.name) in t
        )
        assert student.said in said, student.kind
    assert not list((tmp_path / "out").rglob("*.partial"))
    # on a busy machine a process that was killed may take a while to end
    assert psutil.wait_procs(processes_left(), timeout=500)[1] == []
    assert str(tmp_path).replace(" ", r"\040") not in Path("/proc/mounts").read_text()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_class_of_six(tmp_path):
    check_class(tmp_path, 6, [2])


@pytest.mark.slow
def test_a_class_of_a_hundred_killed_twice(tmp_path):
    check_class(tmp_path, 100, [25, 70])


@pytest.mark.slow
def test_ten_chapters_take_few_processes(monkeypatch):
    """Each imports torch: beyond that, a marking takes no longer than the answers and their checks do."""
    answers = solutions()
    files = {
        f"{CHAPTERS[n].stem}.ipynb": chapter(n, {name: answers[name] for name in names_of(n)}, with_outputs=True)
        for n in range(1, 11)
    }
    started, start = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **how: started.append(words) or start(*words, **how))
    outcomes, problems = mark_student(files, {name: EXERCISES[name] for name in answers}, seed=0)
    assert problems == []
    assert {o.exercise: o.verdict for o in outcomes} == dict.fromkeys(answers, "correct")
    assert len(started) <= 6
