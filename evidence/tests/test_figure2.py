"""Where Fig. 2's estimates can be trusted (claim L1): the errors near the modes and far from them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plane import region_errors
from properties.comparing import assert_near
from properties.strategies import mixtures
from sbgm import paper_mixture
from sbgm.measure import distance_to_modes


@given(mixtures(dim=2), st.floats(-2, 2), st.floats(0.5, 3.0))
def test_the_regions_errors_are_the_factors_in_each(mixture, factor, near):
    """A score that is right within `near` of a mode and off by a factor elsewhere."""
    axis = torch.linspace(-15, 15, 16)
    grid = torch.cat([torch.cartesian_prod(axis, axis), mixture.means.float() + 0.1])

    def score(x, sigma):
        inside = distance_to_modes(x, mixture.means) < near
        return torch.where(inside[:, None], 1.0, 1 + factor) * mixture.score(x, sigma)

    found = region_errors(score, mixture.score, grid, mixture.means, 0.5, near=near, far=near)
    assert found.near == 0
    assert_near(found.far, factor**2, torch.float32)


def test_region_errors_need_points_in_both_regions():
    mixture = paper_mixture()
    with pytest.raises(ValueError, match="points must reach into both regions, but none is far"):
        region_errors(mixture.score, mixture.score, mixture.means, mixture.means)
    with pytest.raises(ValueError, match="points must reach into both regions, but none is near"):
        region_errors(mixture.score, mixture.score, torch.zeros(3, 2), mixture.means)
