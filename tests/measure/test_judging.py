"""Samples judged: what applies to which data, and references in the cache."""

import hashlib
import re

import pytest
import torch
from torch.nn import functional

from sbgm.files import cache_folder, content_hash
from sbgm.images.data import load_images
from sbgm.images.own import own_images
from sbgm.measure import (
    GaussianBaseline,
    frechet_distance,
    hog_features,
    judging,
    kernel_distance,
    nearest_neighbours,
)
from sbgm.measure.judging import FeatureSpace, judge, reference_for, some_images
from seeds import seeded

# --- evaluation ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """A data folder of our own, so that nothing is cached outside it."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "data"))
    return tmp_path


# --- judging ---------------------------------------------------------------------------------------------------------


SETS = ["samples", "real images", "shuffled blocks", "low resolution", "Gaussian"]


def judged(*arguments, **options):
    """The rows that `judge` gives, by measure, and those of a classifier by its name too."""
    rows = judge(*arguments, **options).rows
    return {row.measure: row for row in rows} | {(row.measure, row.against): row for row in rows}


def test_real_digits_are_near_and_noise_is_far():
    real = load_images("mnist_small")[:400]
    noise = torch.rand(400, 1, 28, 28, generator=seeded())
    near = judged(real, "mnist_small", n_reference=1_000)
    far = judged(noise, "mnist_small", n_reference=1_000)
    distance, of_noise = (rows["Fréchet distance"].numbers["samples"].value for rows in (near, far))
    assert distance < of_noise / 100
    of_controls = {name: number.value for name, number in near["Fréchet distance"].numbers.items()}
    assert list(of_controls) == SETS
    assert of_controls.pop("samples") == distance
    assert of_controls.pop("real images") == pytest.approx(distance, abs=0.5)  # of as many real images
    assert min(of_controls.values()) > 5 * distance
    assert near["Fréchet distance"].against == "1,000 MNIST (small) test images, classifier features"
    assert near["recall"].against == "400 MNIST (small) test images, judge features"
    median = near["median distance to nearest"]
    assert median.numbers["samples"].value == 0  # training images are their own nearest
    assert median.numbers["real images"].value > 3
    for classifier in ("mnist_classifier", "mnist_judge"):
        assert near["at least 90 % sure, %", classifier].numbers["samples"].value >= 0.9
    # In no measure is noise as good as real images, though it lies in the large balls of outliers.
    sure = [("at least 90 % sure, %", classifier) for classifier in ("mnist_classifier", "mnist_judge")]
    for measure in ("recall", "coverage", *sure):
        assert far[measure].numbers["samples"].value < 0.05
        assert far[measure].numbers["real images"].value > 0.9
    for measure in ("Fréchet distance", "kernel distance", "median distance to nearest"):
        assert far[measure].numbers["samples"].value > 2 * far[measure].numbers["real images"].value


def test_a_measure_that_takes_more_images_is_named_with_how_many_it_takes():
    five = judged(load_images("mnist_small")[:5], "mnist_small", n_reference=200)
    few_real = judged(load_images("mnist_small")[:200], "mnist_small", n_reference=100)
    needed = {measure: row.needs for measure, row in five.items() if row.needs and isinstance(measure, str)}
    assert needed == {
        "Fréchet distance": "needs at least 129 samples",
        "recall": "needs at least 6 samples",
        "coverage": "needs at least 6 samples",
        "χ² of the classes": "needs at least 56 samples",
    }
    assert all(bool(row.numbers) != bool(row.needs) for row in five.values())
    assert few_real["Fréchet distance"].needs == "needs at least 129 real images"


def test_as_text_it_is_a_table_with_a_line_for_each_measure():
    table = judge(load_images("mnist_small")[:40], "mnist_small", n_reference=200)
    lines = str(table).splitlines()
    assert re.split("  +", lines[0].strip()) == SETS
    assert lines[1].split() == ["images", *["40"] * 5]
    assert lines[2:4] == [table.rows[0].against, "  Fréchet distance: needs at least 129 samples"]
    measured = [row for row in table.rows if not row.needs]
    assert re.split("  +", lines[4].strip()) == ["kernel distance", *map(str, measured[0].numbers.values())]
    share = next(row for row in measured if row.measure.startswith("at least")).numbers["samples"]
    line, _ = (line for line in lines if line.startswith("  at least 90 % sure, %"))
    assert re.split("  +", line.strip())[1] == f"{share.value:.1%} ({share.low:.1%}–{share.high:.1%})".replace("%", "")
    assert lines[-1].split()[-3:] == str(table.rows[-1].numbers["real images"]).split()  # and no control beside it


