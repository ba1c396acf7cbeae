"""The scripts of notebooks/lab that measure a claim for hours: what they compute, on cases with a known answer."""

import math

import pytest
import torch

import I5
from I8 import known_pixels
from L10 import relaxation
from sbgm.images import masks
from sbgm.measure import Estimate


def test_a_chain_forgets_its_side_as_fast_as_a_gaussian_of_the_same_variance_where_the_modes_have_merged():
    sigma = 20.0
    steps, off = relaxation(sigma, 1.0)
    contraction = 1 - 0.1 * sigma**2 / 2 / (sigma**2 + 4 * 0.2 * 0.8 * 50)
    assert steps == pytest.approx(-1 / math.log(contraction), rel=0.03)
    assert off < 1e-12


def test_cells_that_are_alike_have_a_ratio_of_one_however_many_and_one_that_is_worse_is_found(monkeypatch):
    def variance(features):  # a distance with its standard error, of numbers around 0
        square = float(features.square().mean())
        return Estimate(square, square * math.sqrt(2 / len(features)))

    monkeypatch.setattr(I5, "features_distance", variance)
    generator = torch.Generator().manual_seed(0)
    alike = [[torch.randn(200, generator=generator) for _ in range(9)] for _ in range(200)]
    found = [I5.spread(cells) for cells in alike]
    ratios = torch.tensor([e.value for e in found]).log()
    assert abs(float(ratios.mean())) < 4 * float(ratios.std()) / math.sqrt(200)
    assert float(ratios.std()) < 1.3 * sum(e.se / e.value for e in found) / 200
    worse = [[*cells[:8], 2 * cells[8]] for cells in alike]
    assert sum(I5.spread(cells).value for cells in worse) / 200 == pytest.approx(4, rel=0.1)


def test_every_image_has_a_random_mask_of_its_own():
    right, box, random = known_pixels(3, (28, 28))
    assert torch.equal(right[0], masks.right_half((28, 28)))
    assert torch.equal(box[0], box[2])
    assert not torch.equal(random[0], random[1])
    assert torch.equal(known_pixels(5, (28, 28))[2, :3], random)
