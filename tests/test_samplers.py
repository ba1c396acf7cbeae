"""Every sampler: shapes, seeds, the order of its states, what ties samplers to each other, and to their bounds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sbgm
from counting import CountedScore
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.runs import FLOAT64, RUNS, log_prob, named, problems
from properties.strategies import (
    DTYPES,
    SCALES,
    SEEDS,
    batches,
    gaussian_score,
    normal,
    scores,
    seeded,
    sigma_at,
    sigmas_of,
)
from sbgm.generation import SAMPLERS, NamedSampler
from sbgm.samplers import consistent_step_bounds

EVERY = (
    sbgm.ancestral,
    sbgm.annealed_langevin,
    sbgm.consistent_annealed,
    sbgm.hamiltonian,
    sbgm.inpaint,
    sbgm.langevin,
    sbgm.metropolis_langevin,
    sbgm.predictor_corrector,
    sbgm.probability_flow,
    NamedSampler,
)


@pytest.mark.parametrize("name", RUNS)
@given(problems(DTYPES), SEEDS)
def test_a_chain_is_its_seeds_own_and_leaves_its_start_alone(name, problem, seed):
    score, x, sigmas = problem
    with untouched(x):
        states = list(RUNS[name](score, x, sigmas, seeded(seed)))
        again = sbgm.final(RUNS[name](score, x, sigmas, seeded(seed)))
    assert torch.equal(states[-1].x, again)
    for state in states:
        assert_like(state.x, x)
        assert not state.x.requires_grad
    drawn = name not in ("euler", "heun", "multistep", "metropolis")  # whose proposals may be refused
    if drawn and x.dtype != torch.bfloat16:  # in which two chains may round to one
        assert not torch.equal(again, sbgm.final(RUNS[name](score, x, sigmas, seeded(seed + 1))))


@pytest.mark.parametrize("name", RUNS)
@given(problems(), SCALES, SEEDS)
def test_a_problem_c_times_as_large_has_chains_c_times_as_large(name, problem, c, seed):
    """With s_c(x, σ) = s(x/c, σ/c)/c, σ and x times c, ε times c² and h times c."""
    score, x, sigmas = problem
    scaled = RUNS[name](lambda x, s: score(x / c, s / c) / c, c * x, [c * s for s in sigmas], seeded(seed))
    assert_near(sbgm.final(scaled), c * sbgm.final(RUNS[name](score, x, sigmas, seeded(seed))))


@pytest.mark.parametrize("name", [name for name in RUNS if name != "metropolis"])
@given(problems(), SEEDS)
def test_a_problem_moved_elsewhere_has_its_chains_moved_with_it(name, problem, seed):
    score, x, sigmas = problem
    shift = normal(seed, *x.shape[1:])
    moved = RUNS[name](lambda x, s: score(x - shift, s), x + shift, sigmas, seeded(seed))
    assert_near(sbgm.final(moved) - shift, sbgm.final(RUNS[name](score, x, sigmas, seeded(seed))))


@pytest.mark.parametrize("name", SAMPLERS)
@given(problems(), st.booleans(), SEEDS)
def test_the_states_go_down_the_ladder_at_the_cost_that_was_said(name, problem, denoise_last, seed):
    score, x, sigmas = problem
    sampler, counted = named(name, sigmas, denoise_last=denoise_last), CountedScore(score)
    states = list(sampler.states(counted, x, seeded(seed)))
    assert (len(states), counted.evaluations) == (sampler.n_states, sampler.evaluations)
    places = [(state.level, state.step) for state in states]
    assert places == sorted(set(places))
    assert all(state.sigma == sigmas[state.level - 1] for state in states)
    assert states[-1].level == len(sigmas)


@pytest.mark.parametrize("method", ["euler", "heun", "multistep"])
@given(problems(st.sampled_from([torch.float32, torch.float64])))
def test_the_flow_takes_one_example_at_a_time(method, problem):
    score, x, sigmas = problem
    assert_one_by_one(lambda x, _: sbgm.final(sbgm.probability_flow(score, x, sigmas, method=method)), x, 1.0)


# --- sampler relations -----------------------------------------------------------------------------------------------


@given(problems(), SEEDS)
def test_annealing_is_langevin_dynamics_level_after_level(problem, seed):
    score, x, sigmas = problem
    options = {"n_steps": 2, "generator": seeded(seed)}
    annealed = sbgm.final(sbgm.annealed_langevin(score, x, sigmas, step_size=0.1 * sigmas[-1] ** 2, **options))
    options["generator"] = seeded(seed)
    for sigma in sigmas:
        x = sbgm.final(sbgm.langevin(score, x, sigma=sigma, step_size=0.1 * sigma**2, **options))
    assert_near(annealed, x)


@given(problems(), SEEDS)
def test_one_leapfrog_step_is_a_langevin_step(problem, seed):
    score, x, (sigma, *_) = problem
    h, options = 0.3 * sigma, {"n_steps": 3, "sigma": sigma}
    leaps = sbgm.hamiltonian(score, x, step_size=h, n_leapfrog=1, generator=seeded(seed), **options)
    assert_near(
        sbgm.final(leaps), sbgm.final(sbgm.langevin(score, x, step_size=h**2, generator=seeded(seed), **options))
    )


@given(problems(), SEEDS)
def test_steps_that_are_small_enough_are_accepted(problem, seed):
    _, x, (sigma, *_) = problem
    score = gaussian_score(0.0, 0.5)
    options = {"n_steps": 3, "sigma": sigma, "log_prob": log_prob(score)}
    for states in (
        sbgm.metropolis_langevin(score, x, step_size=1e-8, generator=seeded(seed), **options),
        sbgm.hamiltonian(score, x, step_size=1e-4, n_leapfrog=3, generator=seeded(seed), **options),
    ):
        assert all(bool(state.accepted.all()) for state in states)


@pytest.mark.parametrize("name", ["metropolis", "hamiltonian"])
@given(problems(), st.floats(0.5, 3.0), SEEDS)
def test_a_refused_proposal_leaves_the_chain_where_it_was(name, problem, step_size, seed):
    _, x, (sigma, *_) = problem
    score = gaussian_score(0.0, 0.5)
    options = {"step_size": step_size, "n_steps": 4, "sigma": sigma, "log_prob": log_prob(score)}
    sampler = sbgm.metropolis_langevin if name == "metropolis" else sbgm.hamiltonian
    options |= {"n_leapfrog": 2} if name == "hamiltonian" else {}
    before = x
    for state in sampler(score, x, generator=seeded(seed), **options):
        assert (state.accepted.shape, state.accepted.dtype) == (x.shape[:1], torch.bool)
        assert torch.equal(state.accepted, (state.x != before).flatten(1).any(dim=1))
        before = state.x


@given(batches(), st.data())
def test_denoising_takes_one_example_at_a_time_and_no_noise_away_where_there_is_none(x, data):
    score, sigma = data.draw(scores(tuple(x.shape[1:]))), data.draw(sigmas_of(x))
    with untouched(x):
        assert_like(assert_one_by_one(lambda x, sigma: sbgm.denoise(score, x, sigma), x, sigma), x)
    exact = data.draw(scores(tuple(x.shape[1:]), kinds=("gaussian", "mixture", "linear")))
    assert torch.equal(sbgm.denoise(exact, x, 0.0), x)


@given(batches(dtypes=FLOAT64), st.floats(-3, 3), st.floats(0.0, 4.0), st.data())
def test_denoising_brings_a_gaussians_points_the_right_part_of_the_way_to_its_mean(x, mean, variance, data):
    sigma = data.draw(sigmas_of(x))
    end = sbgm.denoise(gaussian_score(mean, variance), x, sigma)
    for i in range(len(x)):
        noise = float(sigma_at(sigma, i)) ** 2
        assert_near(end[i], (variance * x[i] + noise * mean) / (variance + noise))


@given(problems(), SCALES)
def test_the_bounds_of_consistent_steps_scale_with_the_square_and_are_kept(problem, c):
    score, x, sigmas = problem
    low, high = consistent_step_bounds(sigmas)
    assert 0 < low < high
    assert consistent_step_bounds([c * s for s in sigmas]) == pytest.approx((c**2 * low, c**2 * high))
    for step_size in (0.99 * low, 1.01 * high):
        with pytest.raises(ValueError, match="step_size must be between"):
            sbgm.consistent_annealed(score, x, sigmas, step_size=step_size, generator=seeded(0))


@given(batches(dtypes=FLOAT64), st.floats(5.0, 1e3), SEEDS)
def test_a_step_beyond_the_bound_is_a_divergence_that_names_it(x, step_size, seed):
    with pytest.raises(sbgm.SamplerDivergedError, match=r"step_size = .* is too large") as caught:
        sbgm.final(sbgm.langevin(gaussian_score(0.0, 1.0), x, step_size=step_size, n_steps=500, generator=seeded(seed)))
    assert caught.value.step_size == step_size
    assert 1 <= caught.value.step <= 500