def test_the_error_of_a_median_is_its_scatter():
    """Of 100 normal distances, √(π/2)/10 to first order; over 400 sets, ± 4 standard errors of a scatter, 1/√800."""
    distances = 5 + torch.randn(400, 100, generator=seeded())
    medians = []
    for of_set in distances:
        points = torch.stack([of_set, torch.zeros(100)], dim=1)  # the nearest candidate is the origin
        medians.append(judging._nearest(points, torch.zeros(1, 2)))
    scatter = float(torch.tensor([one.value for one in medians]).std())
    assert sum(one.se for one in medians) / 400 == pytest.approx(scatter, rel=4 / 800**0.5)


def test_samples_that_no_control_can_be_made_of_are_refused():
    images = torch.rand(40, 1, 30, 30, generator=seeded())
    with pytest.raises(ValueError, match="samples must have H and W that are multiples of 4"):
        judge(torch.zeros(9, 1, 30, 30), own_images(images, 30))


def test_eight_by_eight_digits_are_judged_in_pixels():
    samples = load_images("digits")[:100]
    rows = judged(samples, "digits")
    exact = frechet_distance(samples.flatten(1), load_images("digits", "test").flatten(1)).value
    distance = rows["Fréchet distance"]
    assert distance.numbers["samples"].value == pytest.approx(exact, rel=0.02)  # 16 shades are not all among the 256
    assert distance.against == "360 8×8 digits test images, pixels"
    assert "kernel distance" in rows


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
    first, *rows, median = judge(samples, colours, split="test").rows
    exact = kernel_distance(hog_features(samples), hog_features(load_images(colours, "test")))
    assert (first.measure, first.against, rows) == ("HOG distance", "20 own images test images, contours", [])
    assert list(first.numbers) == SETS
    values = [number.value for number in first.numbers.values()]
    assert values[0] == exact.value
    assert max(values[:2]) < min(values[2:])
    unseen = nearest_neighbours(load_images(colours, "test"), load_images(colours)).distances
    assert median.numbers["real images"].value == pytest.approx(float(unseen.quantile(0.5)))
    assert median.numbers["samples"].value == 0


# --- features --------------------------------------------------------------------------------------------------------


def test_references_are_computed_once_and_recomputed_when_damaged():
    calls = []

    def function(images):
        calls.append(len(images))
        return images.flatten(1)[:, :3]

    corner, other = (FeatureSpace(function, "corner features", key) for key in ("corner", "other"))
    first, again = (reference_for("digits", corner, n=50) for _ in range(2))
    assert torch.equal(first.features, again.features)
    assert (calls, first.images) == ([50], "8×8 digits test images")
    (path,) = cache_folder().iterdir()
    assert path.name == "digits-test-50-corner.safetensors"

    path.write_bytes(path.read_bytes()[:-5])
    assert torch.equal(reference_for("digits", corner, n=50).features, first.features)
    assert reference_for("digits", corner).features.shape == (360, 3)
    reference_for("digits", other, n=50)
    assert calls == [50, 50, 360, 50]


def test_some_images_are_the_same_ones_each_time_and_not_the_first():
    images = load_images("digits", "test")
    ten, twenty = (some_images("digits", "test", n) for n in (10, 20))
    assert torch.equal(ten, twenty[:10])
    assert not torch.equal(ten, images[:10])
    assert torch.equal(some_images("digits", "test", 360).sum(dim=0), images.sum(dim=0))  # each once
    assert torch.equal(some_images("digits", "test"), images)


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


# --- hashes ----------------------------------------------------------------------------------------------------------


def test_a_hash_is_of_the_bytes():
    x = torch.tensor([[1.5, 2.5]])
    wanted = hashlib.sha256(b"torch.float32 (1, 2) " + x.numpy().tobytes()).hexdigest()  # as in records
    assert content_hash(x) == content_hash(x.T.contiguous().T.requires_grad_()) == wanted
    assert content_hash(x.bfloat16()) != content_hash(x.bfloat16().neg())  # which numpy has not
