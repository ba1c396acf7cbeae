"""I2: samples must be nearer to photographs than photographs with shuffled blocks."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

import claims
import I2
from claims import NotReproducedError
from sbgm import data
from sbgm.data import DataSet
from sbgm.files import load_tensors
from sbgm.measure import Measured, inception, shown


class SmallInception:
    """In place of Inception: means of 2×2 pixels for features."""

    name = "means"

    def __init__(self, weights, device):
        pass

    def features(self, images):
        return avg_pool2d(shown(images), 2).flatten(1)


@pytest.mark.parametrize(("value", "holds"), [(0.06, True), (0.1, False)])
def test_samples_must_be_nearer_than_shuffled_photographs(value, holds):
    known = {"samples": value, "shuffled blocks": 0.08, "Gaussian": 0.2}
    found = I2.kid_measurements({name: Measured("KID", x, 0.001, 20, 20, "", "") for name, x in known.items()})
    assert found[0].holds == holds


def test_samples_are_compared_with_the_controls(mnist, monkeypatch, results, tmp_path, has_the_committed_form):
    """Small random images in place of CIFAR-10's; an untrained network's samples are far from them."""
    images = {split: torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) ** 4
              for seed, split in enumerate(("train", "test"))}  # fmt: skip
    monkeypatch.setitem(data.SETS, "cifar10", DataSet("CIFAR-10", (3, 8, 8), images=images.__getitem__))
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(I2, "Inception", SmallInception)
    monkeypatch.setattr(inception, "N_FEATURES", 48)
    sizes = {"n_samples": 50, "n_steps": 1, "n_reference": 40}
    with pytest.raises(NotReproducedError, match=r"(?s)less that of photographs with shuffled.*expected at most 0"):
        I2.measure(tmp_path / "samples", **sizes)
    assert not results.exists()
    record = I2.measure(tmp_path / "samples", accept=True, **sizes)
    has_the_committed_form(record)
    made = ("samples", "denoised", "real images", "shuffled blocks", "low resolution", "Gaussian")
    assert [m.label for m in record.measurements[1:]] == [f"KID, {name}" for name in made]
    less, samples, shuffled = (record.measurements[i].value for i in (0, 1, 4))
    assert less == pytest.approx(samples - shuffled)
    assert load_tensors(claims.attached_file(record))[0]["gaussian"].shape == (40, 3, 8, 8)
    assert record.data == "cifar10_ncsn, 50 samples; 40 of CIFAR-10's test images"
