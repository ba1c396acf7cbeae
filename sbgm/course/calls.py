"""One call of a student's function, on copies of the arguments, and what came of it.

A call is made here, in the student's own kernel, or by the grader in another process; either way only arrays, numbers
and the names of fields go in, and only a `Reply` comes out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sbgm.checked import against
from sbgm.distributions import GaussianMixture

__all__ = [
    "Argument",
    "Field",
    "LogProbOf",
    "MixtureField",
    "Reply",
    "Runner",
    "Seed",
    "TanhField",
    "call",
    "local",
    "rebuilt",
]


class MixtureField(GaussianMixture):
    """A mixture of Gaussians that is called as its exact score, ∇ log q_σ(x)."""

    kind = "mixture"

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Weights, means and standard deviations, by name."""
        return vars(self)

    def __call__(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """∇ log q_σ(x), (B, D)."""
        return self.score(x, sigma)

    def parameters(self) -> list[Tensor]:
        """Return an empty list: a mixture has nothing to learn."""
        return []


class TanhField:
    """A small differentiable network, s(x, σ) = W₂ tanh(W₁ x + b)/(1 + σ), for x of any shape of D numbers.

    It is no gradient of any density, so that a trace taken wrongly shows; it depends on σ, so that a wrong σ shows.
    """

    kind = "tanh"

    def __init__(self, inner: Tensor, bias: Tensor, outer: Tensor) -> None:
        self.tensors = {"inner": inner, "bias": bias, "outer": outer}

    @classmethod
    def random(cls, dim: int, generator: torch.Generator, dtype: torch.dtype, hidden: int = 5) -> TanhField:
        """A field of `dim` dimensions with Gaussian weights."""
        shapes = {"inner": (dim, hidden), "bias": (hidden,), "outer": (hidden, dim)}
        tensors = {
            name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
            for name, shape in shapes.items()
        }
        return cls(**tensors)

    def __call__(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """s(x, σ), of x's shape."""
        hidden = torch.tanh(x.flatten(1) @ self.tensors["inner"] + self.tensors["bias"])
        s = (hidden @ self.tensors["outer"]).reshape(x.shape)
        return s / (1 + against(sigma, x))

    def parameters(self) -> list[Tensor]:
        """W₁, b and W₂."""
        return list(self.tensors.values())


Field = MixtureField | TanhField


def rebuilt(field: Field, *, requires_grad: bool = False) -> Field:
    """A copy on tensors of its own, whose gradients can be asked for."""
    tensors = {name: value.detach().clone().requires_grad_(requires_grad) for name, value in field.tensors.items()}
    return type(field)(**tensors)


@dataclasses.dataclass(frozen=True)
class Seed:
    """An argument that reaches the student's function as a `torch.Generator` with this seed."""

    value: int


@dataclasses.dataclass(frozen=True)
class LogProbOf:
    """An argument that reaches the student's function as the field's `log_prob`."""

    field: MixtureField


Argument = Tensor | Field | LogProbOf | Seed | float | int | str | Sequence[float]


@dataclasses.dataclass(frozen=True)
class Reply:
    """The outcome of one call of a student's function.

    Attributes:
        values: what it returned, as tensors; one of several for a tuple or list.
        gradients: of the sum of `values[0]` by the parameters of the fields among the arguments or, where there is no
            field, by the floating-point tensors; empty if none were asked for, or if the value depends on none.
        problem: what went wrong, as a sentence; empty if nothing did.
        attempted: whether there was anything to call: an untouched stub raises a bare NotImplementedError.
        changed: positions of the arguments that the function changed in place.
        reseeded: whether it set the global seed.
        drew: whether it drew from the global generator.
    """

    values: tuple[Tensor, ...] = ()
    gradients: tuple[Tensor, ...] = ()
    problem: str = ""
    attempted: bool = True
    changed: tuple[int, ...] = ()
    reseeded: bool = False
    drew: bool = False


Runner = Callable[[Sequence[Argument], bool], Reply]


def local(function: Callable[..., object]) -> Runner:
    """The runner that calls a function right here."""
    return lambda arguments, with_gradients: call(function, arguments, with_gradients)


def call(function: Callable[..., object], arguments: Sequence[Argument], with_gradients: bool) -> Reply:
    """Call `function` on copies of the arguments, and leave torch's global generator as it was."""
    by_tensors = with_gradients and not any(isinstance(a, Field) for a in arguments)
    given = [_prepared(argument, with_gradients, by_tensors) for argument in arguments]
    before = [argument.detach().clone() if isinstance(argument, Tensor) else None for argument in given]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(_UNLIKELY_SEED)
        state = torch.get_rng_state()
        try:
            returned = function(*given)
        except Exception as error:
            if isinstance(error, NotImplementedError) and not error.args:  # PyTorch's own come with a message
                return Reply(attempted=False)
            return Reply(problem=f"your function raised {type(error).__name__}: {error}")
        reseeded = torch.initial_seed() != _UNLIKELY_SEED
        drew = not torch.equal(state, torch.get_rng_state())
        values, problem = _as_tensors(returned)
        gradients: tuple[Tensor, ...] = ()
        if with_gradients and not problem:
            try:
                gradients = _gradients(values, given)
            except RuntimeError as error:
                problem = f"no gradient of what your function returned can be taken: {error}"
    changed = tuple(
        position
        for position, (argument, old) in enumerate(zip(given, before, strict=True))
        if old is not None and not torch.equal(argument.detach(), old)
    )
    return Reply(tuple(v.detach() for v in values), gradients, problem, True, changed, reseeded, drew)


_UNLIKELY_SEED = 0x5BD6_F00D


def _prepared(argument: Argument, by_parameters: bool, by_tensors: bool) -> object:
    match argument:
        case Seed(value):
            return torch.Generator().manual_seed(value)
        case LogProbOf(field):
            return rebuilt(field).log_prob
        case MixtureField() | TanhField():
            return rebuilt(argument, requires_grad=by_parameters)
        case Tensor():
            return argument.detach().clone().requires_grad_(by_tensors and argument.is_floating_point())
        case _:
            return argument


def _as_tensors(returned: object) -> tuple[tuple[Tensor, ...], str]:
    """Return what a function returned, as tensors, and a sentence that says why it can't be; "" if it can."""
    if returned is None:
        return (), "your function returned nothing: is its `return` missing?"
    several = returned if isinstance(returned, tuple | list) and len(returned) > 1 else (returned,)
    try:
        return tuple(v if isinstance(v, Tensor) else torch.as_tensor(v, dtype=torch.float64) for v in several), ""
    except (TypeError, ValueError, RuntimeError):
        return (), f"your function must return tensors or numbers, it returned {type(returned).__name__}"


def _gradients(values: tuple[Tensor, ...], given: Sequence[object]) -> tuple[Tensor, ...]:
    """Gradients of the first value's sum; empty where it hangs on nothing that could be learned."""
    leaves = [argument for argument in given if isinstance(argument, Tensor) and argument.requires_grad]
    leaves += [parameter for argument in given if isinstance(argument, Field) for parameter in argument.parameters()]
    if not values or not values[0].requires_grad or not leaves:
        return ()
    found = torch.autograd.grad(values[0].sum(), leaves, allow_unused=True)
    return tuple(torch.zeros_like(leaf) if g is None else g.detach() for g, leaf in zip(found, leaves, strict=True))
