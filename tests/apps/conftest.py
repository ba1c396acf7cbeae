"""What tests of runs share."""

import pytest

from small_run import run


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A run that never stopped, and its losses."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, run(folder)


@pytest.fixture
def folder(tmp_path):
    """That of a run."""
    return tmp_path / "run"
