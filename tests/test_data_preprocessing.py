"""Dequantisation and flips, against their formulas, their distributions, and NumPy."""

import numpy as np
import pytest
import torch

from sbgm.data import dequantise, random_flip
from seeds import seeded


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dequantise_is_the_formula(dtype):
    x = torch.rand(5, 3, 4, 6, generator=seeded(), dtype=dtype)
    before = x.clone()
    u = torch.rand(x.shape, generator=seeded(1), dtype=dtype)
    y = dequantise(x, generator=seeded(1))
    torch.testing.assert_close(y, x * 255 / 256 + u / 256, rtol=0, atol=2e-7)
    assert y.dtype == dtype
    assert torch.equal(x, before)


def test_a_flipped_image_is_numpys_and_half_of_them_are():
    """4,096 images; the share within 4 s.e. of ½, and no image tells of the next one's flip."""
    n = 4096
    x = torch.rand(n, 2, 3, 5, generator=seeded())
    before = x.clone()
    y = random_flip(x, generator=seeded(1))
    assert torch.equal(x, before)
    mirrored = torch.from_numpy(np.flip(x.numpy(), axis=3).copy())
    flipped = (y == mirrored).flatten(1).all(dim=1)
    kept = (y == x).flatten(1).all(dim=1)
    assert torch.equal(flipped, ~kept)
    assert abs(float(flipped.double().mean()) - 0.5) < 4 * 0.5 / n**0.5
    signs = flipped.double() * 2 - 1
    assert abs(float((signs[:-1] * signs[1:]).mean())) < 4 / n**0.5
