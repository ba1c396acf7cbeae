"""Flags of a command line, made from a flat dataclass of settings.

`n_steps: Annotated[Count, "steps a level"] = 100` becomes --n-steps N, "steps a level (100)". A field without a
default is a positional argument, or a required flag if it is keyword-only. What the command line does not give is not
in the namespace: the defaults are the dataclass's own, and so are the checks, where it is `checked`.
"""

from __future__ import annotations

import argparse
import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

if TYPE_CHECKING:
    from sbgm.guard import ArgumentError

Device = Annotated[str | None, "where to compute, such as cpu or cuda:1 (the GPU if there is one)"]


def add_options(parser: argparse.ArgumentParser, options: type, defaults: Mapping[str, str]) -> None:
    """Declare the fields of a dataclass as options, in their order.

    Args:
        parser: gets the options.
        options: its fields are annotated, by `Annotated[type, …, "meaning"]`.
        defaults: in words, where they are not the field's.
    """
    kinds = typing.get_type_hints(options)
    hints = typing.get_type_hints(options, include_extras=True)
    for name, parameter in inspect.signature(options).parameters.items():
        kind = kinds[name]
        if type(None) in typing.get_args(kind):  # of `X | None`
            kind = typing.get_args(kind)[0]
        meaning = hints[name].__metadata__[-1]
        default = defaults.get(name, parameter.default)
        if default not in (parameter.empty, None) and default is not False:
            meaning = f"{meaning} ({default})"
        is_needed = parameter.default is parameter.empty
        settings: dict[str, Any] = {"help": meaning, "default": argparse.SUPPRESS}
        if typing.get_origin(kind) is list:
            kind = typing.get_args(kind)[0]
            settings["nargs"] = "+"
        if kind is bool:
            settings["action"] = argparse.BooleanOptionalAction
        elif typing.get_origin(kind) is Literal:
            settings["choices"] = typing.get_args(kind)
        else:
            settings["type"] = kind
            settings["metavar"] = {int: "N", float: "X", Path: "PATH"}.get(kind, "NAME")
        if is_needed and parameter.kind is not parameter.KEYWORD_ONLY:
            settings["metavar"] = name.upper()
            parser.add_argument(name, **settings)
        else:
            parser.add_argument(flag_of(name), dest=name, required=is_needed, **settings)


def flag_of(name: str) -> str:
    """The flag of a parameter: -n, --n-steps, and --from of from_, which Python does not let end otherwise."""
    return f"-{name}" if len(name) == 1 else f"--{name.rstrip('_').replace('_', '-')}"


def in_flags(error: ArgumentError, parser: argparse.ArgumentParser, other_names: Mapping[str, str] = {}) -> str:
    """Return the message of an error of the library, with the option's flag in place of the argument's name.

    "step_size must be …" from the library is "--step-size must be …" on the command line.

    Args:
        error: of the library.
        parser: has the options.
        other_names: of options, by what the library calls the argument.
    """
    name = other_names.get(error.name, error.name)
    for action in parser._actions:
        if action.dest == name:
            name = action.option_strings[0] if action.option_strings else name.upper()
    return str(type(error)(name, error.must, error.got))
