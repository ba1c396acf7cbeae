"""Options of a command line, made from the signature of the function that they call.

A parameter without a default is a positional argument, or a required flag if it is keyword-only. A parameter that is a
dataclass stands for the options of all its fields, and `**changes: Annotated[Any, Settings]` for those fields of a
dataclass that the command line gives. An annotation such as `Annotated[Count, "images to draw"]` says what an option
means, and refuses a value as `sbgm.guard` does.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

Check = Callable[[Any, str], object]
Device = Annotated[str | None, "where to compute, such as cpu or cuda:1 (the GPU if there is one)"]


class Parser(argparse.ArgumentParser):
    """A parser that suggests a near name for a mistyped one."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and exit."""
        match = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        if match is not None:
            from sbgm.guard import did_you_mean

            message += did_you_mean(match[1], re.findall(r"[\w-]+", match[2]))
        match = re.search(r"unrecognized arguments: (\S+)", message)
        if match is not None:
            from sbgm.guard import did_you_mean

            message += did_you_mean(match[1], self._option_string_actions)
        super().error(message)


def add_options(
    parser: argparse._ActionsContainer, function: Callable[..., Any], leave_out: Collection[str] = (), **default: Any
) -> None:
    """Declare the options of a function, or of a dataclass, in the order of its parameters.

    Args:
        parser: gets the options.
        function: its parameters are annotated.
        leave_out: parameters that are no options.
        default: `default=argparse.SUPPRESS` leaves out of the namespace what the command line does not give.
    """
    parameters = inspect.signature(function).parameters
    for parameter, kind, checks, meaning in _parameters(function):
        if parameter.name in leave_out:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            add_options(parser, checks[0], parameters, default=argparse.SUPPRESS)
            continue
        if hasattr(kind, "__dataclass_fields__"):
            add_options(parser, kind)
            continue
        settings: dict[str, Any] = {"help": meaning}
        if typing.get_origin(kind) is list:
            (kind,) = typing.get_args(kind)
            settings["nargs"] = "+"
        if kind is bool:
            settings["action"] = argparse.BooleanOptionalAction
        elif typing.get_origin(kind) is Literal:
            settings["choices"] = typing.get_args(kind)
        else:
            settings["type"] = value_of(kind, *checks)
            settings["metavar"] = {int: "N", float: "X", Path: "PATH"}.get(kind, "NAME")
        if parameter.default is not parameter.empty:
            if parameter.default not in (None, False):
                settings["help"] = f"{meaning} ({parameter.default})"
            settings |= {"default": parameter.default, "dest": parameter.name} | default
            parser.add_argument(flag_of(parameter.name), **settings)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            settings["required"] = True
            parser.add_argument(flag_of(parameter.name), **settings)
        else:
            settings["metavar"] = parameter.name.upper()
            parser.add_argument(parameter.name, **settings)


def call(
    function: Callable[..., Any],
    options: argparse.Namespace,
    *,
    instead: Callable[..., Any] | None = None,
    **arguments: Any,
) -> Any:
    """Call a function with the options that `add_options` declared for it, and return what it returns.

    Args:
        function: has the parameters.
        options: as they were read.
        instead: called in its place, such as a function that measures by it and writes a record.
        arguments: of parameters that are no options.
    """
    for parameter, kind, checks, _ in _parameters(function):
        if parameter.kind is parameter.VAR_KEYWORD:
            fields = {field.name for field in dataclasses.fields(checks[0])}
            arguments |= {name: value for name, value in vars(options).items() if name in fields - arguments.keys()}
        elif hasattr(kind, "__dataclass_fields__"):
            arguments[parameter.name] = call(kind, options)
        elif parameter.name not in arguments:
            arguments[parameter.name] = getattr(options, parameter.name)
    return (instead or function)(**arguments)


def in_flags(message: str, parser: argparse.ArgumentParser) -> str:
    """A message in which the argument that it begins with has the name of the option that gives it.

    "step_size must be …" from the library is "--step-size must be …" on the command line.
    """
    name, must, rest = message.partition(" must ")
    for action in parser._actions:
        if must and action.dest == name:
            name = action.option_strings[0] if action.option_strings else name.upper()
    return f"{name}{must}{rest}"


def flag_of(name: str) -> str:
    """The flag of a parameter: -n, --n-steps, and --from of from_, which Python does not let end otherwise."""
    return f"-{name}" if len(name) == 1 else f"--{name.rstrip('_').replace('_', '-')}"


def value_of(kind: Callable[[str], Any], *checks: Check) -> Callable[[str], Any]:
    """Return what argparse reads a value by: refused as the checks of `sbgm.guard` refuse it."""

    def read(text: str) -> Any:
        value = kind(text)
        try:
            for check in checks:
                check(value, "it")
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return value

    read.__name__ = getattr(kind, "__name__", "value")  # by which argparse calls what is no number
    return read


def name_or_path(*names: str, path: str = "a folder") -> Check:
    """State in an annotation that a value must be one of these names, such as of data sets, or a path of something."""

    def check(value: str, name: str) -> None:
        from sbgm.guard import did_you_mean

        if value not in names and not Path(value).exists():
            near = did_you_mean(value, names)
            raise ValueError(f"{name} must be one of {', '.join(names)}, or {path}, got {value!r}{near}")

    return check


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[inspect.Parameter, Any, list[Any], str]]:
    """Each parameter with the type, the checks and the meaning in its annotation; `X | None` is read as `X`."""
    annotations = typing.get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        kind = annotations[parameter.name]
        notes: list[Any] = []
        while typing.get_origin(kind) is Annotated or type(None) in typing.get_args(kind):
            notes = [*getattr(kind, "__metadata__", ()), *notes]
            kind = typing.get_args(kind)[0]
        meanings = [note for note in notes if isinstance(note, str)]
        checks = [note for note in notes if not isinstance(note, str)]
        yield parameter, kind, checks, meanings[-1] if meanings else ""
