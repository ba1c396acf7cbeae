"""The networks for images: that of Fig. 1, the student's, its labels and its files, and laws of all of them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.strategies import SEEDS, images, normal, seeded
from sbgm import DigitNetwork, ImageMLP, RefineNet, ResNet, load_network, save_network

LADDER = [2.0, 0.5, 0.1]
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3).map(lambda n: 4 * n), st.integers(1, 3).map(lambda n: 4 * n))


# --- the student's network -------------------------------------------------------------------------------------------


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


# --- the network of Fig. 1 -------------------------------------------------------------------------------------------


def written_out(weights, x):
    """The network in functions, from a list of weights in the order in which they are used."""

    def convolution(h, transposed=False, stride=1):
        weight = next(weights)
        bias = next(weights)
        if transposed:
            return functional.conv_transpose2d(h, weight, bias, stride, padding=1, output_padding=stride - 1)
        return functional.conv2d(h, weight, bias, stride, padding=1)

    def norm(h):
        return functional.group_norm(h, 8, next(weights), next(weights))

    def block(h, stride, decoder):
        first, second = (1, stride) if decoder else (stride, 1)
        branch = functional.elu(norm(convolution(h, decoder, first)))
        branch = norm(convolution(branch, decoder, second))
        return functional.elu(branch + (h if stride == 1 else convolution(h, decoder, stride)))

    h = convolution(2 * x - 1)
    for decoder in (False, True):
        for stride in (1, 2, 1, 2, 1):
            h = block(h, stride, decoder)
    return convolution(h)


def test_scores_are_those_of_the_network_written_out_whatever_sigma_is():
    network = ResNet(channels=8, generator=seeded()).double()
    x = torch.rand(3, 3, 8, 8, generator=seeded(1)).double()
    weights = iter(network.state_dict().values())  # a block's branch comes before its shortcut
    torch.testing.assert_close(network(x, torch.rand(3)), written_out(weights, x), rtol=1e-12, atol=1e-12)
    assert next(weights, None) is None


# --- laws of any network for images -----------------------------------------------------------------------------------

IMAGE_NETWORKS = {
    "ImageMLP": lambda shape, g: ImageMLP(LADDER, shape, 8, 1, generator=g),
    "DigitNetwork": lambda shape, g: DigitNetwork(LADDER, image_shape=shape, width=8, n_blocks=1, generator=g),
    "RefineNet": lambda shape, g: RefineNet(LADDER, 2, shape[0], generator=g),
    "ResNet": lambda shape, g: ResNet(8, shape[0], generator=g),
}


@pytest.mark.parametrize("kind", IMAGE_NETWORKS)
@given(images(SIZES, st.just(torch.float64), max_size=3), SEEDS)
def test_a_network_scores_one_image_at_a_time(kind, x, seed):
    network = IMAGE_NETWORKS[kind](tuple(x.shape[1:]), seeded(seed)).to(x.dtype)
    for p in network.requires_grad_(False).parameters():  # some are zero at the start
        p += 0.1 * normal(seed, *p.shape)
    sigma = torch.tensor(LADDER, dtype=x.dtype)[torch.randint(3, (len(x),), generator=seeded(seed))]
    with untouched(x):
        assert_like(assert_one_by_one(network, x, sigma), x)
        assert_near(network(x, 0.5), network(x, torch.full((len(x),), 0.5)))
        assert_like(network.float()(x.float(), sigma), x.float())
