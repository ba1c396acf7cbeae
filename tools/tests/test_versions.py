"""The suite on the oldest and the newest Python and packages that pyproject.toml admits and this machine can get."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOWEST = 11
NEWEST_TRIED = 20  # Python 3.11, which pyproject.toml asks for, and one that isn't out


def find_python(uv: Path, minor: int) -> str | None:
    """An interpreter of Python 3.minor on this machine."""
    found = subprocess.run(
        [uv, "python", "find", "--no-python-downloads", f"3.{minor}"], cwd=Path.home(), capture_output=True, text=True
    )
    return found.stdout.strip() or None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("resolution", "minors"),
    [("lowest-direct", range(LOWEST, NEWEST_TRIED)), ("highest", range(NEWEST_TRIED, LOWEST - 1, -1))],
    ids=["oldest", "newest"],
)
def test_the_suite_passes(tmp_path, record_property, resolution, minors):
    """By uv, which unlike pip can choose the oldest packages that are admitted."""
    venv.create(tmp_path / "uv", with_pip=True)
    programs = "Scripts" if sys.platform == "win32" else "bin"
    subprocess.run([tmp_path / "uv" / programs / "python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    uv = tmp_path / "uv" / programs / "uv"
    base = next(python for minor in minors if (python := find_python(uv, minor)))
    subprocess.run([uv, "venv", "--quiet", "--seed", "--python", base, tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / programs / "python"
    install = [uv, "pip", "install", "--quiet", "--python", python, "--resolution", resolution, "-e", ".[all]"]
    subprocess.run(install, cwd=ROOT, check=True)
    suite = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--ignore", "docs/tests/browser"]
    answer = subprocess.run(suite, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout[-20_000:]
    record_property("passed", re.search(r"\d+ passed", answer.stdout).group())
