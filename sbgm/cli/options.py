"""What `train` has of options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sbgm.apps import options
from sbgm.apps.drawing import leave_together as leave_together


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --device."""
    parser.add_argument("--device", help="where to compute, such as cpu or cuda:1 (the GPU if there is one)")


def source(*names: str) -> Callable[[str], str]:
    """Return what argparse reads data by: one of these names, or a folder or a file, whose full path it gives."""

    def read(text: str) -> str:
        if text in names:
            return text
        if not Path(text).exists():
            raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {', '.join(names)}, or a folder)")
        return str(Path(text).resolve())

    return read


def value_of(annotation: Any) -> Callable[[str], Any]:
    """Return what argparse reads a value by, such as `value_of(Count)`."""
    return options.value_of(annotation.__origin__, *annotation.__metadata__)
