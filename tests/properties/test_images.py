"""Images: shades, features in batches, likeness, the Gaussian baseline, and what training does to a batch."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_like, assert_near, untouched
from properties.coverage import covers
from properties.strategies import EXACT, SEEDS, batches, images, seeded
from sbgm import data
from sbgm.measure import GaussianBaseline, in_batches, psnr, quantise, shown, ssim

LARGE = st.tuples(st.integers(1, 3), st.integers(7, 10), st.integers(7, 10))


@covers(quantise, shown)
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


@covers(data.dequantise, quantise)
@given(images(), SEEDS)
def test_quantising_undoes_dequantising(x, seed):
    x = shown(x)
    with untouched(x):
        spread = data.dequantise(x, generator=seeded(seed))
    assert_like(spread, x)
    assert 0 <= float(spread.min()) <= float(spread.max()) <= 1
    assert torch.equal(quantise(spread), (255 * x).round().to(torch.uint8))


@covers(data.random_flip)
@given(images(min_size=1, max_size=12), SEEDS)
def test_each_image_is_flipped_or_not(x, seed):
    with untouched(x):
        flipped = data.random_flip(x, generator=seeded(seed))
    assert_like(flipped, x)
    for before, after in zip(x, flipped, strict=True):
        assert torch.equal(after, before) or torch.equal(after, before.flip(-1))
    assert torch.equal(data.random_flip(flipped, generator=seeded(seed)), x)


@covers(in_batches)
@given(batches(max_size=9), st.integers(1, 12))
def test_the_batch_size_changes_no_result(x, batch_size):
    def function(x):
        return x.flatten(1).cumsum(dim=1)

    assert_near(in_batches(function, x, batch_size), function(x))


@covers(psnr)
@given(images(), st.floats(0.01, 1.0), SEEDS)
def test_ten_times_the_error_is_20_decibels_less(clean, size, seed):
    clean = clean.double()
    error = size * torch.randn(clean.shape, generator=seeded(seed), dtype=torch.float64)
    assert psnr(clean, clean) == math.inf
    assert psnr(clean, clean + error) == psnr(clean + error, clean)
    assert psnr(clean + 10 * error, clean) == pytest.approx(psnr(clean + error, clean) - 20)


@covers(ssim)
@given(images(LARGE, min_size=2, max_size=2))
def test_structural_similarity_is_one_to_itself_and_the_same_both_ways(pair):
    a, b = pair
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert -1 <= ssim(a, b) < 1


@covers(GaussianBaseline)
@given(images(min_size=2, max_size=8), st.integers(1, 9), st.integers(1, 5), SEEDS)
def test_the_baseline_has_the_images_mean_and_covariance_whatever_its_blocks(x, block_size, n, seed):
    baseline, rows = GaussianBaseline(x, block_size=block_size), x.flatten(1).double()
    assert_near(baseline.mean, rows.mean(dim=0), x.dtype)
    assert_near(baseline.root @ baseline.root.T, rows.T.cov().reshape(rows.shape[1], -1), x.dtype)
    with untouched(x):
        samples = baseline.sample(n, generator=seeded(seed))
    assert (samples.shape, samples.dtype) == ((n, *x.shape[1:]), torch.float32)
    assert torch.equal(samples, shown(samples))


@covers(data.load_images, data.load_labels, data.is_available)
@pytest.mark.parametrize("name", ["digits", "photo_patches", "mnist_small"])
@pytest.mark.parametrize("split", data.SPLITS)
def test_what_is_always_at_hand_is_a_batch_of_images_in_0_to_1(name, split):
    x = data.load_images(name, split)
    assert data.is_available(name)
    assert (x.ndim, x.dtype) == (4, torch.float32)
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    assert torch.equal(x, data.load_images(name, split))
    if name in data.LABELLED:
        labels = data.load_labels(name, split)
        assert (labels.shape, labels.dtype) == (x.shape[:1], torch.int64)
        assert labels.unique().tolist() == list(range(10))
