"""Where Fig. 2's estimates can be trusted (claim L1)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from claims.L7.measure import region_errors
from properties.comparing import assert_near
from properties.strategies import mixtures
from sbgm import paper_mixture, plots
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


def test_boxes_are_the_largest_squares_in_which_two_fields_agree():
    """Right within 2 of (5, 5) in the maximum norm, doubled elsewhere: half-width 2 there, none at (−5, −5)."""
    mixture = paper_mixture()

    def score(x, sigma):
        inside = (x - 5).abs().amax(dim=1, keepdim=True) < 2.01
        return torch.where(inside, 1.0, 2.0) * mixture.score(x)

    boxes = plots.agreement_boxes(score, mixture.score, mixture.means, tolerance=1e-6)
    assert boxes == [(-5.0, -5.0, 0.0), (5.0, 5.0, 2.0)]


def test_boxes_may_miss_the_mode_itself_where_the_score_is_zero():
    """An offset of .3 is a large relative error in a small square, a small one in a large square."""
    mixture = paper_mixture()
    boxes = plots.agreement_boxes(lambda x, sigma: mixture.score(x) + 0.3, mixture.score, mixture.means)
    assert [half_width for _, _, half_width in boxes] == [3.0, 3.0]  # up to the edge of the figure
