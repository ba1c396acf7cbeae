"""The network of Fig. 1, against the description of the authors' code."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sbgm import ResNet, sliced_score_matching_loss
from sbgm.networks import ResidualBlock
from sbgm.training import n_parameters


def small(seed=0):
    return ResNet(channels=8, generator=torch.Generator().manual_seed(seed))


def images(n=3, size=16, seed=1):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def count(n_in, n_out):
    """Parameters of a residual block, by hand: two 3×3 convolutions with norms, and a third where channels differ."""
    branch = 9 * n_in * n_out + n_out + 9 * n_out * n_out + n_out + 2 * 2 * n_out
    return branch + (0 if n_in == n_out else 9 * n_in * n_out + n_out)


def test_the_number_of_parameters_is_that_of_the_authors():
    c = 32
    blocks = [(c, c), (c, 2 * c), (2 * c, 2 * c), (2 * c, 4 * c), (4 * c, 4 * c)]
    mirrored = [(4 * c, 4 * c), (4 * c, 2 * c), (2 * c, 2 * c), (2 * c, c), (c, c)]
    ends = (9 * 3 * c + c) + (9 * c * 3 + 3)
    by_hand = ends + sum(count(*block) for block in blocks + mirrored)
    assert n_parameters(ResNet()) == by_hand == 1_379_651


def plain_forward(weights, x):
    """The network written out in functions, from a list of weights in the order in which they are used."""

    def convolution(h, transposed=False, stride=1):
        weight, bias = next(weights), next(weights)
        if transposed:
            return functional.conv_transpose2d(h, weight, bias, stride, padding=1, output_padding=stride - 1)
        return functional.conv2d(h, weight, bias, stride, padding=1)

    def norm(h):
        return functional.group_norm(h, 8, next(weights), next(weights))

    def encoder(h, stride=1):
        branch = norm(convolution(functional.elu(norm(convolution(h, stride=stride)))))
        return functional.elu(branch + (h if stride == 1 else convolution(h, stride=stride)))

    def decoder(h, stride=1):
        branch = norm(convolution(functional.elu(norm(convolution(h, True))), True, stride))
        return functional.elu(branch + (h if stride == 1 else convolution(h, True, stride)))

    h = convolution(2 * x - 1)
    h = encoder(encoder(encoder(encoder(encoder(h), 2)), 2))
    h = decoder(decoder(decoder(decoder(decoder(h), 2)), 2))
    return convolution(h)


def test_scores_are_those_of_the_network_written_out():
    network, x = small().double(), images(size=8).double()
    weights = iter(network.state_dict().values())  # a block's branch comes before its shortcut
    torch.testing.assert_close(network(x), plain_forward(weights, x), rtol=1e-12, atol=1e-12)
    assert next(weights, None) is None


@pytest.mark.parametrize(("n_in", "n_out", "decoder", "size"), [
    (8, 8, False, 8), (8, 16, False, 4), (16, 16, True, 8), (16, 8, True, 16),
])  # fmt: skip
def test_a_block_that_changes_the_channels_resizes_the_image(n_in, n_out, decoder, size):
    block = ResidualBlock(n_in, n_out, decoder=decoder)
    assert block(torch.zeros(2, n_in, 8, 8)).shape == (2, n_out, size, size)
    kind = nn.ConvTranspose2d if decoder else nn.Conv2d
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [type(m) for m in convolutions] == [kind] * (2 + (n_in != n_out))
    assert sum(isinstance(m, nn.GroupNorm) for m in block.modules()) == 2  # the shortcut has none


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
