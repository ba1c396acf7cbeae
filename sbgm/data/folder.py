"""Where data sets live on this machine, and the error that says that one is missing."""

from __future__ import annotations

import os
from pathlib import Path


class DataNotFoundError(FileNotFoundError):
    """A data set is not at hand, or what is there is incomplete; the message says what to do."""


def data_folder() -> Path:
    """Where downloads live: $SBGM_DATA if it is set, else the repository's `data/`."""
    if chosen := os.environ.get("SBGM_DATA"):
        return Path(chosen).expanduser()
    return shipped_folder()


def cache_folder() -> Path:
    """Where what is computed from data sets is kept, `cache/` in `data_folder()`; it can be deleted at any time."""
    return data_folder() / "cache"


def shipped_folder() -> Path:
    """Where what ships with the project lives, whatever $SBGM_DATA says: the repository's `data/`."""
    return Path(__file__).resolve().parents[2] / "data"
