"""Arguments checked by their annotations, before work starts.

    @checked
    def langevin(score: Score, x: Batch, *, step_size: Positive, …) -> Iterator[State]: …

looks at every argument when `langevin` is called, also where `langevin` is a generator function, and passes on what was
given: where the function needs a list of floats of a `Ladder`, it calls `as_list`. An annotation knows its own argument
alone; how two of them must fit, such as σ and x, the function checks itself, by `require_sigma`. The annotations below
are ordinary types to an editor; beside them a `Literal[…]` admits its values alone, and `… | None` admits None. A
message names the argument, says what it must be, and shows what it was.

Values are looked at once, where a loss, sampler or training starts. A loop that calls a checked function at every step
calls `unchecked(function)`, since on a GPU each look at a value is a wait; nor does a network look at any there.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import itertools
import math
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, overload

import torch
from torch import Tensor, nn

__all__ = [
    "Batch",
    "Count",
    "FilePath",
    "Finite",
    "Fraction",
    "Generator",
    "Ladder",
    "LadderOfTwo",
    "LogProb",
    "Network",
    "NonNegative",
    "Number",
    "Positive",
    "Score",
    "Shape",
    "Sigma",
    "Whole",
    "against",
    "as_list",
    "at_least",
    "checked",
    "count_from",
    "function_of",
    "instance_of",
    "number_that",
    "one_of",
    "require_batch",
    "require_finite",
    "require_floats",
    "require_generator",
    "require_number",
    "require_real",
    "require_score",
    "require_sigma",
    "sigma_tensor",
    "unchecked",
    "widened",
]

P = ParamSpec("P")  # one a line, for type checkers
R = TypeVar("R")
T = TypeVar("T")
Check = Callable[[Any, str], object]  # of a value and its argument's name; raises


@overload
def checked(function: type[T]) -> type[T]: ...
@overload
def checked(function: Callable[P, R]) -> Callable[P, R]: ...
def checked(function: Any) -> Any:
    """Check each argument of a function by the annotation of its parameter, whenever it is called.

    Above a class it checks the arguments of its construction, a dataclass's fields among them.

    Example:
        >>> from sbgm.checked import Positive, checked
        >>> @checked
        ... def half(sigma: Positive):
        ...     return sigma / 2
        >>> half(3)
        1.5
        >>> half(-3)
        Traceback (most recent call last):
        ValueError: sigma must be finite and positive, got -3.0
    """
    if inspect.isclass(function):
        function.__init__ = checked(function.__init__)
        return function
    signature = inspect.signature(function)

    @functools.cache
    def checks() -> dict[str, Check]:  # at the first call, when all names of the module are known
        hints = typing.get_type_hints(function, include_extras=True)
        return {name: check for name, hint in hints.items() if (check := _check_of(hint)) and name != "return"}

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            given = signature.bind(*arguments, **options)
        except TypeError:
            return inspect.unwrap(function)(*arguments, **options)  # raises it in Python's own words
        for name, check in checks().items():
            if name in given.arguments:
                several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
                for value in given.arguments[name] if several else (given.arguments[name],):
                    check(value, name)
        return function(*arguments, **options)

    call.unchecked = function  # pyright: ignore[reportAttributeAccessIssue]
    return call


def unchecked(function: Callable[P, R]) -> Callable[P, R]:
    """Return what `@checked` was put above, for loops whose arguments were looked at before they started.

    A function that has another decorator above `@checked` comes back as it is: nothing else is ever taken off.

    Example:
        >>> from sbgm.checked import unchecked
        >>> unchecked(sbgm.theory.step_size_of)(-1.0)  # where step_size_of(-1.0) raises
        -2.0
    """
    below = getattr(function, "__wrapped__", None)  # another decorator copies what `checked` noted, but not this
    return below if below is not None and below is getattr(function, "unchecked", None) else function


def _check_of(hint: Any) -> Check | None:
    """The check that an annotation states, or None."""
    if hasattr(hint, "__metadata__"):
        return next(filter(callable, hint.__metadata__), None)
    if typing.get_origin(hint) is Literal:
        return one_of(typing.get_args(hint))
    if typing.get_origin(hint) in (typing.Union, types.UnionType) and types.NoneType in typing.get_args(hint):
        inner = next(filter(None, map(_check_of, typing.get_args(hint))), None)
        return inner and (lambda value, name: None if value is None else inner(value, name))
    return None


def instance_of(kind: Any, words: str) -> Check:
    """State in an annotation, `Annotated[nn.Module, instance_of(nn.Module, "a torch.nn.Module")]`, what it must be.

    The argument's name stands in the message for "{name}" in the words.

    Example:
        >>> from sbgm.checked import instance_of
        >>> check = instance_of(torch.Tensor, "a torch.Tensor")
        >>> check([1.0, 2.0], "weights")
        Traceback (most recent call last):
        TypeError: weights must be a torch.Tensor, got list
    """

    def check(value: Any, name: str) -> None:
        """Raise unless `value` is of its kind."""
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be {words.format(name=name)}, got {type(value).__name__}")

    return check


# --- numbers ---------------------------------------------------------------------------------------------------------


def require_number(value: Any, name: str) -> float:
    """Return `value` as a float if it is a number, NaN and infinity among them; raise otherwise.

    Example:
        >>> from sbgm.checked import require_number
        >>> require_number(torch.tensor(0.5), "sigma")
        0.5
        >>> require_number("0.5", "sigma")
        Traceback (most recent call last):
        TypeError: sigma must be a number, got '0.5'
    """
    try:
        plain = value.item() if hasattr(value, "item") else value  # a tensor's or NumPy's as Python's own
        if not isinstance(plain, str | bytes | bool):  # float() takes these too
            return float(plain)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass
    raise TypeError(f"{name} must be a number, got {value!r}")


def number_that(words: str, holds: Callable[[Any], bool], read: Callable[[Any, str], Any] = require_number) -> Check:
    """State in an annotation what a number must be: in words that follow "must", and by a test of it.

    Example:
        >>> from sbgm.checked import number_that
        >>> number_that("exceed 1", lambda value: value > 1)(0.5, "ratio")
        Traceback (most recent call last):
        ValueError: ratio must exceed 1, got 0.5
    """

    def check(value: Any, name: str) -> None:
        number = read(value, name)
        if not holds(number):
            raise ValueError(f"{name} must {words}, got {number}")

    return check


def at_least(least: float) -> Check:
    """State in an annotation, `Annotated[float, at_least(1)]`, that a number must be finite and ≥ `least`.

    Example:
        >>> from sbgm.checked import at_least
        >>> at_least(1)(0.5, "ratio")
        Traceback (most recent call last):
        ValueError: ratio must be finite and at least 1, got 0.5
    """
    return number_that(f"be finite and at least {least:g}", lambda value: least <= value < math.inf)


def count_from(least: int) -> Check:
    """State in an annotation, `Annotated[int, count_from(2)]`, that a whole number must be ≥ `least`.

    Example:
        >>> from sbgm.checked import count_from
        >>> count_from(2)(1, "n_levels")
        Traceback (most recent call last):
        ValueError: n_levels must be at least 2, got 1
    """
    return number_that(f"be at least {least}", lambda value: value >= least, _whole)


def _whole(value: Any, name: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    return value


def _shape(shape: Sequence[int], name: str) -> None:
    if not isinstance(shape, Sequence) or not shape:
        raise TypeError(f"{name} must be a sequence of one or more whole numbers, got {shape!r}")
    for n in shape:
        count_from(1)(n, name)


Number = Annotated[float, require_number]  # may be NaN or infinite
Positive = Annotated[float, number_that("be finite and positive", lambda value: 0 < value < math.inf)]
NonNegative = Annotated[float, at_least(0)]
Fraction = Annotated[float, number_that("be in (0, 1)", lambda value: 0 < value < 1)]
Count = Annotated[int, count_from(1)]
Whole = Annotated[int, count_from(0)]
Shape = Annotated[Sequence[int], _shape]


# --- tensors ---------------------------------------------------------------------------------------------------------


def require_floats(x: Tensor, name: str = "x") -> Tensor:
    """Return `x` if it is a floating-point tensor, of any shape and with any values; raise otherwise.

    Example:
        >>> from sbgm.checked import require_floats
        >>> require_floats(torch.zeros(3)).dtype
        torch.float32
        >>> require_floats(torch.arange(3))
        Traceback (most recent call last):
        TypeError: x must hold floating-point numbers, got torch.int64; turn integer images into floats in [0, 1] first
    """
    instance_of(Tensor, "a torch.Tensor")(x, name)
    if not x.is_floating_point() or x.element_size() == 1:  # 8-bit floats
        raise TypeError(
            f"{name} must hold floating-point numbers, got {x.dtype}; turn integer images into floats in [0, 1] first"
        )
    return x


def require_batch(x: Tensor, name: str = "x") -> Tensor:
    """Return `x` if it is a non-empty, finite, floating-point batch (B, *shape); raise otherwise.

    Example:
        >>> from sbgm.checked import require_batch
        >>> require_batch(torch.zeros(4, 3)).shape
        torch.Size([4, 3])
        >>> require_batch(torch.zeros(3))
        Traceback (most recent call last):
        ValueError: x must be a batch of shape (B, *shape), got shape (3,)
    """
    if require_floats(x, name).ndim < 2:
        raise ValueError(f"{name} must be a batch of shape (B, *shape), got shape {tuple(x.shape)}")
    return require_finite(x, name)


def require_finite(values: Tensor, name: str) -> Tensor:
    """Return `values` if it is a tensor of one or more finite real numbers, of any shape; raise otherwise.

    Example:
        >>> from sbgm.checked import require_finite
        >>> require_finite(torch.tensor([1.0, float("nan")]), "mean")
        Traceback (most recent call last):
        ValueError: mean must be finite, but it holds NaN or infinity
    """
    require_real(values, name)
    if values.numel() == 0:
        raise ValueError(f"{name} must hold at least one number, got shape {tuple(values.shape)}")
    # NaN wins every max; several times faster than torch.isfinite
    if values.is_floating_point() and not math.isfinite(float(values.detach().abs().max())):
        raise ValueError(f"{name} must be finite, but it holds NaN or infinity")
    return values


def require_real(values: Tensor, name: str) -> Tensor:
    """Return `values` if it is a tensor of real numbers that one can look at, whatever they are; raise otherwise.

    Example:
        >>> from sbgm.checked import require_real
        >>> require_real(torch.zeros(3, device="meta"), "mean")
        Traceback (most recent call last):
        TypeError: mean must be a torch.Tensor of real numbers, got one of torch.float32, torch.strided, on meta
    """
    if (
        not isinstance(values, Tensor)
        or values.is_nested
        or values.is_meta
        or values.layout != torch.strided
        or values.is_complex()
        or values.is_quantized
        or (values.is_floating_point() and values.element_size() == 1)  # of 8-bit floats torch knows next to nothing
    ):
        found = type(values).__name__
        if isinstance(values, Tensor):
            found = f"one of {values.dtype}, {'nested' if values.is_nested else values.layout}, on {values.device}"
        raise TypeError(f"{name} must be a torch.Tensor of real numbers, got {found}")
    return values


def widened(x: Tensor) -> Tensor:
    """x in float32 if it is in half precision, in which sums overflow and some of torch's functions are missing.

    Points and scores keep their dtype throughout. Sums over their dimensions (losses, log-densities, distances), and
    what is measured of them, are in float32 at least.

    Example:
        >>> from sbgm.checked import widened
        >>> [widened(torch.zeros(3, dtype=dtype)).dtype for dtype in (torch.float16, torch.float64)]
        [torch.float32, torch.float64]
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


