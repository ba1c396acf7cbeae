"""I5's map: the noise that Algorithm 1 leaves, by closed form and measured, and what is kept of each cell."""

import math

import pytest
import torch
from safetensors.torch import load_file

import ledger
import recipes
from claims.I5 import measure as I5
from claims.I5.measure import noise_on_constant_pixels, noise_ratio
from recipes import DigitsTraining
from samples import Drawn, draw
from sbgm import annealed_langevin, final, geometric_sigmas
from sbgm.images.data import load_images
from sbgm.measure import Estimate
from seeds import seeded

LADDER = geometric_sigmas(1, 0.01, 10)


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


# --- the map ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", ["digits", "mnist"])
def test_the_recorded_map_has_every_cell_and_its_sheet(images, committed):
    loaded = I5.load_step_map(images)
    tensors = load_file(committed / "I5.safetensors")
    assert torch.equal(loaded.sheets, tensors[f"{images}_sheets"])
    assert len(loaded.sheets) == len(loaded.cells)
    for row in tensors[images]:
        n_steps, step_size, *numbers = row.tolist()
        assert loaded.cells.loc[n_steps, step_size].tolist() == numbers


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
    monkeypatch.setattr(recipes, "PERCEPTRON", DigitsTraining(width=16, n_blocks=1, n_steps=20))
    monkeypatch.setattr(recipes, "N_PERCEPTRONS", 2)
    few = {"N_OF_CELL": 220, "N_DIGITS": 80, "N_STEPS": (1, 2), "STEP_SIZES": (5e-6, 2e-5)}
    few |= {"CROSS": [(30, 2e-5), (100, 5e-6), (100, 5e-5)], "CODES_CROSS": [(30, 2e-5), (30, 4e-5)]}
    few |= {"DIGITS_PLACES": [*few["CROSS"], (30, 4e-5)]}
    few |= {"PLACES": [(1, 2e-5), (100, 2e-5), (100, 5e-6)], "TOO_SHORT": (2, 5e-6)}
    for name, value in few.items():
        monkeypatch.setattr(I5, name, value)
    monkeypatch.setattr(I5, "draw", digits_of_mnist)
    record = I5.measure(tmp_path / "samples", n_samples=258)
    assert {m.label for m in record.of_kind("expected")} == set(ledger.claims()["I5"].bounds)
    assert ledger.outcome(record)
    assert record.tensors["digits_cells"].shape == (2, 4, 2)
    assert record.tensors["digits"][:, :2].tolist() == [[1, 5e-6], [1, 2e-5], [2, 5e-6], [2, 2e-5]]
    assert len(record.tensors["mnist"]) == len(record.tensors["mnist_sheets"]) == 4


def digits_of_mnist(drawing, folder, machine):
    """Real digits in place of samples of MNIST."""
    if drawing.network == "digits_mlp":
        return draw(drawing, folder, machine)
    images = load_images("mnist")[: drawing.n_samples]
    return Drawn(images[None] + 0.01 * torch.randn(images.shape, generator=seeded()), images[None])
