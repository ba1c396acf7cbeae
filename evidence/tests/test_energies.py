"""Energies, and Hamiltonian Monte Carlo against closed forms and Langevin dynamics, its shortest trajectory."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from balance import CLOSE_MODES, check_detailed_balance, check_gaussian, one_step
from energies import EnergyMLP, hamiltonian
from properties.comparing import assert_like, assert_near, assert_one_by_one
from properties.strategies import SEEDS, points, sigmas_of
from sbgm import GaussianMixture, final, metropolis_langevin
from seeds import seeded

NORMAL = GaussianMixture([1.0], [[0.0]])

# --- energies ---------------------------------------------------------------------------------------------------------


def test_the_quadratic_part_makes_an_energy_integrable():
    """With the last layer at 0, E = ½‖x/c‖² with c² = σ² + σ_data²: a Gaussian, whose score is −x/c²."""
    network = EnergyMLP(width=8, data_std=3.0, generator=seeded())
    x = torch.randn(6, 2, generator=seeded(1))
    nn.init.zeros_(network.layers[-1].weight)
    nn.init.zeros_(network.layers[-1].bias)
    torch.testing.assert_close(network.energy(x, 4.0), x.square().sum(dim=1) / 50)
    torch.testing.assert_close(network(x, 4.0), -x / 25)


@given(points(dtypes=st.just(torch.float64)), st.data(), SEEDS)
def test_an_energys_score_is_minus_its_gradient_at_one_point_at_a_time(x, data, seed):
    sigma = data.draw(sigmas_of(x))
    network = EnergyMLP(x.shape[1], 8, 2, generator=seeded(seed)).double()
    with torch.no_grad():
        assert_like(assert_one_by_one(network, x, sigma), x)
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(network.energy(x, sigma).sum(), x)
    assert_near(network(x, sigma), -gradient)
    assert torch.equal(network.log_prob(x, sigma), -network.energy(x, sigma))


# --- Hamiltonian Monte Carlo ------------------------------------------------------------------------------------------


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


def test_a_tested_trajectory_is_in_detailed_balance_with_unequal_modes_and_an_untested_one_is_not():
    options = {"step_size": 1.2, "n_leapfrog": 3}
    check_detailed_balance(one_step(hamiltonian, **options, log_prob=CLOSE_MODES.log_prob))
    with pytest.raises(AssertionError):
        check_detailed_balance(one_step(hamiltonian, **options))
