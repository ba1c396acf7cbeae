"""Where files lie: what ships with the package, what is downloaded, what is computed, and trainings."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "checkout", "data_folder", "runs_folder", "shipped_folder"]

PACKAGE = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """The folder of the checkout of the repository that this package is part of; None where it is an installed one."""
    return None if (PACKAGE / "_data").is_dir() else PACKAGE.parent


def shipped_folder() -> Path:
    """Where what ships lives, whatever $SBGM_DATA says: a checkout's `data/`, or `_data/` of the installed package.

    Example:
        >>> (sbgm.folders.shipped_folder() / "weights").is_dir()
        True
    """
    root = checkout()
    return root / "data" if root else PACKAGE / "_data"


def data_folder() -> Path:
    """Where downloads live: $SBGM_DATA if it is set, else a checkout's `data/`, else the user's cache folder."""
    chosen = os.environ.get("SBGM_DATA")
    if chosen:
        return Path(chosen).expanduser()
    root = checkout()
    if root:
        return root / "data"
    import pooch

    return Path(pooch.os_cache("sbgm"))


def runs_folder() -> Path:
    """Where runs are kept unless told otherwise: `runs/` of a checkout, or else of the working folder.

    Example:
        >>> sbgm.folders.runs_folder().name
        'runs'
    """
    return (checkout() or Path.cwd()) / "runs"


def cache_folder() -> Path:
    """Where what is computed from data sets is kept, `cache/` in `data_folder()`; it can be deleted at any time.

    Example:
        >>> sbgm.folders.cache_folder() == sbgm.folders.data_folder() / "cache"
        True
    """
    return data_folder() / "cache"
