"""Every sampler: shapes, seeds, the order of its states, and how a chain follows its problem when that is scaled."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sbgm
from counting import CountedScore
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.runs import RUNS, named, problems
from properties.strategies import DTYPES, SCALES, SEEDS, normal, seeded
from sbgm.generation import SAMPLERS, NamedSampler

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
