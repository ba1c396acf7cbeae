"""What tests of runs share."""

import pytest

from small_run import steps_of


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A run that never stopped, and its steps."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, list(steps_of(folder))
