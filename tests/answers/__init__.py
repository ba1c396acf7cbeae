"""Answers to the exercises, written independently of their checks, which are proven on them.

In each chapter's table `RIGHT` holds right answers, and `WRONG`, by a few words, those plausible wrong ones that are no
mistake which the check itself names. To these are added the mistakes that any function can make (`careless`), and right
numbers in a wrong form (`of_wrong_form`); numbers need not be right there, and `RIGHT_FORM` may hold a quicker answer.
"""

import dataclasses
import functools
import importlib
import math
from collections.abc import Callable, Mapping, Sequence

import numpy
import pytest
import torch

from sbgm_course.calls import Argument, Asked, call
from sbgm_course.exercise import NOT_TOLD, Exercise, Sign, Trial, exercises, mistakes_in

Function = Callable[..., object]


@dataclasses.dataclass(frozen=True)
class Answers:
    """Answers to one exercise, by a few words that say how they are written, or in what they are wrong."""

    right: dict[str, Function]
    wrong: dict[str, Function]


class Tried(Exception):
    """The arguments that a check tries."""


class FirstCase(Trial):
    """A trial that ends with its first call."""

    def answer(self, like: torch.Tensor, *arguments: Argument) -> torch.Tensor:
        raise Tried(*arguments)


def first_case(exercise: Exercise) -> Sequence[Argument]:
    """The arguments that a check tries first."""
    with pytest.raises(Tried) as tried:
        exercise._judge(exercise, FirstCase(exercise.right, 0))
    return tried.value.args


def careless(exercise: Exercise, right: Function) -> dict[str, Function]:
    """Mistakes made of a right answer: constant 0, no return, an argument changed in place, the global seed set."""

    @functools.wraps(right)
    def zero(*arguments):
        result = right(*arguments)
        if callable(result):
            return lambda x, sigma: 0 * x
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

    mistakes = {"constant 0": zero, "no return": nothing, "global seed set": reseeding}
    if any(isinstance(argument, torch.Tensor) for argument in first_case(exercise)):
        mistakes["argument changed in place"] = in_place
    return mistakes


def of_wrong_form(exercise: Exercise, right: Function) -> dict[str, Function]:
    """The right numbers in another shape, dtype or type than is asked for, where these matter."""
    case = first_case(exercise)

    def then(change: Callable[[torch.Tensor], object]) -> Function:
        return functools.wraps(right)(lambda *arguments: change(torch.as_tensor(right(*arguments)).detach()))

    if any(isinstance(argument, Asked) for argument in case):
        return {
            "a tensor for a score": functools.wraps(right)(lambda *arguments: torch.zeros(5, 2)),
            "in a tuple with something else": functools.wraps(right)(lambda *arguments: (right(*arguments), [1.0])),
            "a score of one number a point": changed(right, lambda s, x, sigma: s[:, 0]),
            "a score in double precision": changed(right, lambda s, x, sigma: s.double()),
            "a score that is a list": changed(right, lambda s, x, sigma: s.tolist()),
        }
    forms = {
        "an axis too many in front": lambda t: t[None],
        "twice, in a tuple": lambda t: (t, t),
        "in a tuple of one": lambda t: (t,),
        "in half precision": lambda t: t.half(),
    }
    is_tensor = call(right, case).values[0].ndim > 0
    if is_tensor:
        forms |= {
            "as a list": lambda t: t.tolist(),
        }
    if is_tensor and any(isinstance(argument, torch.Tensor) for argument in case):
        forms |= {
            "in another precision": lambda t: t.float() if t.dtype == torch.float64 else t.double(),
            "as a NumPy array": lambda t: t.numpy(),
        }
    return {how: then(change) for how, change in forms.items()}


def changed(right: Function, change: Callable[..., object]) -> Function:
    """An answer that returns a score, which returns `change(s, x, σ)` in place of s."""

    @functools.wraps(right)
    def answer(*arguments):
        score = right(*arguments)
        return lambda x, sigma: change(score(x, sigma), x, sigma)

    return answer


def with_noise(sampler: Function, draws: Mapping[str, Function]) -> dict[str, Function]:
    """Answers that draw as the sampler does, with each of these kinds of noise."""
    return {how: functools.partial(sampler, draw=draw) for how, draw in draws.items()}


def normal(shape: Sequence[int], x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=x.dtype)


