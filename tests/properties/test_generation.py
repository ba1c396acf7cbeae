"""Starts, samples in batches, files of samples and of weights, and what judges them."""

import tempfile
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sbgm
from properties.strategies import gaussian_score, images, seeded
from sbgm.files import save_tensors
from sbgm.measure import Measured, Reference, reference_features, some_images
from sbgm.measure.judging import FeatureSpace, feature_space, judge, load_images_of, reference_for

SHAPES = st.sampled_from([(1,), (3,), (2, 2), (1, 4, 4)])


def sample(x, generator):
    return sbgm.langevin(gaussian_score(0.5, 1.0), x, step_size=0.1, n_steps=2, generator=generator)


@given(
    images(dtypes=st.just(torch.float32)).filter(lambda x: x.shape[1] != 2),
    st.sampled_from(["npy", "npz", "safetensors"]),
)
def test_a_file_of_images_gives_them_back(x, kind):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"images.{kind}"
        if kind == "npy":
            numpy.save(path, x.numpy())
        elif kind == "npz":
            numpy.savez(path, samples=x.numpy(), other=x[:1].numpy())
        else:
            save_tensors(path, {"samples": x})
        assert torch.equal(load_images_of(path), x)


@settings(max_examples=3)
@given(st.integers(1, 50))
def test_some_images_are_the_sets_own_and_always_the_same(n):
    every = some_images("digits", "test")
    some = some_images("digits", "test", n)
    assert torch.equal(some, some_images("digits", "test", n))
    assert all(bool((image == every).flatten(1).all(dim=1).any()) for image in some)


@settings(max_examples=3)
@given(st.integers(1, 20), st.sampled_from(["train", "test"]))
def test_reference_features_are_kept_and_come_back_as_they_were(n, split):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SBGM_DATA", folder)
        first = reference_features(lambda x: x.flatten(1), "digits", split, n, key="pixels")
        again = reference_features(lambda x: 1 / 0, "digits", split, n, key="pixels")
    assert isinstance(first, Reference)
    assert torch.equal(first.features, again.features)
    assert torch.equal(first.features, some_images("digits", split, n).flatten(1))


@pytest.mark.parametrize("split", ["train", "test"])
def test_samples_are_judged_in_the_features_of_their_set(split):
    space = feature_space("digits")
    assert isinstance(space, FeatureSpace)
    samples = torch.rand(70, 1, 8, 8, generator=seeded(0))
    assert space.function(samples).shape == (70, 64)
    assert reference_for("digits", space, split, 100).features.shape == (100, 64)
    judged = list(judge(samples, "digits", split=split, n_reference=100))
    measures = [m for m in judged if isinstance(m, Measured)]  # precision to coverage come as text
    assert {m.n for m in measures} == {70}
    assert all(m.value > 0 for m in measures if "kernel" not in m.name)
