"""Initial weights from a seed, for layers that draw them from torch's global generator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def initial_weights_from(seed: int) -> Iterator[None]:
    """Networks built inside draw their initial weights from a seed; the global generator is as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
