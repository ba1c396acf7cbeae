"""Arguments checked by their annotations, before work starts.

    @checked
    def langevin(score: Score, x: Batch, *, step_size: Positive, …) -> Iterator[State]: …

looks at every argument when `langevin` is called, also where `langevin` is a generator function, and passes on what it
was called with: where the function needs a list of floats of a `Ladder`, it calls `as_list`. An annotation knows its
own argument alone; how two of them must fit, such as σ and x, the function checks itself, by `require_sigma`. The
annotations below are ordinary types to an editor; beside them a `Literal[…]` admits its values alone, and `… | None`
admits None. A message names the argument, says what it must be, and shows what it was.

A parameter that none of them fits has its own check in `Annotated`:

    >>> from typing import Annotated
    >>> from sbgm.guard import checked, count_from, one_of
    >>> @checked
    ... def load(name: Annotated[str, one_of(["mnist", "digits"])], n: Annotated[int, count_from(2)]) -> None: ...
    >>> load("minst", 2)
    Traceback (most recent call last):
    sbgm.guard.ArgumentError: name must be one of 'mnist', 'digits', got 'minst'; did you mean 'mnist'?
    >>> load("mnist", 1)
    Traceback (most recent call last):
    sbgm.guard.ArgumentError: n must be at least 2, got 1

The functions whose names begin with `require_` return the value that they looked at. They serve where a value is not
an argument, or must fit another one.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import itertools
import math
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy
import torch
from torch import Tensor, nn

__all__ = ["checked"]

F = TypeVar("F", bound=Callable)
Check = Callable[[Any, str], object]  # of a value and its argument's name; raises


class ArgumentError(ValueError):
    """An argument that is not what it must be.

    Attributes:
        name: the argument's.
        must: what it must be, in words that follow "must".
        got: what it was, None where `must` says so.

    Example:
        >>> error = sbgm.guard.ArgumentError("n", "be at least 2", 1)
        >>> str(error), error.name
        ('n must be at least 2, got 1', 'n')
    """

    def __init__(self, name: str, must: str, got: object = None) -> None:
        super().__init__(name, must, got)
        self.name = name
        self.must = must
        self.got = got

    def __str__(self) -> str:
        return f"{self.name} must {self.must}" + ("" if self.got is None else f", got {self.got}")


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument of another type than it must be."""


def checked(function: F) -> F:
    """Check each argument of a function by the annotation of its parameter, whenever it is called.

    Above a class it checks the arguments of its construction, a dataclass's fields among them. It stands above all
    other decorators.

    Example:
        >>> from sbgm.guard import Positive, checked
        >>> @checked
        ... def half(sigma: Positive):
        ...     return sigma / 2
        >>> half(3)
        1.5
        >>> half(-3)
        Traceback (most recent call last):
        sbgm.guard.ArgumentError: sigma must be finite and positive, got -3.0
    """
    if inspect.isclass(function):
        function.__init__ = checked(function.__init__)
        return function  # pyright: ignore[reportReturnType]
    signature = inspect.signature(function)

    @functools.cache
    def checks() -> dict[str, Check]:  # made at the first call, when the annotations' names are all defined
        hints = typing.get_type_hints(function, include_extras=True)
        return {name: check for name, hint in hints.items() if (check := _check_of(hint))}

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            values = signature.bind(*arguments, **options).arguments
        except TypeError:
            _refuse_without_generator(signature, arguments, options)
            return inspect.unwrap(function)(*arguments, **options)  # raises it in Python's own words
        for name, value in values.items():
            if name in checks():
                checks()[name](value, name)
        return function(*arguments, **options)

    return call  # pyright: ignore[reportReturnType]


def _refuse_without_generator(signature: inspect.Signature, arguments: tuple, options: dict[str, Any]) -> None:
    """Raise, for a call that does not fit a signature, if all that it lacks is the generator."""
    try:
        signature.bind(*arguments, **options, generator=None)
    except TypeError:
        return
    raise ArgumentTypeError("generator", "be passed, such as generator=torch.Generator().manual_seed(0)")


