"""Starts, samples in batches, files of samples and of weights, and what judges them."""

import tempfile
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sbgm
from properties.comparing import assert_near, untouched
from properties.strategies import SEEDS, gaussian_score, images, normal, seeded
from sbgm.files import save_tensors
from sbgm.generation import draw_batches, fitted_start, gaussian_start, generate, uniform_start
from sbgm.measure import Measured, Reference, reference_features, some_images
from sbgm.measure.judging import FeatureSpace, feature_space, judge, load_images_of, reference_for
from sbgm.weights import load_weights, save_weights, weights_file

SHAPES = st.sampled_from([(1,), (3,), (2, 2), (1, 4, 4)])


def sample(x, generator):
    return sbgm.langevin(gaussian_score(0.5, 1.0), x, step_size=0.1, n_steps=2, generator=generator)


@given(SHAPES, st.integers(1, 6), st.floats(0.1, 20.0), SEEDS)
def test_starts_are_the_seeds_own_and_follow_their_data(shape, n, sigma, seed):
    data = normal(seed, 4, *shape).float()
    starts = {
        "uniform": uniform_start,
        "gaussian": gaussian_start(sigma, data.mean(dim=0)),
        "fitted": fitted_start(data, sigma),
    }
    for start in starts.values():
        with untouched(data):
            x = start((n, *shape), seeded(seed))
        assert (x.shape, x.dtype) == ((n, *shape), torch.float32)
        assert torch.equal(x, start((n, *shape), seeded(seed)))
    assert float(starts["uniform"]((n, *shape), seeded(seed)).min()) >= 0
    z = gaussian_start(1.0, 0.0)((n, *shape), seeded(seed))
    assert_near(starts["gaussian"]((n, *shape), seeded(seed)), data.mean(dim=0) + sigma * z)
    moved = fitted_start(data + 3, sigma)((n, *shape), seeded(seed))
    assert_near(moved - 3, starts["fitted"]((n, *shape), seeded(seed)))


@given(SHAPES, st.integers(1, 7), st.integers(1, 4), SEEDS)
def test_samples_depend_on_the_seed_and_a_whole_batch_on_no_other(shape, n, batch_size, seed):
    seen = []
    with untouched():
        x = generate(
            sample, n, shape, seed=seed, batch_size=batch_size, on_state=lambda i, state: seen.append((i, state))
        )
    assert (x.shape, x.dtype) == ((n, *shape), torch.float32)
    assert sorted({i for indices, _ in seen for i in indices}) == list(range(n))
    assert all(len(indices) == len(state.x) for indices, state in seen)
    more = generate(sample, n + batch_size, shape, seed=seed, batch_size=batch_size)
    whole = n - n % batch_size
    assert torch.equal(more[:whole], x[:whole])
    batches = draw_batches(
        lambda indices, g: {"x": sbgm.final(sample(uniform_start((len(indices), *shape), g), g))},
        n,
        seed=seed,
        batch_size=batch_size,
    )
    assert torch.equal(torch.cat([batch["x"] for batch in batches]), x)


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


@given(st.integers(2, 6), st.integers(1, 2), st.sampled_from([None, torch.float16, torch.float64]), SEEDS)
def test_a_file_of_weights_gives_the_network_back(width, n_blocks, dtype, seed):
    network = sbgm.ImageMLP((1.0, 0.1), (1, 2, 2), width, n_blocks, generator=seeded(seed))
    network.end.weight.data.normal_(generator=seeded(seed))
    x = torch.rand(2, 1, 2, 2, generator=seeded(seed))
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "network.safetensors"
        sbgm.save_network(network, path, dtype=dtype, seed=seed)
        again = sbgm.load_network(path)
        save_weights(network, path, dtype=dtype, seed=seed)
        other = sbgm.ImageMLP((1.0, 0.1), (1, 2, 2), width, n_blocks)
        assert load_weights(other, path) == {"seed": seed}
        assert weights_file(path) == path
    assert again.facts["seed"] == seed
    assert torch.equal(again.sigmas, network.sigmas)
    assert torch.equal(again(x, 0.5), other(x, 0.5))
    assert_near(again(x, 0.5), network(x, 0.5), torch.bfloat16 if dtype == torch.float16 else torch.float32)


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
