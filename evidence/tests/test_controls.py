"""Controls made of real digits: what they are, and that what should be told from digits is."""

import pytest
import torch

from controls import (
    hidden_features,
    joined_halves,
    legible,
    moved,
    nearest_moved,
    place,
    retrieved,
    seam,
    turned,
)
from sbgm.images.data import load_images, load_labels
from sbgm.images.masks import random_mask
from sbgm.measure import Estimate, frechet_distance, shown
from seeds import seeded


@pytest.fixture(scope="module")
def digits():
    return load_images("mnist_small"), load_labels("mnist_small")


@pytest.fixture(scope="module")
def held_out():
    return load_images("mnist_small", "test")[:200]


def test_halves_are_of_two_classes_and_each_is_used_once():
    labels = torch.tensor([0, 1, 0, 2, 1, 2])
    images = (torch.arange(6.0) + 1)[:, None, None, None].expand(6, 1, 2, 4)
    joined = joined_halves(images, labels)
    left, right = joined[:, 0, 0, 0], joined[:, 0, 0, -1]
    assert left.tolist() == [1, 2, 3, 4, 5, 6]
    assert sorted(right.tolist()) == [1, 2, 3, 4, 5, 6]
    assert all(labels[int(a) - 1] != labels[int(b) - 1] for a, b in zip(left, right, strict=True))


def test_a_place_between_real_and_wrong_and_its_error_by_simulation():
    real, wrong = Estimate(1.0, 0.1), Estimate(9.0, 0.2)
    assert place(real, real, wrong).value == 0
    assert place(wrong, real, wrong).value == 1
    there = place(Estimate(3.0, 0.3), real, wrong)
    assert there.value == pytest.approx(0.25)
    v, r, w = (
        m + s * torch.randn(100_000, generator=seeded(i)) for i, (m, s) in enumerate(((3, 0.3), (1, 0.1), (9, 0.2)))
    )
    assert there.se == pytest.approx(float(((v - r) / (w - r)).std()), rel=0.02)


def test_digits_are_legible_and_halves_turned_ones_and_noise_less():
    known, labels = load_images("digits"), load_labels("digits")
    real, classes = load_images("digits", "test"), load_labels("digits", "test")
    images = {
        "real": real,
        "turned": turned(real),
        "halves": joined_halves(real, classes),
        "noise": torch.rand_like(real),
    }
    shares = {name: float(legible(x, known, labels).double().mean()) for name, x in images.items()}
    assert shares["real"] > 0.8
    assert max(shares["turned"], shares["halves"]) < 0.6
    assert shares["noise"] < 0.3


def test_hidden_features_put_digits_before_halves_and_halves_before_noise():
    known, labels = load_images("digits"), load_labels("digits")
    real, classes = load_images("digits", "test"), load_labels("digits", "test")
    features = hidden_features(known, labels)
    near, halves, noise = (
        frechet_distance(features(x), features(known)).value
        for x in (real, joined_halves(real, classes), torch.rand_like(real))
    )
    assert 3 * near < halves < noise / 3


def test_a_moved_copy_is_near_and_a_held_out_digit_is_not(digits, held_out):
    training = digits[0][:300]
    assert float(nearest_moved(moved(training[:5], 1, -1), training, shown).max()) == pytest.approx(0, abs=0.1)
    assert float(nearest_moved(moved(training[:5], 0, 2), training, shown).min()) > 1
    near = nearest_moved(held_out[:20], training, shown)
    plain = nearest_moved(held_out[:20], training, shown, reach=0)
    assert bool((near <= plain).all())
    assert float(near.min()) > 1


def test_retrieval_finds_the_image_itself_and_keeps_what_is_known(digits, held_out):
    images, known = held_out[:6], torch.stack([random_mask((1, 28, 28), generator=seeded(j)) for j in range(6)])
    assert torch.equal(retrieved(images, known, torch.cat([digits[0], images]))[:, 0], images)
    fills = retrieved(images, known, digits[0], k=3)
    assert fills.shape == (6, 3, 1, 28, 28)
    assert torch.equal(
        fills.masked_select(known[:, None]), images[:, None].expand_as(fills).masked_select(known[:, None])
    )
    distances = ((digits[0] - images[0]).square() * known[0]).sum(dim=(1, 2, 3))
    nearest = digits[0][distances.argmin()]
    assert torch.equal(fills[0, 0], torch.where(known[0], images[0], nearest))


def test_a_seam_by_hand():
    known = torch.tensor([[True, False], [True, False]])[None, None]
    image = torch.tensor([[1.0, 3.0], [0.0, 1.0]])[None, None]
    assert seam(image, known).tolist() == [2.5]
