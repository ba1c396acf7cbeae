"""Samplers that need a score only, and one that also uses a log-density for a Metropolis test.

Each is a generator: it yields a `State` after every step and keeps none, so a caller plots, logs or stops as it likes;
`final` runs one to its end. The starting points x are left unchanged. The step size is the paper's ε:
x + (ε/2) s + √ε z. (The authors' image code writes x + h s + √(2h) z, with h = ε/2.)

Every sampler raises SamplerDivergedError where a state stops being finite or grows 10⁶-fold. Under an exact score only
a step size beyond its bound makes a chain do so.

Below its two decorators a sampler is its algorithm alone: copied out, `annealed_langevin` needs `State`, `as_list`,
`langevin_step` and `randn_like`. `@checked` looks at the arguments. `@watched` looks at the shape and dtype of each
value of the score, at its first call and at the first state, whether the score or the caller changes the points in
place, and at whether the chains diverge.

In this order: Langevin dynamics (Eq. 4) with its relatives, annealing (Algorithms 1 and 2), and later samplers that go
from one noise level straight to the next.
"""

from __future__ import annotations

import collections
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from sbgm.guard import (
    Batch,
    Count,
    FiniteFloats,
    Generator,
    Ladder,
    LadderOfTwo,
    LogProb,
    Positive,
    Score,
    Sigma,
    as_list,
    call_untouched,
    checked,
    instance_of,
    require_score,
    require_sigma,
    score_at,
    widened,
)
from sbgm.noise import randn_like
from sbgm.theory import largest_stable_step

__all__ = [
    "SamplerDivergedError",
    "State",
    "ancestral",
    "annealed_langevin",
    "denoise",
    "final",
    "inpaint",
    "langevin",
    "metropolis_langevin",
    "probability_flow",
]

F = TypeVar("F", bound=Callable[..., Iterator["State"]])


class State(NamedTuple):
    """A batch of chains after one step.

    Attributes:
        x: (B, *shape) where the chains are. They go on from this very tensor: change a copy, such as x.clone().
        step: the step's number, from 1; in annealing, within its level.
        sigma: the noise level at which x stands; in Langevin dynamics the one that the score was asked for.
        level: its number, from 1 (σ_1, the largest).
        accepted: (B,) whether each chain took its proposal; None where no Metropolis test is made.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> state = next(sbgm.langevin(lambda x, sigma: -x, torch.zeros(5, 2), step_size=0.1, n_steps=100, generator=g))
        >>> state.x.shape, state.step, state.sigma, state.accepted
        (torch.Size([5, 2]), 1, 0.0, None)
    """

    x: Tensor
    step: int
    sigma: float | Tensor
    level: int = 1
    accepted: Tensor | None = None


class SamplerDivergedError(FloatingPointError):
    """A chain stopped being finite, or grew beyond 10⁶ times its starting scale.

    Attributes:
        step_size: the step size asked for; NaN where a sampler has none.
        level, step: where it was seen, both from 1. On a GPU, which is waited for at each look, only the first state,
            every tenth after it and the last are looked at; it then happened there or up to nine states before.
        bound: the largest stable step size, for data of variance 0 under this noise (more is stable for wider data);
            NaN where none is known.

    Example:
        >>> options = {"step_size": 5.0, "n_steps": 1000, "generator": torch.Generator().manual_seed(0)}
        >>> try:  # on N(0, 1), where the bound is 4
        ...     sbgm.final(sbgm.langevin(lambda x, sigma: -x, torch.ones(5, 1), **options))
        ... except sbgm.SamplerDivergedError as error:
        ...     print(error.step_size, error.step < 1000)
        5.0 True
    """

    def __init__(
        self,
        sampler: str,
        ladder: list[float],
        step_size: float,
        advice: str,
        state: State,
        cause: str = "",
        n_states: int = 1,
    ) -> None:
        where = f"step {state.step}"
        self.step_size = step_size
        self.level = state.level
        self.step = state.step
        self.bound = math.nan
        if ladder:
            where = f"level {state.level} of {len(ladder)} (sigma = {state.sigma:g}), {where}"
        if n_states > 1:
            where = f"one of the {n_states} states up to {where}"
        if ladder and not math.isnan(step_size):
            self.bound = largest_stable_step(ladder)
            if step_size >= self.bound:
                advice = (
                    f"the bound for data of variance v is 4σ_L²(1 + v/σ_1²), here {self.bound:g} × "
                    f"(1 + v/{ladder[0] ** 2:g})"
                )
        if advice and not cause:
            cause = f"Unless the score is wrong there, step_size = {step_size:g} is too large: {advice}"
        elif not cause:
            cause = (
                "No such step does that under the score of a Gaussian, so the score is wrong there: check "
                "that it is finite, and on the scale of 1/sigma"
            )
        super().__init__(
            f"{sampler} diverged at {where}: the state is no longer finite, or beyond 10⁶ times its starting scale. "
            f"{cause}"
        )


