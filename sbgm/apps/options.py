"""Options of a command line, made from the signature of the function that they call.

A parameter without a default is a positional argument, or a required flag if it is keyword-only. A parameter that is a
dataclass stands for the options of all its fields. An annotation such as `Annotated[Count, "images to draw"]` says what
an option means, and refuses a value as `sbgm.guard` does.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

Check = Callable[[Any, str], None]
NO_DEFAULT = inspect.Parameter.empty


class Parser(argparse.ArgumentParser):
    """A parser that suggests a near name for a mistyped one."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and exit."""
        match = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        if match is not None:
            from sbgm.guard import did_you_mean

            message += did_you_mean(match[1], re.findall(r"[\w-]+", match[2]))
        super().error(message)


def add_options(parser: argparse.ArgumentParser, function: Callable[..., Any], leave_out: Sequence[str] = ()) -> None:
    """Declare the options of a function, or of a dataclass, in the order of its parameters.

    Args:
        parser: gets the options.
        function: its parameters are annotated.
        leave_out: parameters that are no options.
    """
    annotations = typing.get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        annotation = annotations[parameter.name]
        is_group = dataclasses.is_dataclass(annotation)
        if parameter.name in leave_out:
            continue
        if is_group:
            add_options(parser, annotations[parameter.name])
        else:
            _add_option(parser, parameter, annotation)


def _add_option(parser: argparse.ArgumentParser, parameter: inspect.Parameter, annotation: Any) -> None:
    kind, checks, meaning = _parts(annotation)
    flag = flag_of(parameter.name)
    if kind is bool:
        parser.add_argument(flag, action="store_true", help=meaning)
        return
    settings: dict[str, Any] = {"help": meaning}
    if typing.get_origin(kind) is list:
        (kind,) = typing.get_args(kind)
        settings["nargs"] = "+"
    if typing.get_origin(kind) is Literal:
        settings["choices"] = typing.get_args(kind)
    else:
        settings["type"] = value_of(kind, *checks)
        settings["metavar"] = {int: "N", float: "X", Path: "PATH"}.get(kind, "NAME")
    if parameter.default is not NO_DEFAULT:
        if parameter.default is not None:
            settings["help"] = f"{meaning} ({parameter.default})"
        parser.add_argument(flag, default=parameter.default, **settings)
    elif parameter.kind is parameter.KEYWORD_ONLY:
        parser.add_argument(flag, required=True, **settings)
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
    annotations = typing.get_type_hints(function, include_extras=True)
    for name in inspect.signature(function).parameters:
        is_group = dataclasses.is_dataclass(annotations[name])
        if is_group:
            arguments[name] = call(annotations[name], options)
        elif name not in arguments:
            arguments[name] = getattr(options, name)
    return (instead or function)(**arguments)


def in_flags(message: str, parser: argparse.ArgumentParser) -> str:
    """A message in which the argument that it begins with has the name of the option that gives it.

    "step_size must be …" from the library is "--step-size must be …" on the command line.
    """
    name, must, rest = message.partition(" must ")
    for action in parser._actions:
        if must and action.dest == name:
            name = action.option_strings[-1] if action.option_strings else name.upper()
    return f"{name}{must}{rest}"


def flag_of(name: str) -> str:
    """The flag of a parameter: -n, --n-steps."""
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


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


def name_or_path(*names: str) -> Check:
    """State in an annotation that a value must be one of these names, such as of data sets, or a folder or a file."""

    def check(value: str, name: str) -> None:
        from sbgm.guard import did_you_mean

        if value not in names and not Path(value).exists():
            near = did_you_mean(value, names)
            raise ValueError(f"{name} must be one of {', '.join(names)}, or a folder, got {value!r}{near}")

    return check


def _parts(annotation: Any) -> tuple[Any, list[Check], str]:
    """The type, the checks and the meaning in an annotation; `X | None` is read as `X`."""
    if typing.get_origin(annotation) is Annotated:
        inner, *notes = typing.get_args(annotation)
        kind, checks, meaning = _parts(inner)
        checks += [note for note in notes if not isinstance(note, str)]
        return kind, checks, next((note for note in notes if isinstance(note, str)), meaning)
    alternatives = typing.get_args(annotation)
    if type(None) in alternatives:
        (annotation,) = (kind for kind in alternatives if kind is not type(None))
        return _parts(annotation)
    return annotation, [], ""
