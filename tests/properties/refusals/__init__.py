"""Every public function's arguments, and the values that each must refuse, by the part of `sbgm` they belong to."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable

from hypothesis import strategies as st

FLAG = "a flag: anything is true or false"
TEXT = "for the result's text"
DEVICE = "torch names the devices that it knows"
FACTS = "anything that JSON can hold"
PATH = "a path: the system says what is wrong with it"


class Spy:
    """A callable that counts its calls."""

    def __init__(self, function: Callable) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments: object) -> object:
        """What the function gives."""
        self.calls += 1
        return self.function(*arguments)


def of(**arguments: object) -> Callable[[], dict[str, object]]:
    """Arguments that no call changes."""
    return lambda: dict(arguments)


@dataclasses.dataclass(frozen=True, repr=False)
class Refusal:
    """A function, arguments that it takes, and for each parameter what it must refuse.

    Attributes:
        function: public function, class, or bound method.
        good: makes arguments by name that are taken.
        bad: strategies of values that must be refused, by parameter.
        free: parameters that take anything, and why.
        call: called in place of the function, where its parameters can't be given by name.
    """

    function: Callable
    good: Callable[[], dict[str, object]]
    bad: dict[str, st.SearchStrategy]
    free: dict[str, str] = dataclasses.field(default_factory=dict)
    call: Callable | None = None

    def __repr__(self) -> str:
        return f"Refusal of {self.name}"

    @property
    def name(self) -> str:
        return self.function.__qualname__.removesuffix(".forward")

    def run(self, arguments: dict[str, object]) -> object:
        """Call it."""
        return (self.call or self.function)(**arguments)

    def unnamed(self) -> set[str]:
        """The parameters that neither `bad` nor `free` speaks of."""
        return set(inspect.signature(self.function).parameters) - self.bad.keys() - self.free.keys()