@checked
def final(states: Annotated[Iterable[State], instance_of(Iterable, "the states of a sampler")]) -> Tensor:
    """Run a sampler to its end and return the chains there: `final(langevin(...))`.

    Raises:
        ValueError: there was no state, or one that is no sampler's.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> states = sbgm.langevin(lambda x, sigma: -x, torch.zeros(5, 2), step_size=0.1, n_steps=100, generator=g)
        >>> sbgm.final(states).shape
        torch.Size([5, 2])
    """
    last = collections.deque(states, maxlen=1)
    if not last or not isinstance(last[0], State):
        raise ValueError(f"states must be one or more states of a sampler, got {[*map(type, last)]}")
    return last[0].x


# --- what samplers share ---------------------------------------------------------------------------------------------


def watched(*, spread: Callable[..., float] = lambda **_: math.inf, bound: str = "") -> Callable[[F], F]:
    """Stop a sampler at a state that is not finite or has grown 10⁶-fold. It then raises SamplerDivergedError.

    The sampler computes without gradients. Its score is looked at by `score_at` when it is first asked, and again where
    the chains diverge; the dtype and shape of its values are looked at in every call.

    Args:
        spread: of all the noise that a chain is given, from the sampler's arguments; on a ladder it is σ_1.
        bound: on the step size, in words; on a ladder it is that of steps of size ε σ_i²/σ_L².
    """

    def decorated(sampler: F) -> F:
        signature = inspect.signature(sampler)

        @functools.wraps(sampler)
        def run(*positional: Any, **named: Any) -> Iterator[State]:
            arguments = signature.bind(*positional, **named).arguments
            score = arguments["score"]
            x = arguments["x"]
            require_sigma(arguments.get("sigma", 0.0), x)
            ladder = as_list(arguments.get("sigmas", ()))
            # A chain may start at a point, and must not seem to explode when it spreads as far as its noise takes it.
            scale = max(float(x.abs().max()), ladder[0] if ladder else spread(**arguments))
            limit = min(1e6 * scale, torch.finfo(x.dtype).max)
            arguments["score"] = _looked_at(score)
            sigma = ladder[0] if ladder else arguments.get("sigma", 0.0)

            # a GPU is waited for at each look
            every = 1 if x.device.type == "cpu" else 10

            def diverged(state: State, n_before: int) -> SamplerDivergedError:
                cause = ""
                s = score_at(score, x, sigma)
                if n_before == 0 and not bool(s.isfinite().all()):
                    cause = (
                        f"score(x, sigma) is not finite at the starting points with sigma = {sigma}: pass a sigma at "
                        "which it is; no smaller step helps"
                    )
                step_size = arguments.get("step_size", math.nan)
                n_states = min(n_before + 1, every)
                return SamplerDivergedError(sampler.__name__, ladder, step_size, bound, state, cause, n_states)

            return _until_divergence(sampler(**arguments), limit, every, diverged)

        return run  # pyright: ignore[reportReturnType]

    return decorated


