"""Every sampler: shapes, seeds, the order of its states, what ties samplers to each other, and to their bounds."""

import traceback

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sbgm
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.runs import AT_ONE_LEVEL, OF_LIBRARY, RUNS, log_prob, problems
from properties.strategies import (
    BAD_SCORES,
    DTYPES,
    SCALES,
    SEEDS,
    batches,
    gaussian_score,
    scores,
    seeded,
    sigmas_of,
    wide,
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


@pytest.mark.parametrize("name", RUNS)
@given(problems(), SEEDS)
def test_a_batch_of_images_is_a_batch_of_vectors(name, problem, seed):
    score, x, sigmas = problem
    vectors = RUNS[name](lambda v, s: score(v.reshape(x.shape), s).flatten(1), x.flatten(1), sigmas, seeded(seed))
    assert_near(sbgm.final(vectors), sbgm.final(RUNS[name](score, x, sigmas, seeded(seed))).flatten(1))


def test_every_sampler_of_the_library_is_run_here():
    annotations = {name: getattr(sbgm.samplers, name).__annotations__ for name in sbgm.samplers.__all__}
    samplers = {name for name, of_name in annotations.items() if "Iterator" in str(of_name.get("return"))}
    assert samplers == {*OF_LIBRARY.values()}
    assert RUNS.keys() == OF_LIBRARY.keys()


def end_over_law(name, drift):
    """The variance of chains on data of variance 0.01 over what it should be, from exact starts, with a wrong drift."""
    sigmas = sbgm.geometric_sigmas(2.0, 0.5, 200).tolist()  # so close that lag and step size cost a tenth at most
    exact = gaussian_score(0.0, 0.01)
    first = sigmas[-1] if name in AT_ONE_LEVEL else sigmas[0]
    x = (0.01 + first**2) ** 0.5 * torch.randn(4_000, 2, generator=seeded(1), dtype=torch.float64)
    x = sbgm.final(RUNS[name](lambda x, sigma: drift * exact(x, sigma), x, sigmas, seeded(2)))
    return float(x[:, 1].var()) / (0.01 + sigmas[-1] ** 2)  # number 0 is known to `inpaint`


def allowed(name):
    """Four standard errors of the variance; on a ladder Algorithm 1 lags, and its step size adds, a tenth in all."""
    return 0.09 if name in AT_ONE_LEVEL else 0.15


@pytest.mark.parametrize("name", RUNS)
def test_chains_keep_a_gaussians_law(name):
    assert abs(end_over_law(name, 1) - 1) < allowed(name)


@pytest.mark.parametrize("drift", [0.5, 2])
@pytest.mark.parametrize("name", RUNS)
def test_chains_of_half_or_twice_the_drift_lose_the_law(name, drift):
    """So that the test above means something."""
    assert abs(end_over_law(name, drift) - 1) > allowed(name)


@pytest.mark.parametrize("name", RUNS)
def test_a_step_is_made_when_it_is_asked_for_and_without_gradients(name):
    enabled = []

    def score(x, sigma):
        enabled.append(torch.is_grad_enabled())
        return -x

    states = RUNS[name](score, torch.ones(4, 2), [2.0, 1.0], seeded())
    assert enabled == []
    next(states)
    assert set(enabled) == {False}
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("case", BAD_SCORES)
def test_a_score_of_the_wrong_kind_is_named_at_the_first_step(name, case):
    score, error, message = BAD_SCORES[case]
    with pytest.raises(error, match=f"score must {message}"):
        next(RUNS[name](score, torch.zeros(4, 2), [2.0, 1.0], seeded()))


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("case", BAD_SCORES)
def test_a_score_that_is_of_the_wrong_kind_later_is_named_too(name, case):
    """A value of shape (4, 1) would broadcast, and the chains would follow another law without a word."""
    score, error, message = BAD_SCORES[case]
    asked = []

    def later(x, sigma):
        asked.append(sigma)
        return -x if len(asked) <= 2 else score(x, sigma)

    with pytest.raises(error, match=f"score must {message}"):
        sbgm.final(RUNS[name](later, torch.zeros(4, 2), [4.0, 3.0, 2.0, 1.0], seeded()))


@pytest.mark.parametrize("asked", [*RUNS, "denoise"])
def test_a_score_by_automatic_differentiation_is_told_to_switch_gradients_on(asked):
    def score(x, sigma):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(-x.square().sum() / 2, x)[0]

    def run(score):
        if asked == "denoise":
            return sbgm.denoise(score, torch.ones(4, 2), 1.0)
        return sbgm.final(RUNS[asked](score, torch.ones(4, 2), [2.0, 1.0], seeded()))

    with pytest.raises(RuntimeError, match=r"score must switch gradients on .* torch\.enable_grad\(\)"):
        run(score)
    assert torch.equal(run(torch.enable_grad()(score)), run(lambda x, sigma: -x))


def by_method(x):
    x -= 1


def by_data(x):
    x.data -= 1


def by_numpy(x):
    x = x.numpy()
    x -= 1


@pytest.mark.parametrize("change", [by_method, by_data, by_numpy])
@pytest.mark.parametrize("name", RUNS)
def test_a_score_that_changes_its_argument_is_refused_and_so_is_a_changed_state(name, change):
    """By either the chains would go on from other points, and their law would be another one."""

    def score(x, sigma):
        change(x)
        return -x

    with pytest.raises(ValueError, match="score must leave its arguments as they are: change a copy"):
        next(RUNS[name](score, torch.ones(4, 2), [2.0, 1.0], seeded()))
    states = RUNS[name](lambda x, sigma: -x, torch.ones(4, 2), [4.0, 2.0, 1.0], seeded())
    change(next(states).x)
    with pytest.raises(ValueError, match=r"state\.x must be left as it is"):
        next(states)


def test_a_score_is_looked_at_once_and_again_where_chains_diverge():
    """Each look makes a copy of the points, which the score's own are then equal to."""
    asked = []

    def score(x, sigma):
        asked.append(x)
        return x[:, :1] if len(asked) > 3 else 10.0**9 * (len(asked) > 2) * x

    states = sbgm.langevin(score, torch.ones(4, 2), step_size=1.0, n_steps=9, generator=seeded())
    next(states), next(states)
    with pytest.raises(ValueError, match=r"score must return x's shape, \(4, 2\), got \(4, 1\)"):
        next(states)


def test_a_step_reaches_the_score_in_three_frames_and_looks_at_no_argument():
    """So that a debugger that steps into `score(x, sigma)` is soon in the mathematics."""
    depths = []

    def score(x, sigma):
        innermost_first = [frame.name for frame in traceback.extract_stack()][::-1]
        depths.append(innermost_first.index("langevin_step"))
        return -x

    sbgm.final(sbgm.langevin(score, torch.ones(4, 2), step_size=1.0, n_steps=3, generator=seeded()))
    assert depths[1:] == [2, 2]


def test_a_log_density_that_changes_its_argument_is_refused():
    options = {"step_size": 0.1, "n_steps": 1, "log_prob": lambda x, s: x.sub_(1)[:, 0], "generator": seeded()}
    states = sbgm.metropolis_langevin(lambda x, s: -x, torch.ones(4, 2), **options)
    with pytest.raises(ValueError, match="log_prob must leave its arguments as they are"):
        next(states)


def test_levels_an_example_are_guarded_as_points_are():
    levels = torch.ones(4)
    options = {"step_size": 0.1, "n_steps": 1, "generator": seeded()}
    with pytest.raises(ValueError, match="score must leave its arguments as they are"):
        next(sbgm.langevin(lambda x, sigma: -x / sigma.mul_(2)[:, None], torch.ones(4, 2), sigma=levels, **options))


@pytest.mark.parametrize("name", RUNS)
def test_tensors_that_torch_does_not_count_the_changes_of_are_sampled_as_others(name):
    def run():
        return sbgm.final(RUNS[name](gaussian_score(0.0, 1.0), torch.ones(4, 2), [2.0, 1.0], seeded()))

    with torch.inference_mode():
        inferred = run()
    assert torch.equal(inferred, run())


@pytest.mark.parametrize("name", RUNS)
def test_a_score_in_double_precision_leaves_chains_in_theirs(name):
    states = RUNS[name](lambda x, sigma: -x.double(), torch.ones(4, 2), [2.0, 1.0], seeded())
    assert {state.x.dtype for state in states} == {torch.float32}


def test_a_score_that_is_not_finite_where_chains_start_is_no_step_that_is_too_large():
    options = {"step_size": 0.1, "n_steps": 3, "generator": seeded()}
    with pytest.raises(sbgm.SamplerDivergedError, match=r"not finite at the starting points with sigma = 0\.0: pass a"):
        next(sbgm.langevin(lambda x, sigma: -x / sigma, torch.ones(4, 2), **options))
    with pytest.raises(sbgm.SamplerDivergedError, match=r"not finite at the starting points with sigma = 2\.0"):
        next(sbgm.annealed_langevin(lambda x, sigma: x / (sigma - 2), torch.ones(4, 2), [2.0, 1.0], **options))


# --- sampler relations -----------------------------------------------------------------------------------------------


@given(problems(), st.floats(0.5, 3.0), SEEDS)
def test_a_refused_proposal_leaves_the_chain_where_it_was(problem, step_size, seed):
    _, x, (sigma, *_) = problem
    score = gaussian_score(0.0, 0.5)
    options = {"step_size": step_size, "n_steps": 4, "sigma": sigma, "log_prob": log_prob(score)}
    before = x
    for state in sbgm.metropolis_langevin(score, x, generator=seeded(seed), **options):
        assert (state.accepted.shape, state.accepted.dtype) == (x.shape[:1], torch.bool)
        assert torch.equal(state.accepted, (state.x != before).flatten(1).any(dim=1))
        before = state.x


@given(batches(), st.data())
def test_denoising_gives_each_example_its_posterior_mean_under_a_gaussian(x, data):
    score = data.draw(scores(tuple(x.shape[1:])))
    sigma = data.draw(sigmas_of(x))
    with untouched(x):
        assert_like(assert_one_by_one(lambda x, sigma: sbgm.denoise(score, x, sigma), x, sigma), x)
    assert torch.equal(sbgm.denoise(gaussian_score(1.0, 2.0), x, 0.0), x)
    variance = wide(sigma, x) ** 2
    assert_near(sbgm.denoise(gaussian_score(1.0, 2.0), x, sigma), (2.0 * x + variance) / (2.0 + variance))
