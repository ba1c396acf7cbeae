"""What is measured of samples and images: laws that hold for every shape and scale."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_like, assert_near, untouched
from properties.strategies import EXACT, SEEDS, batches, images, normal, seeded
from sbgm.images import data
from sbgm.measure import nearest_neighbours, quantise, shown

# --- distances -------------------------------------------------------------------------------------------------------


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
    exact = (x[:, None] - candidates[None]).flatten(2).norm(dim=2)
    assert found.distances.dtype == x.dtype
    assert_near(found.distances, exact.sort(dim=1).values[:, :k])
    assert_near(exact.gather(1, found.indices), found.distances)


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
        spread = data.dequantised(x, seeded(seed))
    assert_like(spread, x)
    assert 0 <= float(spread.min()) <= float(spread.max()) <= 1
    assert torch.equal(quantise(spread), (255 * x).round().to(torch.uint8))
