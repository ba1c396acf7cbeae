"""What public functions refuse before they work: each kind of annotation once, and what a function looks at itself."""

import inspect
import re
import typing
from collections.abc import Callable, Iterator
from unittest.mock import Mock

import pytest
import torch

from arguments import BAD, FREE, FUNCTIONS, GOOD, call, good, parameters

SLOW = ("fid",)  # its good arguments take a minute
FLAGS = ("one_of.<locals>.check", "instance_of.<locals>.check")  # which differ in their words alone


def kinds(name: str) -> dict[str, object]:
    """The kind that each parameter's annotation states, by name: what looks at the value, if that is done."""
    function = FUNCTIONS[name].__init__ if inspect.isclass(FUNCTIONS[name]) else FUNCTIONS[name]
    hints = typing.get_type_hints(inspect.unwrap(function), include_extras=True) if is_checked(function) else {}
    return {parameter: kind for parameter, hint in hints.items() for kind in stated(hint)}


def is_checked(function: Callable) -> bool:
    """Whether `@checked` stands above it."""
    return hasattr(function, "unchecked")


def stated(hint: object) -> Iterator[object]:
    """The kind that a type states, or None."""
    if typing.get_origin(hint) is typing.Literal:
        yield FLAGS[0]
    for check in filter(callable, getattr(hint, "__metadata__", ())):
        name = getattr(check, "__qualname__", "")
        yield name if name in FLAGS else check
    if type(None) in typing.get_args(hint):
        yield from (kind for inner in typing.get_args(hint) for kind in stated(inner))


REFUSED = {stated for own in BAD for stated in [kinds(own.rpartition(".")[0]).get(own.rpartition(".")[2])]}


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in FREE and name not in SLOW])
def test_good_arguments_are_taken(name):
    call(name, good(name))


@pytest.mark.parametrize("own", BAD)
def test_bad_arguments_are_refused_by_name_before_work_starts(own):
    """Before any call, and before a random number is drawn."""
    name, _, parameter = own.rpartition(".")
    optional = parameters(name)[parameter].default is None and name != "NamedSampler"  # some need a step size
    for value in BAD[own]:
        if value is None and optional:
            continue
        arguments = good(name) | {parameter: value}
        generator = arguments.get("generator")
        state = generator.get_state() if isinstance(generator, torch.Generator) else None
        with pytest.raises((TypeError, ValueError), match=rf"\b{re.escape(parameter)}\b"):
            call(name, arguments)
        assert not any(value.called for value in arguments.values() if isinstance(value, Mock)), value
        assert state is None or torch.equal(generator.get_state(), state), value


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in FREE])
def test_every_parameter_states_a_kind_that_is_refused_once_or_is_looked_at_by_its_function(name):
    stated = kinds(name)
    for parameter in parameters(name):
        own = f"{name}.{parameter}"
        assert {own, parameter} & FREE.keys() or own in BAD or stated.get(parameter) in REFUSED - {None}, own


def test_no_entry_is_of_a_function_or_a_parameter_that_is_gone():
    names = {name for f in FUNCTIONS for p in parameters(f) for name in (f, p, f"{f}.{p}")}
    assert (BAD.keys() | FREE.keys() | GOOD.keys()) - names == set()