def _looked_at(score: Score) -> Score:
    """A score whose first value is looked at by `score_at`, and the form of each further one by `require_score`."""
    is_first = True

    def call(x: Tensor, sigma: float | Tensor) -> Tensor:
        nonlocal is_first
        if is_first:
            is_first = False
            return score_at(score, x, sigma)
        return require_score(score(x, sigma), x)

    return call


@torch.no_grad()
def _until_divergence(
    states: Iterator[State], limit: float, every: int, error: Callable[[State, int], SamplerDivergedError]
) -> Iterator[State]:
    def is_lost(x: Tensor) -> bool:
        return not float(x.abs().max()) <= limit  # NaN is lost too

    i = 0
    for i, state in enumerate(states):
        if i % every == 0 and is_lost(state.x):
            raise error(state, i)
        if i == 0:
            x = state.x.clone()
        yield state
        if i == 0 and not torch.equal(state.x, x):
            raise ValueError("state.x must be left as it is, since the chains go on from it: change state.x.clone()")
    if i % every and is_lost(state.x):
        raise error(state, i)


# --- Langevin dynamics -----------------------------------------------------------------------------------------------


@checked
@watched(
    spread=lambda step_size, n_steps, **_: math.sqrt(step_size * n_steps),
    bound="where the density looks like a Gaussian of variance v, the bound is step_size < 4v",
)
def langevin(
    score: Score, x: Batch, *, step_size: Positive, n_steps: Count, sigma: Sigma = 0.0, generator: Generator
) -> Iterator[State]:
    """Langevin dynamics (Eq. 4): x_t = x_{t−1} + (ε/2) s(x_{t−1}, σ) + √ε z_t, z_t ~ N(0, I).

    As ε → 0 and n_steps → ∞ the chains sample the density whose score is s. At ε > 0 they sample another one: for
    N(0, vI) a Gaussian of variance v/(1 − ε/(4v)), and nothing at all once ε ≥ 4v, where they diverge.

    Args:
        score: the score s(x, sigma).
        x: a tensor (B, *shape) of starting points, one chain each.
        step_size: ε, a float, in squared units of the data. In half precision many small steps are lost to rounding.
        n_steps: number of steps, an int.
        sigma: passed on to the score.
        generator: source of the noise z.

    Yields:
        State after each step.

    Raises:
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(40_000, 1, generator=g)  # from N(0, 1), whose score is −x
        >>> x = sbgm.final(sbgm.langevin(lambda x, sigma: -x, x, step_size=2.0, n_steps=20, generator=g))
        >>> f"{x.var():.1f}"  # 1/(1 − 2/4)
        '2.0'
    """
    for step in range(1, n_steps + 1):
        x = langevin_step(score, x, step_size, sigma, generator)
        yield State(x, step, sigma)


def langevin_step(
    score: Score, x: Tensor, step_size: float, sigma: float | Tensor, generator: torch.Generator
) -> Tensor:
    """One step of Eq. 4, from (B, *shape) to (B, *shape)."""
    s = score(x, sigma)
    z = randn_like(x, generator)
    return x + step_size / 2 * s + math.sqrt(step_size) * z


