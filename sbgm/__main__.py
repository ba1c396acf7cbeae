"""The command line, `sbgm` or `python -m sbgm`: each command is a module, loaded when it is used."""

from __future__ import annotations

import argparse
import functools
import importlib
import io
import os
import sys

import sbgm
from sbgm.apps.options import Parser, add_options, call, in_flags

COMMANDS = {
    "train": "train a noise conditional score network on images",
    "sample": "draw images from a trained network",
    "inpaint": "fill in the unknown pixels of images",
    "evaluate": "judge samples",
    "download": "fetch a data set",
}
ARGUMENTS = {"source": "data", "path": "network", "weights": "fid_weights", "folder": "out"}
"""What the library calls an argument that an option of another name gives."""


def main(words: list[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console whose encoding lacks σ shows "?" in its place
            stream.reconfigure(errors="replace")
    words = sys.argv[1:] if words is None else words
    command = next((word for word in words if word in COMMANDS), None)
    if command and "torch" not in sys.modules:
        # A thread that waits for another gives its core up after µs. The usual ms may keep the other from that core.
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
        if sys.stderr.isatty():
            print(f"sbgm {command}: loading torch …", file=sys.stderr)
    options = argparse.Namespace(parser=Parser())
    try:
        _, unknown = parser_for(command).parse_known_args(words, options)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options.run(options) or 0
    except (OSError, ValueError, ArithmeticError, AssertionError, ImportError) as error:
        name, must, rest = str(error).partition(" must ")
        message = in_flags(f"{ARGUMENTS.get(name, name)}{must}{rest}", options.parser)
        print(f"sbgm: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while torch or a network is loaded; a command's own work ends in its own words
        print("Stopped.", file=sys.stderr)
        return 130


def parser_for(command: str | None) -> Parser:
    """Make the parser of the command line, which knows the options of one command only."""
    parser = Parser(prog="sbgm", description=(sbgm.__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"sbgm {sbgm.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subparser = commands.add_parser(name, help=summary)
        if name == command:
            subparser.formatter_class = argparse.RawDescriptionHelpFormatter
            add_arguments(subparser, name)
    return parser


def add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    """Declare the options of a command: those of the function `main` in `sbgm.apps.COMMAND`."""
    module = importlib.import_module(f"sbgm.apps.{command}")
    add_options(parser, module.main)
    parser.set_defaults(run=functools.partial(call, module.main), parser=parser)
    parser.description = module.__doc__


if __name__ == "__main__":
    raise SystemExit(main())