def _check_of(hint: Any) -> Check | None:
    """The check that an annotation states, or None."""
    parts = typing.get_args(hint)
    if hint is bool:
        return instance_of((bool, numpy.bool_), "True or False")  # "False", None and NaN would count as one of them
    if hasattr(hint, "__metadata__"):
        notes = [note for note in hint.__metadata__ if callable(note)]  # text says what an argument means
        return notes[0] if notes else _check_of(hint.__origin__)
    if typing.get_origin(hint) is Literal:
        return one_of(parts)
    if types.NoneType in parts:  # `X | None`
        check = _check_of(parts[0])
        if check is not None:
            return lambda value, name: value is None or check(value, name)
    return None


def instance_of(kind: Any, words: str) -> Check:
    """State in an annotation, `Annotated[nn.Module, instance_of(nn.Module, "a torch.nn.Module")]`, what it must be.

    The argument's name stands in the message for "{name}" in the words.
    """

    def check(value: Any, name: str) -> None:
        if not isinstance(value, kind):
            raise ArgumentTypeError(name, f"be {words.format(name=name)}", type(value).__name__)

    return check


# --- numbers ---------------------------------------------------------------------------------------------------------


def require_number(value: Any, name: str) -> float:
    """Return `value` as a float if it is a real number, NaN and infinity among them; raise otherwise."""
    if isinstance(value, Tensor) and value.numel() == 1:  # a level of a ladder is one
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentTypeError(name, "be a number", repr(value))
    return float(value)


def number_that(words: str, holds: Callable[[float], bool]) -> Check:
    """State in an annotation what a number must be: in words that follow "must", and by a test of it."""

    def check(value: Any, name: str) -> None:
        number = require_number(value, name)
        if not holds(number):
            raise ArgumentError(name, words, number)

    return check


def at_least(least: float) -> Check:
    """State in an annotation, `Annotated[float, at_least(1)]`, that a number must be finite and ≥ `least`."""
    return number_that(f"be finite and at least {least:g}", lambda value: least <= value < math.inf)


def count_from(least: int) -> Check:
    """State in an annotation, `Annotated[int, count_from(2)]`, that a whole number must be ≥ `least`."""

    def check(value: Any, name: str) -> None:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise ArgumentTypeError(name, "be a whole number", repr(value))
        if value < least:
            raise ArgumentError(name, f"be at least {least}", value)

    return check


Number = Annotated[float, require_number]  # may be NaN or infinite
Positive = Annotated[float, number_that("be finite and positive", lambda value: 0 < value < math.inf)]
NonNegative = Annotated[float, at_least(0)]
Fraction = Annotated[float, number_that("be in (0, 1)", lambda value: 0 < value < 1)]
Count = Annotated[int, count_from(1)]
Whole = Annotated[int, count_from(0)]
Shape = Annotated[Sequence[int], instance_of(Sequence, "a sequence of whole numbers, such as (1, 28, 28)")]


# --- tensors ---------------------------------------------------------------------------------------------------------


def require_floats(x: Tensor, name: str = "x") -> Tensor:
    """Return `x` if it is a floating-point tensor, of any shape and with any values; raise otherwise."""
    instance_of(Tensor, "a torch.Tensor")(x, name)
    if not x.is_floating_point():
        raise TypeError(f"{name} must hold floats, got {x.dtype}; turn whole numbers into floats in [0, 1] first")
    return x


def require_finite(values: Tensor, name: str) -> Tensor:
    """Return `values` if it is a tensor of one or more finite real numbers, of any shape; raise otherwise."""
    instance_of(Tensor, "a torch.Tensor")(values, name)
    if values.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {values.dtype}")
    if values.numel() == 0:
        raise ValueError(f"{name} must hold at least one number, got shape {tuple(values.shape)}")
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name} must be finite, but it holds NaN or infinity")
    return values


def require_finite_floats(x: Tensor, name: str = "x") -> Tensor:
    """Return `x` if it is a finite floating-point tensor of any shape; raise otherwise."""
    return require_finite(require_floats(x, name), name)


