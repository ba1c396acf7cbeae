"""Images of 256 shades, features in batches, references in the cache, the Gaussian baseline, and hashes."""

import hashlib

import pytest
import torch

from sbgm.data import cache_folder, load_images
from sbgm.files import content_hash
from sbgm.measure import GaussianBaseline
from sbgm.measure.judging import reference_features, some_images
from seeds import seeded


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """A data folder of our own, so that nothing is cached outside it."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path))
    return tmp_path


def test_references_are_computed_once_and_recomputed_when_damaged():
    calls = []

    def function(images):
        calls.append(len(images))
        return images.flatten(1)[:, :3]

    first = reference_features(function, "digits", "test", 50, key="corner")
    again = reference_features(function, "digits", "test", 50, key="corner")
    assert torch.equal(first.features, again.features)
    assert (calls, first.images) == ([50], "8×8 digits test images")
    (path,) = cache_folder().iterdir()
    assert path.name == "digits-test-50-corner.safetensors"

    path.write_bytes(path.read_bytes()[:-5])
    assert torch.equal(reference_features(function, "digits", "test", 50, key="corner").features, first.features)
    assert reference_features(function, "digits", "test", key="corner").features.shape == (360, 3)
    reference_features(function, "digits", "test", 50, key="other")
    assert calls == [50, 50, 360, 50]


def test_some_images_are_the_same_ones_each_time_and_not_the_first():
    images = load_images("digits", "test")
    ten, twenty = (some_images("digits", "test", n) for n in (10, 20))
    assert torch.equal(ten, twenty[:10])
    assert not torch.equal(ten, images[:10])
    assert torch.equal(some_images("digits", "test", 360).sum(dim=0), images.sum(dim=0))  # each once
    assert torch.equal(some_images("digits", "test"), images)
    with pytest.raises(ValueError, match="n must be at most the 360 test images of digits, got 361"):
        some_images("digits", "test", 361)


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


# --- hashes ----------------------------------------------------------------------------------------------------------


def test_hashes_tell_content_shape_and_type_apart():
    x = torch.arange(6, dtype=torch.float32)
    others = [x + 0, x.reshape(2, 3), x.double(), x.flip(0), x[:5]]
    hashes = [content_hash(y) for y in (x, *others)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 5
    assert content_hash(x.reshape(2, 3).T) == content_hash(x.reshape(2, 3).T.contiguous())
    assert content_hash(torch.tensor(3)) != content_hash(torch.tensor(4))
    halves = [x.half(), x.bfloat16(), x.bfloat16().neg()]
    assert len({content_hash(y) for y in halves}) == 3


def test_a_hash_is_of_the_bytes_and_of_tensors_only():
    x = torch.tensor([[1.5, 2.5]])
    wanted = hashlib.sha256(b"torch.float32 (1, 2) " + x.numpy().tobytes()).hexdigest()  # as in records
    assert content_hash(x) == content_hash(x.clone().requires_grad_()) == wanted
    for value in (None, [x], 1.0):
        with pytest.raises(TypeError, match=rf"tensors must be torch.Tensors, got {type(value).__name__}"):
            content_hash(x, value)
