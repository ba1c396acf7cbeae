"""Where the tests' random numbers come from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own for each call."""
    return torch.Generator().manual_seed(seed)


@contextlib.contextmanager
def initial_weights_from(seed: int) -> Iterator[None]:
    """Networks built inside draw their initial weights from a seed; the global generator is as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
