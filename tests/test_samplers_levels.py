"""The samplers that go from level to level: their steps as published, orders of convergence, states, costs, guards."""

import contextlib
import itertools
import math

import pytest
import torch

from counting import CountedScore
from properties.runs import SAMPLERS, named
from sbgm import (
    GaussianMixture,
    SamplerDivergedError,
    ancestral,
    consistent_annealed,
    denoise,
    final,
    geometric_sigmas,
    paper_mixture,
    power_sigmas,
    predictor_corrector,
    probability_flow,
)
from sbgm.images.drawing import cost_of
from sbgm.samplers import consistent_step_bounds
from seeds import seeded

MIXTURE = paper_mixture()
LADDER = [20.0, 8.0, 4.0, 3.6]
STEP_BOUNDS = consistent_step_bounds(LADDER)
from_level_to_level = pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "annealed"])


def gaussian(variance):
    return GaussianMixture([1.0], [[0.0]], math.sqrt(variance))


def run(sampler, score, x):
    return list(sampler(score, x, seeded(1)))


# --- the steps -------------------------------------------------------------------------------------------------------


def published(sampler, x, generator, step_size=None, n_steps=0):
    """The chains after each step, by the formulas of the papers, in our ε: ησ_k² = εσ_k²/(2σ_L²).

    Consistent: x + ησ_k²s + σ_{k+1}√(1 − ((1 − η)/r)²) z, r = σ_{k+1}/σ_k. Ancestral, and a predictor, which Langevin
    steps follow: x + (σ_k² − σ_{k+1}²)s + √(σ_{k+1}²(σ_k² − σ_{k+1}²)/σ_k²) z.
    """
    for a, b in itertools.pairwise(LADDER):
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        s = MIXTURE.score(x, a)
        if sampler is consistent_annealed:
            eta = step_size / (2 * LADDER[-1] ** 2)
            x = x + eta * a**2 * s + b * math.sqrt(max(0.0, 1 - ((1 - eta) / (b / a)) ** 2)) * z
        else:
            x = x + (a**2 - b**2) * s + math.sqrt(b**2 * (a**2 - b**2) / a**2) * z
        yield x
        for _ in range(n_steps):
            alpha = step_size * b**2 / LADDER[-1] ** 2
            z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x = x + alpha / 2 * MIXTURE.score(x, b) + math.sqrt(alpha) * z
            yield x


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (ancestral, {}),
        (predictor_corrector, {"step_size": 0.3, "n_steps": 2}),
        (consistent_annealed, {"step_size": STEP_BOUNDS[0]}),
        (consistent_annealed, {"step_size": sum(STEP_BOUNDS) / 2}),
        (consistent_annealed, {"step_size": STEP_BOUNDS[1]}),
    ],
)
def test_each_step_is_as_published(sampler, options):
    x = 20 * torch.randn(50, 2, generator=seeded(7), dtype=torch.float64)
    states = sampler(MIXTURE.score, x, LADDER, generator=seeded(1), **options)
    for state, expected in zip(states, published(sampler, x, seeded(1), **options), strict=True):
        torch.testing.assert_close(state.x, expected)


def test_the_bounds_of_consistent_steps_are_those_of_the_steepest_level():
    assert consistent_step_bounds([4.0, 2.0, 0.5]) == (2 * 0.25 * (1 - 1 / 4), 2 * 0.25 * (1 + 1 / 4))


def test_a_consistent_step_that_rounding_puts_below_the_smallest_adds_no_noise():
    low, _ = consistent_step_bounds([4.0, 2.0, 1.0])
    options = {"sigmas": [4.0, 2.0, 1.0], "step_size": low * (1 - 5e-7)}
    ends = [final(consistent_annealed(MIXTURE.score, torch.ones(3, 2), **options, generator=seeded(i))) for i in (1, 2)]
    assert torch.equal(*ends)


