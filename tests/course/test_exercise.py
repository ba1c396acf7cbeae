"""What checks hold draws and chains against, by simulation and closed forms; and exercises with variants."""

import itertools
import math

import pytest
import torch

from answers import normal
from sbgm import checks
from sbgm.course import exercise
from sbgm.course.exercise import ChainStep, Law, chain_law, compare_law
from sbgm.theory import annealed_variance, count_levels, langevin_variance

# --- checks draws ----------------------------------------------------------------------------------------------------

GAUSSIAN = Law(0.0, 1.0)


def samples(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_correlations_pass_their_limit_as_often_as_stated(monkeypatch):
    monkeypatch.setattr(exercise, "FALSE_ALARM", 0.1)
    n_passed = sum(
        bool(correlations.abs().max() > limit)
        for correlations, limit in (exercise._correlations(samples(seed, 30, 40)) for seed in range(500))
    )
    assert 25 < n_passed < 80  # 50 are expected, within 4 standard errors; a few less, for pairs overlap


@pytest.mark.parametrize(("standard_errors", "most"), [(2.0, 0.3), (3.0, 0.03)])
def test_moments_are_refused_as_seldom_as_stated(monkeypatch, standard_errors, most):
    """Four departures, each beyond 2 (3) standard errors in 4.6 % (0.27 %) of all cases."""
    monkeypatch.setattr(exercise, "STANDARD_ERRORS", standard_errors)
    n_refused = sum(bool(exercise._faults(samples(seed, 2, 50, 60), GAUSSIAN)) for seed in range(500))
    assert n_refused / 500 < most


@pytest.mark.parametrize("run", [0, 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused_in_every_run(run, value):
    calls = []

    def step(score, x, step_size, generator):
        calls.append(None)
        x = x + step_size / 2 * score(x) + step_size**0.5 * normal(x.shape, x, generator)
        x[3, 4] = value if len(calls) == 3 or run == 0 else x[3, 4]
        return x

    with pytest.raises(checks.WrongAnswer, match="NaN or infinity"):
        checks.langevin_step(step)


def test_independent_samples_pass():
    for seed in range(100):
        compare_law(samples(seed, 2, 50, 60), GAUSSIAN, {})


# --- checks chains ---------------------------------------------------------------------------------------------------

OFFSET = torch.full((1, 1), 3.0, dtype=torch.float64)


def test_variance_of_algorithm_1():
    sigmas, epsilon, n_steps, v = [4.0, 2.0, 1.0], 0.3, 5, 0.7
    levels = [[ChainStep(epsilon * s**2 / 2, epsilon * s**2, s)] * n_steps for s in sigmas]
    expected = annealed_variance(sigmas, step_size=epsilon, n_steps=n_steps, variance=v, start=0.0)[-1]
    assert chain_law(OFFSET, v, levels).variance == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("step_size", [0.1, 1.0])
def test_moments_of_langevin_dynamics_when_settled(step_size):
    law = chain_law(OFFSET, 1.0, [[ChainStep(step_size / 2, step_size, 0.0)] * 600], kurtosis=9.0)
    assert float(law.mean) == pytest.approx(0.0, abs=1e-12)
    assert law.variance == pytest.approx(langevin_variance(step_size), rel=1e-12)
    kept = (1 - step_size / 2) ** 2
    assert law.kurtosis == pytest.approx(3 + (9 - 3) * (1 - kept) / (1 + kept), rel=1e-12)


@pytest.mark.parametrize(("draw", "n_draws"), [(int, 6), (lambda i: i // 3, 2), (lambda i: i % 3, 3), (lambda i: 0, 1)])
def test_law_equals_that_of_drawn_chains(draw, n_draws):
    levels = [[ChainStep(0.5, 0.8, 1.0)] * 3, [ChainStep(0.3, 0.4, 0.5)] * 3]
    law = chain_law(OFFSET, 1.0, levels, noise_mean=0.2, draw=draw)
    n = 100_000
    z = torch.randn(n_draws, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, means = OFFSET[0].expand(n), OFFSET[0]
    for i, step in enumerate(s for level in levels for s in level):
        keep = 1 - step.drift / (1 + step.sigma**2)
        means = keep * means + 0.2 * math.sqrt(step.noise)
        x = keep * x + math.sqrt(step.noise) * z[draw(i)]
    assert float(law.mean) == pytest.approx(float(means), rel=1e-12)
    assert law.variance == pytest.approx(float(x.var()), rel=5 * math.sqrt(2 / n))


# --- check variants --------------------------------------------------------------------------------------------------

VARIANTS = range(6)


def answer_of(variant):
    problem = checks.ladder_problem(variant)
    n_levels = count_levels(problem["sigma_max"], problem["sigma_min"], problem["dim"])
    return lambda: n_levels


@pytest.mark.parametrize("variant", VARIANTS)
def test_own_answer_passes_and_is_what_is_lent(variant):
    @checks.levels_needed(variant=variant)
    def levels_needed():
        raise NotImplementedError

    assert levels_needed() == answer_of(variant)()
    assert checks.levels_needed(levels_needed, variant=variant).correct


@pytest.mark.parametrize(("mine", "theirs"), list(itertools.permutations(VARIANTS, 2)))
def test_another_groups_answer_is_refused(mine, theirs):
    with pytest.raises(checks.WrongAnswer, match="another group"):
        checks.levels_needed(answer_of(theirs), variant=mine)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (-1, "variant must be at least 0, got -1"),
        (1.5, "variant must be a whole number, got 1.5"),
        ("A", "variant must be a whole number, got 'A'"),
    ],
)
def test_a_bad_variant_is_named(variant, message):
    with pytest.raises((ValueError, TypeError), match=message):
        checks.ladder_problem(variant)