@checked
@watched()
def metropolis_langevin(
    score: Score,
    x: Batch,
    *,
    log_prob: LogProb,
    step_size: Positive,
    n_steps: Count,
    sigma: Sigma = 0.0,
    generator: Generator,
) -> Iterator[State]:
    """Langevin dynamics with a Metropolis–Hastings test (MALA; Roberts & Tweedie 1996): exact at any step size.

    A Langevin step y from x has the density q(y|x) = N(y | x + (ε/2) s(x), εI). It is taken with probability
    min{1, p(y) q(x|y) / (p(x) q(y|x))}; otherwise the chain stays at x. This corrects the error of ε > 0 (Section 2.2).

    Args:
        score: s(x, sigma); any vector field leaves p invariant, its score makes good proposals.
        log_prob: log p(x, sigma) up to a constant, (B, *shape) -> (B,), finite where a chain starts.
        x, step_size, n_steps, sigma, generator: as for `langevin`; σ is passed on to both functions.

    Yields:
        State after each step; `accepted` says which chains moved.

    Raises:
        SamplerDivergedError: the score is NaN where a chain starts, or where the density of its proposal is not zero.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(40_000, 1, generator=g)
        >>> normal = {"score": lambda x, sigma: -x, "log_prob": lambda x, sigma: -x[:, 0] ** 2 / 2}
        >>> x = sbgm.final(sbgm.metropolis_langevin(x=x, **normal, step_size=2.0, n_steps=20, generator=g))
        >>> f"{x.var():.1f}"  # exact, where Langevin dynamics gives 2
        '1.0'
    """

    def log_q(y: Tensor, x: Tensor, s: Tensor) -> Tensor:  # log q(y | x) up to a constant
        return -widened(y - x - step_size / 2 * s).flatten(1).square().sum(dim=1) / (2 * step_size)

    s = score(x, sigma)
    log_p = _starting_log_prob(log_prob, x, sigma)
    for step in range(1, n_steps + 1):
        y = x + step_size / 2 * s + math.sqrt(step_size) * randn_like(x, generator)
        s_y = score(y, sigma)
        log_p_y = log_prob(y, sigma)
        forward = log_q(y, x, s)
        backward = log_q(x, y, s_y)
        accepted = metropolis_test(log_p_y + backward - log_p - forward, generator)
        x = _where(accepted, y, x)
        s = _where(accepted, s_y, s)
        log_p = torch.where(accepted, log_p_y, log_p)
        # Under a NaN score every proposal is refused, and the chain would stand still for ever.
        lost = forward.isnan() | (backward.isnan() & (log_p_y > -math.inf))
        yield State(_where(lost, math.nan, x), step, sigma, accepted=accepted)


def metropolis_test(log_ratio: Tensor, generator: torch.Generator) -> Tensor:
    """Accept with probability min{1, exp(log_ratio)}: (B,) -> (B,) bool. A NaN ratio is refused."""
    uniform = torch.rand(log_ratio.shape, generator=generator, device=generator.device, dtype=log_ratio.dtype)
    return uniform.to(log_ratio.device).log() < log_ratio


def _starting_log_prob(log_prob: LogProb, x: Tensor, sigma: float | Tensor) -> Tensor:
    """The log-density of the starting points, a finite (B,) tensor."""
    value = call_untouched(log_prob, "log_prob", x, sigma)
    if not isinstance(value, Tensor) or value.shape != x.shape[:1]:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"log_prob must return a tensor of shape ({len(x)},), one number an example, got {got}")
    if not bool(torch.isfinite(value).all()):
        raise ValueError("log_prob must be finite at the starting points x")
    return value


def _where(chains: Tensor, x: Tensor | float, otherwise: Tensor) -> Tensor:
    """x where a chain is among `chains`, (B,) bool, else the other; both (B, *shape)."""
    return torch.where(chains.reshape(-1, *[1] * (otherwise.ndim - 1)), x, otherwise)


# --- annealing -------------------------------------------------------------------------------------------------------


