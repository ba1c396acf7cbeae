"""Saved weights: what comes back, what is refused, and that the same content gives the same bytes."""

import math

import pytest
import safetensors.torch
import torch

import sbgm
from sbgm import MLP, RefineNet, load_network, load_weights, save_network, save_weights
from sbgm.files import load_tensors, save_tensors
from sbgm.measure.classifier import LeNet
from sbgm.networks import ScoreNetwork
from seeds import seeded


def test_the_same_content_gives_the_same_bytes_whatever_the_order_of_facts(tmp_path):
    network = MLP(generator=seeded())
    save_weights(network, tmp_path / "a", a=1, b=2, c=3, d=4)
    save_weights(network, tmp_path / "b", d=4, c=3, b=2, a=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_width_is_refused_with_names_and_shapes_and_changes_nothing(tmp_path):
    save_weights(MLP(width=16), tmp_path / "narrow.safetensors")
    network = MLP(width=32, generator=seeded())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"network must have the shapes .*layers.0.bias is \(16,\), not \(32,\)"):
        load_weights(network, tmp_path / "narrow.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# --- networks that know their ladder ---------------------------------------------------------------------------------


def refinenet(**options):
    return RefineNet([1.0, 0.3, 0.07], channels=4, image_channels=1, **options, generator=seeded(0))


def test_a_network_to_be_alike_must_know_its_images(tmp_path):
    with pytest.raises(ValueError, match=r"^like must have its image_shape set, such as \(1, 28, 28\), got None$"):
        save_network(refinenet(), tmp_path / "a.safetensors", like=refinenet())


@pytest.mark.parametrize("options", [{}, {"conditional": False, "divide_by_sigma": True}])
def test_a_network_comes_back_with_its_ladder_and_its_images(tmp_path, options):
    saved = refinenet(**options)
    save_network(saved, tmp_path / "a.safetensors", image_shape=[1, 8, 8], data_range=[0.0, 1.0], steps=7)
    loaded = load_network(tmp_path / "a.safetensors")
    x = torch.rand(2, 1, 8, 8, generator=seeded())
    assert torch.equal(loaded(x, 0.07), saved(x, 0.07))
    assert torch.equal(loaded.sigmas, saved.sigmas)
    assert (loaded.image_shape, loaded.data_range, loaded.facts["steps"]) == ((1, 8, 8), (0.0, 1.0), 7)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


AS_TRAINED = [0.084332, 0.12804, 0.17270, 0.16987, 0.18288, 0.19617, 0.19649, 0.17761, 0.15516, 0.12085]


def test_the_cifar10_network_has_the_scores_that_it_was_trained_to_have():
    """The mean square of σs on a ramp of pixels, σ_1 to σ_L, as the code that trained it (e5f8d36) reads the file."""
    network = load_network("cifar10_ncsn")
    ramp = torch.linspace(0, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
    squares = [float((sigma * network(ramp, sigma)).square().mean()) for sigma in network.sigmas.tolist()]
    assert squares == pytest.approx(AS_TRAINED, rel=1e-3)


def test_half_precision_halves_the_file_and_keeps_the_ladder(tmp_path):
    network = refinenet()
    save_network(network, tmp_path / "whole.safetensors")
    save_network(network, tmp_path / "half.safetensors", dtype=torch.float16)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert 2 * sum(p.numel() for p in network.parameters()) < sizes[0] < 0.7 * sizes[1]
    loaded = load_network(tmp_path / "half.safetensors")
    assert torch.equal(loaded.sigmas, network.sigmas)  # 0.3 has no exact half-precision number
    x = torch.rand(2, 1, 8, 8, generator=seeded())
    torch.testing.assert_close(loaded(x, 0.3), network(x, 0.3), rtol=0.02, atol=0.02)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize("architecture", ["MLP", {"class": "system", "arguments": {}}])
def test_weights_of_no_known_network_are_refused(tmp_path, architecture):
    save_weights(MLP(generator=seeded()), tmp_path / "a.safetensors", architecture=architecture)
    with pytest.raises(ValueError, match=r"it does not say which network|its network is not of this package"):
        load_network(tmp_path / "a.safetensors")


def test_a_network_that_another_version_made_is_named(tmp_path):
    made_by = {"class": "ImageMLP", "sigmas": [1.0], "arguments": {"dropout": 0.1}}
    save_weights(Shrinking([1.0]), tmp_path / "a.safetensors", architecture=made_by)
    with pytest.raises(ValueError, match=r"^path must hold a network that this version can build.*'dropout'"):
        load_network(tmp_path / "a.safetensors")


def claiming(path, change):
    """A file of a RefineNet with other tensors, or other facts."""
    save_network(refinenet(), path)
    tensors, facts = load_tensors(path)
    change(tensors, facts)
    save_tensors(path, tensors, **facts)
    return path


@pytest.mark.parametrize("dtype", [torch.int64, torch.float8_e4m3fn])
def test_weights_of_another_kind_are_refused_by_name(tmp_path, dtype):
    def change(tensors, facts):
        tensors |= {name: value.to(dtype) for name, value in tensors.items()}

    path = claiming(tmp_path / "a.safetensors", change)
    for load in (load_network, lambda path: load_weights(refinenet(), path)):
        with pytest.raises(ValueError, match=rf"begin.bias in {path} must be of torch.float32 or .*, got {dtype}"):
            load(path)


@pytest.mark.parametrize(
    "claim",
    [
        lambda _, facts: facts["architecture"]["arguments"].update(channels=1_500),
        lambda _, facts: facts["architecture"].update(sigmas=[2 - i * 1e-5 for i in range(10**5)]),
    ],
)
def test_a_file_that_claims_a_large_network_takes_no_memory(tmp_path, claim, monkeypatch):
    """The first would have 2.7 GB of weights: no tensor of more than a million numbers is made, but on `meta`."""
    made, empty = [], torch.empty

    def spy(*size, **options):
        made.append(tensor := empty(*size, **options))
        return tensor

    monkeypatch.setattr(torch, "empty", spy)
    with pytest.raises(ValueError, match=r"network must have the shapes saved in a\.safetensors, but there"):
        load_network(claiming(tmp_path / "a.safetensors", claim))
    assert max(tensor.numel() for tensor in made if tensor.device.type == "meta") > 10**6
    assert all(tensor.numel() < 10**6 for tensor in made if tensor.device.type != "meta")


def test_every_network_is_built_on_meta_without_memory():
    """Where a file's claims are tried."""
    with torch.device("meta"):
        networks = [sbgm.ImageMLP([1.0]), sbgm.ConditionalMLP(), sbgm.ResNet(8), LeNet(8), refinenet()]
    assert all(p.is_meta for network in networks for p in network.parameters())


NOT_BUILT = "path must hold a network that this version can build"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda tensors, facts: tensors["end.bias"].fill_(torch.nan),
            "^end.bias in .* must be finite, but it holds NaN",
        ),
        (
            lambda tensors, _: tensors.update({"end.bias": torch.full((1,), 1e300, dtype=torch.float64)}),
            "^end.bias in .* must be finite",  # in float32 it is not
        ),
        (lambda tensors, _: tensors["sigmas"].mul_(-1), "^network must have the ladder that the facts of .* state, "),
        (
            lambda _, facts: facts["architecture"].update({"class": "Other", "arguments": "none"}),
            f"^{NOT_BUILT}.*'str' object has no",
        ),
        (lambda _, facts: facts.update(image_shape=[1, 8, "8"]), f"^{NOT_BUILT}.* torch.Size"),
        (lambda _, facts: facts.update(image_shape=[-1, 8, 8]), f"^{NOT_BUILT}.*image_shape must be at least 1"),
        (lambda _, facts: facts.update(image_shape=[8, 8]), f"^{NOT_BUILT}.*image_shape must be \\[C, H, W\\]"),
        (lambda _, facts: facts["architecture"]["arguments"].update(channels=10**12), f"^{NOT_BUILT}.*overflow"),
        *[
            (lambda _, facts, wrong=wrong: facts.update(data_range=wrong), f"^{NOT_BUILT}.*data_range must be ")
            for wrong in ([1.0, 0.0], [math.nan, 1.0], [0.0, math.inf], "ab")
        ],
        (lambda _, facts: facts.update(classes="abc"), f"^{NOT_BUILT}.*classes must be a list of names, got 'abc'"),
        (lambda _, facts: facts.update(classes=[["a"]]), f"^{NOT_BUILT}.*classes must be a list of names"),
    ],
)
def test_weights_and_facts_that_cant_be_are_named(tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        load_network(claiming(tmp_path / "a.safetensors", change))


def test_the_shape_of_the_images_is_the_networks_own(tmp_path):
    save_network(sbgm.ImageMLP([1.0, 0.1], image_shape=(1, 8, 8)), tmp_path / "a.safetensors", image_shape=[1, 4, 16])
    with pytest.raises(ValueError, match=rf"^{NOT_BUILT}.*image_shape must be .* got \[1, 4, 16\]"):
        load_network(tmp_path / "a.safetensors")


def test_the_ladder_of_a_network_that_is_given_is_looked_at_too(tmp_path):
    save_network(Shrinking([2.0, 1.0]), tmp_path / "a.safetensors")
    tensors, facts = load_tensors(tmp_path / "a.safetensors")
    for sigmas, said in (([1.0, 2.0], "strictly descending"), ([3.0, 2.0], "network must have the ladder")):
        made_by = facts["architecture"] | {"sigmas": sigmas}
        save_tensors(tmp_path / "a.safetensors", tensors, **facts | {"architecture": made_by})
        with pytest.raises(ValueError, match=said):
            load_network(tmp_path / "a.safetensors", network=Shrinking([2.0, 1.0]))


@pytest.mark.parametrize(("facts", "said"), [("[]", "its facts must be a table"), ("[" * 10**5, "recursion")])
def test_facts_must_be_a_table(tmp_path, facts, said):
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors", {"facts": facts})
    with pytest.raises(ValueError, match=rf"path must be a whole safetensors file, but .*: .*{said}"):
        load_network(tmp_path / "a.safetensors")


def test_a_network_is_loaded_in_float32_whatever_torchs_default_is(tmp_path):
    save_network(refinenet(), tmp_path / "a.safetensors")
    torch.set_default_dtype(torch.float64)
    try:
        loaded = load_network(tmp_path / "a.safetensors")
    finally:
        torch.set_default_dtype(torch.float32)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


def test_a_network_that_knows_no_ladder_is_sent_to_save_weights(tmp_path):
    with pytest.raises(TypeError, match=r"^network must be a ScoreNetwork, .*got ConditionalMLP; save_weights keeps"):
        save_network(sbgm.ConditionalMLP(), tmp_path / "a.safetensors")


class Shrinking(ScoreNetwork):
    """The score of N(0, I), as a network of one's own."""

    def __init__(self, sigmas, *, power=2):
        super().__init__(sigmas, power=power)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, sigma):
        return -self.weight * x / (1 + sigma ** self.arguments["power"])


def test_a_network_of_ones_own_is_saved_and_loaded_by_giving_it_from_a_file_without_a_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_network(Shrinking([2.0, 1.0], power=3), "own")
    loaded = load_network("own", network=Shrinking([2.0, 1.0], power=3))
    assert torch.equal(loaded(torch.ones(1, 2), 1.0), torch.full((1, 2), -0.5))
    assert (loaded.sigmas.tolist(), loaded.arguments) == ([2.0, 1.0], {"power": 3})
    assert (loaded.image_shape, loaded.data_range, loaded.takes_any_sigma) == (None, (0.0, 1.0), True)
