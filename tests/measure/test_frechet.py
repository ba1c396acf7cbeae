"""The Fréchet distance against closed forms, exact transport in one dimension, and ways to get it wrong."""

import math

import pytest
import torch

from sbgm.measure import FeatureStatistics, Measured, feature_statistics, frechet_distance
from seeds import seeded


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def gaussian(mean, covariance, n=1_000):
    """Statistics made by hand."""
    mean, covariance = torch.as_tensor(mean, dtype=torch.float64), torch.as_tensor(covariance, dtype=torch.float64)
    return FeatureStatistics(mean, covariance, n)


def distance(a, b):
    return frechet_distance(a, b).value


def random_covariance(dim, seed):
    root = normal(dim, dim, seed=seed)
    return root @ root.T / dim


# --- closed forms ----------------------------------------------------------------------------------------------------


def test_it_is_that_of_the_products_own_eigenvalues():
    a, b = random_covariance(30, 1), random_covariance(30, 2)
    roots = torch.linalg.eigvals(a @ b).real.sqrt()
    exact = float((a + b).trace() - 2 * roots.sum())
    assert distance(gaussian(torch.zeros(30), a), gaussian(torch.zeros(30), b)) == pytest.approx(exact, rel=1e-8)


def test_features_that_never_change_are_no_trouble():
    """As of a ReLU that is always off, or of a pixel that is always black."""
    x, y = normal(300, 5), 2 * normal(200, 5, seed=1) + 1
    padded = [torch.cat([z, torch.zeros(len(z), 3)], dim=1) for z in (x, y)]
    assert distance(*padded) == pytest.approx(distance(x, y))
    assert frechet_distance(*padded).se == pytest.approx(frechet_distance(x, y).se)
    one_sided = torch.cat([x, normal(300, 3, seed=2)], dim=1)
    assert distance(one_sided, padded[0]) == pytest.approx(float(one_sided[:, 5:].var(dim=0).sum()), rel=0.05)


# --- statistics ------------------------------------------------------------------------------------------------------


def test_statistics_are_centred_unbiased_and_over_images():
    x = normal(50, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0]) + torch.tensor([10.0, 0.0, -5.0, 1.0])
    mean, covariance, n = feature_statistics(x)
    assert n == 50
    assert torch.allclose(mean, sum(x) / 50)
    assert torch.allclose(covariance, sum(torch.outer(v - mean, v - mean) for v in x) / 49)


def test_float32_features_far_from_zero_lose_nothing():
    x, y = normal(400, 3), normal(400, 3, seed=1) * 1.5
    shifted = [(z + 1_000).float() for z in (x, y)]
    assert distance(*shifted) == pytest.approx(distance(x, y), rel=1e-3)


# --- standard error and bias -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "dim"), [(200, 400, 5), (600, 300, 40)])
def test_the_standard_error_is_the_spread_over_repeated_draws(n, m, dim):
    """Over 100 draws, within 15 % and 4 s.e. of a spread."""
    root = normal(dim, dim) / math.sqrt(dim)
    runs = [
        frechet_distance(1.5 * normal(n, dim, seed=2 * i) @ root + 0.3, normal(m, dim, seed=2 * i + 1) @ root)
        for i in range(1, 101)
    ]
    spread = float(torch.tensor([run.value for run in runs]).std())
    assert sum(run.se for run in runs) / 100 == pytest.approx(spread, rel=0.15 + 4 / math.sqrt(200))


def test_statistics_add_nothing_to_the_standard_error():
    x, y = normal(300, 5), 2 * normal(200, 5, seed=1)
    both, one = frechet_distance(x, y).se, frechet_distance(x, feature_statistics(y)).se
    other = frechet_distance(feature_statistics(x), y).se
    assert both == pytest.approx(math.hypot(one, other))
    assert frechet_distance(feature_statistics(x), feature_statistics(y)).se is None


def test_it_is_biased_upward_and_less_so_with_more_points():
    few, many = (distance(normal(n, 20), normal(n, 20, seed=1)) for n in (100, 1_600))
    assert 0 < many < few / 8


# --- what is refused, and the text -----------------------------------------------------------------------------------


def test_no_more_images_than_features_is_refused():
    with pytest.raises(ValueError, match=r"since the covariance of fewer is singular, got 64 images with 64 features"):
        frechet_distance(normal(64, 64), normal(100, 64))
    frechet_distance(normal(65, 64), normal(100, 64))
    with pytest.raises(ValueError, match="got 3 images with 4 features each"):
        frechet_distance(normal(9, 4), gaussian(torch.zeros(4), torch.eye(4), n=3))


def test_the_text_says_of_how_many_and_against_what():
    result = Measured("Fréchet distance", 3.2412, 0.0534, 1_000, 10_000, "MNIST test images", "classifier features")
    text = "Fréchet distance 3.24 ± 0.11 (1,000 samples against 10,000 MNIST test images, classifier features)"
    assert str(result) == text
    x, y = normal(30, 2), normal(20, 2, seed=1)
    ours = frechet_distance(x, feature_statistics(y), against="points", features="coordinates")
    assert str(ours).endswith("(30 samples against 20 points, coordinates)")
    assert "±" not in str(frechet_distance(feature_statistics(x), feature_statistics(y)))
