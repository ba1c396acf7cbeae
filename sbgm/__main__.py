"""The command line, `python -m sbgm`: each command is a module of `sbgm.cli`."""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {
    "train": "train a noise conditional score network on images",
    "sample": "draw images from a trained network",
    "inpaint": "fill in the unknown pixels of images",
    "evaluate": "judge samples, a network's loss level by level, or a recorded claim",
    "ledger": "print the ledger of claims",
    "grade": "mark the exercises in students' notebooks",
}


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sbgm", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    modules = {name: importlib.import_module(f"sbgm.cli.{name}") for name in COMMANDS}
    for name, summary in COMMANDS.items():
        modules[name].add_arguments(subparsers.add_parser(name, help=summary, description=modules[name].__doc__))

    options = parser.parse_args(arguments)
    try:
        return modules[options.command].run(options)
    except (OSError, ValueError, ArithmeticError, AssertionError) as error:
        print(f"sbgm: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
