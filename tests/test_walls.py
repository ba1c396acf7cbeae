"""No test runs a student's code without walls; where bubblewrap is missing it is skipped by name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STARTS = {
    "a student's process": ["-m", "grading.student"],
    "a grader's": ["tools/grade.py", "nowhere", "--without-isolation"],
}
ATTACKS = ("test_no_notebook_earns_a_mark_by_other_means", "test_what_several_processes_take_is_limited")


@pytest.mark.parametrize("how", STARTS)
def test_no_test_runs_a_student_without_walls_unless_it_says_so(how):
    """Skipped where there is no bubblewrap, failed elsewhere: in either case nothing is started."""
    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception)):
        subprocess.Popen([sys.executable, *STARTS[how]])


def test_without_bubblewrap_attacks_are_skipped_by_name(tmp_path):
    """Those that take the grader's process or all its memory, in a run whose PATH holds nothing."""
    words = [f"tests/tools/test_grading.py::{name}" for name in ATTACKS]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words, "tests/tools/test_class.py"]
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SBGM_"))}
    environment = outer | {"PATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    _, _, said = done.stdout.partition("tests were skipped")
    assert "bubblewrap is not installed" in said
    for name in (*ATTACKS, "test_a_class_goes_on_after_it_was_killed"):
        assert name in said
    assert " passed" not in done.stdout
