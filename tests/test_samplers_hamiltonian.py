"""Hamiltonian Monte Carlo against closed forms and against Langevin dynamics, which is its shortest trajectory."""

import contextlib
import math

import pytest
import torch

from balance import CLOSE_MODES, check_detailed_balance
from sbgm import GaussianMixture, SamplerDivergedError, final, hamiltonian, metropolis_langevin
from sbgm.measure import moments
from seeds import seeded

N_CHAINS = 100_000
NORMAL = GaussianMixture([1.0], [[0.0]])


def check_normal(x, variance):
    """Raise unless x looks like N(0, variance), within 4 s.e. of mean, variance and kurtosis."""
    measured = moments(x)
    assert abs(measured.mean.value) < 4 * math.sqrt(variance / len(x))
    assert abs(measured.variance.value - variance) < 4 * variance * math.sqrt(2 / len(x))
    assert abs(measured.kurtosis.value - 3) < 4 * math.sqrt(24 / len(x))


@pytest.mark.parametrize(("step_size", "n_leapfrog"), [(0.3, 5), (1.0, 1), (1.0, 2), (1.6, 4)])
@pytest.mark.parametrize("adjusted", [False, True])
def test_the_stationary_law_from_a_wrong_start(step_size, n_leapfrog, adjusted):
    """Leapfrog keeps p²/2 + (1 − h²/4) x²/2 on N(0, 1), so that without the test the variance is 1/(1 − h²/4)."""
    x = torch.tensor([-3.0, 3.0]).repeat(N_CHAINS // 2)[:, None]
    log_prob = NORMAL.log_prob if adjusted else None
    states = hamiltonian(
        NORMAL.score,
        x,
        step_size=step_size,
        n_leapfrog=n_leapfrog,
        n_steps=60 if adjusted else 40,
        log_prob=log_prob,
        generator=seeded(),
    )
    check_normal(final(states), 1.0 if adjusted else 1 / (1 - step_size**2 / 4))


def test_one_adjusted_leapfrog_step_is_a_metropolis_langevin_step():
    h = 1.3
    x = CLOSE_MODES.sample(500, generator=seeded(1)).double()
    target = GaussianMixture(CLOSE_MODES.weights.double(), CLOSE_MODES.means.double())
    leapfrog = hamiltonian(
        target.score, x, step_size=h, n_leapfrog=1, n_steps=20, log_prob=target.log_prob, generator=seeded()
    )
    metropolis = metropolis_langevin(
        target.score, x, log_prob=target.log_prob, step_size=h**2, n_steps=20, generator=seeded()
    )
    for a, b in zip(leapfrog, metropolis, strict=True):
        assert torch.equal(a.accepted, b.accepted)
        assert 0 < a.accepted.double().mean() < 1
        torch.testing.assert_close(a.x, b.x)


def leapfrog_by_hand(x, p, h, n):
    """The textbook form, with whole half steps: p, x, p, p, x, p, …"""
    for _ in range(n):
        p = p + h / 2 * CLOSE_MODES.score(x)
        x = x + h * p
        p = p + h / 2 * CLOSE_MODES.score(x)
    return x, p


def test_a_trajectory_is_the_textbooks():
    x = CLOSE_MODES.sample(100, generator=seeded(1))
    p = torch.randn(100, 2, generator=seeded())
    end, _ = leapfrog_by_hand(x, p, 0.3, 7)
    states = hamiltonian(CLOSE_MODES.score, x, step_size=0.3, n_leapfrog=7, n_steps=1, generator=seeded())
    torch.testing.assert_close(final(states), end)


def one_step(x, generator, log_prob=CLOSE_MODES.log_prob):
    states = hamiltonian(
        CLOSE_MODES.score, x, step_size=1.2, n_leapfrog=3, n_steps=1, log_prob=log_prob, generator=generator
    )
    return final(states)


def test_the_adjusted_step_is_in_detailed_balance_with_unequal_modes():
    check_detailed_balance(one_step)


def test_the_check_refuses_the_unadjusted_step():
    with pytest.raises(AssertionError):
        check_detailed_balance(lambda x, generator: one_step(x, generator, log_prob=None))


@pytest.mark.parametrize("n_leapfrog", [1, 100])  # beyond the bound over trajectories, and within a single one
def test_an_unadjusted_step_above_the_bound_diverges(n_leapfrog):
    states = hamiltonian(
        NORMAL.score, torch.ones(10, 1), step_size=2.5, n_leapfrog=n_leapfrog, n_steps=200, generator=seeded()
    )
    with pytest.raises(SamplerDivergedError, match=r"step_size = 2\.5 is too large.*bound is step_size < 2s") as caught:
        final(states)
    assert caught.value.step_size == 2.5
    assert f"step {caught.value.step}: " in str(caught.value)
    assert caught.value.step == 1 or n_leapfrog == 1


@pytest.mark.parametrize("n_leapfrog", [1, 4])
@pytest.mark.parametrize(("jump", "diverges"), [(5e6, False), (2e7, True)])
def test_the_guards_scale_is_how_far_all_its_trajectories_may_wander(n_leapfrog, jump, diverges):
    """From 0 with h = 1: √100 trajectories of `n_leapfrog` steps, times 10⁶; each step of the first is a jump."""

    def score(x, sigma):
        return torch.where(x.abs() < 1e3, 2 * jump, 0.0)

    states = hamiltonian(
        score, torch.zeros(3, 1), step_size=1.0, n_leapfrog=n_leapfrog, n_steps=100, generator=seeded()
    )
    with pytest.raises(SamplerDivergedError) if diverges else contextlib.nullcontext():
        final(states)


def test_an_adjusted_trajectory_that_explodes_is_refused():
    x = CLOSE_MODES.sample(50, generator=seeded())
    states = hamiltonian(
        CLOSE_MODES.score,
        x,
        step_size=5.0,
        n_leapfrog=100,
        n_steps=3,
        log_prob=CLOSE_MODES.log_prob,
        generator=seeded(1),
    )
    for state in states:
        assert not bool(state.accepted.any())
        assert torch.equal(state.x, x)
