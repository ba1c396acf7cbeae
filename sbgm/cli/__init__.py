"""The command line, `sbgm` or `python -m sbgm`: each command is a module here, loaded when it is used.

A command's module says in `add_arguments(parser)` what it takes, and does it in `run(options)`. It may print.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import io
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import sbgm

COMMANDS = {
    "train": "train a noise conditional score network on images",
    "sample": "draw images from a trained network",
    "inpaint": "fill in the unknown pixels of images",
    "evaluate": "judge samples, a network's loss level by level, or a recorded claim",
    "download": "fetch a data set",
    "ledger": "print the ledger of claims",
    "grade": "mark the exercises in students' notebooks",
}

ARGUMENTS = {"source": "data", "path": "network", "weights": "fid_weights"}
"""What the library calls an argument that an option of another name gives."""


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console whose encoding lacks σ shows "?" in its place
            stream.reconfigure(errors="replace")
    arguments = sys.argv[1:] if arguments is None else arguments
    command = next((word for word in arguments if word in COMMANDS), None)
    if command and "torch" not in sys.modules:
        # A thread that waits for another gives its core up after µs. The usual ms may keep the other from that core.
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
        if sys.stderr.isatty():
            print(f"sbgm {command}: loading torch …", file=sys.stderr)
    try:
        options = parser_for(command).parse_args(arguments)
        with warnings.catch_warnings():  # which gives back what is changed here
            warnings.showwarning = functools.partial(_show, warnings.showwarning)
            return options.run(options)
    except (OSError, ValueError, ArithmeticError, AssertionError, ImportError) as error:
        print(f"sbgm: {_in_flags(str(error), command)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while torch or a network is loaded; a command's own work ends in its own words
        print("Stopped.", file=sys.stderr)
        return 130


def _in_flags(message: str, command: str | None) -> str:
    """A message in which the argument that it begins with has the name of the command's option for it.

    "step_size must be …" from the library is "--step-size must be …" here, and "source must hold …", where a folder of
    pictures is read, "DATA must hold …" or "--data must hold …".
    """
    name, must, rest = message.partition(" must ")
    if command is None or not must:
        return message
    parser = argparse.ArgumentParser()
    importlib.import_module(f"sbgm.cli.{command}").add_arguments(parser)
    named = {
        action.dest: action.option_strings[-1:] or [action.metavar or action.dest.upper()] for action in parser._actions
    }
    (flag,) = named.get(ARGUMENTS.get(name, name), [name])
    return f"{flag} must {rest}"


def _show(usual: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Show a `Notice` as one line, and other warnings as usual."""
    if category.__name__ == "Notice":  # without loading what defines it
        print(f"sbgm: {message}", file=sys.stderr)
    else:
        usual(message, category, *where)


def parser_for(command: str | None) -> Parser:
    """Make the parser of the command line, which knows the arguments of one command only."""
    parser = Parser(prog="sbgm", description=sbgm.__doc__.partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"sbgm {sbgm.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    parsers = {name: commands.add_parser(name, help=summary) for name, summary in COMMANDS.items()}
    if command:
        module, chosen = importlib.import_module(f"sbgm.cli.{command}"), parsers[command]
        chosen.description, chosen.formatter_class = module.__doc__, argparse.RawDescriptionHelpFormatter
        chosen.set_defaults(run=module.run)
        module.add_arguments(chosen)
    return parser


class Parser(argparse.ArgumentParser):
    """A parser that suggests a near name for a mistyped one."""

    def error(self, message: str) -> None:
        """Print the usage and what is wrong, and exit."""
        if found := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            from sbgm.checked import did_you_mean

            message += did_you_mean(found[1], re.findall(r"[\w-]+", found[2]))
        super().error(message)
