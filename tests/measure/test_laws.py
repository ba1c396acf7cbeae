"""What is measured of samples, points and scores, and records: laws that hold for every shape and scale."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from properties.comparing import assert_like, assert_near, untouched
from properties.strategies import (
    EXACT,
    SCALES,
    SEEDS,
    batches,
    images,
    ladders,
    mixtures,
    normal,
    points,
    seeded,
    wide,
)
from sbgm import data
from sbgm.measure import (
    Estimate,
    FeatureStatistics,
    Neighbours,
    RegionErrors,
    component_stds,
    distance_to_modes,
    feature_statistics,
    frechet_distance,
    in_batches,
    largest_distance,
    level_losses,
    load_curve,
    load_record,
    load_step_map,
    mode_weights,
    nearest_neighbours,
    optimality_identity,
    quantise,
    ratio,
    region_errors,
    score_norms,
    shown,
)
from sbgm.measure.records import results_folder
from sbgm.samplers import signal_to_noise

# --- distances -------------------------------------------------------------------------------------------------------


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


# --- estimates -------------------------------------------------------------------------------------------------------

SIZES = st.integers(3, 30)
LOGITS = batches(st.integers(2, 6).map(lambda k: (k,)), min_size=2, max_size=12)


@given(st.floats(0.5, 5), st.floats(0.5, 5), st.floats(0, 0.1), st.floats(0, 0.1))
def test_a_ratio_and_its_inverse_have_the_same_relative_error(a, b, relative_a, relative_b):
    first, second = Estimate(a, relative_a * a), Estimate(b, relative_b * b)
    there, back = ratio(first, second), ratio(second, first)
    assert_near(there.value * back.value, 1.0)
    for found in (there, back):
        assert_near(found.se / found.value, math.hypot(relative_a, relative_b))


# --- levels ----------------------------------------------------------------------------------------------------------

MEASURES = {"losses": level_losses, "norms": score_norms, "identity": optimality_identity}
DATA = batches(dtypes=st.just(torch.float64), min_size=2)


def zero(x, sigma):
    return torch.zeros_like(x)


@given(DATA, ladders(), st.floats(-3, 3), SEEDS)
def test_the_identity_is_the_squared_norm_and_twice_the_loss(x, sigmas, k, seed):
    """For a score of one length at each level, k/σ in every coordinate, whose norm is then exact."""

    def score(x, sigma):
        return torch.full_like(x, k) / wide(sigma, x)

    losses, norms, identity = (measure(score, x, sigmas, generator=seeded(seed)) for measure in MEASURES.values())
    squares = (torch.tensor([float(s) for s in sigmas]) * norms.values) ** 2
    assert_near(identity.values, squares + 2 * losses.values, torch.float32)


# --- points ----------------------------------------------------------------------------------------------------------


@st.composite
def clouds(draw):
    """Points (B, D) in either dtype, and means (K, D)."""
    x = draw(points(dtypes=EXACT, min_size=2, max_size=30))
    return x, 3 * normal(draw(SEEDS), draw(st.integers(1, 4)), x.shape[1])


@given(clouds(), SEEDS, SCALES)
def test_turning_moving_and_scaling_space_does_so_to_distances_and_spreads(cloud, seed, c):
    x, means = cloud[0].double(), cloud[1]
    turn, shift = torch.linalg.qr(normal(seed, x.shape[1], x.shape[1]))[0], normal(seed + 1, x.shape[1])
    turned = [c * (points @ turn.T + shift) for points in (x, means)]
    assert torch.equal(mode_weights(*turned), mode_weights(x, means))
    assert_near(distance_to_modes(*turned), c * distance_to_modes(x, means), torch.float32)
    seen = mode_weights(x, means) > 0
    assert torch.equal(component_stds(x, means).isfinite(), seen)
    assert_near(component_stds(*turned)[seen], c * component_stds(x, means)[seen], torch.float32)


@given(mixtures(dim=2), st.floats(-2, 2), st.floats(0.5, 3.0))
def test_the_regions_errors_are_the_factors_in_each(mixture, factor, near):
    """A score that is right within `near` of a mode and off by a factor elsewhere."""
    axis = torch.linspace(-15, 15, 16)
    grid = torch.cat([torch.cartesian_prod(axis, axis), mixture.means.float() + 0.1])

    def score(x, sigma):
        inside = distance_to_modes(x, mixture.means) < near
        return torch.where(inside[:, None], 1.0, 1 + factor) * mixture.score(x, sigma)

    found = region_errors(score, mixture.score, grid, mixture.means, 0.5, near=near, far=near)
    assert isinstance(found, RegionErrors)
    assert found.near == 0
    assert_near(found.far, factor**2, torch.float32)


@given(batches(), st.floats(0.01, 10), SCALES)
def test_the_signal_to_noise_ratio_is_that_of_step_times_squared_score(x, alpha, c):
    ratio = signal_to_noise(x, alpha)
    assert ratio >= 0
    assert signal_to_noise(x / c, c**2 * alpha) == pytest.approx(ratio, rel=1e-5)
    assert signal_to_noise(torch.ones_like(x), 4.0) == pytest.approx(math.prod(x.shape[1:]))


# --- images ----------------------------------------------------------------------------------------------------------


@given(batches(dtypes=EXACT))
def test_shown_images_are_of_256_shades_and_stay_as_they_are(x):
    levels, seen = quantise(x), shown(x)
    assert (levels.shape, levels.dtype) == (x.shape, torch.uint8)
    assert_like(seen, x)
    assert 0 <= float(seen.min()) <= float(seen.max()) <= 1
    assert torch.equal(shown(seen), seen)
    assert float((seen - x.clamp(0, 1)).abs().max()) <= 1 / 255 + 1e-6
    order = x.flatten().argsort()
    assert bool((levels.flatten()[order].int().diff() >= 0).all())


@given(images(), SEEDS)
def test_quantising_undoes_dequantising(x, seed):
    x = shown(x)
    with untouched(x):
        spread = data.dequantise(x, generator=seeded(seed))
    assert_like(spread, x)
    assert 0 <= float(spread.min()) <= float(spread.max()) <= 1
    assert torch.equal(quantise(spread), (255 * x).round().to(torch.uint8))


@given(batches(max_size=9), st.integers(1, 12))
def test_the_batch_size_changes_no_result(x, batch_size):
    def function(x):
        return x.flatten(1).cumsum(dim=1)

    assert_near(in_batches(function, x, batch_size), function(x))


# --- records ---------------------------------------------------------------------------------------------------------

FILES = {path.stem: json.loads(path.read_text("utf-8")) for path in results_folder().glob("*.json")}
RECORDS = sorted(name for name, content in FILES.items() if "facts" in content)
CURVES = sorted(name for name in RECORDS if name.startswith("sampler_curve_"))


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_holds_what_its_files_hold(name):
    record, written = load_record(name), FILES[name]
    assert (record.id, record.facts, record.content) == (name, written["facts"], written)
    measured = [(m["label"], (m["value"], m.get("se", 0.0))) for m in written.get("measurements", [])]
    assert [(label, tuple(estimate)) for label, estimate in record.numbers.items()] == measured
    file = record.facts.get("file", "")
    tensors = load_file(results_folder() / file) if file.endswith(".safetensors") else {}
    assert record.tensors.keys() == tensors.keys()
    assert all(torch.equal(record.tensors[key], tensor) for key, tensor in tensors.items())


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_has_every_point_and_its_sheet(name):
    curve = load_curve(name.removeprefix("sampler_curve_"))
    assert sorted(p.name for label in curve.labels() for p in curve.curve(label)) == sorted(curve.sheets)
    assert [p.distance for p in curve.points] == [p["distance"] for p in FILES[name]["points"]]


@pytest.mark.parametrize("images", ["digits", "mnist"])
def test_a_map_has_every_cell_and_its_sheet(images):
    loaded, tensors = load_step_map(images), load_file(results_folder() / FILES["I5"]["facts"]["file"])
    for row, sheet in zip(tensors[images], tensors[f"{images}_sheets"], strict=True):
        cell = loaded.at(int(row[0]), float(row[1]))
        assert cell.distance == float(row[2])
        assert torch.equal(loaded.sheet(*cell.place), sheet.float() / 255)
