"""Losses level by level, against the closed form of a Gaussian."""

import math

import pytest
import torch

from sbgm import GaussianMixture, denoise, measure
from seeds import seeded

VARIANCE, DIM = 4.0, 3
SIGMAS = [3.0, 1.0, 0.2]


def gaussian():
    return GaussianMixture([1.0], [[0.0] * DIM], math.sqrt(VARIANCE))


def gaussian_images(n=20_000):
    return gaussian().sample(n, generator=seeded())


def assert_equal(levels, exact):
    """Within 4 s.e. at every level, where the s.e. itself is small."""
    for level, value in zip(levels, exact, strict=True):
        assert level.value == pytest.approx(value, abs=4 * level.se)
        assert level.se < 0.02 * value


def test_losses_of_a_gaussians_score_are_half_d_v_over_v_plus_sigma_squared():
    levels = measure.level_losses(gaussian().score, gaussian_images(), SIGMAS, generator=seeded(1))
    assert_equal(levels, [DIM * VARIANCE / (2 * (VARIANCE + s**2)) for s in SIGMAS])


@pytest.mark.parametrize(
    "measured",
    [
        lambda score, x: measure.level_losses(score, x, [2.0, 1.0], generator=seeded()),
        lambda score, x: denoise(score, x, 1.0),
    ],
    ids=["level_losses", "denoise"],
)
def test_a_score_that_changes_its_argument_is_refused(measured):
    with pytest.raises(ValueError, match="score must leave its arguments as they are"):
        measured(lambda x, sigma: x.sub_(1).neg(), torch.ones(4, 2))


def test_standard_errors_are_the_spread_over_repeated_data():
    """Over 200 data sets of 100 points, within 4 s.e. of a spread; draws of noise of one image count as one."""
    runs = []
    for i in range(200):
        x = gaussian().sample(100, generator=seeded(i))
        runs.append(measure.level_losses(gaussian().score, x, SIGMAS, n_noise=3, generator=seeded(1_000 + i)))
    values, errors = torch.tensor(runs).unbind(dim=-1)
    spread = values.std(dim=0).tolist()
    errors = errors.mean(dim=0).tolist()
    assert errors == pytest.approx(spread, rel=4 / math.sqrt(400))
