"""Distances between sets of images, against double loops, closed forms and other code; copies; and their controls."""

import math

import pytest
import torch
from torch.nn import functional
from torch_fidelity.metric_prc import calculate_precision_recall_full

from sbgm.data import load_images
from sbgm.measure import (
    FeatureStatistics,
    Measured,
    controls,
    feature_statistics,
    frechet_distance,
    kernel_distance,
    nearest_neighbours,
    prdc,
    quantise,
)
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


# --- the kernel distance ---------------------------------------------------------------------------------------------


def normal_of_kernel(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(x, y):
    """The definition, pair by pair."""

    def k(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@pytest.mark.parametrize("block_size", [3, 7, 100])
def test_it_is_the_double_loop_over_pairs(block_size):
    x, y = normal_of_kernel(9, 4) + 0.5, normal_of_kernel(13, 4, seed=1)
    assert kernel_distance(x, y, block_size=block_size).value == pytest.approx(by_hand(x, y))


def test_its_standard_error_is_the_jackknifes():
    """Every point left out in turn, samples and reference apart."""
    x, y = normal_of_kernel(9, 4) + 0.5, normal_of_kernel(13, 4, seed=1)

    def without(i, z):
        return torch.cat([z[:i], z[i + 1 :]])

    variance = 0.0
    for values in (
        torch.tensor([by_hand(without(i, x), y) for i in range(9)]),
        torch.tensor([by_hand(x, without(i, y)) for i in range(13)]),
    ):
        variance += (len(values) - 1) / len(values) * float((values - values.mean()).square().sum())
    assert kernel_distance(x, y).se == pytest.approx(math.sqrt(variance), rel=1e-4)


# --- precision, recall, density, coverage ----------------------------------------------------------------------------


def normal_of_prdc(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n", "m", "k"), [(40, 60, 5), (60, 40, 3), (30, 30, 1)])
def test_it_is_that_of_torch_fidelity_and_of_brute_force(n, m, k):
    samples, reference = 0.8 * normal_of_prdc(n, 6) + 0.3, normal_of_prdc(m, 6, seed=1)
    found = prdc(samples, reference, k)
    assert (found.precision.value, found.recall.value) == pytest.approx(
        calculate_precision_recall_full(samples, reference, k), abs=1e-6
    )
    radius = [sorted(float((a - b).norm()) for b in reference)[k] for a in reference]  # the 0th is a itself
    inside = [[float((x - c).norm()) <= r for c, r in zip(reference, radius, strict=True)] for x in samples]
    assert found.density.value == pytest.approx(sum(map(sum, inside)) / (k * n))
    assert found.coverage.value == pytest.approx(sum(map(any, zip(*inside, strict=True))) / m)


def test_the_standard_error_is_that_of_other_samples_against_the_same_reference():
    reference = normal_of_prdc(200, 3)
    runs = [prdc(1.5 * normal_of_prdc(100, 3, seed=1 + i), reference) for i in range(200)]
    for name in ("precision", "density"):
        values = torch.tensor([list(getattr(run, name)) for run in runs])
        assert float(values[:, 0].std()) == pytest.approx(float(values[:, 1].mean()), rel=0.2)  # 4 s.e. of an sd of 200


# --- neighbours ------------------------------------------------------------------------------------------------------


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_copy_has_the_distance_zero_and_a_near_copy_its_own_in_spite_of_large_norms():
    candidates = 100 + rand(50, 3, 16, 16)
    assert nearest_neighbours(candidates[7:9], candidates).distances.flatten().tolist() == [0, 0]
    nudged = candidates[7:8].clone()
    nudged[0, 0, 0, 0] += 0.25
    found = nearest_neighbours(nudged, candidates)
    assert (found.indices.item(), found.distances.item()) == (7, pytest.approx(0.25))


# --- controls --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patches():
    return load_images("photo_patches")[::9, :, :16, :16]


@pytest.fixture(scope="module")
def made(patches):
    return controls(patches, 300, generator=seeded())


def test_they_are_these_four_each_of_256_shades(made):
    assert list(made) == ["real images", "shuffled blocks", "low resolution", "Gaussian"]
    for x in made.values():
        assert x.shape == (300, 3, 16, 16)
        assert torch.equal(quantise(x).float() / 255, x)


def test_shuffling_moves_whole_blocks_all_colours_together(made):
    """Each 4×4 block, as a row of pixels, is one of the original's, each as often, and most at another place."""
    blocks = [functional.unfold(made[name], 4, stride=4) for name in ("real images", "shuffled blocks")]
    for real, moved in zip(*(b.transpose(1, 2)[:20] for b in blocks), strict=True):
        same = (real[:, None] == moved[None]).all(dim=2)
        assert same.any(dim=0).all()
        assert same.any(dim=1).all()
    stayed = (blocks[0] == blocks[1]).all(dim=1).float().mean()
    assert float(stayed) == pytest.approx(1 / 16, abs=0.03)


def test_low_resolution_keeps_the_means_of_4_by_4_pixels_near_and_no_detail(made):
    real, low = made["real images"], made["low resolution"]
    assert float((functional.avg_pool2d(low, 4) - functional.avg_pool2d(real, 4)).abs().mean()) < 0.02
    curvature = [x.diff(dim=-1).diff(dim=-1).square().mean() for x in (low, real)]
    assert float(curvature[0]) < float(curvature[1]) / 20
    flat = torch.full((2, 1, 28, 28), 0.4)
    assert controls(flat, 1, generator=seeded())["low resolution"].unique().tolist() == pytest.approx([0.4])
