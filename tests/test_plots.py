"""Sheets of images are those of torchvision; films, number maps and boxes are drawn as asked."""

import io
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib import rcParams, style
from matplotlib.figure import Figure
from PIL import Image
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


def coloured(colour: str) -> Figure:
    """A white square inch with a letter in one colour."""
    figure = plt.figure(figsize=(1, 1))
    figure.text(0.2, 0.2, "o", color=colour, fontsize=30, weight="bold")
    return figure


def test_a_moving_picture_holds_its_ends_and_keeps_the_colours_of_small_things():
    open_before = plt.get_fignums()
    picture = plots.moving_picture(map(coloured, ("#0072b2", "#d55e00", "#009e73")), milliseconds=50, colours=24)
    assert plt.get_fignums() == open_before
    with Image.open(io.BytesIO(picture.png)) as file:
        durations = []
        for frame, colour in enumerate(((0, 114, 178), (213, 94, 0), (0, 158, 115))):
            file.seek(frame)
            durations.append(file.info["duration"])
            distances = np.abs(np.asarray(file.convert("RGB")).astype(int) - colour).sum(axis=2)
            assert distances.min() <= 30
            assert file.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert durations == [700, 50, 2000]


def test_figures_of_two_sizes_and_none_are_refused():
    for figures in ([], [Figure(figsize=(1, 1)), Figure(figsize=(2, 1))]):
        with pytest.raises(ValueError, match="figures must be one or more of one size"):
            plots.moving_picture(figures)
