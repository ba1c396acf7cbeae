"""What is known exactly of chains on mixtures: against other computations. Claims hold it against chains."""

import math

import pytest
import torch

from balance import acceptance, annealed_variances
from laws import (
    SwitchCounter,
    annealed_variance,
    annealed_weight,
    basin_weight,
    metropolis_acceptance,
    transition,
)
from sbgm import geometric_sigmas, plots

# --- the variance of Algorithm 1's chains -----------------------------------------------------------------------------


@pytest.mark.parametrize(("step_size", "n_steps", "variance", "start"), [(0.1, 100, 1.0, 0.0), (0.05, 3, 0.0, 400.0)])
def test_the_variance_step_by_step_is_the_sum_of_a_geometric_series(step_size, n_steps, variance, start):
    ladder = geometric_sigmas(20.0, 1.0, 10).tolist()
    expected = annealed_variances(ladder, step_size, n_steps, variance, start)
    ends = annealed_variance(ladder, step_size=step_size, n_steps=n_steps, variance=variance, start=start)
    assert ends == pytest.approx(expected)


# --- an acceptance and a share ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_size", [0.1, 0.5, 1.0, 2.0, 5.0])
def test_the_acceptance_by_quadrature_is_the_closed_form(step_size):
    assert metropolis_acceptance(step_size) == pytest.approx(acceptance(step_size), abs=1e-4)


@pytest.mark.parametrize(
    ("weight", "mean", "extent", "std"),
    [
        (0.8, 5.0, 8.0, 1.0),
        (0.5, 5.0, 8.0, 1.0),
        (0.2, 5.0, 8.0, 1.0),
        (0.999, 0.5, 4.0, 1.0),
        (0.001, 0.5, 4.0, 1.0),
        (0.999, 0.1, 1.0, 1.0),
        (0.8, 5.0, 8.0, 2.0),
    ],
)
def test_basin_weight_is_the_area_where_a_component_is_the_likelier(weight, mean, extent, std):
    points = plots.grid(1_001, extent).double()
    far, near = (
        w * torch.exp(-(points - m).square().sum(dim=1) / (2 * std**2))
        for w, m in ((1 - weight, -mean), (weight, mean))
    )
    share = float((near > far).double().mean())
    assert basin_weight(weight, mean, extent, std) == pytest.approx(share, abs=2 / 1_000)  # two rows of points


# --- switches ---------------------------------------------------------------------------------------------------------


def switches(*paths, means=((-5.0,), (5.0,))):
    """The switches of chains on a line, each given by its positions."""
    counter = SwitchCounter(torch.tensor(means))
    for x in torch.tensor(paths).T:
        counter.update(x[:, None])
    return counter.switches.tolist()


def test_a_switch_is_from_near_one_mean_to_near_another():
    there_and_back = [-5.0, -2.0, 2.0, 5.0, 5.5, 0.0, -4.5]
    stays = [-5.0, -4.2, -5.9, -5.0, -4.5, -5.5, -5.0]
    turns_round = [-5.0, -2.0, 2.0, 3.9, 1.0, -3.0, -5.0]
    jumps = [-5.0, 5.0, -5.0, 5.0, -5.0, 5.0, -5.0]
    assert switches(there_and_back, stays, turns_round, jumps) == [2, 0, 0, 6]
    assert switches([-5.0, 0.0, 5.0, -5.0], means=((-5.0,), (0.0,), (5.0,))) == [3]


def test_jitter_on_a_border_counts_for_nothing():
    between_modes = [-0.1, 0.1, -0.1, 0.1, -0.1]
    on_the_rim = [-3.9, -4.1, -3.9, -4.1, -3.9]
    after_a_switch = [-5.0, 4.1, 3.9, 4.1, 3.9]
    assert switches(between_modes, on_the_rim, after_a_switch) == [0, 0, 1]


# --- the law of chains on the paper's mixture -------------------------------------------------------------------------


def test_a_step_keeps_the_mass_and_has_the_kernels_moments():
    u = torch.arange(-30, 30.05, 0.1, dtype=torch.float64)
    step = transition(u, 1.0, 0.1, 1.0)
    torch.testing.assert_close(step.sum(dim=0), torch.ones_like(u))
    at = int((u - 9).abs().argmin())
    mean = float(step[:, at] @ u)
    assert mean == pytest.approx(9 + 0.05 * (math.sqrt(50) - 9) / 2, abs=1e-6)
    assert float(step[:, at] @ (u - mean).square()) == pytest.approx(0.1, rel=1e-3)


def test_the_grids_error_is_far_below_the_hundredths_that_the_law_settles():
    sigmas = torch.tensor([6.0, 1.5])
    coarse, finest = (annealed_weight(sigmas, 20, spacing=h, reach=60.0) for h in (0.2, 0.05))
    assert coarse == pytest.approx(finest, abs=1e-4)
    assert annealed_weight(sigmas, 20) == pytest.approx(coarse, abs=1e-9)  # nothing reaches beyond 60
