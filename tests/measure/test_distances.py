"""Distances between sets of images, against double loops, closed forms and other code; copies; and their controls."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from properties.strategies import SEEDS, normal
from sbgm.images.data import load_images
from sbgm.measure import (
    FeatureStatistics,
    controls,
    feature_statistics,
    frechet_distance,
    kernel_distance,
    nearest_neighbours,
    quantise,
)
from seeds import seeded

# --- the Fréchet distance --------------------------------------------------------------------------------------------


@st.composite
def pairs_of_sets(draw):
    """Two sets of features (N, F) and (N', F) with more points than features, the first of which may never vary."""
    n_features = draw(st.integers(2, 5))
    sets = [normal(draw(SEEDS), draw(st.integers(n_features + 3, 15)), n_features) for _ in range(2)]
    for x in sets:
        x[:, : draw(st.integers(0, 1))] = 0.5  # as of a ReLU that is always off
    return 1.5 * sets[0], sets[1] + 0.5


@given(pairs_of_sets())
def test_the_frechet_distance_is_that_of_two_gaussians(sets):
    """‖m − m'‖² + tr C + tr C' − 2 tr (C C')^{1/2}, by the eigenvalues of the product C C' itself."""
    mean, other_mean = (x.mean(dim=0) for x in sets)
    covariance, other = (x.T.cov() for x in sets)
    roots = torch.linalg.eigvals(covariance @ other).real.clamp(min=0).sqrt()
    exact = float((mean - other_mean).square().sum() + (covariance + other).trace() - 2 * roots.sum())
    distance = frechet_distance(*sets)
    assert distance.value == pytest.approx(exact, rel=1e-6, abs=1e-6)
    assert frechet_distance(sets[0], sets[0]).value == pytest.approx(0, abs=1e-9)
    far_off = [(x + 1_000).float() for x in sets]
    assert frechet_distance(*far_off).value == pytest.approx(exact, rel=1e-3)


@given(pairs_of_sets())
def test_a_set_given_by_its_statistics_adds_nothing_to_the_standard_error(sets):
    whole = frechet_distance(*sets)
    statistics = [feature_statistics(x) for x in sets]
    of_samples = frechet_distance(sets[0], statistics[1])
    of_reference = frechet_distance(statistics[0], sets[1])
    assert of_samples.value == of_reference.value == whole.value
    assert math.hypot(of_samples.se, of_reference.se) == pytest.approx(whole.se)
    assert frechet_distance(*statistics).se == 0


def test_no_more_images_than_features_is_refused():
    with pytest.raises(ValueError, match=r"since the covariance of fewer is singular, got 64 images with 64 features"):
        frechet_distance(normal(0, 64, 64), normal(0, 100, 64))
    few = FeatureStatistics(torch.zeros(4), torch.eye(4), 3)
    with pytest.raises(ValueError, match="got 3 images with 4 features each"):
        frechet_distance(normal(0, 9, 4), few)


@pytest.mark.parametrize(("n", "m", "dim"), [(200, 400, 5), (600, 300, 40)])
def test_the_standard_error_is_the_spread_over_repeated_draws(n, m, dim):
    """Over 100 draws, within 15 % and 4 s.e. of a spread."""
    root = normal(0, dim, dim) / math.sqrt(dim)
    runs = []
    for i in range(1, 101):
        samples = 1.5 * normal(2 * i, n, dim) @ root + 0.3
        reference = normal(2 * i + 1, m, dim) @ root
        runs.append(frechet_distance(samples, reference))
    values, errors = torch.tensor(runs).T
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=0.15 + 4 / math.sqrt(200))


def test_in_skewed_features_the_errors_of_mean_and_covariance_go_together():
    """The jackknife's standard error, each sample left out in turn; the two parts apart would be a third off."""
    x = normal(0, 200, 2).exp()
    reference = feature_statistics(normal(1, 50, 2))
    without = torch.tensor([frechet_distance(torch.cat([x[:i], x[i + 1 :]]), reference).value for i in range(200)])
    jackknife = math.sqrt(199 / 200 * float((without - without.mean()).square().sum()))
    assert frechet_distance(x, reference).se == pytest.approx(jackknife, rel=0.1)


