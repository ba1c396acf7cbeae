"""Losses, norms and the optimality identity level by level, against the closed forms of a Gaussian and a mixture."""

import math

import pytest
import torch

from sbgm import GaussianMixture, measure
from seeds import seeded

VARIANCE, DIM = 4.0, 3
SIGMAS = [3.0, 1.0, 0.2]


def gaussian():
    return GaussianMixture([1.0], [[0.0] * DIM], math.sqrt(VARIANCE))


def gaussian_images(n=20_000):
    return gaussian().sample(n, generator=seeded())


def assert_equal(levels, exact):
    """Within 4 s.e. at every level, where the s.e. itself is small."""
    exact = torch.tensor(exact, dtype=torch.float64)
    assert levels.values.shape == levels.se.shape == exact.shape
    assert ((levels.values - exact).abs() <= 4 * levels.se).all(), (levels, exact)
    assert (levels.se < 0.02 * exact.abs()).all()


def test_losses_of_a_gaussians_score_are_half_d_v_over_v_plus_sigma_squared():
    levels = measure.level_losses(gaussian().score, gaussian_images(), SIGMAS, generator=seeded(1))
    assert_equal(levels, [DIM * VARIANCE / (2 * (VARIANCE + s**2)) for s in SIGMAS])
    assert levels.n == 20_000


def test_norms_of_a_gaussians_score():
    points = GaussianMixture([1.0], [[0.0]], math.sqrt(VARIANCE))
    x = points.sample(20_000, generator=seeded())
    levels = measure.score_norms(points.score, x, SIGMAS, generator=seeded(1))
    assert_equal(levels, [math.sqrt(2 / math.pi / (VARIANCE + s**2)) for s in SIGMAS])


@pytest.mark.parametrize("factor", [1.0, 0.5, -1.0])
def test_the_identity_shows_a_score_of_the_wrong_size(factor):
    """D + 2c(c − 1) E‖σs‖², with E‖σs‖² = D σ²/(v + σ²)."""
    wrong = lambda x, sigma: factor * gaussian().score(x, sigma)  # noqa: E731
    levels = measure.optimality_identity(wrong, gaussian_images(), SIGMAS, generator=seeded(1))
    assert_equal(levels, [DIM + 2 * factor * (factor - 1) * DIM * s**2 / (VARIANCE + s**2) for s in SIGMAS])


def test_standard_errors_are_the_spread_over_repeated_data():
    """Over 200 data sets of 100 points, within 4 s.e. of a spread; draws of noise of one image count as one."""
    runs = []
    for i in range(200):
        x = gaussian().sample(100, generator=seeded(i))
        runs.append(measure.level_losses(gaussian().score, x, SIGMAS, n_noise=3, generator=seeded(1_000 + i)))
    spread = torch.stack([run.values for run in runs]).std(dim=0).tolist()
    errors = torch.stack([run.se for run in runs]).mean(dim=0).tolist()
    assert errors == pytest.approx(spread, rel=4 / math.sqrt(400))
