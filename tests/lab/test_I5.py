"""I5's map: the noise that Algorithm 1 leaves, by closed form and measured, and what is kept of each cell."""

import math

import pytest
import torch
from matplotlib.figure import Figure

import claims
import I5
from I5 import N_SHEET, measure_cell, noise_on_constant_pixels
from recipes import sample_digits
from sbgm import annealed_langevin, final, geometric_sigmas, plots
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import Estimate
from sbgm.measure.records import StepMap
from sbgm.theory import noise_ratio
from seeds import seeded

LADDER = geometric_sigmas(1, 0.01, 10)


def measured(value):
    return Estimate(value, 0.1)


# --- the closed form --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_steps", "step_size"), [(30, 5e-6), (10, 2e-5), (30, 1e-4), (3, 5e-5)])
def test_the_noise_ratio_is_that_of_chains_on_a_point(n_steps, step_size):
    def score(x, sigma):
        return -x / sigma**2

    start = torch.rand(20_000, 1, generator=seeded())
    options = {"step_size": step_size, "n_steps": n_steps}
    x = final(annealed_langevin(score, start, LADDER, generator=seeded(1), **options)).double()
    ratio = float(x.square().mean()) / 1e-4
    assert ratio == pytest.approx(noise_ratio(LADDER, **options), rel=4 * math.sqrt(2 / 20_000))  # 4 s.e.


# --- what is measured -------------------------------------------------------------------------------------------------


def test_noise_on_constant_pixels_is_the_variance_there_alone():
    images = torch.full((5, 1, 4, 4), 0.25)
    images[1, :, :2] = torch.rand(1, 2, 4, generator=seeded())  # where one image differs, a pixel is not constant
    noise = 0.03 * torch.randn(4_000, 1, 4, 4, generator=seeded(1))
    samples = images[torch.arange(4_000) % 5] + 0.002 + noise  # a shift is no noise
    found = noise_on_constant_pixels(samples, images, 0.01)
    assert found.value == pytest.approx(9, abs=4 * found.se)
    assert found.se == pytest.approx(9 * math.sqrt(2 / 8 / 4_000), rel=0.1)


def test_the_shipped_perceptron_leaves_more_noise_than_the_exact_score_most_where_chains_lag():
    network, images, over = load_network("digits_mlp"), load_images("digits"), {}
    for n_steps, step_size in ((30, 5e-6), (20, 5e-5)):
        options = {"n_steps": n_steps, "step_size": step_size}
        found = noise_on_constant_pixels(sample_digits(network, 150, generator=seeded(), **options), images, 0.01)
        over[n_steps] = found.value / noise_ratio(network.sigmas, **options)
    assert 1 < over[20] < 1.4
    assert over[30] > 3


def test_a_cell_holds_its_numbers_and_its_sheet():
    images, samples = torch.zeros(3, 1, 4, 4), 0.01 * torch.randn(30, 1, 4, 4, generator=seeded())
    cell, sheet = measure_cell(
        samples, images, lambda x: measured(float(len(x))), n_steps=7, step_size=1e-5, predicted=1.5, sigma_min=0.01
    )
    noise = noise_on_constant_pixels(samples, images, 0.01)
    assert cell == {
        "n_steps": 7,
        "step_size": 1e-5,
        "distance": 30.0,
        "se": 0.1,
        "predicted": 1.5,
        "measured": noise.value,
        "measured_se": noise.se,
    }
    assert torch.equal(sheet, (256 * samples[:N_SHEET]).floor().clamp(0, 255).to(torch.uint8))


# --- the map ----------------------------------------------------------------------------------------------------------


def test_a_number_map_writes_every_number_and_leaves_gaps_white():
    ax = Figure().subplots()
    values = torch.tensor([[1.0, torch.nan], [2.0, 40.0]])
    image = plots.draw_number_map(ax, values, [10, 20], ["a", "b"])
    assert [t.get_text() for t in (*ax.texts, *ax.get_xticklabels())] == ["1", "2", "40", "a", "b"]
    assert math.isnan(image.get_array().filled(math.nan)[0, 1])
    assert ax.texts[2].get_color() == "white"


# --- the claim --------------------------------------------------------------------------------------------------------


def the_map(distances):
    """A map of the claim's corners with these distances by (T, ε)."""
    predicted = {(30, 5e-6): 2.0, (100, 5e-5): 1.14, (30, 1e-4): 1.33}
    rows = [(*place, d, 0.01, predicted.get(place, 1.05), 1.3, 0.1) for place, d in distances.items()]
    return StepMap.of(rows, torch.zeros(len(rows), N_SHEET, 1, 4, 4, dtype=torch.uint8))


GOOD = {(30, 5e-6): 3.0, (100, 2e-5): 1.0, (100, 5e-5): 1.4, (50, 2e-5): 1.2, (30, 1e-4): 9.0, (10, 2e-5): 9.0}


def test_the_claims_cells_are_judged_and_those_beyond_it_are_not():
    checks = I5.i5_measurements(the_map(GOOD), "MNIST")
    assert all(c.holds for c in checks)
    assert [c.value for c in checks[:2]] == pytest.approx([1.4, 3 / 1.4])


@pytest.mark.parametrize(("place", "distance"), [((100, 5e-5), 1.6), ((30, 5e-6), 1.3)])
def test_one_miss_decides_whoever_chose_the_factor(place, distance):
    claim = claims.claims()["I5"]
    assert claims.word(claim, I5.i5_measurements(the_map(GOOD | {place: distance}), "MNIST")) == "not reproduced"
    assert claims.word(claim, I5.i5_measurements(the_map(GOOD), "MNIST")) == "reproduced"


def test_a_small_map_of_the_digits_is_measured_and_taken_from_its_folder_again(tmp_path, monkeypatch):
    options = {"n_steps": (1, 2), "step_sizes": (2e-5,), "n_samples": 80}
    first = I5.digits_map(tmp_path, **options)
    assert first.cells.index.tolist() == [(1, 2e-5), (2, 2e-5)]
    monkeypatch.setattr("sbgm.samplers.annealed_langevin", None)  # nothing is drawn again
    assert I5.digits_map(tmp_path, **options).cells.equals(first.cells)
