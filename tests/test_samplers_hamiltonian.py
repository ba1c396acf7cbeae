"""Hamiltonian Monte Carlo against closed forms and against Langevin dynamics, which is its shortest trajectory."""

import contextlib

import pytest
import torch

from balance import CLOSE_MODES, check_gaussian
from sbgm import GaussianMixture, SamplerDivergedError, final, hamiltonian, metropolis_langevin
from seeds import seeded

NORMAL = GaussianMixture([1.0], [[0.0]])


@pytest.mark.parametrize(("step_size", "n_leapfrog"), [(0.3, 5), (1.0, 1), (1.0, 2), (1.6, 4)])
@pytest.mark.parametrize("log_prob", [None, NORMAL.log_prob])
def test_the_stationary_law_from_a_wrong_start(step_size, n_leapfrog, log_prob):
    """Leapfrog keeps p²/2 + (1 − h²/4) x²/2 on N(0, 1), so that without the test the variance is 1/(1 − h²/4)."""
    x = torch.tensor([-3.0, 3.0]).repeat(50_000)[:, None]
    options = {"step_size": step_size, "n_leapfrog": n_leapfrog, "n_steps": 60 if log_prob else 40}
    states = hamiltonian(NORMAL.score, x, **options, log_prob=log_prob, generator=seeded())
    check_gaussian(final(states), 1.0 if log_prob else 1 / (1 - step_size**2 / 4))


def test_one_adjusted_leapfrog_step_is_a_metropolis_langevin_step():
    x = CLOSE_MODES.sample(500, generator=seeded(1)).double()
    target = GaussianMixture(CLOSE_MODES.weights.double(), CLOSE_MODES.means.double())
    options = {"score": target.score, "x": x, "log_prob": target.log_prob, "n_steps": 20}
    leapfrog = hamiltonian(**options, step_size=1.3, n_leapfrog=1, generator=seeded())
    metropolis = metropolis_langevin(**options, step_size=1.3**2, generator=seeded())
    for a, b in zip(leapfrog, metropolis, strict=True):
        assert torch.equal(a.accepted, b.accepted)
        assert 0 < a.accepted.double().mean() < 1
        torch.testing.assert_close(a.x, b.x)


def test_a_trajectory_is_the_textbooks():
    """With whole half steps: p, x, p, p, x, p, …"""
    start = x = CLOSE_MODES.sample(100, generator=seeded(1))
    p = torch.randn(100, 2, generator=seeded())
    for _ in range(7):
        p = p + 0.3 / 2 * CLOSE_MODES.score(x)
        x = x + 0.3 * p
        p = p + 0.3 / 2 * CLOSE_MODES.score(x)
    states = hamiltonian(CLOSE_MODES.score, start, step_size=0.3, n_leapfrog=7, n_steps=1, generator=seeded())
    torch.testing.assert_close(final(states), x)


@pytest.mark.parametrize("n_leapfrog", [1, 100])  # beyond the bound over trajectories, and within a single one
def test_an_unadjusted_step_above_the_bound_diverges(n_leapfrog):
    options = {"step_size": 2.5, "n_leapfrog": n_leapfrog, "n_steps": 200, "generator": seeded()}
    states = hamiltonian(NORMAL.score, torch.ones(10, 1), **options)
    with pytest.raises(SamplerDivergedError, match=r"step_size = 2\.5 is too large.*bound is step_size < 2s") as caught:
        final(states)
    assert (caught.value.step_size, caught.value.step == 1) == (2.5, n_leapfrog == 100)
    assert f"step {caught.value.step}: " in str(caught.value)


@pytest.mark.parametrize("n_leapfrog", [1, 4])
@pytest.mark.parametrize(("jump", "diverges"), [(5e6, False), (2e7, True)])
def test_the_guards_scale_is_how_far_all_its_trajectories_may_wander(n_leapfrog, jump, diverges):
    """From 0 with h = 1: √100 trajectories of `n_leapfrog` steps, times 10⁶; each step of the first is a jump."""

    def score(x, sigma):
        return torch.where(x.abs() < 1e3, 2 * jump, 0.0)

    options = {"step_size": 1.0, "n_leapfrog": n_leapfrog, "n_steps": 100, "generator": seeded()}
    states = hamiltonian(score, torch.zeros(3, 1), **options)
    with pytest.raises(SamplerDivergedError) if diverges else contextlib.nullcontext():
        final(states)


def test_an_adjusted_trajectory_that_explodes_is_refused():
    x = CLOSE_MODES.sample(50, generator=seeded())
    options = {"step_size": 5.0, "n_leapfrog": 100, "n_steps": 3, "generator": seeded(1)}
    for state in hamiltonian(CLOSE_MODES.score, x, log_prob=CLOSE_MODES.log_prob, **options):
        assert not bool(state.accepted.any())
        assert torch.equal(state.x, x)
