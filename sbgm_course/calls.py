"""One call of a student's function, on copies of the arguments, and its outcome.

Arrays, numbers and fields go in, and a `Reply` comes out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sbgm.guard import against
from sbgm.mixtures import GaussianMixture
from sbgm.samplers import SamplerDivergedError, annealed_langevin, final

CUT_OFF = (
    "no gradient flows back from your answer: a .detach(), .item(), torch.no_grad() or torch.tensor(...) cuts it off, "
    "and nothing would be learned"
)
# of the numbers that an answer may hold: those that every comparison knows
_KINDS_OF_NUMBER = frozenset(
    {torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8}
    | {torch.uint8, torch.bool}
)


class WrongAnswer(AssertionError):
    """A student's answer is wrong; the message names the mistake, or says how far off the answer is.

    Attributes:
        is_usable: whether the cells below can run with the function: its numbers are wrong, and nothing else.
    """

    is_usable = False

    def _render_traceback_(self) -> list[str]:
        """Return the one line that Jupyter and IPython show instead of a traceback."""
        return [f"WrongAnswer: {' '.join(str(self).split())}"]


def refuse(wrong: object, sentence: str) -> None:
    """Raise WrongAnswer with the sentence if something is wrong."""
    if wrong:
        raise WrongAnswer(sentence)


class MixtureField(GaussianMixture):
    """A mixture of Gaussians that is called as its exact score, ∇ log q_σ(x)."""

    def __call__(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """∇ log q_σ(x), (B, D)."""
        return self.score(x, sigma)


class TanhField:
    """A small differentiable network, s(x, σ) = W₂ tanh(W₁ x + b)/(1 + σ), for x of any shape of D numbers.

    It is no gradient of any density, so that a trace taken wrongly shows; it depends on σ, so that a wrong σ shows. A
    label, 0 to 9, one for all or (B,), moves b; 10 stands for any class, and moves nothing. A bias (B, 5) is that of
    a network which has been told each example's class: it is asked for the whole batch.
    """

    def __init__(self, inner: Tensor, bias: Tensor, outer: Tensor) -> None:
        self.inner = inner
        self.bias = bias
        self.outer = outer

    @classmethod
    def random(cls, dim: int, generator: torch.Generator, dtype: torch.dtype) -> TanhField:
        """A field of `dim` dimensions with five hidden units and Gaussian weights."""
        shapes = ((dim, 5), (5,), (5, dim))
        return cls(*(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes))

    def __call__(self, x: Tensor, sigma: float | Tensor = 0.0, label: int | Tensor = 10) -> Tensor:
        """s(x, σ) or s(x, σ, label), of x's shape; σ is one number, or (B,)."""
        form = tuple(sigma.shape) if isinstance(sigma, Tensor) else ()
        refuse(len(form) > 1, f"your function tells the score σ of shape {form}: it takes one number, or (B,)")
        is_part = self.bias.ndim > 1 and len(x) != len(self.bias)
        refuse(is_part, "your function asks the score for a part of the batch: ask it once, for all examples")
        moved = self.bias + 0.3 * (10 - torch.as_tensor(label, dtype=x.dtype)).reshape(-1, 1)
        hidden = torch.tanh(x.flatten(1) @ self.inner + moved)
        s = (hidden @ self.outer).reshape(x.shape)
        return s / (1 + against(sigma, x))


Field = MixtureField | TanhField


def rebuilt(field: Field, *, requires_grad: bool = False) -> Field:
    """A copy on tensors of its own, whose gradients can be asked for."""
    tensors = {name: value.detach().clone().requires_grad_(requires_grad) for name, value in vars(field).items()}
    return type(field)(**tensors)


@dataclasses.dataclass(frozen=True)
class Seed:
    """An argument that reaches the student's function as a `torch.Generator` with this seed."""

    value: int


def require_score(returned: object) -> None:
    """Raise WrongAnswer unless a function returned a function."""
    kind = type(returned).__name__
    refuse(not callable(returned), f"your function must return a score, to be called with x and σ, not {kind}")


@dataclasses.dataclass(frozen=True)
class Asked:
    """Points and levels at which the score that a student's function returns is asked; its values are the answer.

    Attributes:
        points: (P, *shape), asked at every level.
        sigmas: (L,) of them.
    """

    points: Tensor
    sigmas: Tensor

    @torch.no_grad()
    def of(self, score: Any) -> Tensor:
        """The scores, (L·P, *shape)."""
        require_score(score)
        try:
            values: list[Any] = [score(self.points.clone(), sigma) for sigma in self.sigmas.tolist()]
        except TypeError as error:
            raise WrongAnswer(
                f"your function must return a score, score(x, sigma), and this one, called with x and σ, raised {error}"
            ) from error
        for value in values:
            kind = type(value).__name__
            refuse(
                not isinstance(value, Tensor), f"the score that your function returns must return tensors, not {kind}"
            )
            forms = [f"shape {tuple(t.shape)} and dtype {t.dtype}" for t in (value, self.points)]
            differ = f"the score that your function returns has {forms[0]}, at points of {forms[1]}"
            refuse(forms[0] != forms[1], differ)
        return torch.cat(values)


