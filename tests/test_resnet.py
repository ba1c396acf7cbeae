"""The network of Fig. 1, against the description of the authors' code."""

import pytest
import torch
from torch import nn

from sbgm import ResNet, sliced_score_matching_loss
from sbgm.training import n_parameters


def small(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet(channels=8)


def images(n=3, size=16, seed=1):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def count(n_in, n_out, resampled=False):
    """Parameters of a residual block, by hand: two 3×3 convolutions and norms, a 1×1 shortcut and its norm."""
    branch = 9 * n_in * n_out + n_out + 9 * n_out * n_out + n_out + 2 * 2 * n_out
    return branch + (n_in * n_out + n_out + 2 * n_out if resampled else 0)


def test_the_number_of_parameters_is_that_of_the_architecture():
    c = 32
    blocks = [(c, c), (c, 2 * c, True), (2 * c, 2 * c), (2 * c, 4 * c, True), (4 * c, 4 * c)]
    mirrored = [(4 * c, 4 * c), (4 * c, 2 * c, True), (2 * c, 2 * c), (2 * c, c, True), (c, c)]
    ends = (9 * 3 * c + c) + (9 * c * 3 + 3)
    by_hand = ends + sum(count(*block) for block in blocks + mirrored)
    assert n_parameters(ResNet(channels=32)) == by_hand == 1_216_387


@pytest.mark.parametrize("size", [(32, 32), (8, 8), (16, 24), (4, 4)])
@pytest.mark.parametrize("image_channels", [1, 3])
def test_scores_have_the_shape_of_the_images(size, image_channels):
    x = torch.rand(2, image_channels, *size)
    assert ResNet(channels=8, image_channels=image_channels)(x, 0.1).shape == x.shape


def test_the_image_is_halved_twice_in_the_middle():
    sizes = []
    network = small()
    for layer in network.layers:
        layer.register_forward_hook(lambda layer, inputs, output: sizes.append(output.shape[-1]))
    network(images(1, size=32))
    assert sizes == [32, 32, 16, 16, 8, 8, 8, 16, 16, 32, 32, 32]


def test_it_ignores_sigma_and_maps_its_input_to_minus_one_to_one():
    network, x, seen = small(), images(), []
    assert torch.equal(network(x), network(x, torch.rand(3)))
    network.layers[0].register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    network(x)
    assert torch.equal(seen[0], 2 * x - 1)


def test_an_examples_score_does_not_depend_on_the_others():
    network, x = small().double(), images().double()
    together = network(x)
    for i in range(len(x)):
        torch.testing.assert_close(together[i], network(x[i : i + 1])[0], rtol=1e-10, atol=1e-12)


def test_forward_and_reverse_mode_give_the_same_sliced_loss_and_gradient():
    network, x = small().double(), images(2, size=8).double()
    results = []
    for autodiff in ("reverse", "forward"):
        loss = sliced_score_matching_loss(network, x, generator=torch.Generator().manual_seed(0), autodiff=autodiff)
        results.append([loss, *torch.autograd.grad(loss, list(network.parameters()))])
    for reverse, forward in zip(*results, strict=True):
        torch.testing.assert_close(reverse, forward, rtol=1e-8, atol=1e-10)


def test_the_sliced_loss_of_the_network_is_what_finite_differences_give():
    """vᵀ∇s v + ½‖s‖², with the slope from s(x ± hv): independent of any automatic differentiation."""
    network, x = small().double(), images(2, size=8).double()
    loss = sliced_score_matching_loss(network, x, generator=torch.Generator().manual_seed(3), reduction="none")
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    with torch.no_grad():
        slope = (network(x + 1e-5 * v) - network(x - 1e-5 * v)) / 2e-5
        by_hand = ((v * slope) + 0.5 * network(x) ** 2).flatten(1).sum(dim=1)
    torch.testing.assert_close(loss.detach(), by_hand, rtol=1e-6, atol=1e-7)


def test_no_unit_is_piecewise_linear():
    """A ReLU has no second derivative for sliced score matching to train through."""
    activations = {type(m) for m in small().modules() if type(m).__module__.endswith("activation")}
    assert activations == {nn.ELU}


@pytest.mark.parametrize("channels", [1, 12, 20])
def test_channels_must_be_a_multiple_of_the_norms_groups(channels):
    with pytest.raises(ValueError, match=f"channels must be a multiple of 8, the groups of the norm, got {channels}"):
        ResNet(channels=channels)


@pytest.mark.parametrize(("channels", "error"), [(0, ValueError), (-8, ValueError), (8.0, TypeError)])
def test_channels_must_be_a_positive_whole_number(channels, error):
    with pytest.raises(error, match="channels must be"):
        ResNet(channels=channels)


@pytest.mark.parametrize("shape", [(2, 3, 30, 32), (2, 3, 32, 6), (2, 3, 32), (3, 32, 32), (2, 3072)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"x must be images \(B, C, H, W\) with H and W multiples of 4, got shape"):
        small()(torch.rand(shape))
