"""Networks of one's own, trained from Python; and that no file names code that is run."""

import json
import math
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sbgm import load_network
from sbgm.apps.train import train
from sbgm.images.weights import OwnNetwork, run_weights
from small_run import IMAGES, SETTINGS, changed, run, set_of


class Pull(nn.Module):
    """The least network that trains."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x, sigma):
        return -self.scale * x / (1 + sigma**2).reshape(-1, 1, 1, 1)


def test_any_module_trains_by_one_call_and_is_loaded_by_giving_it_again(tmp_path, capsys):
    run(tmp_path / "run", changed(steps=4), Pull())
    said = capsys.readouterr().out
    assert "It is a Pull with 1 weights, at 2 levels, σ = 1 … 0.01; its loss is Eq. 6" in said
    assert said.endswith('docs/own_images.md, "Your own network".\n')
    run(tmp_path / "run", changed(steps=6), Pull(), resume=True)
    with pytest.raises(ValueError, match=r"its network is not of this package, but Pull; give it as load_network\("):
        load_network(tmp_path / "run")
    module = Pull()
    network = load_network(tmp_path / "run", network=module)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(network(x, 1.0), module(x, torch.ones(2)))
    assert (network.image_shape, network.ladder) == ((1, 8, 8), [1.0, pytest.approx(0.01)])
    assert module.scale != 1


class Flat(Pull):
    def forward(self, x, sigma):
        return x.flatten(1).sum(dim=1) * self.scale


def test_a_network_that_cant_be_trained_is_named_in_a_line_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"^network must return x's shape, \(2, 1, 8, 8\), got \(2,\)$"):
        run(tmp_path / "run", network=Flat())
    assert not (tmp_path / "run").exists()


def test_a_network_that_cant_be_saved_is_refused_before_anything_is_written(tmp_path):
    class Tied(Pull):
        """Two names for parts of one tensor's memory, which a safetensors file can't hold."""

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)
            self.register_buffer("row", self.layer.weight.detach()[0])

    with pytest.raises((ValueError, RuntimeError), match=r"memory|saved"):
        run(tmp_path / "run", network=Tied())
    assert not (tmp_path / "run").exists()


def test_a_network_that_cant_be_read_again_and_too_few_test_images_are_refused_as_early(tmp_path):
    endless = Pull()
    endless.register_buffer("mask", torch.tensor([-math.inf, 0.0]))
    with pytest.raises(ValueError, match="finite"):
        run(tmp_path / "run", network=endless)
    one_for_testing = set_of(IMAGES)._replace(images=lambda split: IMAGES[: {"train": 40, "test": 1}[split]])
    with pytest.raises(ValueError, match="data must have at least two test images, got 1"):
        train(SETTINGS, tmp_path / "run", network=Pull(), images=one_for_testing)
    assert not (tmp_path / "run").exists()


class Counting(Pull):
    """One whose buffer counts how often it was asked in training."""

    def __init__(self):
        super().__init__()
        self.register_buffer("asked", torch.zeros(()))

    def forward(self, x, sigma):
        if self.training:
            self.asked += 1
        return super().forward(x, sigma)


def test_a_networks_buffers_belong_to_its_training_alone_and_go_into_its_average(tmp_path):
    network = Counting()
    run(tmp_path / "run", changed(steps=4), network)  # which measures it at three of them
    assert network.asked == 4
    average, last = (load_file(run_weights(tmp_path / "run", averaged=averaged)) for averaged in (True, False))
    assert average["module.asked"] == last["module.asked"] == 4
    assert average["module.scale"] != last["module.scale"]


def test_a_network_of_ones_own_can_start_from_a_trained_one(tmp_path):
    run(tmp_path / "first", changed(steps=4, ema=0.0), Pull())
    network = Pull()
    run(tmp_path / "second", changed(steps=1, learning_rate=1e-12, from_=str(tmp_path / "first")), network)
    first = load_network(tmp_path / "first", network=Pull()).module.scale.item()
    assert network.scale.item() == pytest.approx(first)
    assert first != 1


@pytest.mark.parametrize("name", ["OwnNetwork", "forged", "os.system", "Pull"])
def test_a_file_of_weights_names_no_code_that_is_run(tmp_path, monkeypatch, name):
    """Forged: it names a module beside it, and a class there, as if that were to be imported."""
    (tmp_path / "forged.py").write_text("import sys; sys.was_run = True\nclass Pull: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    source = f"{tmp_path}/forged.py:Pull"
    arguments = {"source": source, "sha256": "0" * 64, "module": source, "n_classes": 0, "given": {}}
    facts = {"architecture": {"class": name, "arguments": arguments, "sigmas": [1.0, 0.1]}, "image_shape": [1, 8, 8]}
    tensors = {"module.scale": torch.ones(()), "sigmas": torch.tensor([1.0, 0.1])}
    save_file(tensors, tmp_path / "w.safetensors", {"facts": json.dumps(facts)})
    with pytest.raises(ValueError, match="its network is not of this package"):
        load_network("w.safetensors")
    assert not hasattr(sys, "was_run")
    assert "forged" not in sys.modules
    network = load_network("w.safetensors", network=Pull())  # the one that is given, and no other
    assert isinstance(network, OwnNetwork)
    assert not hasattr(sys, "was_run")