@checked
@watched()
def annealed_langevin(
    score: Score,
    x: Batch,
    sigmas: Ladder,
    *,
    step_size: Positive,
    n_steps: Count,
    generator: Generator,
    denoise_last: bool = False,
) -> Iterator[State]:
    """Annealed Langevin dynamics (Algorithm 1).

    For each level σ_i, from the largest to the smallest: n_steps Langevin steps with the score s(x, σ_i) and the step
    size α_i = ε σ_i²/σ_L², started where the level before ended.

    Args:
        score: noise conditional score s(x, sigma).
        x: a tensor (B, *shape) of starting points, one chain each.
        sigmas: σ_1 > … > σ_L > 0, a tensor (L,) or a list.
        step_size: ε, a float, the step size α_L of the last level, in squared units of the data.
        n_steps: number of steps per level, T, an int.
        generator: source of the noise.
        denoise_last: end with x + σ_L² s(x, σ_L), one state more. The paper does not; later work does.

    Yields:
        State after each step; the one after the last step is the sample.

    Raises:
        SamplerDivergedError: as chains of data of variance v do above ε = 4 σ_L² (1 + v/σ_1²), see
            `theory.largest_stable_step`.

    Example:
        >>> mixture, g = sbgm.paper_mixture(), torch.Generator().manual_seed(0)
        >>> x = 16 * torch.rand(1000, 2, generator=g) - 8  # uniform on [−8, 8]²
        >>> ladder = sbgm.geometric_sigmas(20.0, 1.0, 10)
        >>> x = sbgm.final(sbgm.annealed_langevin(mixture.score, x, ladder, step_size=0.1, n_steps=100, generator=g))
        >>> f"{(x.sum(dim=1) > 0).float().mean():.1f}"  # the share in the mode of weight 0.8
        '0.8'
    """
    ladder = as_list(sigmas)
    for level, sigma in enumerate(ladder, start=1):
        # ∝ σ²: the drift α s/2 is then as large against the noise √α z at every level, since ‖s‖ ∝ 1/σ (Section 4.3)
        alpha = step_size * sigma**2 / ladder[-1] ** 2
        for step in range(1, n_steps + 1):
            x = langevin_step(score, x, alpha, sigma, generator)
            yield State(x, step, sigma, level)
    if denoise_last:  # the samples still carry the last level's noise
        x = x + ladder[-1] ** 2 * score(x, ladder[-1])
        yield State(x, n_steps + 1, ladder[-1], len(ladder))


def _mask(mask: Tensor, name: str) -> None:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"{name} must be a boolean tensor, True where a pixel is known, got {kind}")


def _broadcast(value: Tensor, name: str, x: Tensor) -> Tensor:
    try:
        return value.expand_as(x)
    except RuntimeError:
        shapes = f"{tuple(x.shape)}, got {tuple(value.shape)}"
        raise ValueError(f"{name} must broadcast to the shape of x, {shapes}") from None


@checked
@watched()
def inpaint(
    score: Score,
    x: Batch,
    sigmas: Ladder,
    *,
    image: FiniteFloats,
    mask: Annotated[Tensor, _mask],
    step_size: Positive,
    n_steps: Count,
    generator: Generator,
    denoise_last: bool = False,
) -> Iterator[State]:
    """Inpainting (Algorithm 2): the unknown pixels drawn given the known ones.

    For each level σ_i, from the largest to the smallest, y = image + σ_i z is drawn once. Then follow n_steps Langevin
    steps of size α_i = ε σ_i²/σ_L², as in Algorithm 1, and after each of them x ← (1 − m) x + m y.

    Args:
        x: a tensor (B, *shape) of starting points, uniform noise in the paper.
        image: what is known, a tensor of a shape that broadcasts to x's: (B, *shape), or (*shape) for B fills of one
            image. Its unknown pixels count for nothing, but must be finite.
        mask: m, boolean, True where a pixel is known, of a shape that broadcasts to x's.
        denoise_last: end with one state more, whose unknown pixels are those of x + σ_L² s(x, σ_L).
        score, sigmas, step_size, n_steps, generator: as for `annealed_langevin`.

    Yields:
        State after each step. The known pixels are those of the level's y, bit for bit, also after denoising: they
        carry noise of standard deviation σ_L at the end, as Algorithm 2 has it.

    Raises:
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold.

    Example:
        >>> mixture, g = sbgm.paper_mixture(), torch.Generator().manual_seed(0)
        >>> known = {"image": torch.tensor([5.0, 0.0]), "mask": torch.tensor([True, False])}
        >>> x, ladder = torch.zeros(1000, 2), sbgm.geometric_sigmas(20.0, 0.1, 20)
        >>> x = sbgm.final(sbgm.inpaint(mixture.score, x, ladder, **known, step_size=0.01, n_steps=10, generator=g))
        >>> f"{x[:, 1].mean():.0f}"  # x₁ = 5 is known, so x₂ belongs to the mode (5, 5)
        '5'
    """
    mask = _broadcast(mask, "mask", x)
    clean = _broadcast(image, "image", x).to(x.dtype)
    ladder = as_list(sigmas)
    for level, sigma in enumerate(ladder, start=1):
        alpha = step_size * sigma**2 / ladder[-1] ** 2
        y = clean + sigma * randn_like(x, generator)  # once a level: the known pixels don't flicker from step to step
        for step in range(1, n_steps + 1):
            x = torch.where(mask, y, langevin_step(score, x, alpha, sigma, generator))
            yield State(x, step, sigma, level)
    if denoise_last:
        x = torch.where(mask, y, x + sigma**2 * score(x, sigma))
        yield State(x, n_steps + 1, sigma, len(ladder))


