"""Inception's features and score: agreement with torch-fidelity's own numbers, and the file of weights."""

import hashlib
import pathlib
import pickle

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Theirs
from torch_fidelity.metric_isc import isc_features_to_metric

from data_server import serving
from sbgm.measure import inception as module
from sbgm.measure.inception import Inception, inception_score
from seeds import seeded


@pytest.mark.parametrize(
    "logits", [2 * torch.randn(105, 20, generator=seeded()), 100 * torch.eye(10).repeat(10, 1), torch.zeros(50, 4)]
)
def test_inception_score_is_torch_fidelitys(logits):
    theirs = isc_features_to_metric(logits, splits=10, shuffle=False)
    exact = [theirs["inception_score_mean"], theirs["inception_score_std"]]
    assert [*inception_score(logits)] == pytest.approx(exact, abs=1e-6)


def test_missing_weights_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"weights must be a file of Inception's weights, .*absent\.pth"):
        Inception(tmp_path / "absent.pth")
    monkeypatch.setenv("SBGM_FID_WEIGHTS", str(tmp_path / "elsewhere.pth"))
    with pytest.raises(FileNotFoundError, match=r"elsewhere\.pth"):
        Inception()


def test_a_file_of_weights_that_holds_code_is_refused_unrun(tmp_path):
    ran = tmp_path / "ran"

    class Code:
        def __reduce__(self):
            return pathlib.Path.touch, (ran,)

    torch.save({"fc.bias": Code()}, tmp_path / "code.pth")
    with pytest.raises(pickle.UnpicklingError):
        Inception(tmp_path / "code.pth")
    assert not ran.exists()


def test_weights_are_downloaded_once(tmp_path, monkeypatch):
    """By their checksum; here a file that holds no weights."""
    content = b"no weights"
    monkeypatch.delenv("SBGM_FID_WEIGHTS", raising=False)
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with serving({"w.pth": content}) as (url, asked):
        monkeypatch.setattr(module, "URL", f"{url}/whole/w.pth")
        for _ in range(2):
            with pytest.raises(pickle.UnpicklingError):
                Inception()
    assert len(asked) == 1
    assert (tmp_path / "checkpoints" / "w.pth").read_bytes() == content


def test_the_weights_address_is_torch_fidelitys():
    assert module.URL == URL_INCEPTION_V3
    assert module.SHA256[:8] == URL_INCEPTION_V3.removesuffix(".pth")[-8:]


def test_logits_are_torch_fidelitys_on_random_weights(tmp_path, monkeypatch):
    """Random weights, since those at hand have no logits; the score of samples from logits is compared above."""
    path = tmp_path / "random.pth"
    torch.save({}, path)
    monkeypatch.setattr(Theirs, "load_state_dict", lambda *_: None)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = Theirs("random", ["2048", "logits_unbiased"], feature_extractor_weights_path=path)
    monkeypatch.undo()
    torch.save(theirs.state_dict(), path)
    ours = Inception(path)
    assert ours.has_logits
    images = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8, generator=seeded(0))
    features = ours.features(images.float() / 255)
    expected, logits = theirs(images)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.logits(features), logits, rtol=1e-4, atol=1e-5)
    assert ours.logits(features).shape == (2, 1_008)
    torch.testing.assert_close(ours.features(images.float() / 255, batch_size=1), features, rtol=1e-4, atol=1e-5)
    dequantised = (images + torch.rand(images.shape, generator=seeded(1))) / 256
    assert torch.equal(ours.features(dequantised), features)
    with pytest.raises(ValueError, match=r"images must be colour images \(N, 3, H, W\), got shape \(2, 1, 28, 28\)"):
        ours.features(torch.zeros(2, 1, 28, 28))
