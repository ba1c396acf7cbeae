"""Chapter 02's sliders, without a browser: the numbers shown are those of the stored fields."""

import re

import pytest
import torch

from moving import assert_moves_and_returns
from sbgm import paper_mixture, plots
from sbgm.widgets import training_explorer

POINTS = plots.grid(39)
EXACT = paper_mixture().score(POINTS)
# stands in for a training: nothing, half of the score, and the score plus something that the far region feels most
SNAPSHOTS = {0: torch.zeros_like(EXACT), 10: 0.5 * EXACT, 200: EXACT + 0.001 * POINTS.norm(dim=1, keepdim=True) ** 3}


def numbers(explorer):
    return [float(number) for number in re.findall(r": (\d[\d.e+-]*)", explorer.readout.value)]


def error_where(scores, inside):
    difference = (scores - EXACT)[inside].double()
    return float((difference**2).sum() / (EXACT[inside].double() ** 2).sum())


@pytest.mark.parametrize("iteration", [0, 10, 200])
@pytest.mark.parametrize("centre", [(5.0, 5.0), (0.0, 0.0), (-8.0, 8.0), (0.5, -3.0)])
def test_the_readout_is_the_error_of_the_stored_field(iteration, centre):
    explorer = training_explorer(SNAPSHOTS)
    explorer.controls["iteration"].value = iteration
    explorer.controls["centre_x"].value, explorer.controls["centre_y"].value = centre
    to_modes = torch.stack([((POINTS - mean) ** 2).sum(dim=1).sqrt() for mean in ((-5), 5)]).amin(dim=0)
    regions = [((POINTS - torch.tensor(centre)) ** 2).sum(dim=1) <= 4, to_modes < 2, to_modes > 4]
    expected = [error_where(SNAPSHOTS[iteration], region) for region in regions]
    assert numbers(explorer) == pytest.approx(expected, rel=0.05)  # two digits are shown


@pytest.mark.parametrize(("name", "value"), [("iteration", 10), ("centre_x", 5.0), ("centre_y", -3.0)])
def test_every_slider_changes_the_picture_and_back_again(name, value):
    explorer = training_explorer(SNAPSHOTS)
    assert_moves_and_returns(explorer, name, value, share=0)


def test_it_starts_at_the_last_iteration_and_offers_the_stored_ones_in_order():
    explorer = training_explorer({200: SNAPSHOTS[200], 0: SNAPSHOTS[0], 10: SNAPSHOTS[10]})
    assert explorer.controls["iteration"].options == (0, 10, 200)
    assert explorer.controls["iteration"].value == 200


def test_another_mixture_has_its_own_exact_field():
    mixture = paper_mixture(weight=0.5)
    exact = mixture.score(POINTS)
    explorer = training_explorer({0: torch.zeros_like(exact), 1: exact}, mixture)
    assert numbers(explorer) == [0.0] * 3


def test_bad_snapshots_are_named():
    with pytest.raises(ValueError, match="snapshots must hold at least two iterations, got 1"):
        training_explorer({0: EXACT})
    with pytest.raises(ValueError, match=r"snapshots must be scores on plots\.grid\(39\), .*at iteration 5"):
        training_explorer({0: EXACT, 5: EXACT[:400]})