@checked
@torch.no_grad()
def denoise(score: Score, x: Batch, sigma: Sigma) -> Tensor:
    """The expected clean point behind a noisy one (Tweedie; Miyasawa 1961): E[x | x̃] = x̃ + σ² s(x̃, σ).

    Args:
        score: noise conditional score s(x, sigma).
        x: a tensor (B, *shape) of noisy points.
        sigma: their noise level, a float or (B,).

    Returns:
        (B, *shape) denoised points.

    Raises:
        SamplerDivergedError: they are not finite.

    Example:
        >>> standard = sbgm.GaussianMixture([1.0], [[0.0]])  # N(0, 1)
        >>> sbgm.denoise(standard.score, torch.tensor([[3.0]]), sigma=1.0)  # x̃/(1 + σ²)
        tensor([[1.5000]])
    """
    clean = x + require_sigma(sigma, x) ** 2 * score_at(score, x, sigma)
    if not bool(clean.isfinite().all()):
        raise SamplerDivergedError("denoise", [], math.nan, "", State(clean, 1, sigma))
    return clean


# --- from one noise level straight to the next -----------------------------------------------------------------------
#
# At σ_k the chains are data plus noise of standard deviation σ_k. A step takes some of that noise off along the score
# and adds as much fresh noise as makes σ_{k+1} of it. How much is taken off tells these samplers apart:
#
#     x ← x + η σ_k² s(x, σ_k) + σ_{k+1} √(1 − ((1 − η)/r)²) z,   r = σ_{k+1}/σ_k
#
# η = 1 − r adds none (it is `probability_flow`'s Euler step), η = 1 − r² is `ancestral`, η = 1 replaces all the noise.


@checked
@watched()
def ancestral(
    score: Score, x: Batch, sigmas: LadderOfTwo, *, generator: Generator, denoise_last: bool = False
) -> Iterator[State]:
    """Ancestral sampling of the variance exploding process (Song et al. 2021, Appendix F).

        x ← x + (σ_k² − σ_{k+1}²) s(x, σ_k) + √(σ_{k+1}² (σ_k² − σ_{k+1}²)/σ_k²) z

    The drift leads to the mean of what x was at σ_{k+1}, given what it is at σ_k. The noise has the standard deviation
    that this law has where the data are a point.

    Args:
        score: noise conditional score s(x, sigma).
        x: a tensor (B, *shape) of starting points at noise level σ_1.
        sigmas: σ_1 > … > σ_L > 0, L ≥ 2, a tensor (L,) or a list.
        generator: source of the noise.
        denoise_last: end with x + σ_L² s(x, σ_L), one evaluation and one state more.

    Yields:
        L − 1 states, one at each of the levels σ_2 … σ_L.

    Raises:
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold.

    Example:
        >>> point, g = sbgm.GaussianMixture([1.0], [[0.0]], stds=0.0), torch.Generator().manual_seed(0)
        >>> x = 4 * torch.randn(10_000, 1, generator=g)  # the point, perturbed by σ_1
        >>> x = sbgm.final(sbgm.ancestral(point.score, x, [4.0, 2.0, 1.0], generator=g))
        >>> f"{x.std():.1f}"  # and by σ_L
        '1.0'
    """
    return level_to_level(score, x, sigmas, lambda r: 1 - r**2, generator=generator, denoise_last=denoise_last)


