"""What each sampler makes of a number of network evaluations: the samples behind a curve of distance against cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from sbgm._validate import check_count, check_sigmas
from sbgm.generation import Start, generate, uniform_start
from sbgm.losses import Score
from sbgm.noise import geometric_sigmas, power_sigmas
from sbgm.samplers import NamedSampler

BUDGETS = (10, 20, 50, 100, 200, 500, 1_000)
SCHEDULES = {"geometric": geometric_sigmas, "power": power_sigmas}


class CurvePoint(NamedTuple):
    """A sampler's samples at one cost.

    Attributes:
        label: the sampler and its schedule, such as "heun, power": what a curve is of.
        sampler: with its settings.
        evaluations: of the network, a sample.
        samples: (n, *shape), not clamped.
        seconds: for all of them, by the clock.
    """

    label: str
    sampler: NamedSampler
    evaluations: int
    samples: Tensor
    seconds: float


def samplers_within(
    budget: int, sigmas: Tensor | Sequence[float], *, denoise_last: bool = False
) -> dict[str, NamedSampler]:
    """Every sampler and schedule that asks for the score as often as the budget allows, by label.

    * "annealed": Algorithm 1 on the given ladder with ε = 0.2 σ_L², the paper's, and budget/L steps a level; left out
      where that is less than one.
    * The others on ladders of their own between the same ends. Consistent sampling takes the η half way between the
      Euler step's and the ancestral one's; the corrector one step a level with ε = 0.1 σ_L², which is about Song et
      al.'s signal-to-noise ratio of .16.

    Args:
        budget: evaluations, 4 or more.
        sigmas: the network's ladder σ_1 > … > σ_L.
        denoise_last: spend one of them on x + σ_L² s(x, σ_L).
    """
    own, budget = tuple(check_sigmas(sigmas)), check_count(budget, "budget") - denoise_last
    if budget < 3:
        raise ValueError(f"budget must be at least 4, got {budget + denoise_last}")
    last = {"denoise_last": denoise_last}
    found = {}
    if budget >= len(own):
        found["annealed"] = NamedSampler("annealed", own, 0.2 * own[-1] ** 2, budget // len(own), **last)
    for schedule, make in SCHEDULES.items():

        def ladder(n_steps: int, make=make) -> tuple[float, ...]:
            return tuple(make(own[0], own[-1], n_steps + 1).tolist())

        for name, cost in (("euler", 1), ("multistep", 1), ("heun", 2), ("ancestral", 1)):
            found[f"{name}, {schedule}"] = NamedSampler(name, ladder(budget // cost), **last)
        found[f"predictor-corrector, {schedule}"] = NamedSampler(
            "predictor-corrector", ladder(budget // 2), 0.1 * own[-1] ** 2, 1, **last
        )
    even = tuple(geometric_sigmas(own[0], own[-1], budget + 1).tolist())
    r = (own[-1] / own[0]) ** (1 / budget)
    eta = 1 - (r + r**2) / 2
    found["consistent, geometric"] = NamedSampler("consistent", even, 2 * own[-1] ** 2 * eta, **last)
    return found


def renewing(high: float, low: float, budget: int, c: float) -> NamedSampler:
    """Consistent sampling with much fresh noise: η = 1 − r^{1+c} on a geometric ladder, denoised at the end.

    c = 0 is Euler's step of the probability flow, c = 1 ancestral sampling; a large c renews nearly all of the noise in
    every step, and c = ∞ all of it, so that errors of a learned score don't last.

    Args:
        high, low: the ends of the ladder.
        budget: evaluations.
        c: how much noise is renewed, above 0.
    """
    n_steps = budget - 1
    eta = 1 - (low / high) ** ((1 + c) / n_steps)
    sigmas = tuple(geometric_sigmas(high, low, n_steps + 1).tolist())
    return NamedSampler("consistent", sigmas, 2 * low**2 * eta, denoise_last=True)


def sampler_curve(
    score: Score,
    samplers: dict[str, NamedSampler],
    n: int,
    shape: tuple[int, ...],
    *,
    seed: int,
    start: Start,
    **options: object,
) -> Iterator[CurvePoint]:
    """Sample with each of the samplers; only one set of samples is held at a time.

    Args:
        score: takes the σ of all the samplers, see `networks.rescaled`.
        samplers: by label, see `samplers_within`.
        n: samples of each.
        shape: of one.
        seed: the same for all, so that samplers with the same start begin alike.
        start: starting points at level σ_1; Algorithm 1 starts from uniform noise, as in the paper.
        options: `batch_size`, `device` and `accelerator` of `generate`.
    """
    for label, sampler in samplers.items():
        begin = time.perf_counter()
        samples = generate(
            lambda x, generator, sampler=sampler: sampler.states(score, x, generator),
            n,
            shape,
            seed=seed,
            start=uniform_start if sampler.name == "annealed" else start,
            **options,
        )
        yield CurvePoint(label, sampler, sampler.evaluations, samples, time.perf_counter() - begin)
