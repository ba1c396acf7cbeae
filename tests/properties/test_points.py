"""Points and modes, switches between these, and the error of a score."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_like, assert_near
from properties.coverage import covers
from properties.strategies import EXACT, SCALES, SEEDS, batches, mixtures, normal, points, scores, seeded, sigmas_of
from sbgm.measure import (
    RegionErrors,
    SwitchCounter,
    component_stds,
    distance_to_modes,
    fisher_divergence,
    mode_weights,
    region_errors,
    relative_squared_error,
)
from sbgm.samplers import signal_to_noise


@st.composite
def clouds(draw):
    """Points (B, D) in either dtype, and means (K, D)."""
    x = draw(points(dtypes=EXACT, min_size=2, max_size=30))
    return x, 3 * normal(draw(SEEDS), draw(st.integers(1, 4)), x.shape[1])


@covers(mode_weights, distance_to_modes)
@given(clouds(), SEEDS)
def test_shares_and_distances_belong_to_the_nearest_mode_whatever_the_order(cloud, seed):
    x, means = cloud
    weights, distance = mode_weights(x, means), distance_to_modes(x, means)
    assert float(weights.sum()) == pytest.approx(1)
    assert_like(distance, x[:, 0])
    order = torch.randperm(len(x), generator=seeded(seed))
    assert torch.equal(mode_weights(x[order], means), weights)
    assert torch.equal(distance_to_modes(x[order], means), distance[order])
    assert torch.equal(mode_weights(x, means.flip(0)), weights.flip(0))
    assert bool((distance_to_modes(x, means[:1]) >= distance - 1e-5).all())


@covers(distance_to_modes, component_stds, mode_weights)
@given(clouds(), SEEDS, SCALES)
def test_turning_moving_and_scaling_space_does_so_to_distances_and_spreads(cloud, seed, c):
    x, means = cloud[0].double(), cloud[1]
    turn, shift = torch.linalg.qr(normal(seed, x.shape[1], x.shape[1]))[0], normal(seed + 1, x.shape[1])
    turned = [c * (points @ turn.T + shift) for points in (x, means)]
    assert torch.equal(mode_weights(*turned), mode_weights(x, means))
    assert_near(distance_to_modes(*turned), c * distance_to_modes(x, means), torch.float32)
    seen = mode_weights(x, means) > 0
    assert torch.equal(component_stds(x, means).isfinite(), seen)
    assert_near(component_stds(*turned)[seen], c * component_stds(x, means)[seen], torch.float32)


@covers(SwitchCounter)
@given(st.integers(2, 10), st.integers(2, 6), SEEDS)
def test_switches_are_counted_chain_by_chain_and_standing_still_is_none(n_steps, n_chains, seed):
    means = torch.tensor([[-2.0], [2.0]])
    path = 2.5 * normal(seed, n_steps, n_chains, 1)
    together = SwitchCounter(means)
    for x in path:
        together.update(x)
        before = together.switches.clone()
        together.update(x)
        assert torch.equal(together.switches, before)
    for chain in range(n_chains):
        alone = SwitchCounter(means.flip(0))
        for x in path[:, chain : chain + 1]:
            alone.update(x)
        assert torch.equal(alone.switches, together.switches[chain : chain + 1])
    assert int(together.switches.max()) < n_steps


@covers(relative_squared_error)
@given(batches(), st.floats(-3, 3), SCALES)
def test_a_score_off_by_a_factor_has_its_square_for_an_error(exact, factor, c):
    assert relative_squared_error(exact, exact) == 0
    assert relative_squared_error(torch.zeros_like(exact), exact) == 1
    assert_near(relative_squared_error((1 + factor) * exact, exact), factor**2, exact.dtype)
    assert relative_squared_error(c * (1 + factor) * exact, c * exact) == pytest.approx(
        relative_squared_error((1 + factor) * exact, exact), rel=1e-5
    )


@covers(fisher_divergence)
@given(batches(dtypes=st.just(torch.float64), min_size=2), st.data())
def test_the_fisher_divergence_is_none_to_itself_and_the_same_both_ways(x, data):
    sigma = data.draw(sigmas_of(x))
    a, b = (data.draw(scores(tuple(x.shape[1:]))) for _ in range(2))
    there, back = fisher_divergence(a, b, x, sigma), fisher_divergence(b, a, x, sigma)
    assert there == back
    assert there.value >= 0
    assert tuple(fisher_divergence(a, a, x, sigma)) == (0, 0)
    far = fisher_divergence(lambda x, s: 3 * a(x, s), lambda x, s: 3 * b(x, s), x, sigma)
    assert_near([*far], [9 * there.value, 9 * there.se])


@covers(region_errors, RegionErrors)
@given(mixtures(dim=2), st.floats(-2, 2), st.floats(0.5, 3.0))
def test_the_regions_errors_are_the_factors_in_each(mixture, factor, near):
    """A score that is right within `near` of a mode and off by a factor elsewhere."""
    axis = torch.linspace(-15, 15, 16)
    grid = torch.cat([torch.cartesian_prod(axis, axis), mixture.means.float() + 0.1])

    def score(x, sigma):
        inside = distance_to_modes(x, mixture.means) < near
        return torch.where(inside[:, None], 1.0, 1 + factor) * mixture.score(x, sigma)

    found = region_errors(score, mixture.score, grid, mixture.means, 0.5, near=near, far=near)
    assert isinstance(found, RegionErrors)
    assert found.near == 0
    assert_near(found.far, factor**2, torch.float32)


@covers(signal_to_noise)
@given(batches(), st.floats(0.01, 10), SCALES)
def test_the_signal_to_noise_ratio_is_that_of_step_times_squared_score(x, alpha, c):
    ratio = signal_to_noise(x, alpha)
    assert ratio >= 0
    assert signal_to_noise(x / c, c**2 * alpha) == pytest.approx(ratio, rel=1e-5)
    assert signal_to_noise(torch.ones_like(x), 4.0) == pytest.approx(math.prod(x.shape[1:]))