def level_to_level(
    score: Score,
    x: Tensor,
    sigmas: Ladder,
    eta_of: Callable[[float], float],
    *,
    generator: torch.Generator,
    denoise_last: bool = False,
) -> Iterator[State]:
    """The states of x ← x + η σ_k² s(x, σ_k) + √(σ_{k+1}² − (1 − η)² σ_k²) z, with η = eta_of(σ_{k+1}/σ_k).

    The other arguments are as for `ancestral`. They are not looked at.
    """
    ladder = as_list(sigmas)
    for level, (sigma, following) in enumerate(itertools.pairwise(ladder), start=2):
        eta = eta_of(following / sigma)
        # rounding may take the smallest step's amount of noise, 0, below 0
        fresh = math.sqrt(max(0.0, following**2 - ((1 - eta) * sigma) ** 2))
        z = randn_like(x, generator)
        x = x + eta * sigma**2 * score(x, sigma) + fresh * z
        yield State(x, 1, following, level)
    if denoise_last:
        x = x + ladder[-1] ** 2 * score(x, ladder[-1])
        yield State(x, 2, ladder[-1], len(ladder))


@checked
@watched()
def probability_flow(
    score: Score,
    x: Batch,
    sigmas: LadderOfTwo,
    *,
    method: Literal["euler", "heun", "multistep"] = "heun",
    denoise_last: bool = False,
) -> Iterator[State]:
    """The ordinary differential equation dx/dσ = −σ s(x, σ), solved from σ_1 down to σ_L (Song et al. 2021).

    Chains that start as the data perturbed at σ_1 are the data perturbed at σ on the whole way. Nothing is drawn: an
    end depends smoothly on its start. With D(x, σ) = x + σ² s(x, σ), the expected clean point, the steps are

    * "euler": x ← (σ'/σ) x + (1 − σ'/σ) D(x, σ), which is x + (σ' − σ)(−σ s). One evaluation a step, of order 1.
    * "heun": the mean of the slopes at both ends of an Euler step (Karras et al. 2022). Two evaluations, of order 2.
    * "multistep": Euler's, with D extrapolated along ln σ from its last two values to the middle of the step
      (Lu et al. 2022, DPM-Solver++(2M)). One evaluation, of order 2.

    Args:
        method: one of the above.
        denoise_last: end with x + σ_L² s(x, σ_L), an Euler step to σ = 0; one evaluation and one state more.
        score, x, sigmas: as for `ancestral`; the steps end at the levels.

    Yields:
        L − 1 states, one at each of the levels σ_2 … σ_L.

    Raises:
        SamplerDivergedError: the state stopped being finite or grew 10⁶-fold.

    Example:
        >>> standard = sbgm.GaussianMixture([1.0], [[0.0]])  # N(0, 1): the flow is x ∝ √(1 + σ²)
        >>> x, ladder = torch.tensor([[10.0]]), sbgm.geometric_sigmas(10.0, 0.01, 50)
        >>> f"{sbgm.final(sbgm.probability_flow(standard.score, x, ladder)).item():.2f}"  # 10/√101
        '1.00'
    """
    ladder = as_list(sigmas)
    previous = None  # the last step's D and its length in ln σ
    for level, (sigma, following) in enumerate(itertools.pairwise(ladder), start=2):
        slope = -sigma * score(x, sigma)  # dx/dσ
        if method == "multistep":
            clean = x - sigma * slope
            length = math.log(sigma / following)
            ahead = clean
            if previous is not None:  # the first step has nothing to extrapolate from, and is Euler's
                clean_before, length_before = previous
                ahead = clean + (clean - clean_before) * (length / (2 * length_before))
            previous = clean, length
            x = torch.lerp(ahead, x, following / sigma)
        else:
            end = x + (following - sigma) * slope
            if method == "heun":
                slope_there = -following * score(end, following)
                end = x + (following - sigma) / 2 * (slope + slope_there)
            x = end
        yield State(x, 1, following, level)
    if denoise_last:
        x = x + ladder[-1] ** 2 * score(x, ladder[-1])
        yield State(x, 2, ladder[-1], len(ladder))
