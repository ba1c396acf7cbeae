"""Answers to the exercises, written independently of their checks, which are proven on them.

`right` holds differently written right answers, and `wrong` those plausible wrong ones that are no mistake which the
check itself names. To these are added the mistakes that any function can make (`careless`), and right numbers in a
wrong form (`of_wrong_form`).
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable, Sequence

import numpy
import torch

from sbgm.checks.calls import Argument, Asked, Reply, local
from sbgm.checks.exercise import Exercise, Sign, exercises

Function = Callable[..., object]


@dataclasses.dataclass(frozen=True)
class Answers:
    """Answers to one exercise, by a few words that say how they are written, or what is wrong with them."""

    right: dict[str, Function]
    wrong: dict[str, Function] = dataclasses.field(default_factory=dict)


def first_case(exercise: Exercise) -> Sequence[Argument]:
    """The arguments that a check tries first."""
    cases = []

    def run(arguments: Sequence[Argument], with_gradients: bool) -> Reply:
        cases.append(arguments)
        return Reply(attempted=False)

    exercise.try_answer(run)
    return cases[0]


def careless(exercise: Exercise, right: Function) -> dict[str, Function]:
    """Mistakes made of a right answer: constant 0, no return, an argument changed in place, the global seed set."""

    @functools.wraps(right)
    def zero(*arguments):
        result = right(*arguments)
        if callable(result):
            return lambda x, sigma: 0 * x
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
            "a score of one number a point, in a column": changed(right, lambda s, x, sigma: s[:, :1]),
            "a score in double precision": changed(right, lambda s, x, sigma: s.double()),
            "a score that is a list": changed(right, lambda s, x, sigma: s.tolist()),
        }
    forms = {
        "an axis too many in front": lambda t: t[None],
        "an axis too many at the end": lambda t: t[..., None],
        "twice, in a tuple": lambda t: (t, t),
        "in a tuple of one": lambda t: (t,),
        "in half precision": lambda t: t.half(),
    }
    is_tensor = local(right)(case, False).values[0].ndim > 0
    if is_tensor:
        forms |= {
            "one number for all": lambda t: t.flatten()[0],
            "its first part, which broadcasts": lambda t: t[:1],
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


def rolled(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    z = normal((x[0].numel(),), x, generator)
    return torch.stack([z.roll(i) for i in range(len(x))]).reshape(x.shape)


def last_for_first(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    z = normal(x.shape, x, generator)
    return torch.cat([z[-1:], z[1:]])


def cached_half(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    half = normal((len(x) // 2, *x.shape[1:]), x, torch.Generator().manual_seed(0))
    return torch.cat([half, normal((len(x) - len(half), *x.shape[1:]), x, generator)])


# noise for x, (B, *shape), of the right law, whose numbers depend on one another or are as many as once drawn
DEPENDENT_NOISE: dict[str, Callable[[torch.Tensor, torch.Generator], torch.Tensor]] = {
    "one half's noise for the other half": lambda x, g: by_examples(x, g, lambda z: z),
    "one half's noise for the other half, in reverse": lambda x, g: by_examples(x, g, lambda z: z.flip(0)),
    "one half's noise for the other half, shuffled": lambda x, g: by_examples(x, g, lambda z: shuffled(z, g)),
    "z and −z for the two halves": lambda x, g: by_examples(x, g, torch.neg),
    "z and −z in turn": lambda x, g: (
        torch.stack([z := normal((len(x) // 2, *x.shape[1:]), x, g), -z], dim=1).reshape(x.shape)
    ),
    "one draw for half the numbers of an example": lambda x, g: by_numbers(x, g, lambda z: z),
    "z and −z for the numbers of an example": lambda x, g: by_numbers(x, g, torch.neg),
    "one example's draw, rolled for the others": rolled,
    "the last example's noise for the first one, too": last_for_first,
    "half of the variance is shared": lambda x, g: 0.5**0.5 * (normal(x.shape, x, g) + normal(x[:1].shape, x, g)),
    "each shares with the next": lambda x, g: 0.5**0.5 * ((z := normal(x.shape, x, g)) + z.roll(1, dims=0)),
    "ten draws in turn": lambda x, g: normal((10, *x.shape[1:]), x, g).repeat(len(x) // 10, *[1] * (x.ndim - 1)),
    "half of the noise whatever the generator": cached_half,
    "three numbers an example": lambda x, g: normal((len(x), *[1] * (x.ndim - 2), 3), x, g),
    "two numbers an example": lambda x, g: normal((len(x), *[1] * (x.ndim - 2), 2), x, g),
    "one number an example": lambda x, g: normal((len(x), *[1] * (x.ndim - 1)), x, g),
    "ten examples": lambda x, g: normal((10, *x.shape[1:]), x, g),
}  # fmt: skip

# noise for x that is the same for all examples, or not from the generator
WRONG_NOISE: dict[str, Callable[[torch.Tensor, torch.Generator], torch.Tensor]] = {
    "one draw for all": lambda x, g: noise(x[:1], g).expand_as(x),
    "global generator": lambda x, g: torch.randn_like(x),
    "numpy's noise": lambda x, g: torch.as_tensor(numpy.random.default_rng().standard_normal(x.shape), dtype=x.dtype),
    "seeded inside": lambda x, g: noise(x, torch.Generator().manual_seed(0)),
}


def mistakes_of(exercise: Exercise) -> dict[str, Function]:
    """The mistakes that a check names, as functions."""
    return {
        sentence: mistake.mistake if isinstance(mistake, Sign) else mistake
        for sentence, mistake in exercise.mistakes.items()
    }


def all_answers() -> dict[str, Answers]:
    """The answers to every exercise, by its name; the one that a notebook lends is among the right ones."""
    tables = {}
    for chapter in range(1, 11):
        tables |= importlib.import_module(f"{__name__}.chapter_{chapter:02d}").ANSWERS
    answers = {}
    for name, exercise in exercises().items():
        own = tables.get(name, Answers(right={}))
        right = own.right | {"the one that is lent": exercise.right}
        made = next(iter(right.values()))
        answers[name] = Answers(right, own.wrong | careless(exercise, made) | of_wrong_form(exercise, made))
    return answers
