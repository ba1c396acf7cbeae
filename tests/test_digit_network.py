"""The student's network and guidance: the formula, labels, and files of a network of the same structure."""

import pytest
import torch
from torch import nn

from sbgm import DigitNetwork, guided, load_network, save_network
from seeds import seeded

LADDER = [2.0, 0.5, 0.1]


def small(**options):
    """A small network of 8×8 images in three classes, and points for it."""
    options = {"mean": 0.3, "variance": 0.2, "n_classes": 3, "image_shape": (1, 8, 8), "width": 8} | options
    network = DigitNetwork(LADDER, **options, n_blocks=2, generator=seeded(0))
    return network.requires_grad_(False), torch.rand(3, *network.image_shape, generator=seeded(1))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 12)])
def test_without_what_is_learned_it_is_the_score_of_one_gaussian(shape):
    network, x = small(image_shape=shape)
    for p in network.end.parameters():
        p.zero_()
    sigma = torch.tensor([0.1, 1.0, 3.0])
    wanted = torch.distributions.Normal(0.3, (0.2 + sigma**2).sqrt().reshape(3, 1, 1, 1))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(wanted.log_prob(x).sum(), x)
    torch.testing.assert_close(network(x, sigma), gradient)


def test_a_label_is_each_images_own_and_none_is_any_class():
    network, x = small()
    label = torch.tensor([2, 3, 0])
    alone = [network(x[i : i + 1], 0.5, int(label[i])) for i in range(3)]
    torch.testing.assert_close(network(x, 0.5, label), torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert torch.equal(network(x, 0.5), network(x, 0.5, 3))
    assert not torch.allclose(network(x, 0.5, 0), network(x, 0.5, 1))


@pytest.mark.parametrize("label", [1, torch.tensor([2, 3, 0])])
@pytest.mark.parametrize("w", [0.0, 1.0, 2.5])
def test_guidance_goes_w_times_the_way_from_any_class_to_the_class(label, w):
    network, x = small()
    of_any = network(x, 0.5)
    of_class = network(x, 0.5, label)
    torch.testing.assert_close(guided(network, label, w)(x, 0.5), (1 - w) * of_any + w * of_class)


def test_a_network_without_classes_takes_no_label():
    network, x = small(n_classes=0)
    assert network(x, 0.5).shape == x.shape
    with pytest.raises(ValueError, match="label must be None, because this network was made without classes"):
        network(x, 0.5, 0)


def own(factor=1.0, **options):
    """What a student writes: no ladder, no arguments, the same names of weights."""
    network = nn.Module()
    twin = small(**options)[0]
    for name, part in twin.named_children():
        network.add_module(name, part)
    network.forward = lambda x, sigma, label=3: factor * twin(x, sigma, label)
    return network


def test_a_class_of_ones_own_is_loaded_as_the_librarys(tmp_path):
    network, x = small()
    save_network(own(), tmp_path / "own.safetensors", like=network, seed=3)
    loaded = load_network(tmp_path / "own.safetensors")
    assert type(loaded) is DigitNetwork
    assert torch.equal(loaded(x, 0.5, 1), network(x, 0.5, 1))
    assert loaded.ladder == network.ladder
    assert (loaded.image_shape, loaded.facts["seed"]) == ((1, 8, 8), 3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"width": 16}, r"network must have the weights of DigitNetwork, but there begin.1.bias is \(16,"),
        ({"factor": 2.0}, "network must give the scores that DigitNetwork gives .* at sigma = 2 they"),
    ],
)
def test_a_class_of_ones_own_that_differs_is_refused_and_nothing_is_written(changes, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        save_network(own(**changes), tmp_path / "own.safetensors", like=small()[0])
    assert not any(tmp_path.iterdir())
