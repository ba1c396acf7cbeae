"""The site that the tests look at, built once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]


def built_once(temporary: pytest.TempPathFactory) -> Path:
    """The folder of the site, built without a warning by the first test that asks, of whichever xdist's worker."""
    base = temporary.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    done = folder / "done"
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            command = [sys.executable, ROOT / "docs" / "build.py", folder]
            built = subprocess.run(command, capture_output=True, text=True)
            assert built.returncode == 0, built.stdout + built.stderr
            done.touch()
    return folder / "html"
