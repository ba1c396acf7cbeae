"""Distances between sets: Fréchet, kernel, nearest neighbours, the largest of all."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_near
from properties.strategies import EXACT, SCALES, SEEDS, batches, normal
from sbgm.measure import (
    FeatureStatistics,
    Neighbours,
    feature_statistics,
    fid,
    frechet_distance,
    inception,
    kernel_distance,
    kid,
    largest_distance,
    nearest_neighbours,
)


@st.composite
def pairs_of_sets(draw):
    """Two sets of features (N, F) and (N', F) with more points than features."""
    n_features, dtype = draw(st.integers(1, 4)), draw(EXACT)
    sets = [normal(draw(SEEDS), draw(st.integers(n_features + 3, 15)), n_features) for _ in range(2)]
    return (1.5 * sets[0]).to(dtype), (sets[1] + 0.5).to(dtype)


@given(pairs_of_sets(), SEEDS, SCALES)
def test_the_frechet_distance_is_that_of_two_gaussians(sets, seed, c):
    """0 to itself; the same when space is turned or moved; squared with it; ‖t‖² from a set moved by t alone."""
    a, b = (s.double() for s in sets)
    value = frechet_distance(a, b).value
    turn, shift = torch.linalg.qr(normal(seed, a.shape[1], a.shape[1]))[0], normal(seed + 1, a.shape[1])
    assert value >= 0
    assert frechet_distance(a, a).value == pytest.approx(0, abs=1e-9)
    assert frechet_distance(c * (a @ turn.T + shift), c * (b @ turn.T + shift)).value == pytest.approx(c**2 * value)
    assert frechet_distance(a, a + shift).value == pytest.approx(float(shift.square().sum()))
    statistics = [feature_statistics(s) for s in (a, b)]
    assert all(isinstance(s, FeatureStatistics) for s in statistics)
    by_statistics = frechet_distance(*statistics)
    assert (by_statistics.value, by_statistics.se) == (value, None)


@given(st.integers(9, 12), st.integers(9, 12), SEEDS)
def test_kid_and_fid_are_the_distances_of_inceptions_features(n, m, seed):
    """With four features in place of 2,048, of which no less than nine images are asked for."""
    a, b = normal(seed, n, 4), normal(seed + 1, m, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "N_FEATURES", 4)
        patch.setattr(inception, "FEWEST_FOR_FID", 9)
        for special, general in ((kid, kernel_distance), (fid, frechet_distance)):
            assert (special(a, b).value, special(a, b).se) == (general(a, b).value, general(a, b).se)
        with pytest.raises(ValueError, match="samples must be at least 9 for FID"):
            fid(a[:8], b)


@st.composite
def points_and_candidates(draw):
    """Points (B, *shape) and candidates (N, *shape) of one dtype."""
    x = draw(batches())
    return x, normal(draw(SEEDS), draw(st.integers(1, 9)), *x.shape[1:], dtype=x.dtype)


@given(points_and_candidates(), st.integers(1, 9))
def test_neighbours_come_nearest_first(drawn, k):
    x, candidates = drawn
    k = min(k, len(candidates))
    found = nearest_neighbours(x, candidates, k)
    assert isinstance(found, Neighbours)
    assert found.distances.shape == found.indices.shape == (len(x), k)
    assert found.distances.dtype == x.dtype
    assert bool((found.distances.diff(dim=1) >= 0).all())
    exact = (x[:, None] - candidates[None]).flatten(2).norm(dim=2)
    assert_near(found.distances, exact.sort(dim=1).values[:, :k])
    assert_near(exact.gather(1, found.indices), found.distances)


@given(batches(min_size=2, max_size=60), st.integers(1, 9), SCALES, SEEDS)
def test_the_largest_distance_is_that_of_all_pairs(x, block, c, seed):
    found = largest_distance(x, block=block)
    rows = x.flatten(1)
    assert_near(found, float((rows[:, None] - rows[None]).norm(dim=2).max()), x.dtype)
    moved = c * (x.flip(0).double() + normal(seed, *x.shape[1:]))
    assert_near(largest_distance(moved), c * found, x.dtype)