def require_batch(x: Tensor, name: str = "x") -> Tensor:
    """Return `x` if it is a non-empty, finite, floating-point batch (B, *shape); raise otherwise."""
    if require_floats(x, name).ndim < 2:
        raise ValueError(f"{name} must be a batch of shape (B, *shape), got shape {tuple(x.shape)}")
    return require_finite(x, name)


def widened(x: Tensor) -> Tensor:
    """x in float32 if it is in half precision, in which sums overflow and some of torch's functions are missing.

    Points and scores keep their dtype throughout. Sums over their dimensions (losses, log-densities, distances), and
    what is measured of them, are in float32 at least.
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


Batch = Annotated[Tensor, require_batch]  # finite, (B, *shape)
Finite = Annotated[Tensor, require_finite]  # of any shape
FiniteFloats = Annotated[Tensor, require_finite_floats]  # of any shape


# --- noise levels ----------------------------------------------------------------------------------------------------

Levels = Tensor | Sequence[float]  # (L,): `as_list` makes a list of floats of it


def require_sigma(sigma: float | Tensor, x: Tensor, *, positive: bool = False, waits: bool = True) -> float | Tensor:
    """Return σ if it is a noise level of the batch x, a float or a (B,) tensor of finite numbers ≥ 0; raise otherwise.

    It comes back in a form that broadcasts against x, see `against`. With `positive` 0 is refused too. Without `waits`
    the values of a tensor on a GPU are not looked at: the host would wait for them at every call of a network.
    """
    if isinstance(sigma, Tensor):
        if sigma.shape not in ((), x.shape[:1]):
            each = f"one noise level an example, ({len(x)},)"
            raise ValueError(f"sigma must be a float or {each}, got shape {tuple(sigma.shape)}")
        if sigma.device.type != "cpu" and not waits:
            return against(sigma, x)
        # one wait for a GPU; and inside torch.func, torch 2.9 makes no list of a tensor
        smallest, largest = map(float, torch.stack(sigma.detach().aminmax()).cpu())
    else:
        smallest = largest = require_number(sigma, "sigma")
    if not 0 <= smallest <= largest < math.inf or (positive and smallest == 0):
        raise ValueError(f"sigma must be finite and {'positive' if positive else 'not negative'}, got {sigma}")
    return against(sigma, x)


def sigma_tensor(sigma: float | Tensor, x: Tensor) -> Tensor:
    """σ > 0 of the batch x, a float or (B,), as a tensor (1, …, 1) or (B, 1, …, 1), made on x's device.

    It is looked at as by `require_sigma` without `waits`.
    """
    sigma = require_sigma(sigma, x, positive=True, waits=False)
    return sigma if isinstance(sigma, Tensor) else x.new_full((1,) * x.ndim, sigma)


def against(sigma: float | Tensor, x: Tensor) -> float | Tensor:
    """σ, a float or (B,), in a form that broadcasts against x: a float, or a tensor of shape (B, 1, …, 1).

    A tensor without dimensions counts as a float, unless it wants a gradient: then it has the shape (1, 1, …, 1).
    """
    if isinstance(sigma, Tensor) and (sigma.ndim > 0 or sigma.requires_grad):
        return sigma.to(x).reshape(-1, *[1] * (x.ndim - 1))
    return float(sigma)


def as_list(sigmas: Levels) -> list[float]:
    """The levels of a ladder, a tensor or another sequence, as Python's floats."""
    return [float(sigma) for sigma in sigmas]


def _ladder(sigmas: Levels, name: str, *, least: int = 1) -> None:
    if not hasattr(sigmas, "__len__") or getattr(sigmas, "ndim", 1) != 1:
        raise TypeError(f"{name} must be a sequence of noise levels (L,), got {sigmas!r}")
    levels = [require_number(sigma, name) for sigma in sigmas]
    if len(levels) < least:
        raise ValueError(f"{name} must hold at least {least} of the noise levels σ_1 … σ_L, got {levels}")
    if not all(a > b for a, b in itertools.pairwise([math.inf, *levels, 0.0])):
        shown = ", ".join(f"{level:g}" for level in levels)
        raise ValueError(f"{name} must be finite, positive and strictly descending, σ_1 > … > σ_L, got [{shown}]")


