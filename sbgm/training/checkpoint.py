"""Checkpoints in one file, written at once and read without running code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(path: Path, **state: Any) -> None:
    """Write state dictionaries, tensors and numbers to `path` at once: a kill leaves the old file or the new one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Only tensors and plain containers are unpickled, never code."""
    return torch.load(path, map_location="cpu", weights_only=True)
