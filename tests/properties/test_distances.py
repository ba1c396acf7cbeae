"""Distances between sets: Fréchet, kernel, nearest neighbours, the largest of all."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_near
from properties.coverage import covers
from properties.strategies import EXACT, SCALES, SEEDS, batches, normal, seeded
from sbgm.measure import (
    PRDC,
    FeatureStatistics,
    Measured,
    Neighbours,
    controls,
    feature_statistics,
    fid,
    frechet_distance,
    inception,
    kernel_distance,
    kid,
    largest_distance,
    nearest_neighbours,
    prdc,
)


@st.composite
def pairs_of_sets(draw):
    """Two sets of features (N, F) and (N', F) with more points than features."""
    n_features, dtype = draw(st.integers(1, 4)), draw(EXACT)
    sets = [normal(draw(SEEDS), draw(st.integers(n_features + 3, 15)), n_features) for _ in range(2)]
    return (1.5 * sets[0]).to(dtype), (sets[1] + 0.5).to(dtype)


@covers(frechet_distance, kernel_distance, Measured)
@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@given(pairs_of_sets(), SEEDS)
def test_a_distance_is_symmetric_and_knows_no_order(distance, sets, seed):
    a, b = sets
    there, back = distance(a, b), distance(b, a)
    assert (there.n, there.n_reference) == (back.n_reference, back.n) == (len(a), len(b))
    assert f"{len(a)} samples against {len(b)} reference images" in str(there)
    assert_near([back.value, back.se], [there.value, there.se], torch.float32)
    order = torch.randperm(len(a), generator=seeded(seed))
    again = distance(a[order], b)
    assert_near([again.value, again.se], [there.value, there.se], torch.float32)


@covers(frechet_distance, feature_statistics, FeatureStatistics)
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


@covers(kernel_distance)
@given(pairs_of_sets(), st.integers(1, 20), SEEDS)
def test_the_kernel_distance_depends_on_products_alone_and_not_on_its_blocks(sets, block_size, seed):
    a, b = (s.double() for s in sets)
    turn = torch.linalg.qr(normal(seed, a.shape[1], a.shape[1]))[0]
    found, turned = kernel_distance(a, b), kernel_distance(a @ turn.T, b @ turn.T, block_size=block_size)
    assert_near([turned.value, turned.se], [found.value, found.se])
    assert found.se >= 0


@covers(kid, fid)
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


@covers(nearest_neighbours, Neighbours)
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


@covers(nearest_neighbours)
@given(points_and_candidates())
def test_a_copy_is_its_own_neighbour_at_no_distance(drawn):
    x, candidates = drawn
    found = nearest_neighbours(x, torch.cat([candidates, x]))
    assert bool((found.distances == 0).all())


@covers(largest_distance)
@given(batches(min_size=2, max_size=60), st.integers(1, 9), SCALES, SEEDS)
def test_the_largest_distance_is_that_of_all_pairs(x, block, c, seed):
    found = largest_distance(x, block=block)
    rows = x.flatten(1)
    assert_near(found, float((rows[:, None] - rows[None]).norm(dim=2).max()), x.dtype)
    moved = c * (x.flip(0).double() + normal(seed, *x.shape[1:]))
    assert_near(largest_distance(moved), c * found, x.dtype)


@covers(prdc, PRDC)
@given(SEEDS, st.integers(1, 4), st.integers(1, 3), SCALES)
def test_prdc_knows_no_order_or_scale_and_turns_precision_into_recall(seed, k, n_features, c):
    a, b = normal(seed, 8, n_features), 1.5 * normal(seed + 1, 11, n_features)
    there, back, again = prdc(a, b, k), prdc(b, a, k), prdc(c * a.flip(0), c * b, k)
    assert_near([*there.precision, *there.recall], [*back.recall, *back.precision])
    assert_near([v for number in there for v in number], [v for number in again for v in number])
    assert there.precision.value <= min(1, k * there.density.value)
    same = prdc(a, a, k)
    assert (same.precision.value, same.recall.value, same.coverage.value) == (1, 1, 1)


@covers(controls)
@given(SEEDS, st.integers(1, 5), st.sampled_from([(1, 4, 4), (3, 8, 4), (1, 28, 28)]))
def test_controls_are_images_of_the_shape_given_and_repeat_themselves(seed, n, shape):
    images = torch.rand(5, *shape, generator=seeded(seed))
    made, again = (controls(images, n, generator=seeded(seed)) for _ in range(2))
    for name, x in made.items():
        assert x.shape == (n, *shape)
        assert 0 <= x.min() <= x.max() <= 1
        assert torch.equal(x, again[name])