def test_the_standard_error_of_far_sets_is_that_of_their_means():
    """For sets whose means lie d apart, with equal covariances C, the variance is (2d)ᵀC(2d)(1/n + 1/n')."""
    x = normal(0, 400, 3)
    d = torch.tensor([50.0, 0.0, -20.0], dtype=x.dtype)
    y = x + 1_000
    spread = (2 * (x @ d)).std()
    assert frechet_distance(y + d, y).se == pytest.approx(float(spread) * math.sqrt(2 / 400), rel=1e-3)


# --- the kernel distance ---------------------------------------------------------------------------------------------


def by_hand(x, y):
    """The definition, pair by pair."""

    def k(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    n = len(x)
    m = len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@pytest.mark.parametrize("block_size", [3, 100])
def test_it_is_the_double_loop_over_pairs(block_size):
    x = normal(0, 9, 4) + 0.5
    y = normal(1, 13, 4)
    assert kernel_distance(x, y, block_size=block_size).value == pytest.approx(by_hand(x, y))


def test_its_standard_error_is_the_jackknifes():
    """Every point left out in turn, samples and reference apart."""
    x = normal(0, 9, 4) + 0.5
    y = normal(1, 13, 4)

    def each_left_out(z):
        return [torch.cat([z[:i], z[i + 1 :]]) for i in range(len(z))]

    without_x = torch.tensor([by_hand(part, y) for part in each_left_out(x)])
    without_y = torch.tensor([by_hand(x, part) for part in each_left_out(y)])
    variance = 0.0
    for values in (without_x, without_y):
        n = len(values)
        variance += (n - 1) / n * float((values - values.mean()).square().sum())
    assert kernel_distance(x, y).se == pytest.approx(math.sqrt(variance), rel=1e-4)


# --- neighbours ------------------------------------------------------------------------------------------------------


def test_a_copy_has_the_distance_zero_and_a_near_copy_its_own_in_spite_of_large_norms():
    candidates = 100 + torch.rand(50, 3, 16, 16, generator=seeded())
    assert nearest_neighbours(candidates[7:9], candidates).distances.flatten().tolist() == [0, 0]
    nudged = candidates[7:8].clone()
    nudged[0, 0, 0, 0] += 0.25
    nearest = nearest_neighbours(nudged, candidates)
    assert (nearest.indices.item(), nearest.distances.item()) == (7, pytest.approx(0.25))


# --- controls --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    return controls(load_images("photo_patches")[::9, :, :16, :16], 300, generator=seeded())


def test_they_are_these_four_each_of_256_shades(made):
    assert list(made) == ["real images", "shuffled blocks", "low resolution", "Gaussian"]
    for x in made.values():
        assert x.shape == (300, 3, 16, 16)
        assert torch.equal(quantise(x).float() / 255, x)


def test_shuffling_moves_whole_blocks_all_colours_together(made):
    """Each 4×4 block, as a row of pixels, is one of the original's, each as often, and most at another place."""
    blocks = [functional.unfold(made[name], 4, stride=4) for name in ("real images", "shuffled blocks")]
    rows = [b.transpose(1, 2)[:20] for b in blocks]
    for real, moved in zip(*rows, strict=True):
        same = (real[:, None] == moved[None]).all(dim=2)
        assert same.any(dim=0).all()
        assert same.any(dim=1).all()
    stayed = (blocks[0] == blocks[1]).all(dim=1).float().mean()
    assert float(stayed) == pytest.approx(1 / 16, abs=0.03)


def test_low_resolution_keeps_the_means_of_4_by_4_pixels_near_and_no_detail(made):
    real = made["real images"]
    low = made["low resolution"]
    assert float(functional.avg_pool2d(low - real, 4).abs().mean()) < 0.02
    curvature = [x.diff(dim=-1).diff(dim=-1).square().mean() for x in (low, real)]
    assert float(curvature[0]) < float(curvature[1]) / 20
    flat = torch.full((2, 1, 28, 28), 0.4)
    assert controls(flat, 1, generator=seeded())["low resolution"].unique().tolist() == pytest.approx([0.4])
