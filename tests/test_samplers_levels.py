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
    denoise,
    final,
    geometric_sigmas,
    paper_mixture,
    probability_flow,
)
from sbgm.images.drawing import cost_of
from sbgm.samplers import level_to_level
from seeds import seeded

MIXTURE = paper_mixture()
LADDER = [20.0, 8.0, 4.0, 3.6]
from_level_to_level = pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "annealed"])


def gaussian(variance):
    return GaussianMixture([1.0], [[0.0]], math.sqrt(variance))


def run(sampler, score, x):
    return list(sampler(score, x, seeded(1)))


# --- the steps -------------------------------------------------------------------------------------------------------


def published(x, generator, eta=None):
    """The chains after each step, by the formulas of the papers.

    With η: x + ησ_k²s + σ_{k+1}√(1 − ((1 − η)/r)²) z, r = σ_{k+1}/σ_k. Without, which is ancestral:
    x + (σ_k² − σ_{k+1}²)s + √(σ_{k+1}²(σ_k² − σ_{k+1}²)/σ_k²) z.
    """
    for a, b in itertools.pairwise(LADDER):
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        s = MIXTURE.score(x, a)
        if eta is not None:
            x = x + eta * a**2 * s + b * math.sqrt(max(0.0, 1 - ((1 - eta) / (b / a)) ** 2)) * z
        else:
            x = x + (a**2 - b**2) * s + math.sqrt(b**2 * (a**2 - b**2) / a**2) * z
        yield x


@pytest.mark.parametrize("eta", [None, 0.6, 1.0, 1.4])  # of the steepest level, from 1 − r to 1 + r
def test_each_step_is_as_published(eta):
    x = 20 * torch.randn(50, 2, generator=seeded(7), dtype=torch.float64)
    if eta is None:
        states = ancestral(MIXTURE.score, x, LADDER, generator=seeded(1))
    else:
        states = level_to_level(MIXTURE.score, x, LADDER, lambda r: eta, generator=seeded(1))
    for state, expected in zip(states, published(x, seeded(1), eta), strict=True):
        torch.testing.assert_close(state.x, expected)


def test_a_step_that_rounding_puts_below_the_smallest_adds_no_noise():
    sigmas = [4.0, 2.0, 1.0]
    states = [
        level_to_level(MIXTURE.score, torch.ones(3, 2), sigmas, lambda r: 0.5 * (1 - 5e-7), generator=seeded(i))
        for i in (1, 2)
    ]
    assert torch.equal(*map(final, states))


# --- the probability flow --------------------------------------------------------------------------------------------


def power_sigmas(high, low, n):
    """Even steps in σ^{1/7}, so that steps differ in ln σ too."""
    return torch.linspace(high ** (1 / 7), low ** (1 / 7), n, dtype=torch.float64) ** 7


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
    levels, steps = {"annealed": ((1, 2, 3), 2)}.get(name, ((2, 3), 1))
    expected = [(level, step, 4.0 / 2 ** (level - 1)) for level in levels for step in range(1, steps + 1)]
    if denoise_last:
        expected.append((3, steps + 1, 1.0))
        assert torch.equal(states[-1].x, denoise(MIXTURE.score, states[-2].x, 1.0))
    assert [(s.level, s.step, s.sigma) for s in states] == expected


@pytest.mark.parametrize(
    ("name", "level", "step"),
    [
        ("ancestral", 3, 1),
        ("euler", 3, 1),
        ("heun", 2, 1),  # which asks at σ_2 on arriving there
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
