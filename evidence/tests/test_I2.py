"""I2: samples must be nearer to photographs than photographs with shuffled blocks."""

import pytest
import torch

import ledger
import samples
from claims.I2 import measure as I2
from sbgm.images.refinenet import RefineNet
from sbgm.images.weights import save_network
from sbgm.measure import Estimate, controls, hog_features, inception
from sbgm.noise import perturb
from seeds import seeded


@pytest.mark.parametrize(("value", "holds"), [(0.06, True), (0.1, False)])
def test_samples_must_be_nearer_than_shuffled_photographs(value, holds):
    known = {"samples": value, "denoised": 0.2, "shuffled blocks": 0.3, "shuffled blocks with noise": 0.08}
    found = I2.kid_measurements({name: Estimate(x, 0.001) for name, x in known.items()})
    assert [m.holds for m in found[:2]] == [holds, True]


def test_edges_tell_apart_what_shows_less():
    """Grey squares, the same out of focus, and their parts in another order."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(2, 14, (2, 60), generator=generator)
    images = torch.zeros(60, 1, 32, 32)
    for image, x, y in zip(images, *corners.tolist(), strict=True):
        image[:, x : x + 16, y : y + 16] = 1
    made = controls(images, 30, generator=generator)
    noisy = {f"{name} with noise": perturb(x, 0.01, generator=generator) for name, x in made.items()}
    samples = {"samples": perturb(images[:30], 0.01, generator=generator), "denoised": images[:30]}
    found = {m.label: m.value for m in I2.object_measurements(samples | made | noisy, images[30:])}
    near, soft, apart = (found[f"HOG distance, {name}"] for name in ("denoised", "low resolution", "shuffled blocks"))
    assert near < 0.5 * soft < 0.5 * apart
    assert found["denoised: HOG distance less that of the nearest control"] < 0
    less = found["samples: HOG distance less that of the nearest control with noise"]
    nothing = ("low resolution", "shuffled blocks", "Gaussian")
    nearest = min(found[f"HOG distance, {name} with noise"] for name in nothing)
    assert less == pytest.approx(found["HOG distance, samples"] - nearest)
    dim = hog_features(0.25 * images[:2])
    assert torch.allclose(dim, hog_features(images[:2]), atol=0.05)  # contrast says nothing


def test_epochs_are_counted_over_all_parts_of_a_training():
    first = {"steps": 1_000, "settings": {"training": {"batch_size": 50}}}  # as in cifar10_ncsn
    second = {"steps": 500, "settings": {"batch_size": 100}, "started_from": first}
    assert samples.epochs(second, samples.batch_size_of(second)) == 2
    assert samples.epochs({"step": 1_500}, 100) == 3


def test_samples_are_compared_with_the_controls(mnist, colour, monkeypatch, tmp_path):
    """Small random images in place of CIFAR-10's; an untrained network's samples are far from them."""
    monkeypatch.setattr(I2, "Inception", colour)
    record = I2.measure(tmp_path / "samples", n_samples=50, n_steps=1, n_reference=40)
    assert record.status == "not reproduced"
    clean = ("real images", "shuffled blocks", "low resolution", "Gaussian")
    made = ("samples", "denoised", *clean, *(f"{name} with noise" for name in clean))
    labels = [f"{measure}, {name}" for measure in ("KID", "HOG distance") for name in made]
    values = {m.label: m.value for m in record.measurements if m.label in labels}
    assert list(values) == labels
    less = record.measurements[0]
    assert less.value == pytest.approx(values["KID, samples"] - values["KID, shuffled blocks with noise"])
    assert ledger.load_record("I2").tensors["gaussian"].shape == (40, 3, 8, 8)
    assert record.data == "cifar10_ncsn, 50 samples; 40 of CIFAR-10's test images"


@pytest.mark.parametrize(("channels", "held"), [(2, True), (128, False)])
def test_a_network_of_the_papers_width_is_held_to_its_fid(mnist, colour, monkeypatch, tmp_path, channels, held):
    """A width of 2 stands for the paper's, and 60 samples for its 50,000."""
    monkeypatch.setattr(I2, "Inception", colour)
    monkeypatch.setattr(inception, "FEWEST_FOR_FID", 60)
    for name, value in {"PAPERS_SAMPLES": 60, "PAPERS_CHANNELS": channels, "PAPERS_EVALUATIONS": 2}.items():
        monkeypatch.setattr(samples, name, value)
    untrained = RefineNet([1.0, 0.1], channels=2, image_channels=3, generator=seeded())
    save_network(untrained, tmp_path / "wide.safetensors", image_shape=[3, 8, 8])
    sizes = {"n_samples": 60, "n_steps": 1, "n_reference": 60, "weights": str(tmp_path / "wide.safetensors")}
    record = I2.measure(tmp_path / "samples", **sizes)
    assert [m.high for m in record.of_kind("expected")] == [0, 0, 0, 0, 25.32][: 4 + held]
    assert ("channels" in record.narrower) != held
