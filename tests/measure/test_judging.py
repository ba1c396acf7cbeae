"""Samples judged, beside controls, in the features of each kind of data; and the Gaussian among the controls."""

import re

import pytest
import torch
from torch.nn import functional

from sbgm.images.data import load_images
from sbgm.images.own import own_images
from sbgm.measure import (
    GaussianBaseline,
    hog_features,
    judging,
    kernel_distance,
    nearest_neighbours,
)
from sbgm.measure.judging import judge
from seeds import seeded

SETS = ["samples", "real images", "shuffled blocks", "low resolution", "Gaussian"]


def test_real_digits_are_near_and_noise_is_far():
    real, noise = load_images("mnist_small")[:400], torch.rand(400, 1, 28, 28, generator=seeded())
    (distance, nearest), (of_noise, nearest_of_noise) = (judge(x, "mnist_small").rows for x in (real, noise))
    assert distance.against == "5,000 MNIST (small) test images, classifier features"
    assert list(distance.numbers) == SETS
    values = {name: number.value for name, number in distance.numbers.items()}
    assert max(values.pop("samples"), values.pop("real images")) < min(values.values()) / 5
    assert of_noise.numbers["samples"].value > max(values.values())
    assert nearest.numbers["samples"].value == 0  # training images are their own nearest
    assert nearest_of_noise.numbers["samples"].value > 2 * nearest.numbers["real images"].value > 6


def test_as_text_it_is_a_table_with_a_line_for_each_measure():
    judged = judge(load_images("digits")[:40], "digits")
    distance, nearest = judged.rows
    lines = str(judged).splitlines()
    assert re.split("  +", lines[0].strip()) == SETS
    assert lines[1].split() == ["images", *["40"] * 5]
    assert lines[2] == distance.against == "360 8×8 digits test images, pixels"
    assert re.split("  +", lines[3].strip()) == ["kernel distance", *map(str, distance.numbers.values())]
    assert lines[4] == nearest.against
    assert re.split("  +", lines[5].strip())[1:] == [*map(str, nearest.numbers.values())]  # and no control beside them
    assert len(lines) == 6


def test_the_error_of_a_median_is_its_scatter():
    """Of 100 distances uniform in [0, 1], ½/10 to first order; over 400 sets, ± 4 standard errors of a scatter."""
    distances = torch.rand(400, 100, 1, generator=seeded())  # to a candidate at the origin
    medians = [judging._nearest(of_set, torch.zeros(1, 1)) for of_set in distances]
    scatter = float(torch.tensor([one.value for one in medians]).std())
    assert sum(one.se for one in medians) / 400 == pytest.approx(scatter, rel=4 / 800**0.5)


def test_samples_that_no_control_can_be_made_of_are_refused():
    images = torch.rand(40, 1, 30, 30, generator=seeded())
    with pytest.raises(ValueError, match="samples must have H and W that are multiples of 4"):
        judge(torch.zeros(9, 1, 30, 30), own_images(images, 30))


@pytest.fixture(scope="module")
def colours():
    """200 colour images of 16×16 pixels: smooth blots, each with a square in it."""
    generator = seeded()
    images = functional.interpolate(torch.rand(200, 3, 3, 3, generator=generator), size=16, mode="bilinear")
    for image, (x, y) in zip(images, torch.randint(0, 8, (200, 2), generator=generator).tolist(), strict=True):
        image[:, x : x + 8, y : y + 8] = image[:, :1, :1]
    return own_images(images, 16, n_channels=3)


def test_colour_images_have_their_contours_beside_every_control_and_their_nearest_images(colours):
    samples = load_images(colours)[:40]
    first, median = judge(samples, colours).rows
    exact = kernel_distance(hog_features(samples), hog_features(load_images(colours, "test")))
    assert first.against == "20 own images test images, contours"
    assert list(first.numbers) == SETS
    values = [number.value for number in first.numbers.values()]
    assert values[0] == exact.value
    assert max(values[:2]) < min(values[2:])
    unseen = nearest_neighbours(load_images(colours, "test"), load_images(colours)).distances
    assert median.numbers["real images"].value == pytest.approx(float(unseen.quantile(0.5)))
    assert median.numbers["samples"].value == 0


# --- the Gaussian baseline -------------------------------------------------------------------------------------------


def test_samples_of_the_baseline_have_the_images_mean_and_covariance():
    """Far enough from 0 and 1 that clamping plays no part."""
    mixing = 0.03 * torch.randn(12, 12, generator=seeded())
    images = (0.5 + torch.randn(5_000, 12, generator=seeded(1)) @ mixing).reshape(5_000, 3, 2, 2)
    baseline = GaussianBaseline(images, block_size=700)
    covariance = images.flatten(1).double().T.cov()
    samples = baseline.sample(20_000, generator=seeded(2))
    assert samples.shape == (20_000, 3, 2, 2)
    scale = covariance.diagonal().sqrt()
    error = (samples.flatten(1).double().T.cov() - covariance) / (scale[:, None] * scale)
    assert float(error.abs().max()) < 4 * (2 / 20_000) ** 0.5
    shift = samples.flatten(1).double().mean(dim=0) - 0.5 / 255 - baseline.mean  # ⌊256 x⌋/255 is some half shade low
    assert float((shift / scale).abs().max()) < 0.1


def test_the_covariance_of_few_images_is_unbiased():
    images = torch.rand(3, 1, 2, 2, generator=seeded())
    baseline = GaussianBaseline(images, block_size=2)
    assert baseline.mean.tolist() == pytest.approx(images.flatten(1).double().mean(dim=0).tolist())
    assert torch.allclose(baseline.root @ baseline.root.T, images.flatten(1).double().T.cov())
