"""Right and wrong answers to every exercise: what the checks of `sbgm.course.checks` are proven on.

`right` holds at least three differently written answers, `wrong` at least six plausible mistakes; to these are added
the mistakes that any function can make (`careless`).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable

import torch

Function = Callable[..., object]


@dataclasses.dataclass(frozen=True)
class Answers:
    """Answers to one exercise, by a few words that say how they are written, or what is wrong with them."""

    right: dict[str, Function]
    wrong: dict[str, Function]
    takes_tensors: bool = True

    def all_wrong(self) -> dict[str, Function]:
        """The exercise's own mistakes and those that any function can make."""
        mistakes = careless(next(iter(self.right.values())))
        if not self.takes_tensors:
            del mistakes["argument changed in place"]
        return self.wrong | mistakes


def careless(right: Function) -> dict[str, Function]:
    """Mistakes made of a right answer: constant 0, no return, an argument changed in place, the global seed set."""

    @functools.wraps(right)
    def zero(*arguments):
        result = right(*arguments)
        if isinstance(result, tuple | list):
            return tuple(torch.zeros_like(torch.as_tensor(r)) for r in result)
        return result * 0

    @functools.wraps(right)
    def nothing(*arguments):
        right(*arguments)

    @functools.wraps(right)
    def in_place(*arguments):
        result = right(*arguments)
        tensor = next(a for a in arguments if isinstance(a, torch.Tensor))
        with torch.no_grad():
            tensor.add_(1)
        return result

    @functools.wraps(right)
    def reseeding(*arguments):
        torch.manual_seed(0)
        return right(*arguments)

    return {
        "constant 0": zero,
        "no return": nothing,
        "argument changed in place": in_place,
        "global seed set": reseeding,
    }


def all_answers() -> dict[str, Answers]:
    """The answers to every exercise, by its name."""
    found: dict[str, Answers] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        found |= importlib.import_module(f"{__name__}.{module}").ANSWERS
    return found
