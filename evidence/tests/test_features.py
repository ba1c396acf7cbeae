"""What claims judge samples by: against brute force, other code and cases by hand; and references in the cache."""

import pytest
import torch
from torch_fidelity.metric_prc import calculate_precision_recall_full

from features import FeatureSpace, class_test, confident_share, prdc, reference_for, some_images
from properties.strategies import normal
from sbgm.images.data import load_images

# --- references -------------------------------------------------------------------------------------------------------


def test_references_are_computed_once_and_recomputed_when_damaged(monkeypatch, tmp_path):
    monkeypatch.setenv("SBGM_DATA", str(tmp_path))
    calls = []

    def function(images):
        calls.append(len(images))
        return images.flatten(1)[:, :3]

    corner, other = (FeatureSpace(function, key) for key in ("corner", "other"))
    first, again = (reference_for("digits", corner, "test", 50) for _ in range(2))
    assert torch.equal(first, again)
    assert calls == [50]
    path = tmp_path / "cache" / "digits-test-50-corner.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    assert torch.equal(reference_for("digits", corner, "test", 50), first)
    assert reference_for("digits", corner, "test").shape == (360, 3)
    reference_for("digits", other, "test", 50)
    assert calls == [50, 50, 360, 50]


def test_some_images_are_the_same_ones_each_time_and_not_the_first():
    images = load_images("digits", "test")
    ten, twenty = (some_images("digits", "test", n) for n in (10, 20))
    assert torch.equal(ten, twenty[:10])
    assert not torch.equal(ten, images[:10])
    assert torch.equal(some_images("digits", "test", 360).sum(dim=0), images.sum(dim=0))  # each once
    assert torch.equal(some_images("digits", "test"), images)


# --- precision, recall, density, coverage ----------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "k"), [(40, 60, 5), (30, 30, 1)])
def test_it_is_that_of_torch_fidelity_and_of_brute_force(n, m, k):
    samples = 0.8 * normal(0, n, 6) + 0.3
    reference = normal(1, m, 6)
    precision, recall, density, coverage = (number.value for number in prdc(samples, reference, k))
    theirs = calculate_precision_recall_full(samples, reference, k)
    assert (precision, recall) == pytest.approx(theirs, abs=1e-6)
    inside = torch.zeros(n, m)
    for j, centre in enumerate(reference):
        to_others = sorted((centre - reference).norm(dim=1))
        inside[:, j] = (samples - centre).norm(dim=1) <= to_others[k]  # the 0th is the centre itself
    assert density == pytest.approx(float(inside.sum()) / (k * n))
    assert coverage == pytest.approx(float(inside.any(dim=0).sum()) / m)


def test_the_standard_error_is_that_of_other_samples_against_the_same_reference():
    reference = normal(0, 200, 3)
    runs = [prdc(1.5 * normal(1 + i, 100, 3), reference) for i in range(200)]
    for name in ("precision", "density"):
        values, errors = torch.tensor([getattr(run, name) for run in runs]).T
        assert float(values.std()) == pytest.approx(float(errors.mean()), rel=0.2)  # 4 s.e. of an sd of 200


# --- classes ----------------------------------------------------------------------------------------------------------


def test_a_confident_share_by_hand():
    logits = torch.tensor([[0.0, 5.0, 0.0], [0.0, 1.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    assert confident_share(logits).value == 0.75  # e⁵/(e⁵ + 2) = .987, e/(e + 2) = .58


def test_chi_squared_by_hand():
    """Of 40 samples 20, 10, 10 are expected: 15, 20, 5 give 25/20 + 100/10 + 25/10 = 13.75."""
    seen = torch.tensor([0] * 15 + [1] * 20 + [2] * 5)
    assert class_test(torch.eye(3)[seen], torch.tensor([0, 0, 1, 2])) == pytest.approx(13.75)
