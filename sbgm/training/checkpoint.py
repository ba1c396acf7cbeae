"""Checkpoints in one file, written at once and read without running code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sbgm.files import written_whole


def save_checkpoint(path: Path, **state: Any) -> None:
    """Write state dictionaries, tensors and numbers to `path` at once: a kill leaves the old file or the new one."""
    with written_whole(path) as partial, partial.open("wb") as file:
        torch.save(state, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Only tensors and plain containers are unpickled, never code."""
    return torch.load(path, map_location="cpu", weights_only=True)
