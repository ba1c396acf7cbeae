"""Sheets of images are those of torchvision."""

import math

import pytest
import torch
from matplotlib import rcParams, style
from matplotlib.figure import Figure
from torchvision.utils import make_grid

from sbgm import paper_mixture, plots
from seeds import seeded


@pytest.mark.parametrize(("n", "n_channels", "n_columns"), [(1, 1, 8), (3, 1, 8), (5, 1, 3), (16, 3, 8)])
def test_a_sheet_is_torchvisions_grid(n, n_channels, n_columns):
    images = 1.4 * torch.rand(n, n_channels, 7, 5, generator=seeded()) - 0.2
    expected = make_grid(images.clamp(0, 1), nrow=n_columns, padding=1, pad_value=1.0)
    assert torch.equal(plots.image_sheet(images, n_columns), expected.permute(1, 2, 0))


def test_a_number_map_writes_every_number_and_leaves_gaps_white():
    ax = Figure().subplots()
    values = torch.tensor([[1.0, torch.nan], [2.0, 40.0]])
    image = plots.draw_number_map(ax, values, [10, 20], ["a", "b"])
    assert [t.get_text() for t in (*ax.texts, *ax.get_xticklabels())] == ["1", "2", "40", "a", "b"]
    assert math.isnan(image.get_array().filled(math.nan)[0, 1])
    assert ax.texts[2].get_color() == "white"


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


def test_the_style_has_the_colours_of_the_roles_and_no_other():
    with style.context("sbgm.course"):
        cycle = rcParams["axes.prop_cycle"].by_key()["color"]
    assert set(cycle) == {*plots.COLOURS} - {plots.COLOURS.exact}
