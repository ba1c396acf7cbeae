"""Fig. 2's training by the quick recipe, and where its estimates can be trusted (claim L1)."""

import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from L7 import region_errors
from properties.comparing import assert_near
from properties.strategies import mixtures
from recipes import FIGURE2_QUICK
from sbgm import MLP, paper_mixture, plots, sliced_score_matching_loss
from sbgm.measure import distance_to_modes, fisher_divergence
from seeds import seeded


def test_quick_recipe_reaches_its_fisher_divergence_and_is_reliable_only_near_the_modes():
    mixture = paper_mixture()
    network = MLP(generator=seeded(FIGURE2_QUICK.seed))
    steps = list(FIGURE2_QUICK.fit(network, mixture.sample, sliced_score_matching_loss))
    divergence = fisher_divergence(network, mixture.score, mixture.sample(20_000, generator=seeded(99)))
    assert divergence.value + 2 * divergence.se < 0.0025  # of five seeds: about .0011 to .0016
    errors = region_errors(network, mixture.score, plots.grid(100), mixture.means)
    assert errors.near < 0.005
    assert errors.far / errors.near >= 5
    assert [step.step for step in steps] == list(range(1, 1_251))
    # the loss ends about its minimum, −½E‖∇log p‖² = −1 (claim S1); one loss has the sd √(2·2/256 + …) ≈ .15
    assert statistics.fmean(step.loss for step in steps[-200:]) == pytest.approx(-1, abs=0.05)


# --- the figure's parts ----------------------------------------------------------------------------------------------


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
