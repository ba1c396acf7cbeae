"""Losses, norms and the optimality identity level by level, against the closed forms of a Gaussian and a mixture."""

import math

import pytest
import torch

from sbgm import GaussianMixture, measure, paper_mixture
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


def test_the_identity_holds_for_exact_scores():
    assert_equal(
        measure.optimality_identity(gaussian().score, gaussian_images(), SIGMAS, generator=seeded(1)), [DIM] * 3
    )
    mixture = paper_mixture()
    x = mixture.sample(20_000, generator=seeded())
    assert_equal(measure.optimality_identity(mixture.score, x, [20.0, 5.0, 1.0], generator=seeded(1)), [2] * 3)


@pytest.mark.parametrize("factor", [0.5, 1.5, -1.0])
def test_the_identity_shows_a_score_of_the_wrong_size(factor):
    """D + 2c(c − 1) E‖σs‖², with E‖σs‖² = D σ²/(v + σ²)."""
    wrong = lambda x, sigma: factor * gaussian().score(x, sigma)  # noqa: E731
    levels = measure.optimality_identity(wrong, gaussian_images(), SIGMAS, generator=seeded(1))
    assert_equal(levels, [DIM + 2 * factor * (factor - 1) * DIM * s**2 / (VARIANCE + s**2) for s in SIGMAS])


def test_the_identity_is_norms_and_losses_of_the_same_noise():
    """A score that is no gradient and depends on σ in its own way, on images of three axes."""
    x = torch.rand(6, 1, 2, 2, generator=seeded(), dtype=torch.float64)

    def score(x, sigma):
        return (x**2 - torch.as_tensor(sigma).reshape(-1, 1, 1, 1)) / 3

    losses = measure.level_losses(score, x, SIGMAS, generator=seeded(1), batch_size=4)
    identity = measure.optimality_identity(score, x, SIGMAS, generator=seeded(1), batch_size=4)
    generator = seeded(1)
    for level, sigma in enumerate(SIGMAS):
        z = torch.cat([torch.randn(n, 1, 2, 2, generator=generator, dtype=x.dtype) for n in (4, 2)])
        squares = (sigma * score(x + sigma * z, sigma)).square().sum() / 6
        assert float(identity.values[level] - 2 * losses.values[level]) == pytest.approx(float(squares), rel=1e-5)


def test_standard_errors_are_the_spread_over_repeated_data():
    """Over 200 data sets of 100 points, within 4 s.e. of a spread; draws of noise of one image count as one."""
    runs = [
        measure.level_losses(
            gaussian().score,
            gaussian().sample(100, generator=seeded(i)),
            SIGMAS,
            n_noise=3,
            generator=seeded(1_000 + i),
        )
        for i in range(200)
    ]
    spread = torch.stack([run.values for run in runs]).std(dim=0)
    assert torch.stack([run.se for run in runs]).mean(dim=0).tolist() == pytest.approx(
        spread.tolist(), rel=4 / math.sqrt(400)
    )


def test_more_noise_an_image_narrows_the_error():
    x = torch.zeros(500, DIM)  # one image: all the spread comes from the noise
    one, four = (
        measure.level_losses(lambda x, sigma: 0 * x, x, SIGMAS, n_noise=n, generator=seeded(1)).se for n in (1, 4)
    )
    assert (one / four).tolist() == pytest.approx([2] * 3, rel=0.2)


def test_no_gradients_are_kept():
    weight = torch.ones((), requires_grad=True)
    score = lambda x, sigma: weight * x  # noqa: E731
    assert not measure.level_losses(score, torch.rand(4, 2), SIGMAS, generator=seeded()).values.requires_grad
