"""The command line of all that measures here: of claims, `python evidence L5`, and of scripts of their own."""

import argparse
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from ledger import CLAIMS, NONE, declaration, show
from samples import Machine
from sbgm.files import runs_folder


def script_options(
    doc: str | None,
    folder: str = "",
    *,
    claim: str = "",
    draws: bool = False,
    more: Mapping[str, Mapping[str, Any]] = NONE,
) -> dict[str, Any]:
    """The command line of a script that measures claims, as the arguments of its `measure`; it then runs on one thread.

    Args:
        doc: the script's.
        folder: in `runs/`, what the measurement is kept in and resumed from unless told otherwise; "" for a quick one.
        claim: the one that it measures, whose id is the first word; "" for a script of its own.
        draws: whether a network draws on a device: --device and --compile, which make the `drawing.Machine`.
        more: options of its own, by flag, as `ArgumentParser.add_argument` takes them.

    Returns:
        The folder, the machine of a script that draws, and its own options, by name.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if claim:
        parser.add_argument("claim", choices=[claim])
    for flag, settings in more.items():
        parser.add_argument(flag, **settings)
    if draws:
        parser.add_argument("--device", help="where to compute, such as cpu or cuda:1 (the GPU if there is one)")
        parser.add_argument("--compile", action="store_true", help="fuse the layers: takes minutes, then saves time")
    if folder:
        home = runs_folder() / folder
        parser.add_argument("--folder", type=Path, default=home, help=f"of finished work, to continue from ({home})")
    options = vars(parser.parse_args())
    if claim:
        declaration(options.pop("claim"))  # refused before hours of work, not after
    torch.set_num_threads(1)  # as for all records
    if draws:
        options["machine"] = Machine(options.pop("device"), options.pop("compile"))
    return options


def main() -> None:
    """Measure the claim that the command line names first, by the measure.py in its folder, and print its record."""
    known = sorted(file.parent.name for file in CLAIMS.glob("*/measure.py"))
    if sys.argv[1:2] == [] or sys.argv[1] not in known:
        sys.exit(f"Measure a claim: python evidence ID [--help]\n\nID is one of {', '.join(known)}")
    claim = sys.argv[1]
    module = import_module(f"claims.{claim}.measure")
    options = script_options(module.__doc__, claim=claim, **getattr(module, "OPTIONS", {}))
    show(module.measure(**options))
