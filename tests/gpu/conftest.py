"""The simulated device of the tests here."""

import pytest
from simulated import Gpu


@pytest.fixture
def gpu():
    """A GPU, for the time of a test."""
    with Gpu() as device:
        yield device
