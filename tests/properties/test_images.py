"""Images: shades, features in batches, likeness, the Gaussian baseline, and what training does to a batch."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_like, assert_near, untouched
from properties.strategies import EXACT, SEEDS, batches, images, seeded
from sbgm import data
from sbgm.measure import in_batches, quantise, shown


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
