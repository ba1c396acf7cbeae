"""N1 and F3: what is measured at each level, against closed forms, and small runs on small networks."""

import math

import pytest
import torch

import errors
import ledger
import recipes
from claims.F3 import measure as F3
from claims.N1 import measure as N1
from recipes import DigitsTraining
from seeds import seeded


def test_the_numbers_of_a_level_are_those_of_the_score_of_a_point():
    """Of images that are all 0 the score is −x/σ² = −z/σ: ‖σs‖² = ‖z‖², no loss, and the sum is D."""
    sigmas = torch.tensor([2.0, 0.1])
    points = torch.zeros(3_000, 1, 4, 4)
    numbers = errors.level_by_level(lambda x, sigma: -x / sigma**2, points, sigmas, generator=seeded(), n_side=700)
    lengths, losses, norms, sums = numbers
    assert torch.allclose(lengths, sums)
    assert float(losses.abs().max()) < 1e-6
    assert bool(((lengths[:, 0] - 16).abs() < 4 * lengths[:, 1]).all())
    se = math.sqrt(2 * 16 / 2 / 3_000)  # two draws of noise for each image
    torch.testing.assert_close(lengths[:, 1], torch.full((2,), se, dtype=torch.float64), rtol=0.1, atol=0)
    mean = math.sqrt(2) * math.exp(math.lgamma(8.5) - math.lgamma(8))  # of ‖z‖ in 16 dimensions
    torch.testing.assert_close(norms[:, 0] * sigmas.double(), torch.full((2,), mean).double(), rtol=0.01, atol=0)


def test_a_score_of_zero_has_the_loss_of_half_the_dimension():
    points = torch.rand(500, 2, generator=seeded())
    numbers = errors.level_by_level(lambda x, sigma: 0 * x, points, torch.tensor([1.0, 0.5]), generator=seeded())
    assert bool(((numbers[1, :, 0] - 1).abs() < 4 * numbers[1, :, 1]).all())
    off = errors.off_dimension(numbers[3], 2)
    assert off.value == pytest.approx(0, abs=4 * off.se)
    assert errors.spread(torch.tensor([[2.0, 0.1], [6.0, 0.1], [3.0, 0.1]])).value == pytest.approx(3)


@pytest.fixture
def small(monkeypatch):
    """Two small perceptrons of each kind, few images and samples."""
    monkeypatch.setattr(recipes, "PERCEPTRON", DigitsTraining(width=16, n_blocks=1, n_steps=20))
    monkeypatch.setattr(recipes, "N_PERCEPTRONS", 2)
    monkeypatch.setattr(N1, "N_IMAGES", 4)
    monkeypatch.setattr(F3, "N_SAMPLES", 80)


@pytest.mark.parametrize("script", [N1, F3])
def test_a_script_measures_each_bound_and_takes_its_networks_from_the_folder(script, small, mnist, results, tmp_path):
    record = script.measure(tmp_path / "networks")
    assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()[record.id].bounds)
    assert ledger.outcome(record)
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "networks").iterdir()}
    assert len(files) == {"N1": 4, "F3": 2}[record.id]
    again = script.measure(tmp_path / "networks")
    assert again.measurements == record.measurements
    assert {file: file.stat().st_mtime_ns for file in files} == files
