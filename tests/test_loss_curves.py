"""Spread, drift and running mean of loss curves, on curves whose numbers are known."""

import math

import pytest
import torch

from M2 import first_change, relative_drift, relative_spread, running_mean

NORMAL = torch.randn(30_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_spread_is_that_of_the_last_third_alone():
    losses = torch.cat([1e9 * NORMAL[:20_000], -100 + 3 * NORMAL[20_000:]])
    # the standard error of a standard deviation from 10,000 numbers is 0.7 %
    assert relative_spread(losses) == pytest.approx(0.03, rel=0.03)
    assert relative_spread(losses, detrended=True) == pytest.approx(0.03, rel=0.03)


def test_detrending_takes_a_straight_line_away_and_nothing_else():
    line = -torch.linspace(1, 3, 30_000, dtype=torch.float64)  # over its last third, −7/3 … −3
    slope_alone = (2 / 3) / math.sqrt(12) / (8 / 3)
    assert relative_spread(line) == pytest.approx(slope_alone, rel=1e-3)
    assert relative_spread(line, detrended=True) < 1e-12
    assert relative_spread(line + 0.1 * NORMAL, detrended=True) == pytest.approx(0.1 / (8 / 3), rel=0.03)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_drift_is_the_lines_change_over_the_last_quarter(sign):
    line = sign * torch.linspace(1, 3, 30_001, dtype=torch.float64)  # over its last quarter, 2.5 … 3
    assert relative_drift(line) == pytest.approx(0.5 / 2.75, rel=1e-3)
    flat = torch.cat([line[:20_000], line.new_full((10_000,), -5)])
    assert relative_drift(flat) < 1e-12


def test_the_first_change_is_that_of_iterations_51_to_100_from_the_first_ten():
    losses = torch.cat([7 + NORMAL[:10], 1e3 * NORMAL[10:50], 3 + NORMAL[50:100], 1e3 * NORMAL[100:200]])
    change = first_change(losses)
    assert change.value == pytest.approx(float(losses[50:100].mean() - losses[:10].mean()))
    assert abs(change.value + 4) < 3 * change.se
    assert change.se == pytest.approx(math.sqrt(1 / 10 + 1 / 50), rel=0.5)  # of ten numbers' spread


def test_numbers_do_not_depend_on_the_unit():
    curve = (-100 + NORMAL[:900]).float()
    assert relative_spread(1e8 * curve) == pytest.approx(relative_spread(curve), rel=1e-4)
    assert relative_drift(1e8 * curve) == pytest.approx(relative_drift(curve), rel=1e-3)


def test_the_running_mean_is_the_mean_of_each_window():
    assert running_mean(torch.arange(5.0), 2).tolist() == [0.5, 1.5, 2.5, 3.5]
    assert running_mean(torch.arange(5.0), 5).tolist() == [2]
    for n in (0, 6):
        with pytest.raises(ValueError, match=f"n must be 1 … 5, the number of losses, got {n}"):
            running_mean(torch.arange(5.0), n)


@pytest.mark.parametrize("measure", [relative_spread, relative_drift])
@pytest.mark.parametrize("losses", [torch.zeros(8), torch.zeros(3, 9), torch.full((20,), math.nan)])
def test_bad_curves_are_refused(measure, losses):
    with pytest.raises(ValueError, match="losses must be"):
        measure(losses)