Batch = Annotated[Tensor, require_batch]  # finite, (B, *shape)
Finite = Annotated[Tensor, require_finite]  # of any shape


# --- noise levels ----------------------------------------------------------------------------------------------------

Levels = Tensor | Sequence[float]  # (L,): `as_list` makes a list of floats of it


def require_sigma(sigma: float | Tensor, x: Tensor, *, positive: bool = False, on_gpu: bool = False) -> float | Tensor:
    """Return σ if it is a noise level of the batch x, a float or a (B,) tensor of finite numbers ≥ 0; raise otherwise.

    It comes back in a form that broadcasts against x: a float, or a tensor of shape (B, 1, …, 1).

    Args:
        sigma, x: as above.
        positive: refuse 0 too.
        on_gpu: look at the numbers of a tensor even where that is a wait, as samplers and losses do once at the start.

    Example:
        >>> from sbgm.checked import require_sigma
        >>> x = torch.zeros(4, 3)
        >>> require_sigma(0.5, x), require_sigma(torch.ones(4), x).shape
        (0.5, torch.Size([4, 1]))
        >>> require_sigma(-0.5, x)
        Traceback (most recent call last):
        ValueError: sigma must be finite and not negative, got -0.5
    """
    if isinstance(sigma, Tensor) and sigma.ndim > 0:
        require_real(sigma, "sigma")
        if sigma.shape != x.shape[:1] or sigma.device != x.device:
            raise ValueError(
                f"sigma must be a float or a tensor of shape ({x.shape[0]},) on {x.device}, one noise level an "
                f"example, got shape {tuple(sigma.shape)} on {sigma.device}"
            )
        low, high = sigma.detach().aminmax() if on_gpu or sigma.device.type == "cpu" else (1.0, 1.0)
    else:
        low = high = require_number(sigma, "sigma")
    if not 0 <= float(low) <= float(high) < math.inf or (positive and low == 0):
        raise ValueError(f"sigma must be finite and {'positive' if positive else 'not negative'}, got {sigma}")
    return against(sigma, x)


