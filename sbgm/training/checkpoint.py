"""Checkpoints in one file, written at once and read without running code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from sbgm.files import written_whole


def save_checkpoint(path: Path, **state: Any) -> None:
    """Write state dictionaries, tensors and numbers to `path` at once: a kill leaves the old file or the new one."""
    content = io.BytesIO()
    torch.save(state, content)  # not to the disk: torch reports a full one as a RuntimeError about its own positions
    with written_whole(path) as partial:
        partial.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote. Only tensors and plain containers are unpickled, never code."""
    return torch.load(path, map_location="cpu", weights_only=True)
