"""The command line, `sbgm` or `python -m sbgm`: each command is a module of `sbgm.apps`, loaded when it is used."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import warnings

import sbgm
from sbgm.apps.options import add_options, in_flags

COMMANDS = {
    "train": "train a noise conditional score network on images",
    "sample": "draw images from a trained network",
    "download": "fetch a data set",
}
ARGUMENTS = {
    "train": {"source": "data", "path": "from_", "folder": "out"},
    "sample": {"source": "data", "path": "network"},
    "download": {},
}
"""The options that give an argument to which the library has another name."""


def main(words: list[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console whose encoding lacks σ shows "?" in its place
            stream.reconfigure(errors="replace")
    words = sys.argv[1:] if words is None else words
    if not words or words[0] not in COMMANDS:
        parser = parser_of_all()
        parser.parse_args(words)  # says the help, or what is wrong, and exits
        parser.error("the command must come first")
    command = words[0]
    if "torch" not in sys.modules:
        # A thread that waits for another gives its core up after µs. The usual ms may keep the other from that core.
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
        if sys.stderr.isatty():
            print(f"sbgm {command}: loading torch …", file=sys.stderr)
    try:
        return do(command, words[1:])
    except (OSError, ValueError, ArithmeticError, AssertionError, ImportError) as error:
        print(f"sbgm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while torch or a network is loaded; a command's own work ends in its own words
        print("Stopped.", file=sys.stderr)
        return 130


def do(command: str, words: list[str]) -> int:
    """Load a command and do it; return the exit status. An error names an argument by its option."""
    module = importlib.import_module(f"sbgm.apps.{command}")
    from sbgm.guard import ArgumentError  # which loads torch

    parser = parser_of(command)
    given = vars(parser.parse_args(words))
    try:
        module.Options(**given)  # looks at every value, before any work
    except ArgumentError as error:
        parser.error(in_flags(error, parser))
    with warnings.catch_warnings():
        warnings.showwarning = say_warning
        try:
            return module.main(**given) or 0
        except ArgumentError as error:
            raise ValueError(in_flags(error, parser, ARGUMENTS[command])) from error


def parser_of_all() -> argparse.ArgumentParser:
    """The parser of what stands before a command."""
    parser = argparse.ArgumentParser(
        prog="sbgm",
        description="Train networks that estimate scores, and draw images with them.",
        epilog="sbgm COMMAND --help lists the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"sbgm {sbgm.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of what follows a command: the options of `sbgm.apps.COMMAND.Options`."""
    module = importlib.import_module(f"sbgm.apps.{command}")
    parser = argparse.ArgumentParser(
        prog=f"sbgm {command}",
        description=module.__doc__,
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, module.Options, getattr(module, "DEFAULTS", {}))
    required = [action for action in parser._actions if action.required]
    words = [" ".join([*action.option_strings, str(action.metavar)]) for action in required]
    parser.usage = f"{parser.prog} {' '.join(words)} [options]"
    return parser


def say_warning(message: Warning | str, *_: object) -> None:
    """Print a warning in a line, without the file and the line of Python that it came from."""
    print(f"sbgm: {message}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
