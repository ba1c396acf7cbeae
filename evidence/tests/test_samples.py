"""Samples kept for recorded claims: drawn as `generate` draws them, resumed, and tied to the weights they came from."""

import functools

import pytest
import torch

from samples import Drawing, draw
from sbgm import annealed_langevin, generate
from sbgm.images.refinenet import RefineNet
from sbgm.images.weights import load_network, save_network
from sbgm.samplers import denoise
from seeds import seeded

SIGMAS = [1.0, 0.1]


def ship(path, seed=0):
    network = RefineNet(SIGMAS, channels=4, image_channels=1, generator=seeded(seed))
    network.image_shape = (1, 4, 4)
    save_network(network, path)


@pytest.fixture
def tiny(tmp_path):
    """Makes a small drawing of an untrained network, the file `tiny.safetensors`: tiny(n_samples=4)."""
    ship(path := tmp_path / "tiny.safetensors")
    return functools.partial(Drawing, str(path), n_steps=3, batch_size=2, precision="fp32")


def test_samples_are_those_of_generate(tiny, tmp_path):
    drawing = tiny(n_samples=4)
    drawn, network = draw(drawing, tmp_path / "runs"), load_network(drawing.network)
    expected = generate(
        lambda x, g: annealed_langevin(network, x, SIGMAS, step_size=2e-5, n_steps=3, generator=g),
        (4, 1, 4, 4),
        seed=0,
        batch_size=2,
    )
    torch.testing.assert_close(drawn.states[-1], expected)
    for level, sigma in enumerate(SIGMAS):
        torch.testing.assert_close(drawn.denoised[level], denoise(network, drawn.states[level], sigma))


@pytest.mark.parametrize(
    "change", [{"n_steps": 2}, {"step_size": 1e-5}, {"seed": 1}, {"batch_size": 1}, {"every_level": False}]
)
def test_samples_of_other_settings_are_kept_apart(tiny, tmp_path, change):
    draw(tiny(n_samples=2), tmp_path / "runs")
    kept = draw(tiny(n_samples=2, **change), tmp_path / "runs")
    alone = draw(tiny(n_samples=2, **change), tmp_path / "alone")
    assert torch.equal(kept.states, alone.states)


def test_samples_of_other_weights_are_kept_apart(tiny, tmp_path):
    before = draw(tiny(n_samples=2), tmp_path / "runs")
    ship(tmp_path / "tiny.safetensors", seed=1)
    after = draw(tiny(n_samples=2), tmp_path / "runs")
    assert not torch.equal(after.states, before.states)
    assert len(list((tmp_path / "runs").iterdir())) == 2
