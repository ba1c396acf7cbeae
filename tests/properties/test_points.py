"""Points and modes, switches between these, and the error of a score."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_near
from properties.strategies import EXACT, SCALES, SEEDS, batches, mixtures, normal, points
from sbgm.measure import (
    RegionErrors,
    component_stds,
    distance_to_modes,
    mode_weights,
    region_errors,
)
from sbgm.samplers import signal_to_noise


@st.composite
def clouds(draw):
    """Points (B, D) in either dtype, and means (K, D)."""
    x = draw(points(dtypes=EXACT, min_size=2, max_size=30))
    return x, 3 * normal(draw(SEEDS), draw(st.integers(1, 4)), x.shape[1])


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


@given(batches(), st.floats(0.01, 10), SCALES)
def test_the_signal_to_noise_ratio_is_that_of_step_times_squared_score(x, alpha, c):
    ratio = signal_to_noise(x, alpha)
    assert ratio >= 0
    assert signal_to_noise(x / c, c**2 * alpha) == pytest.approx(ratio, rel=1e-5)
    assert signal_to_noise(torch.ones_like(x), 4.0) == pytest.approx(math.prod(x.shape[1:]))
