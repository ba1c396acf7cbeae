"""The simulated device of the tests here."""

import pytest
import torch

from simulated import Gpu


@pytest.fixture(autouse=True)
def one_thread():
    """What is computed here is small, and a second thread would wait for its turn on a busy core."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def gpu():
    """A GPU, for the time of a test."""
    with Gpu() as device:
        yield device