Sigma = float | Tensor  # a noise level of a batch, or (B,) of them: `require_sigma(sigma, x)` in the body
Ladder = Annotated[Levels, _ladder]  # σ_1 > … > σ_L > 0: `as_list(sigmas)` in the body
LadderOfTwo = Annotated[Levels, functools.partial(_ladder, least=2)]


# --- functions, networks, generators, choices ------------------------------------------------------------------------


def function_of(arguments: str) -> Check:
    """State in an annotation, `Annotated[Callable[…], function_of("shape, generator")]`, that it must be callable."""
    return instance_of(Callable, f"a callable {{name}}({arguments})")


def one_of(choices: Iterable[object]) -> Check:
    """State in an annotation, `Annotated[str, one_of(NAMES)]`, that a value must be among `choices`."""
    admitted = tuple(choices)

    def check(value: object, name: str) -> None:
        if value not in admitted:
            listed = ", ".join(map(repr, admitted))
            raise ArgumentError(name, f"be one of {listed}", f"{value!r}{did_you_mean(value, admitted)}")

    return check


def did_you_mean(name: object, choices: Iterable[object]) -> str:
    """Return "; did you mean 'mnist'?" for a name that is nearly one of the choices, "" for any other."""
    by_lower = {word.lower(): word for word in choices if isinstance(word, str)}
    for near in difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.7):
        return f"; did you mean {by_lower[near]!r}?"
    return ""


def _score(score: Callable, name: str) -> None:
    function_of("x, sigma")(score, name)
    parameters = inspect.signature(score.forward if isinstance(score, nn.Module) else score)
    try:
        parameters.bind("x", "sigma")
    except TypeError:
        raise TypeError(
            f"{name} must be a callable {name}(x, sigma): x (B, *shape), sigma a float or a (B,) tensor, returning "
            f"x's shape; this one takes {parameters}"
        ) from None


Score = Annotated[Callable[[Tensor, float | Tensor], Tensor], _score]
LogProb = Annotated[Callable[[Tensor, float | Tensor], Tensor], function_of("x, sigma")]
FilePath = Path | str
Network = Annotated[nn.Module, instance_of(nn.Module, "a torch.nn.Module")]
_generator = instance_of(torch.Generator, "a torch.Generator, such as torch.Generator().manual_seed(0)")
Generator = Annotated[torch.Generator, _generator]


def score_at(score: Score, x: Tensor, sigma: float | Tensor, name: str = "score") -> Tensor:
    """Return s(x, σ) in x's dtype if it is a real tensor of x's shape, and x and σ are as before; raise otherwise."""
    try:
        value = call_untouched(score, name, x, sigma)
    except RuntimeError as error:
        if torch.is_grad_enabled() or "does not require grad" not in str(error):
            raise
        must = "switch gradients on where it takes one, by torch.enable_grad(): samplers compute without them"
        raise RuntimeError(f"{name} must {must}") from error
    return require_score(value, x, name)


def call_untouched(function: Callable[..., Any], name: str, *arguments: Any) -> Any:
    """Return function(*arguments); raise where the function has changed one of these tensors in place.

    A sampler would go on from the changed points, and its numbers would be wrong without a word.
    """
    tensors = [argument.detach() for argument in arguments if isinstance(argument, Tensor)]
    # values, since torch's count of changes misses those that are made through `x.data` or `x.numpy()`
    before = [tensor.clone() for tensor in tensors]
    value = function(*arguments)
    if not all(map(torch.equal, tensors, before)):
        raise ValueError(f"{name} must leave its arguments as they are: change a copy, such as x.clone()")
    return value


def require_score(value: Tensor, x: Tensor, name: str = "score") -> Tensor:
    """Return what a score gave for `x`, in x's dtype, if it is a tensor of floats, of x's shape; raise otherwise.

    No value is looked at.
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must return a torch.Tensor of floats, got {kind}")
    if value.shape != x.shape:
        raise ValueError(f"{name} must return x's shape, {tuple(x.shape)}, got {tuple(value.shape)}")
    return value.to(x.dtype)  # by a score in double precision the chains would become so, too
