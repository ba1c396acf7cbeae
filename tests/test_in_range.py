"""Clamped estimates: what is clamped, that it only helps, and what is refused."""

import pytest
import torch

from sbgm import denoise, in_range, perturb
from seeds import seeded


def wrong(x, sigma):
    """The score of N(½, 1/12) data, off by a tenth of the noise."""
    scale = sigma.reshape(-1, 1, 1, 1) if isinstance(sigma, torch.Tensor) else sigma
    return (0.5 - x) / (1 / 12 + scale**2) + 0.1 * torch.randn(x.shape, generator=seeded(3)) / scale


@pytest.mark.parametrize("sigma", [16.0, 1.0, 0.01, torch.tensor([16.0, 1.0, 0.1, 0.01])])
def test_the_estimate_is_the_clamped_one(sigma):
    x = perturb(torch.rand(4, 1, 6, 6, generator=seeded()), sigma, generator=seeded(1))
    clean = denoise(wrong, x, sigma)
    torch.testing.assert_close(denoise(in_range(wrong), x, sigma), clean.clamp(0, 1), rtol=1e-5, atol=1e-4)
    half = denoise(in_range(wrong, 0.25, 0.75), x, sigma)
    assert float(half.min()) > 0.2499
    assert float(half.max()) < 0.7501


def test_it_never_takes_a_coordinate_away_from_data_in_the_range():
    images = torch.rand(200, 1, 6, 6, generator=seeded())
    x = perturb(images, 8.0, generator=seeded(1))
    before, after = (denoise(score, x, 8.0) - images for score in (wrong, in_range(wrong)))
    assert bool((after.abs() <= before.abs() + 1e-5).all())
    assert float(after.square().mean()) < 0.5 * float(before.square().mean())


def test_an_estimate_within_the_range_is_left_alone():
    x = torch.full((2, 1, 4, 4), 0.4)
    score = in_range(lambda x, sigma: (0.5 - x) / (1 / 12 + sigma**2))
    torch.testing.assert_close(score(x, 0.5), torch.full_like(x, 0.1 / (1 / 12 + 0.25)))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"low must be smaller than high = 0\.0, got 1\.0"):
        in_range(wrong, 1.0, 0.0)
    with pytest.raises(TypeError, match="score must be"):
        in_range(3)
    with pytest.raises(ValueError, match="sigma must be finite and positive, got 0"):
        in_range(wrong)(torch.zeros(1, 1, 2, 2), 0.0)