def sigma_tensor(sigma: float | Tensor, x: Tensor) -> Tensor:
    """σ > 0 of the batch x, a float or (B,), as a tensor (1, …, 1) or (B, 1, …, 1), made on x's device.

    Example:
        >>> from sbgm.checked import sigma_tensor
        >>> sigma_tensor(0.5, torch.zeros(4, 3)), sigma_tensor(torch.ones(4), torch.zeros(4, 3)).shape
        (tensor([[0.5000]]), torch.Size([4, 1]))
    """
    sigma = require_sigma(sigma, x, positive=True)
    return sigma if isinstance(sigma, Tensor) else x.new_full((1,) * x.ndim, sigma)


def against(sigma: float | Tensor, x: Tensor) -> float | Tensor:
    """σ, a float or (B,), in a form that broadcasts against x: a float, or a tensor of shape (B, 1, …, 1).

    A tensor without dimensions counts as a float, unless it wants a gradient: then it has the shape (1, 1, …, 1).

    Example:
        >>> from sbgm.checked import against
        >>> against(torch.tensor([1.0, 2.0]), torch.zeros(2, 3)) * torch.ones(2, 3)
        tensor([[1., 1., 1.],
                [2., 2., 2.]])
    """
    if isinstance(sigma, Tensor) and (sigma.ndim > 0 or sigma.requires_grad):
        return sigma.to(x).reshape(-1, *[1] * (x.ndim - 1))
    return float(sigma)


