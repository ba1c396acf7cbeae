"""I5 and I10: what is expected of maps and distances, and small runs of both."""

import pytest
import torch

import claims
import I5
import I10
from drawing import Drawn
from I5 import N_SHEET
from sbgm.data import load_images
from sbgm.measure import Estimate, Measured, frechet_distance, records
from sbgm.measure.records import Cell, StepMap


def the_map(distances):
    """A map of the claim's corners with these distances by (T, ε)."""
    predicted = {(30, 5e-6): 2.0, (100, 5e-5): 1.14, (30, 1e-4): 1.33}
    cells = tuple(Cell(*place, d, 0.01, predicted.get(place, 1.05), 1.3, 0.1) for place, d in distances.items())
    return StepMap(cells, torch.zeros(len(cells), N_SHEET, 1, 4, 4, dtype=torch.uint8))


GOOD = {(30, 5e-6): 3.0, (100, 2e-5): 1.0, (100, 5e-5): 1.4, (30, 1e-4): 9.0, (10, 2e-5): 9.0}


def test_the_claims_cells_are_judged_and_those_beyond_it_are_not():
    checks = I5.i5_measurements(the_map(GOOD), "digits")
    assert all(c.holds for c in checks)
    assert [c.value for c in checks[:2]] == pytest.approx([1.4, 3 / 1.4])


@pytest.mark.parametrize(
    ("place", "distance", "word"), [((100, 5e-5), 1.6, "inconclusive"), ((30, 5e-6), 1.3, "not reproduced")]
)
def test_our_factor_is_a_yardstick_and_the_papers_statement_is_not(place, distance, word):
    assert claims.word(I5.i5_measurements(the_map(GOOD | {place: distance}), "digits")) == word
    assert claims.word(I5.i5_measurements(the_map(GOOD), "digits")) == "reproduced"


def test_a_small_map_of_the_digits_is_measured_and_taken_from_its_folder_again(tmp_path, monkeypatch):
    options = {"n_steps": (1, 2), "step_sizes": (2e-5,), "n_samples": 80}
    first = I5.digits_map(tmp_path, **options)
    assert [c.place for c in first.cells] == [(1, 2e-5), (2, 2e-5)]
    monkeypatch.setattr("sbgm.samplers.annealed_langevin", None)  # nothing is drawn again
    assert I5.digits_map(tmp_path, **options).cells == first.cells


def test_mnist_has_the_shared_cell_of_i1_once_and_no_more_steps_than_asked(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(records, "results_folder", lambda: tmp_path)
    monkeypatch.setattr(I5, "digits_map", lambda *_: the_map(GOOD))
    monkeypatch.setattr(I5, "some_images", lambda *_: None)
    monkeypatch.setattr(I5, "require_enough_digits", lambda **_: None)

    def measured(drawings, *_):
        asked.append([(drawing.n_steps, drawing.step_size) for drawing in drawings])
        return the_map(GOOD)

    monkeypatch.setattr(I5, "measure_map", measured)
    I5.measure(tmp_path, n_steps=30, weights="mnist_classifier")
    I5.measure(tmp_path, n_steps=100, weights="mnist_classifier")
    assert sorted(asked[0]) == [(30, 5e-6), (30, 2e-5), (30, 5e-5), (100, 2e-5)]
    assert sorted(asked[1]) == sorted((t, eps) for t in (30, 50, 100) for eps in I5.MNIST_STEP_SIZES)


def test_i10_reports_both_distances_and_the_noise_that_is_left(tmp_path, monkeypatch):
    images = load_images("digits")[:200]
    noisy = images + 0.01 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(I10, "draw_digits", lambda *_: (Drawn(noisy[None], images[None]), {}))
    monkeypatch.setattr(I10, "some_images", lambda *_: images)
    monkeypatch.setattr(I10, "digit_distance", lambda x: frechet_distance(x.flatten(1), images.flatten(1)))
    found = I10.measure.function(tmp_path, n_samples=200)
    assert found.measurements[1].value < 1e-6 < found.measurements[0].value
    assert found.measurements[3].value == pytest.approx(1, abs=4 * found.measurements[3].se)
    assert found.measurements[4].value == 0
    assert found.content["samples"].shape == found.content["denoised"].shape == (16, 1, 8, 8)


def test_i10_expects_nothing_of_the_distances():
    measured = Measured("d", 2.0, 0.1, 200, 5_000, "images", "features")
    assert all(c.holds for c in I10.i10_measurements(measured, measured, Estimate(1.0, 0.1), Estimate(0.1, 0.1)))