def noise(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return normal(x.shape, x, generator)


def by_examples(x: torch.Tensor, generator: torch.Generator, arrange: Callable) -> torch.Tensor:
    """Noise of half as many examples, and what `arrange` makes of it for the others."""
    z = normal((len(x) // 2, *x.shape[1:]), x, generator)
    return torch.cat([z, arrange(z)])


def by_numbers(x: torch.Tensor, generator: torch.Generator, arrange: Callable) -> torch.Tensor:
    """Noise of half the numbers of each example, and what `arrange` makes of it for the others."""
    z = normal((len(x), x[0].numel() // 2), x, generator)
    return torch.cat([z, arrange(z)], dim=1).reshape(x.shape)


def shuffled(z: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return z.flatten()[torch.randperm(z.numel(), generator=generator)].reshape(z.shape)


def last_for_first(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    z = noise(x, generator)
    return torch.cat([z[-1:], z[1:]])


# noise for x, (B, *shape), of the right law, whose numbers depend on one another or are as many as once drawn
DEPENDENT_NOISE: dict[str, Callable[[torch.Tensor, torch.Generator], torch.Tensor]] = {
    "one half's noise for the other half": lambda x, g: by_examples(x, g, lambda z: z),
    "one half's noise for the other half, shuffled": lambda x, g: by_examples(x, g, lambda z: shuffled(z, g)),
    "z and −z for the two halves": lambda x, g: by_examples(x, g, torch.neg),
    "one draw for half the numbers of an example": lambda x, g: by_numbers(x, g, lambda z: z),
    "z and −z for the numbers of an example": lambda x, g: by_numbers(x, g, torch.neg),
    "the last example's noise for the first one, too": last_for_first,
    "half of the variance is shared": lambda x, g: 0.5**0.5 * (noise(x, g) + noise(x[:1], g)),
    "three numbers an example": lambda x, g: normal((len(x), *[1] * (x.ndim - 2), 3), x, g),
    "one number an example": lambda x, g: normal((len(x), *[1] * (x.ndim - 1)), x, g),
}

# noise for x that has another law, is the same for all examples, or is not from the generator
WRONG_NOISE: dict[str, Callable[[torch.Tensor, torch.Generator], torch.Tensor]] = {
    "a product": lambda x, g: noise(x, g) * noise(x, g),
    "uniform": lambda x, g: torch.rand(x.shape, generator=g, dtype=x.dtype),
    "one draw for all": lambda x, g: noise(x[:1], g).expand_as(x),
    "global generator": lambda x, g: torch.randn_like(x),
    "numpy's noise": lambda x, g: torch.as_tensor(numpy.random.default_rng().standard_normal(x.shape), dtype=x.dtype),
    "seeded inside": lambda x, g: noise(x, torch.Generator().manual_seed(0)),
}


def breaking(right: Function) -> dict[str, Function]:
    """Answers without numbers that could be drawn, made of a right answer."""

    def then(change: Callable[[torch.Tensor], object]) -> Function:
        def answer(*arguments):
            result = right(*arguments)
            if callable(result):
                return lambda x, sigma: change(result(x, sigma))
            return change(torch.as_tensor(result))

        return answer

    return {
        "raises": then(lambda t: t + undefined),  # noqa: F821
        "another shape": then(lambda t: t[None]),
        "diverges": then(lambda t: t * 10**9),
        "not finite": then(lambda t: t * math.nan if t.is_floating_point() else t - 10**9),
    }


# whose score is called without σ
NOT_TOLD_IS_RIGHT = ("langevin_step", "log_ratio")


def mistakes_of(exercise: Exercise) -> list[tuple[str, Function]]:
    """The mistakes that a check names, as functions, each after its sentence."""
    return [
        (sentence, mistake.mistake if isinstance(mistake, Sign) else mistake)
        for sentence, mistake in mistakes_in(exercise, first_case(exercise))
        if not (sentence == NOT_TOLD and exercise.name in NOT_TOLD_IS_RIGHT)
    ]


def all_answers() -> dict[str, Answers]:
    """The answers to every exercise, by its name; the one that a notebook lends is among the right ones."""
    answers = {}
    for name, exercise in exercises().items():
        table = importlib.import_module(f"{__name__}.chapter_{exercise.chapter:02d}")
        right = [*table.RIGHT.get(name, ()), exercise.right]
        of_right_form = getattr(table, "RIGHT_FORM", {}).get(name, right[0])
        wrong = table.WRONG.get(name, {}) | careless(exercise, right[0]) | of_wrong_form(exercise, of_right_form)
        answers[name] = Answers({function.__name__: function for function in right}, wrong)
    return answers