def as_list(sigmas: Levels) -> list[float]:
    """The levels of a ladder, a tensor or another sequence, as Python's floats.

    Example:
        >>> from sbgm.checked import as_list
        >>> as_list(torch.tensor([2.0, 0.5])), as_list((2, 0.5))
        ([2.0, 0.5], [2.0, 0.5])
    """
    return [float(sigma) for sigma in (sigmas.tolist() if isinstance(sigmas, Tensor) else sigmas)]


def _ladder(sigmas: Levels, name: str, *, least: int = 1) -> None:
    values = require_real(sigmas, name).tolist() if isinstance(sigmas, Tensor) else sigmas
    if not isinstance(values, Collection) or isinstance(values, str):
        raise TypeError(f"{name} must be a sequence of noise levels (L,), got {sigmas!r}")
    levels = [require_number(s, name) for s in values]
    if len(levels) < least:
        raise ValueError(f"{name} must hold at least {least} of the noise levels σ_1 … σ_L, got {levels}")
    if not all(a > b for a, b in itertools.pairwise([math.inf, *levels, 0.0])):
        raise ValueError(f"{name} must be finite, positive and strictly descending, σ_1 > … > σ_L, got {levels}")


Sigma = float | Tensor  # a noise level of a batch, or (B,) of them: `require_sigma(sigma, x)` in the body
Ladder = Annotated[Levels, _ladder]  # σ_1 > … > σ_L > 0: `as_list(sigmas)` in the body
LadderOfTwo = Annotated[Levels, functools.partial(_ladder, least=2)]


