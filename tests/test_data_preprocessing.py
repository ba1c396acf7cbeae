"""Dequantisation and flips, against their formulas, their distributions, and NumPy."""

import numpy as np
import pytest
import torch

from sbgm.data import dequantise, random_flip
from seeds import seeded


def every_grey(n):
    """n images of 16×16 pixels that hold each of the 256 grey values once."""
    return (torch.arange(256, dtype=torch.float32) / 255).reshape(1, 1, 16, 16).repeat(n, 1, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dequantise_is_the_formula(dtype):
    x = torch.rand(5, 3, 4, 6, generator=seeded(), dtype=dtype)
    before = x.clone()
    u = torch.rand(x.shape, generator=seeded(1), dtype=dtype)
    y = dequantise(x, generator=seeded(1))
    torch.testing.assert_close(y, x * 255 / 256 + u / 256, rtol=0, atol=2e-7)
    assert y.dtype == dtype
    assert torch.equal(x, before)


def test_each_grey_value_is_spread_evenly_over_its_own_bin():
    """The offset within the bin: Kolmogorov's distance from the uniform law at its 0.1 % point, means within 4 s.e."""
    n = 400
    y = dequantise(every_grey(n), generator=seeded())
    assert y.min() >= 0
    assert y.max() <= 1
    u = (y.double() * 256 - torch.arange(256).reshape(1, 1, 16, 16)).flatten(1)
    rounding = 2e-5  # of float32 near 255
    assert u.min() >= -rounding
    assert u.max() <= 1 + rounding
    steps = torch.arange(u.numel() + 1, dtype=torch.float64) / u.numel()
    ordered = u.flatten().sort().values
    distance = torch.maximum(ordered - steps[:-1], steps[1:] - ordered).max()
    assert distance < 1.95 / u.numel() ** 0.5
    assert (u.mean(dim=0) - 0.5).abs().max() < 4 * (1 / 12 / n) ** 0.5  # 256 values: all within 4 s.e.
    neighbours = torch.corrcoef(torch.stack([u[:, :-1].flatten(), u[:, 1:].flatten()]))[0, 1]
    assert abs(neighbours) < 4 / u.numel() ** 0.5


def test_dequantised_images_average_to_the_formulas_mean():
    """E = (255 x + ½)/256 for x of any mean."""
    x = torch.rand(200, 1, 28, 28, generator=seeded()).mul(255).round() / 255
    y = dequantise(x, generator=seeded(1))
    error = float((y.double() - (x.double() * 255 + 0.5) / 256).mean())
    assert abs(error) < 4 * (1 / 12 / x.numel()) ** 0.5 / 256


def test_every_call_draws_anew_and_a_seed_repeats_it():
    x = every_grey(1)
    source = seeded()
    first, second = dequantise(x, generator=source), dequantise(x, generator=source)
    assert not torch.equal(first, second)
    assert torch.equal(first, dequantise(x, generator=seeded()))


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


def test_flips_follow_the_seed():
    x = torch.rand(64, 1, 2, 2, generator=seeded())
    assert torch.equal(random_flip(x, generator=seeded(3)), random_flip(x, generator=seeded(3)))
    assert not torch.equal(random_flip(x, generator=seeded(3)), random_flip(x, generator=seeded(4)))


@pytest.mark.parametrize("function", [dequantise, random_flip])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(3, 8, 8), ValueError, r"x must be images of shape \(B, C, H, W\), got shape \(3, 8, 8\)"),
        (torch.full((1, 1, 2, 2), 255.0), ValueError, r"x must be images in \[0, 1\], got values from 255 to 255"),
        (torch.full((1, 1, 2, 2), -0.5), ValueError, r"x must be images in \[0, 1\], got values from -0.5"),
        (torch.full((1, 1, 2, 2), float("nan")), ValueError, "x must be finite"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), TypeError, "x must hold floating-point numbers"),
        (torch.zeros(0, 1, 2, 2), ValueError, "x must hold at least one example"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(function, x, error, message):
    with pytest.raises(error, match=message):
        function(x, generator=seeded())


@pytest.mark.parametrize("function", [dequantise, random_flip])
def test_the_generator_must_be_given(function):
    with pytest.raises(TypeError, match=r"generator must be a torch.Generator"):
        function(every_grey(1), generator=0)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'generator'"):
        function(every_grey(1))
