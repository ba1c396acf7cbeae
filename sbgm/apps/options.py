"""Flags of a command line, made from a flat dataclass of settings, or from the parameters of a function.

`n_steps: Annotated[Count, "steps a level"] = 100` becomes --n-steps N, "steps a level (100)". A parameter without a
default is a positional argument, or a required flag if it is keyword-only. What the command line does not give is not
in the namespace: the defaults are the dataclass's own, and so are the checks, where it is `checked`.
"""

from __future__ import annotations

import argparse
import inspect
import re
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

if TYPE_CHECKING:
    from sbgm.guard import ArgumentError

CUSTOMARY = {"--lr": "--learning-rate", "--epochs": "--steps", "--num-samples": "-n", "--image-size": "--size"}
Device = Annotated[str | None, "where to compute, such as cpu or cuda:1 (the GPU if there is one)"]


class Parser(argparse.ArgumentParser):
    """A parser that suggests a near name for a mistyped one."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and exit."""
        wrong = re.search(r"(?:invalid choice|unrecognized arguments): (\S+)", message)
        if wrong is not None:
            from sbgm.guard import did_you_mean

            word = wrong[1].strip("'")
            choices = re.findall(r"[\w-]+", message.partition("(choose from ")[2]) or self._option_string_actions
            if CUSTOMARY.get(word) in choices:
                word = CUSTOMARY[word]
            message += did_you_mean(word, choices)
        super().error(message)


def add_options(
    parser: argparse.ArgumentParser,
    function: Callable[..., Any],
    *,
    leave_out: Collection[str] = (),
    groups: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> None:
    """Declare the options of a dataclass, or of a function, in their order.

    Args:
        parser: gets the options.
        function: its parameters are annotated, by `Annotated[type, …, "meaning"]`.
        leave_out: parameters that are no options.
        groups: the titles of groups in the help, each by the name of its first option.
        defaults: in words, where they are not the parameter's.
    """
    kinds = typing.get_type_hints(function)
    hints = typing.get_type_hints(function, include_extras=True)
    group: argparse._ActionsContainer = parser
    for name, parameter in inspect.signature(function).parameters.items():
        if name in leave_out:
            continue
        if groups and name in groups:
            group = parser.add_argument_group(groups[name])
        kind = kinds[name]
        if type(None) in typing.get_args(kind):  # of `X | None`
            kind = typing.get_args(kind)[0]
        meaning = hints[name].__metadata__[-1]
        default = (defaults or {}).get(name, parameter.default)
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
            group.add_argument(name, **settings)
        else:
            group.add_argument(flag_of(name), dest=name, required=is_needed, **settings)


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


def name_or_folder(*names: str) -> Callable[[str, str], None]:
    """State in an annotation that a value must be one of these names, such as of data sets, or a folder's path."""

    def check(value: str, name: str) -> None:
        from sbgm.guard import ArgumentError, did_you_mean

        if value not in names and not Path(value).exists():
            near = did_you_mean(value, names)
            raise ArgumentError(name, f"be one of {', '.join(names)}, or a folder", f"{value!r}{near}")

    return check
