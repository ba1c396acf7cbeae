"""Langevin dynamics, plain and with the Metropolis test, against closed forms; and proof that wrong samplers fail."""

import functools
import itertools
import math
import re

import pytest
import torch

from balance import CLOSE_MODES, acceptance, check_detailed_balance, check_gaussian, one_step
from sbgm import SamplerDivergedError, final, langevin, metropolis_langevin, paper_mixture
from sbgm.measure import estimate
from sbgm.samplers import annealed_langevin, denoise, metropolis_test
from sbgm.theory import langevin_variance
from seeds import seeded


def normal_score(x, sigma):
    """The score of N(0, I), for any shape."""
    return -x


def normal_log_prob(x, sigma):
    return -0.5 * x.flatten(1).square().sum(dim=1)


def wrong_start(n=100_000):
    """Half the chains at −3, half at 3: variance 9 and kurtosis 1, where 1 and 3 would be right."""
    return torch.tensor([-3.0, 3.0]).repeat(n // 2)[:, None]


# --- the stationary law ----------------------------------------------------------------------------------------------


def check_stationary(sampler, step_size, variance):
    """Raise unless the sampler brings the wrong start to a Gaussian of this variance."""
    n_steps = math.ceil(12 / abs(math.log(max(abs(1 - step_size / 2), 0.02))))  # leaves e⁻²⁴ of the wrong start
    check_gaussian(sampler(wrong_start(), step_size, n_steps), variance)


def metropolis(score, x, **options):
    return metropolis_langevin(score, x, log_prob=normal_log_prob, **options)


def run_langevin(x, step_size, n_steps):
    return final(langevin(normal_score, x, step_size=step_size, n_steps=n_steps, generator=seeded()))


@pytest.mark.parametrize("step_size", [0.1, 0.5, 1.0, 2.0, 3.5])
def test_langevin_samples_a_gaussian_of_the_predicted_variance(step_size):
    check_stationary(run_langevin, step_size, langevin_variance(step_size))


@pytest.mark.parametrize("step_size", [0.1, 0.5, 1.0, 2.0])
def test_the_metropolis_test_makes_the_variance_exact(step_size):
    def run_metropolis(x, step_size, n_steps):
        return final(metropolis(normal_score, x, step_size=step_size, n_steps=2 * n_steps, generator=seeded()))

    check_stationary(run_metropolis, step_size, 1.0)


def by_hand(drift, noise):
    """A sampler x ← x − drift(ε) x + noise(ε), in place of `run_langevin`."""

    def sampler(x, step_size, n_steps):
        draw = functools.partial(torch.randn, x.shape, generator=seeded())
        for _ in range(n_steps):
            x = x - drift(step_size) * x + noise(step_size, draw)
        return x

    return sampler


RIGHT = by_hand(lambda eps: eps / 2, lambda eps, z: math.sqrt(eps) * z())
WRONG = {
    "noise drawn twice": by_hand(lambda eps: eps / 2, lambda eps, z: math.sqrt(eps) * z() * z()),
    "√ε dropped": by_hand(lambda eps: eps / 2, lambda eps, z: eps * z()),
    "½ missing": by_hand(lambda eps: eps, lambda eps, z: math.sqrt(eps) * z()),
    "the authors' step for the paper's": by_hand(lambda eps: eps, lambda eps, z: math.sqrt(2 * eps) * z()),
    "uniform noise": by_hand(lambda eps: eps / 2, lambda eps, z: math.sqrt(12 * eps) * (torch.rand_like(z()) - 0.5)),
    "no noise": by_hand(lambda eps: eps / 2, lambda eps, z: 0.0),
    "half the steps": lambda x, step_size, n_steps: RIGHT(x, step_size, 2),
}


def test_the_check_passes_a_right_sampler_written_by_hand():
    check_stationary(RIGHT, 0.5, langevin_variance(0.5))


@pytest.mark.parametrize("name", WRONG)
def test_the_check_refuses_a_wrong_sampler(name):
    with pytest.raises(AssertionError):
        check_stationary(WRONG[name], 0.5, langevin_variance(0.5))


# --- the Metropolis test ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_size", [0.1, 0.5, 1.0, 2.0, 5.0])
def test_the_acceptance_rate_is_the_closed_form(step_size):
    x = torch.randn(20_000, 1, generator=seeded(1))  # in equilibrium from the start
    states = metropolis(normal_score, x, step_size=step_size, n_steps=20, generator=seeded(2))
    rate = estimate(torch.stack([state.accepted.double() for state in states]).mean(dim=0))  # chains are independent
    assert 0 < rate.value < 1
    assert rate.value == pytest.approx(acceptance(step_size), abs=4 * rate.se)


def rotated(x, sigma):
    """A field that is no score."""
    return CLOSE_MODES.score(x) @ torch.tensor([[0.8, 0.6], [-0.6, 0.8]])


def without_the_proposals_density(x, generator):
    """A Metropolis test that forgets it."""
    y = one_step(langevin, step_size=1.5)(x, generator)
    accepted = metropolis_test(CLOSE_MODES.log_prob(y) - CLOSE_MODES.log_prob(x), generator)
    return torch.where(accepted[:, None], y, x)


TESTED = {"log_prob": CLOSE_MODES.log_prob}
BALANCED = {
    "Langevin": one_step(metropolis_langevin, step_size=1.5, **TESTED),
    "along a field that is no score": one_step(metropolis_langevin, rotated, step_size=1.0, **TESTED),
}
UNBALANCED = {
    "Langevin": one_step(langevin, step_size=1.5),
    "without the proposal's density": without_the_proposals_density,
}


@pytest.mark.parametrize("name", BALANCED)
def test_a_tested_step_is_in_detailed_balance_with_unequal_modes(name):
    check_detailed_balance(BALANCED[name])


@pytest.mark.parametrize("name", UNBALANCED)
def test_the_check_refuses_a_step_that_is_not_tested_or_wrongly(name):
    with pytest.raises(AssertionError):
        check_detailed_balance(UNBALANCED[name])


@pytest.mark.parametrize(
    ("log_prob", "message"),
    [
        (lambda x, sigma: -0.5 * x.square(), r"log_prob must return .* of shape \(3,\).*got \(3, 2\)"),
        (lambda x, sigma: 0.0, r"log_prob must return .* of shape \(3,\).*got float"),
        *(
            (lambda x, sigma, value=value: torch.full((3,), value), "log_prob must be finite at the starting points x")
            for value in (math.nan, -math.inf, math.inf)
        ),
    ],
)
def test_a_log_prob_of_the_wrong_shape_or_not_finite_at_the_start_is_refused(log_prob, message):
    options = {"log_prob": log_prob, "step_size": 0.1, "n_steps": 1, "generator": seeded()}
    with pytest.raises(ValueError, match=message):
        next(metropolis_langevin(normal_score, torch.zeros(3, 2), **options))


# --- the recursion itself --------------------------------------------------------------------------------------------


def test_a_step_is_equation_4():
    mixture = paper_mixture()
    generator = seeded()
    x = start = 16 * torch.rand(64, 2, generator=seeded(1)) - 8
    states = langevin(mixture.score, start, step_size=0.1, n_steps=5, generator=seeded())
    for step, state in zip(range(1, 6), states, strict=True):
        x = x + 0.1 / 2 * mixture.score(x) + math.sqrt(0.1) * torch.randn(64, 2, generator=generator)
        torch.testing.assert_close(state.x, x)
        assert (state.step, state.level, state.sigma, state.accepted) == (step, 1, 0.0, None)


# --- divergence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_size", [4.2, 5.0, 10.0, 1e30])
def test_every_step_size_above_the_bound_diverges_and_the_error_says_where_and_why(step_size):
    states = langevin(normal_score, wrong_start(100), step_size=step_size, n_steps=1_000, generator=seeded())
    said = r"step (\d+): the state .* 10⁶ .* step_size = {} is too large: .* bound is step_size < 4v"
    with pytest.raises(SamplerDivergedError, match=said.format(re.escape(f"{step_size:g}"))) as caught:
        final(states)
    assert (caught.value.step_size, caught.value.level) == (step_size, 1)
    assert f"step {caught.value.step}: " in str(caught.value)
    if step_size == 5.0:  # each step multiplies distances by 1.5: √5000 · 10⁶ comes at about step 42
        assert 38 <= caught.value.step <= 46


def test_just_below_the_bound_nothing_diverges():
    x = final(langevin(normal_score, wrong_start(10_000), step_size=3.95, n_steps=1_000, generator=seeded()))
    assert float(x.var()) == pytest.approx(langevin_variance(3.95), rel=0.06)  # 80; 4 s.e. are .057


def nan_from(call):
    """The score of N(0, I), NaN from its call of this number on."""
    calls = itertools.count(1)
    return lambda x, sigma: -x if next(calls) < call else x * torch.nan


def flat_log_prob(x, sigma):
    """Of a plane that ends somewhere; it is −∞ where x is NaN."""
    return torch.where(x[:, 0] < 99, 0.0, -torch.inf)


STEPS = {"step_size": 0.1, "n_steps": 5}
STOPPED = {
    "metropolis": functools.partial(metropolis_langevin, log_prob=normal_log_prob, **STEPS),
    "metropolis, flat": functools.partial(metropolis_langevin, log_prob=flat_log_prob, **STEPS),
    "langevin": functools.partial(langevin, **STEPS),
    "annealed": functools.partial(annealed_langevin, sigmas=[1.0, 0.5], denoise_last=True, **STEPS),
}


@pytest.mark.parametrize("name", STOPPED)
@pytest.mark.parametrize("call", [1, 3])
def test_a_score_that_is_nan_stops_every_sampler(name, call):
    """Those with a Metropolis test would refuse every proposal, and leave the chains where they started."""
    cause = "not finite at the starting points" if call == 1 else "score is wrong there"
    with pytest.raises(SamplerDivergedError, match=cause):
        final(STOPPED[name](nan_from(call), torch.zeros(4, 2), generator=seeded()))


def test_the_last_denoising_and_denoise_are_stopped_too():
    options = {"step_size": 0.1, "n_steps": 1, "generator": seeded(), "denoise_last": True}
    with pytest.raises(SamplerDivergedError, match="annealed_langevin diverged at level 2 of 2"):
        final(annealed_langevin(nan_from(3), torch.zeros(4, 2), [1.0, 0.5], **options))
    for wrong in (torch.nan, torch.inf):
        with pytest.raises(SamplerDivergedError, match=r"denoise diverged at step 1: .*, so the score is wrong there"):
            denoise(lambda x, sigma, wrong=wrong: x + wrong, torch.zeros(4, 2), 1.0)


def test_where_the_density_is_zero_a_score_may_be_nan():
    """An exponential law, whose score is −1 on the right of 0: proposals to its left are refused, as they should be."""

    def score(x, sigma):
        return torch.where(x > 0, -1.0, torch.nan)

    def log_prob(x, sigma):
        return torch.where(x > 0, -x, -torch.inf).sum(dim=1)

    x = torch.empty(40_000, 1).exponential_(generator=seeded())
    x = final(metropolis_langevin(score, x, log_prob=log_prob, step_size=0.5, n_steps=10, generator=seeded()))
    assert float(x.min()) > 0
    assert float(x.mean()) == pytest.approx(1, abs=4 / math.sqrt(len(x)))