# --- functions, networks, generators, choices ------------------------------------------------------------------------


def function_of(arguments: str) -> Check:
    """State in an annotation, `Annotated[Callable[…], function_of("shape, generator")]`, that it must be callable.

    Example:
        >>> from sbgm.checked import function_of
        >>> function_of("shape, generator")(0.5, "start")
        Traceback (most recent call last):
        TypeError: start must be a callable start(shape, generator), got float
    """
    return instance_of(Callable, f"a callable {{name}}({arguments})")


def one_of(choices: Iterable[object]) -> Check:
    """State in an annotation, `Annotated[str, one_of(NAMES)]`, that a value must be among `choices`.

    Example:
        >>> from sbgm.checked import one_of
        >>> one_of(["mnist", "digits"])("minst", "name")
        Traceback (most recent call last):
        ValueError: name must be one of 'mnist', 'digits', got 'minst'; did you mean 'mnist'?
    """
    known = tuple(choices)

    def check(value: object, name: str) -> None:
        if value not in known:
            near = did_you_mean(value, known)
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}{near}")

    return check


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return "; did you mean 'mnist'?" for a name that is nearly one of the known ones, "" for any other."""
    plain = {word.lower(): word for word in known if isinstance(word, str)}
    near = difflib.get_close_matches(name.lower(), plain, n=1, cutoff=0.7) if isinstance(name, str) else []
    return f"; did you mean {plain[near[0]]!r}?" if near else ""


def _score(score: Callable, name: str) -> None:
    function_of("x, sigma")(score, name)
    with contextlib.suppress(ValueError):  # of what is not written in Python nothing is known
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
FilePath = Annotated[Path | str, instance_of((str, os.PathLike), "a str or a pathlib.Path")]
Network = Annotated[nn.Module, instance_of(nn.Module, "a torch.nn.Module")]
require_generator = instance_of(torch.Generator, "a torch.Generator, such as torch.Generator().manual_seed(0)")
Generator = Annotated[torch.Generator, require_generator]


def require_score(value: Tensor, x: Tensor, name: str = "score") -> Tensor:
    """Return what a score gave for `x` if it has x's shape and device; raise otherwise. No value is looked at.

    Example:
        >>> from sbgm.checked import require_score
        >>> require_score(torch.zeros(4, 1), x=torch.zeros(4, 3))
        Traceback (most recent call last):
        ValueError: score must return x's shape, (4, 3), got (4, 1)
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must return a torch.Tensor, got {type(value).__name__}")
    if value.shape != x.shape:
        raise ValueError(f"{name} must return x's shape, {tuple(x.shape)}, got {tuple(value.shape)}")
    if value.device != x.device:
        raise ValueError(f"{name} must return a tensor on x's device, {x.device}, got {value.device}")
    return value
