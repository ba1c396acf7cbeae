"""What happens to the tests themselves where bubblewrap is missing, and when a worker of xdist dies."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STARTS = {
    "a student's process": ["-m", "grading.student"],
    "a grader's": ["tools/grade.py", "nowhere", "--without-isolation"],
}
ATTACKS = ("test_no_notebook_earns_a_mark_by_other_means", "test_what_several_processes_take_is_limited")


def inner_run(*words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    """Do `pytest WORDS` in a folder, in a process of its own, without loading plugins that nobody asked for."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "SBGM_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env=kept | variables | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("how", STARTS)
@pytest.mark.parametrize("place", ["here", "in a thread"])
def test_no_test_runs_a_student_without_walls_unless_it_says_so(how, place):
    """Skipped where there is no bubblewrap, failed elsewhere: in either case nothing is started."""
    pool = ThreadPoolExecutor(1)
    start = subprocess.Popen if place == "here" else lambda words: pool.submit(subprocess.Popen, words).result()
    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception)):
        start([sys.executable, *STARTS[how]])


def test_without_bubblewrap_attacks_are_skipped_by_name(tmp_path):
    """Those that take the grader's process or all its memory, in a run whose PATH holds nothing."""
    words = [f"tests/tools/test_grading.py::{name}" for name in ATTACKS]
    done = inner_run(*words, "tests/tools/test_class.py", folder=ROOT, PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    _, _, said = done.stdout.partition("tests were skipped")
    assert "bubblewrap is not installed" in said
    for name in (*ATTACKS, "test_a_class_of_six"):
        assert name in said
    assert " passed" not in done.stdout


def test_a_worker_that_dies_ends_the_run_with_the_name_of_its_test(tmp_path):
    """Though another is busy for an hour, which is longer than this test waits."""
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "test_a.py").write_text(
        "import os, signal\ndef test_fine(): pass\n"
        "def test_dies():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "def test_later(): pass\n"
    )
    for other in "bcd":
        (tmp_path / f"test_{other}.py").write_text("import time\ndef test_long(): time.sleep(3_600)\n")
    done = inner_run("-p", "xdist", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", ".", folder=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "crashed while running 'test_a.py::test_dies'" in done.stdout
    assert "FAILED test_a.py::test_dies" in done.stdout
