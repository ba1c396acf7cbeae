"""What ties samplers to each other, to the denoised point, and to their bounds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sbgm
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.runs import FLOAT64, log_prob, problems
from properties.strategies import SCALES, SEEDS, batches, gaussian_score, scores, seeded, sigma_at, sigmas_of
from sbgm.samplers import consistent_step_bounds


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
