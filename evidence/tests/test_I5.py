"""I5's map: the noise that Algorithm 1 leaves, by closed form and measured, and what is kept of each cell."""

import dataclasses
import math

import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file

import drawing as drawing_module
import ledger
import levels
from claims.I5 import measure as I5
from claims.I5.measure import N_SHEET, measure_cell, noise_on_constant_pixels, noise_ratio
from drawing import Drawn
from recipes import DigitsTraining
from sbgm import annealed_langevin, final, geometric_sigmas, plots
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import Estimate
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


def test_the_noise_left_on_a_point_counts_from_uniform_noise_unless_told_otherwise():
    assert noise_ratio([2.0], step_size=2.0, n_steps=1) == pytest.approx((0.75**2 / 3 + 2) / 4)  # E U² = 1/3
    assert noise_ratio([1.0], step_size=0.5, n_steps=1, start=4.0) == pytest.approx(0.75**2 * 4 + 0.5)


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
        start = torch.rand(150, 1, 8, 8, generator=(generator := seeded()))
        samples = final(annealed_langevin(network, start, network.sigmas, generator=generator, **options))
        found = noise_on_constant_pixels(samples, images, 0.01)
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


@pytest.mark.parametrize("images", ["digits", "mnist"])
def test_the_recorded_map_has_every_cell_and_its_sheet(images, committed):
    loaded = I5.load_step_map(images)
    tensors = load_file(committed / "I5.safetensors")
    assert torch.equal(loaded.sheets, tensors[f"{images}_sheets"])
    assert len(loaded.sheets) == len(loaded.cells)
    for row in tensors[images]:
        n_steps, step_size, *numbers = row.tolist()
        assert loaded.cells.loc[n_steps, step_size].tolist() == numbers
    assert torch.equal(loaded.tensors(images)[images], tensors[images])


# --- the claim --------------------------------------------------------------------------------------------------------


def cells(n, generator, scale=1.0):
    """The features of n cells of equal samples, the last of them scaled."""
    features = [torch.randn(400, 3, generator=generator) for _ in range(n)]
    return [*features[:-1], scale * features[-1]]


def test_equal_cells_have_a_ratio_near_one_and_one_that_is_worse_is_found():
    generator = seeded()
    reference = 3 + torch.randn(2_000, 3, generator=generator)
    whole, none = Estimate(0.9, 0.01), Estimate(0.1, 0.01)
    readable = [torch.rand(400, generator=generator) < share for share in (0.9, 0.9, 0.9, 0.9, 0.5)]
    numbers = I5.cell_numbers(cells(5, generator), readable, reference, whole, none, generator)
    assert numbers[I5.WORST].value == pytest.approx(1, abs=4 * numbers[I5.WORST].se)
    assert numbers[I5.LEAST].value == pytest.approx(0.5, abs=0.1)  # .5 lies midway from .9 to .1
    worse = I5.cell_numbers(cells(5, generator, 4.0), readable, reference, whole, none, generator)
    assert worse[I5.WORST].value > 1.5
    assert worse[I5.DEALT].value == pytest.approx(1, abs=4 * worse[I5.DEALT].se)


def test_a_script_measures_each_bound(mnist, results, tmp_path, monkeypatch):
    monkeypatch.setattr(levels, "SETTINGS", DigitsTraining(width=16, n_blocks=1, n_steps=20))
    monkeypatch.setattr(levels, "N_NETWORKS", 2)
    monkeypatch.setattr(I5, "N_OF_CELL", 220)
    monkeypatch.setattr(I5, "N_DIGITS", 80)
    monkeypatch.setattr(I5, "N_STEPS", (30, 50))
    monkeypatch.setattr(I5, "STEP_SIZES", (5e-6, 2e-5))
    monkeypatch.setattr(I5, "BEYOND_N_STEPS", ())
    monkeypatch.setattr(I5, "BEYOND_STEP_SIZES", ())
    monkeypatch.setattr(I5, "CROSS", [(30, 2e-5), (50, 5e-6)])
    monkeypatch.setattr(I5, "CODES_CROSS", [(30, 2e-5), (30, 4e-5)])
    monkeypatch.setattr(I5, "PLACES", [(1, 2e-5), (100, 2e-5), (100, 5e-6)])
    monkeypatch.setattr(I5, "TOO_SHORT", (2, 5e-6))
    monkeypatch.setattr(I5, "draw", few_steps)
    monkeypatch.setattr(I5, "over_predicted", lambda step_map, n_steps, step_size: 1.0)
    record = I5.measure(tmp_path / "samples", n_samples=258)
    assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()["I5"].bounds)
    assert ledger.outcome(record)
    assert record.tensors["digits_cells"].shape == (2, 3, 2)


def few_steps(drawing, folder, machine):
    """Real digits in place of samples of MNIST, and one step a level of 8×8 digits."""
    if drawing.network == "mnist_ncsn":
        images = load_images("mnist")[: drawing.n_samples]
        return Drawn(images[None] + 0.01 * torch.randn(images.shape, generator=seeded()), images[None])
    return drawing_module.draw(dataclasses.replace(drawing, n_steps=1), folder, machine)


def test_a_small_map_of_the_digits_is_measured_and_taken_from_its_folder_again(tmp_path, monkeypatch):
    options = {"n_steps": (1, 2), "step_sizes": (2e-5,), "n_samples": 80}
    first = I5.digits_map(tmp_path, **options)
    assert first.cells.index.tolist() == [(1, 2e-5), (2, 2e-5)]
    monkeypatch.setattr("sbgm.samplers.annealed_langevin", None)  # nothing is drawn again
    assert I5.digits_map(tmp_path, **options).cells.equals(first.cells)
