"""Saved weights: what comes back, what is refused, and that the same content gives the same bytes."""

import pytest
import torch

from sbgm import MLP, ConditionalMLP, load_weights, save_weights


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_weights_and_facts_come_back(tmp_path):
    saved, loaded = ConditionalMLP(generator=seeded(0)), ConditionalMLP(generator=seeded(1))
    save_weights(saved, tmp_path / "a.safetensors", seed=0, loss=1 / 3, errors=[0.5, 1.0], objective="sliced")
    facts = load_weights(loaded, tmp_path / "a.safetensors")
    assert facts == {"seed": 0, "loss": 1 / 3, "errors": [0.5, 1.0], "objective": "sliced"}
    for name, value in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]  # nothing partial is left


def test_the_same_content_gives_the_same_bytes_whatever_the_order_of_facts(tmp_path):
    network = MLP(generator=seeded())
    save_weights(network, tmp_path / "a", a=1, b=2, c=3, d=4)
    save_weights(network, tmp_path / "b", d=4, c=3, b=2, a=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_path_may_be_text(tmp_path):
    network = MLP(generator=seeded())
    save_weights(network, str(tmp_path / "a.safetensors"))
    assert load_weights(network, str(tmp_path / "a.safetensors")) == {}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path must be a file of weights, but there is none at .*absent"):
        load_weights(MLP(), tmp_path / "absent.safetensors")


def test_another_width_is_refused_with_names_and_shapes_and_changes_nothing(tmp_path):
    save_weights(MLP(width=16), tmp_path / "narrow.safetensors")
    network = MLP(width=32, generator=seeded())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"network must have the shapes .*layers.0.weight is \(16, 2\), not \(32, 2\)"):
        load_weights(network, tmp_path / "narrow.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_another_depth_is_refused(tmp_path):
    save_weights(MLP(depth=3), tmp_path / "deep.safetensors")
    with pytest.raises(ValueError, match=r"layers.6.weight is \(2, 128\), not None"):
        load_weights(MLP(depth=2), tmp_path / "deep.safetensors")


@pytest.mark.parametrize("content", [b"", b"not a safetensors file", None], ids=["empty", "other", "cut off"])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "damaged.safetensors"
    save_weights(MLP(), path)
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(ValueError, match=r"path must be a whole safetensors file, but .*damaged"):
        load_weights(MLP(), path)
