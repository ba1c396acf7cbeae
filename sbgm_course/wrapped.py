"""A student's function as the cells below its exercise call it: where it fails ours goes on, and one line says so."""

import copy
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sbgm.plots import REFUSED_AS, NotDrawnError
from sbgm_course import calls

if TYPE_CHECKING:
    from sbgm_course.exercise import Exercise

FAR = 1e6  # no figure reaches as far


def wrapped(answer: calls.Function, exercise: "Exercise", *, refused: bool) -> calls.Function:
    """Wrap a student's function for the cells below, by a function that is the student's for `help`, `??`, `inspect`.

    From the call on in which it raises, or returns what has not the form of an answer, ours is called in its place; of
    a *refused* function also where it returns no finite number, or a loss without a gradient. Other numbers of a
    refused function, and those that it hands to a score or a network, are cut off at ±FAR, so that a figure shows them;
    a score that it returns is wrapped in its turn. It works on copies of its tensors.
    """
    failed = False

    @functools.wraps(answer)
    def function(*arguments: Any, **named: Any) -> Any:
        nonlocal failed
        if exercise.is_at_work:  # its check calls it, or it calls itself
            return answer(*arguments, **named)
        if failed:
            return exercise.right(*arguments, **named)
        exercise.is_at_work = True
        try:
            if refused:
                return _of_refused(answer, exercise, *arguments, **named)
            returned = answer(*arguments, **named)
            _require_form(returned, exercise, *arguments, **named)
            return returned
        except NotDrawnError:  # by the score of a slider
            raise
        except Exception as error:
            failed = True
            setattr(function, REFUSED_AS, "")  # ours is not
            exercise.say(f"{calls.problem_of(error)}. The cells below go on with ours")
            return exercise.right(*arguments, **named)
        finally:
            exercise.is_at_work = False

    setattr(function, REFUSED_AS, exercise.name if refused else "")
    return function


def _require_form(returned: Any, exercise: "Exercise", *arguments: Any, **named: Any) -> tuple[Tensor, Tensor] | None:
    """Return an answer, and a tensor like it, but nothing for a score; raise WrongAnswer where it is neither."""
    if exercise.like is None:
        return calls.require_score(returned)
    given = [*arguments, *named.values()]
    like = exercise.like(*arguments, **named)
    free = not any(isinstance(argument, Tensor) for argument in given)
    return calls.of_form(calls.as_tensors(returned, given), like, free=free), like


def _of_refused(answer: calls.Function, exercise: "Exercise", *arguments: Any, **named: Any) -> Any:
    """Call a refused function on copies, and cut off what it returns."""

    def cut_off(value: Any, least: float = -FAR, most: float = FAR) -> Any:
        if not isinstance(value, Tensor) or ((value >= least) & (value <= most)).all():
            return value
        exercise.say(f"its numbers are cut off at {least:,.0f} and {most:,.0f}; NaN counts as {most:,.0f}")
        return value.nan_to_num(most, most, least).clamp(least, most)

    def copied(argument: Any) -> Any:
        if callable(argument):
            return lambda *others, **named: argument(*map(cut_off, others), **named)
        return argument.clone() if isinstance(argument, Tensor) else argument

    ours: Callable[[], Any] = functools.partial(exercise.right, *arguments, **named)
    returned = answer(*map(copied, arguments), **{name: copied(argument) for name, argument in named.items()})
    form = _require_form(returned, exercise, *arguments, **named)
    if form is None:
        return wrapped(returned, _of_score(exercise, ours), refused=True)
    value, like = form
    calls.refuse(not value.isfinite().any(), "your function returned no finite number")
    if like.ndim == 0 and torch.is_grad_enabled() and not value.requires_grad:  # it may be a loss
        calls.refuse(ours().requires_grad, calls.CUT_OFF)
    cut = cut_off(value) if like.is_floating_point() else cut_off(value, 0, int(like.max()))
    return returned if cut is value else cut


def _of_score(exercise: "Exercise", ours: Callable[[], Any]) -> "Exercise":
    """The exercise of a score that a student's function has returned, beside the one that ours returns."""

    @functools.cache
    @torch.enable_grad()  # ours may be trained, where a student's only draws
    def our_score() -> Any:
        return ours()

    of_score = copy.copy(exercise)
    of_score.is_at_work = False
    of_score.like = calls.first_tensor
    of_score.right = lambda *arguments, **named: our_score()(*arguments, **named)
    return of_score