# --- the probability flow --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2), ("multistep", 2)])
@pytest.mark.parametrize("make", [geometric_sigmas, power_sigmas])
def test_the_order_of_convergence(method, order, make):
    """On N(0, v), whose solution is x √((v + σ_L²)/(v + σ_1²)); halved steps divide the error by 2^order, ± 6 %."""
    x = torch.tensor([[3.0], [-7.0]], dtype=torch.float64)
    errors = []
    for n in (201, 401, 801):
        end = final(probability_flow(gaussian(2.0).score, x, make(10, 0.1, n).double(), method=method))
        exact = x * math.sqrt((2 + 0.1**2) / (2 + 10**2))
        errors.append(float(((end - exact) / exact).abs().max()))
    # float32 ladders end exactly, and are off by rounding in between, which no error above 1e-6 feels
    assert errors[-1] > 1e-6
    assert [math.log2(a / b) for a, b in itertools.pairwise(errors)] == pytest.approx([order, order], abs=0.06)


# --- states, costs, divergence ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("denoise_last", [False, True])
def test_states_say_where_x_stands_and_what_it_cost(name, denoise_last):
    sampler = named(name, [4.0, 2.0, 1.0], denoise_last=denoise_last)
    score = CountedScore(MIXTURE.score)
    states = run(sampler, score, torch.zeros(3, 2))
    assert cost_of(sampler) == (len(states), score.evaluations)
    assert score.evaluations == (4 if name == "heun" else len(states) - denoise_last) + denoise_last
    levels, steps = {"annealed": ((1, 2, 3), 2), "predictor-corrector": ((2, 3), 3)}.get(name, ((2, 3), 1))
    expected = [(level, step, 4.0 / 2 ** (level - 1)) for level in levels for step in range(1, steps + 1)]
    if denoise_last:
        expected.append((3, steps + 1, 1.0))
        assert torch.equal(states[-1].x, denoise(MIXTURE.score, states[-2].x, 1.0))
    assert [(s.level, s.step, s.sigma) for s in states] == expected


@pytest.mark.parametrize(
    ("name", "level", "step"),
    [
        ("consistent", 3, 1),
        ("ancestral", 3, 1),
        ("predictor-corrector", 2, 2),  # this one and Heun's ask at σ_2 on arriving there
        ("euler", 3, 1),
        ("heun", 2, 1),
        ("multistep", 3, 1),
    ],
)
def test_a_score_that_turns_nan_is_caught_at_that_level(name, level, step):
    def score(x, sigma):
        return x * (math.nan if sigma == 2.0 else 0.0)

    said = rf"diverged at level {level} of 3 \(sigma = {4 >> level - 1}\), step {step}: .* so the score is wrong there"
    with pytest.raises(SamplerDivergedError, match=said) as caught:
        run(named(name, [4.0, 2.0, 1.0]), score, torch.zeros(3, 2))
    assert (caught.value.level, caught.value.step) == (level, step)


@from_level_to_level
@pytest.mark.parametrize(("pull", "diverges"), [(3e6, False), (1.2e7, True)])
def test_the_guards_scale_is_the_largest_noise_level(name, pull, diverges):
    """From 0 with σ_1 = 4, σ_2 = 1, a step of .38 to .98 of the pull: up to 4·10⁶ it is let pass."""

    def score(x, sigma):
        return torch.where(x.abs() < 1e3, pull / sigma**2, 0.0)

    with pytest.raises(SamplerDivergedError) if diverges else contextlib.nullcontext():
        run(named(name, [4.0, 1.0]), score, torch.zeros(3, 2))


def test_a_corrector_beyond_the_bound_raises():
    options = {"step_size": 5.0, "n_steps": 200, "generator": seeded()}
    said = r"the bound for data of variance v is 4σ_L²\(1 \+ v/σ_1²\), here 4"
    with pytest.raises(SamplerDivergedError, match=said) as caught:
        final(predictor_corrector(gaussian(0.01).score, torch.ones(20, 1), [2.0, 1.0], **options))
    assert (caught.value.step_size, caught.value.bound) == (5.0, pytest.approx(4.0))
