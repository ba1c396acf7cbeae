"""Chapter 09's sliders, without a browser: the numbers and the samples shown are those of the chosen cell."""

import re

import numpy as np
import pytest
import torch

from I5 import N_SHEET
from moving import assert_moves_and_returns
from sbgm import plots
from sbgm.measure.records import Cell, StepMap
from sbgm.widgets import step_map_explorer

N_STEPS, STEP_SIZES = (10, 30, 100), (5e-6, 2e-5)
PLACES = [(t, eps) for t in N_STEPS for eps in STEP_SIZES]
CELLS = tuple(Cell(t, eps, 0.1 + 0.01 * t, 0.005, 1 + 1e5 * eps, 1.2 + 0.01 * t, 0.01) for t, eps in PLACES)
SHEETS = torch.randint(256, (6, N_SHEET, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
MAP = StepMap(CELLS, SHEETS)


@pytest.mark.parametrize("i", range(6))
def test_the_readout_has_the_cells_numbers(i):
    explorer = step_map_explorer(MAP)
    explorer.controls["n_steps"].value, explorer.controls["step_size"].value = PLACES[i]
    numbers = [
        float(n) for n in re.findall(r"(?:=|distance|±|predicted|measured) (\d[\d.e-]*\d|\d)", explorer.readout.value)
    ]
    c = CELLS[i]
    expected = [c.n_steps, c.step_size, c.step_size / 2, c.distance, 2 * c.se, c.predicted, c.measured]
    assert numbers == pytest.approx(expected, rel=0.01)


def test_the_samples_and_the_frames_are_the_cells():
    explorer = step_map_explorer(MAP)
    explorer.controls["n_steps"].value, explorer.controls["step_size"].value = 100, 5e-6
    sheet, *maps = explorer.figure.axes
    expected = plots.image_sheet(SHEETS[4].float() / 255, n_columns=4)
    torch.testing.assert_close(torch.tensor(np.asarray(sheet.images[0].get_array())), expected)
    for ax in maps:
        (frame,) = ax.patches
        assert frame.get_xy() == (-0.5, 1.5)


def test_the_maps_show_distances_and_predictions():
    distances, predictions = step_map_explorer(MAP).figure.axes[1:]
    assert [t.get_text() for t in distances.texts] == ["0.2", "0.2", "0.4", "0.4", "1.1", "1.1"]
    assert [t.get_text() for t in predictions.texts] == ["1.5", "3"] * 3


@pytest.mark.parametrize(("name", "value"), [("n_steps", 10), ("step_size", 5e-6)])
def test_every_slider_changes_the_picture_and_back_again(name, value):
    explorer = step_map_explorer(MAP)
    assert_moves_and_returns(explorer, name, value, share=0.02)


def test_a_map_with_gaps_is_refused():
    with pytest.raises(ValueError, match=r"a cell at every T in \[10, 30, 100\]"):
        step_map_explorer(StepMap(CELLS[:-1], SHEETS[:-1]))
