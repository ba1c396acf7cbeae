"""Samples kept for recorded claims: drawn as `generate` draws them, resumed, and tied to the weights they came from."""

import pytest
import torch

import drawing
from drawing import Drawing, draw
from sbgm import annealed_langevin, generate, weights
from sbgm.refinenet import RefineNet
from sbgm.samplers import denoise
from sbgm.weights import load_network, save_network

SIGMAS = [1.0, 0.1]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A folder of weights with an untrained network in it, and room for samples beside it."""
    shipped = tmp_path / "weights"
    shipped.mkdir()
    monkeypatch.setattr(weights, "weights_folder", lambda: shipped)
    ship(shipped / "tiny.safetensors")
    return tmp_path


def ship(path, seed=0):
    network = RefineNet(SIGMAS, channels=4, image_channels=1, generator=torch.Generator().manual_seed(seed))
    network.image_shape = (1, 4, 4)
    save_network(network, path)


def small_drawing(**changes):
    return Drawing(**{"network": "tiny", "n_samples": 5, "n_steps": 3, "batch_size": 2, "precision": "fp32", **changes})


def test_samples_are_those_of_generate(folder):
    drawn = draw(small_drawing(n_samples=4), folder / "runs")
    network = load_network("tiny")
    expected = generate(
        lambda x, g: annealed_langevin(network, x, SIGMAS, step_size=2e-5, n_steps=3, generator=g),
        4,
        (1, 4, 4),
        seed=0,
        batch_size=2,
    )
    torch.testing.assert_close(drawn.states[-1], expected)
    for level, sigma in enumerate(SIGMAS):
        torch.testing.assert_close(drawn.denoised[level], denoise(network, drawn.states[level], sigma))


def test_more_samples_go_on_with_those_already_there(folder, monkeypatch):
    few = draw(small_drawing(n_samples=2), folder / "runs")
    more = draw(small_drawing(n_samples=6), folder / "runs")
    assert torch.equal(more.states[:, :2], few.states)
    monkeypatch.setattr(drawing, "load_network", None)  # nothing is left to draw
    again = draw(small_drawing(n_samples=3), folder / "runs", load=None)
    assert torch.equal(again.states, more.states[:, :3])


@pytest.mark.parametrize("change", [{"n_steps": 2}, {"step_size": 1e-5}, {"seed": 1}, {"batch_size": 3}])
def test_samples_of_other_settings_are_kept_apart(folder, change):
    assert small_drawing(**change).key != small_drawing().key
    assert small_drawing(n_samples=9).key == small_drawing().key


def test_samples_of_other_weights_are_kept_apart(folder):
    before = draw(small_drawing(), folder / "runs")
    ship(folder / "weights" / "tiny.safetensors", seed=1)
    after = draw(small_drawing(), folder / "runs")
    assert not torch.equal(after.states, before.states)
    assert len(list((folder / "runs").iterdir())) == 2