@dataclasses.dataclass(frozen=True)
class Descent(Asked):
    """Ask a score for its values as `Asked` does, then for samples by Algorithm 1.

    Attributes:
        x: (N, 2) where the chains start.
        step_size, n_steps: ε and T.
        seed: of the chains' noise.
    """

    x: Tensor
    step_size: float
    n_steps: int
    seed: int

    @torch.no_grad()
    def of(self, score: Any) -> Tensor:
        """The scores, the chains' ends and two numbers that tell trainings apart, (L·P + N + 1, 2).

        The ends are NaN if the chains diverge. The two numbers come from torch's global generator, and are the same
        after trainings that drew equally often from it.
        """
        drawn = torch.rand(1, 2, dtype=self.x.dtype)
        values = super().of(score)
        options = {"step_size": self.step_size, "n_steps": self.n_steps}
        generator = torch.Generator().manual_seed(self.seed)
        try:
            ends = final(annealed_langevin(score, self.x, self.sigmas, generator=generator, **options))
        except SamplerDivergedError:
            ends = torch.full_like(self.x, torch.nan)
        return torch.cat([values, ends, drawn])


Argument = Tensor | Field | Seed | Asked | float | int | str | Sequence[float]
Function = Callable[..., Any]  # of the student's signature


@dataclasses.dataclass(frozen=True)
class Reply:
    """The outcome of one call of a student's function.

    Attributes:
        values: what it returned, as tensors; one of several for a tuple or list.
        gradients: of the sum of `values[0]` by the parameters of the fields among the arguments or, where there is no
            field, by the floating-point tensors; empty if none were asked for, or if the value depends on none.
        problem: what went wrong, as a sentence; empty if nothing did.
        attempted: whether there was anything to call: an untouched stub raises a bare NotImplementedError.
    """

    values: tuple[Tensor, ...] = ()
    gradients: tuple[Tensor, ...] = ()
    problem: str = ""
    attempted: bool = True


def call(function: Function, arguments: Sequence[Argument], with_gradients: bool = False) -> Reply:
    """Call `function` on copies of the arguments, and leave torch's global generator as it was.

    It is a problem if the function ends the program, changes a tensor among its arguments, sets torch's default dtype
    or device, which are put back, or the global seed, or draws from the global generator; in a training, whose score is
    asked by a `Descent`, it may draw: the first weights come from there.
    """
    by_tensors = with_gradients and not any(isinstance(a, Field) for a in arguments)
    asking = next((argument for argument in arguments if isinstance(argument, Asked)), None)
    copies = [prepared(a, with_gradients, by_tensors) for a in arguments if a is not asking]
    leaves = _leaves(copies)  # before the call: a function may turn on requires_grad in its own x
    unchanged = [copy.detach().clone() if isinstance(copy, Tensor) else None for copy in copies]
    default = torch.get_default_dtype()
    device = torch.get_default_device()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        state = torch.default_generator.manual_seed(_UNLIKELY_SEED).get_state()
        try:
            returned = function(*copies)
            values = as_tensors(asking.of(returned) if asking and returned is not None else returned, copies)
            gradients = _gradients(values, leaves) if with_gradients else ()
            for number, (copy, old) in enumerate(zip(copies, unchanged, strict=True), start=1):
                changed = isinstance(copy, Tensor) and old is not None and not torch.equal(copy.detach(), old)
                refuse(changed, f"your function changes its argument number {number} in place: work on a copy")
            changed = torch.get_default_dtype() != default
            refuse(changed, "your function sets torch's default dtype, and so the numbers of all other code")
            moved = torch.get_default_device() != device
            refuse(moved, "your function sets torch's default device, and so where all other code computes")
            seeded = torch.initial_seed() != _UNLIKELY_SEED
            refuse(seeded, "your function sets torch's global seed, and so the random numbers of all other code")
            if not isinstance(asking, Descent) and not torch.equal(state, torch.get_rng_state()):
                raise WrongAnswer(
                    "your function draws from torch's global generator: pass the generator on to torch.randn"
                    if any(isinstance(argument, Seed) for argument in arguments)
                    else "your function draws random numbers, and needs none: what is random is among its arguments"
                )
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, too
            if isinstance(error, NotImplementedError) and not error.args:  # PyTorch's own come with a message
                return Reply(attempted=False)
            return Reply(problem=problem_of(error))
        finally:
            torch.set_default_dtype(default)
            if torch.get_default_device() != device:
                torch.set_default_device(None if device.type == "cpu" else device)
    return Reply(tuple(v.detach() for v in values), gradients)


