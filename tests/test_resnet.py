"""The network of Fig. 1, against the description of the authors' code."""

import torch
from torch.nn import functional

from sbgm import ResNet
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


def test_it_ignores_sigma_and_maps_its_input_to_minus_one_to_one():
    network, x, seen = small(), images(), []
    assert torch.equal(network(x), network(x, torch.rand(3)))
    network.layers[0].register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    network(x)
    assert torch.equal(seen[0], 2 * x - 1)
