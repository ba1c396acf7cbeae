"""The scripts of notebooks/lab that measure a claim for hours: what they compute, on cases with a known answer."""

import math

import pytest
import torch

from I8 import known_pixels
from L10 import relaxation
from sbgm.images import masks


def test_a_chain_forgets_its_side_as_fast_as_a_gaussian_of_the_same_variance_where_the_modes_have_merged():
    sigma = 20.0
    steps, off = relaxation(sigma, 1.0)
    contraction = 1 - 0.1 * sigma**2 / 2 / (sigma**2 + 4 * 0.2 * 0.8 * 50)
    assert steps == pytest.approx(-1 / math.log(contraction), rel=0.03)
    assert off < 1e-12


def test_every_image_has_a_random_mask_of_its_own():
    right, box, random = known_pixels(3, (28, 28))
    assert torch.equal(right[0], masks.right_half((28, 28)))
    assert torch.equal(box[0], box[2])
    assert not torch.equal(random[0], random[1])
    assert torch.equal(known_pixels(5, (28, 28))[2, :3], random)