def problem_of(error: BaseException) -> str:
    """What an error in a student's function tells the student, as a sentence."""
    if isinstance(error, WrongAnswer):
        return str(error)
    if isinstance(error, SystemExit):
        return "your function ends the program: return the answer, without sys.exit(), exit() or quit()"
    try:
        text = str(error)
    except Exception:  # the error's class may be the student's
        text = "an error that cannot be printed"
    hint = ""
    # torch and Python say it of different operands, neither in a word that a beginner knows
    if "bitwise_xor" in text or "for ^" in text:
        hint = ". In Python x^2 is no power: write x**2"
    elif "does not require grad" in text:
        hint = ". Is x.requires_grad_() missing? A score is asked under no_grad: in it write torch.enable_grad(), too"
    return f"your function raised {type(error).__name__}: {text}{hint}"


_UNLIKELY_SEED = 0x5BD6_F00D


def prepared(argument: Argument, by_parameters: bool = False, by_tensors: bool = False) -> object:
    """Copy an argument for a student's function, with gradients by parameters or by tensors if asked."""
    match argument:
        case Seed(value):
            return torch.Generator().manual_seed(value)
        case MixtureField() | TanhField():  # the former has nothing to learn
            return rebuilt(argument, requires_grad=by_parameters and isinstance(argument, TanhField))
        case Tensor():
            return argument.detach().clone().requires_grad_(by_tensors and argument.is_floating_point())
        case _:
            return argument


def as_tensors(returned: object, arguments: Iterable[object]) -> tuple[Tensor, ...]:
    """Make tensors of what a function returned, called with arguments; raise WrongAnswer where that can't be."""
    refuse(returned is None, "your function returned nothing: is its `return` missing?")
    array = isinstance(returned, np.ndarray) and returned.ndim and any(isinstance(a, Tensor) for a in arguments)
    refuse(array, "your function returned a NumPy array: return a torch tensor, as its arguments are")
    kind = type(returned).__name__
    if isinstance(returned, tuple | list):  # PyTorch warns of a number with a gradient in a list
        returned = [item.detach() if isinstance(item, Tensor) else item for item in returned]
    several = returned if isinstance(returned, list) and len(returned) > 1 else (returned,)
    try:
        values = tuple(v if isinstance(v, Tensor) else torch.as_tensor(v, dtype=torch.float64) for v in several)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise WrongAnswer(f"your function must return tensors or numbers, it returned {kind}") from None
    for value in values:
        root = "is it the root of a negative number, by ** 0.5?"
        refuse(value.is_complex(), f"your function returned complex numbers, {value.dtype}: {root}")
        layout = "nested" if value.is_nested else value.layout
        plain = value.dtype in _KINDS_OF_NUMBER and layout == torch.strided
        refuse(not plain, f"your function must return plain real numbers, it returned {value.dtype}, {layout}")
    return values


def of_form(values: Sequence[Tensor], like: Tensor, *, free: bool) -> Tensor:
    """Return the one value of a function that has the form of an answer; raise WrongAnswer if it has not.

    Args:
        values: what the function returned.
        like: of the right shape and dtype.
        free: whether single and double precision will both do, as they will for one number.
    """
    kind = f"have shape {tuple(like.shape)}" if like.ndim else "be one number"
    n = len(values)
    refuse(n != 1, f"your function returned {n} values in a list or tuple: its answer should {kind}")
    (answer,) = values
    refuse(answer.shape != like.shape, f"your answer has shape {tuple(answer.shape)}, and should {kind}")
    hint = "keep that of the arguments" if like.is_floating_point() else "it should hold indices, not values"
    other = answer.dtype != like.dtype and not (free or like.ndim == 0)
    refuse(other, f"your answer has dtype {answer.dtype} and should have {like.dtype}: {hint}")
    coarse = answer.is_floating_point() and answer.dtype.itemsize < 4
    refuse(coarse, f"your answer has dtype {answer.dtype}, which is too coarse: keep that of the arguments")
    return answer


def _leaves(copies: Sequence[object]) -> list[Tensor]:
    """The tensors by which gradients are asked for."""
    tensors = [*copies, *(t for copy in copies if isinstance(copy, Field) for t in vars(copy).values())]
    return [tensor for tensor in tensors if isinstance(tensor, Tensor) and tensor.requires_grad]


def _gradients(values: tuple[Tensor, ...], leaves: list[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of the first value's sum; empty where it hangs on nothing that could be learned."""
    if not values or not values[0].requires_grad or not leaves:
        return ()
    try:
        gradients = torch.autograd.grad(values[0].sum(), leaves, allow_unused=True)
    except RuntimeError as error:
        problem = f"no gradient of what your function returned can be taken: {error}"
        if "backward through the graph a second time" in problem:  # PyTorch advises retain_graph, which cuts it off
            problem = (
                "the gradient that your function takes can't be differentiated again, as training needs: give "
                "torch.autograd.grad create_graph=True"
            )
        raise WrongAnswer(problem) from error
    return tuple(torch.zeros_like(leaf) if g is None else g.detach() for g, leaf in zip(gradients, leaves, strict=True))
