"""The image network: the authors' parameter counts, their network written out, levels for σ, and its resampling."""

import pytest
import torch

from authors_network import AuthorsNetwork
from sbgm import MLP, ConditionalMLP, DigitNetwork, ImageMLP, ResNet, geometric_sigmas
from sbgm.images.refinenet import RefineNet, rescaled
from seeds import seeded

SIGMAS = geometric_sigmas(1.0, 0.01, 10)


@pytest.mark.parametrize(
    "build",
    [
        lambda **options: RefineNet(SIGMAS, 4, 1, **options),
        lambda **options: RefineNet([0.1], 4, 3, conditional=False, **options),
        lambda **options: ResNet(8, **options),
        lambda **options: ImageMLP(SIGMAS, width=8, **options),
        lambda **options: DigitNetwork(SIGMAS, width=8, **options),
        MLP,
        ConditionalMLP,
    ],
)
def test_initial_weights_are_those_that_torchs_layers_draw_from_the_global_generator_of_the_same_seed(build):
    """So that a seed gives the weights that it gave, and the global generator is left alone."""
    before, generator = torch.get_rng_state(), seeded(3)
    ours, further = build(generator=generator), build(generator=generator)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for network in (ours, further):
            plain = build().state_dict()
            assert all(torch.equal(plain[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("channels", "image_channels", "parameters"), [(16, 1, 518_817), (64, 1, 7_638_657), (128, 3, 30_117_635)]
)
def test_the_parameter_counts_are_the_authors(channels, image_channels, parameters):
    with torch.device("meta"):  # counted without being allocated
        network = RefineNet(SIGMAS.tolist(), channels, image_channels)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("image_channels", [1, 3])
def test_the_network_is_the_authors_written_out_a_second_time(image_channels):
    generator = seeded()
    network = RefineNet(SIGMAS, 8, image_channels, generator=generator).double()
    with torch.no_grad():
        for p in network.parameters():  # other norms and biases than those that training starts from
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    x = torch.rand(3, image_channels, 28, 20, generator=generator).double()  # which is halved to 7 by 5
    sigma = SIGMAS[[0, 4, 9]]
    torch.testing.assert_close(network(x, sigma), AuthorsNetwork(network)(x, sigma))
    convs = [conv for stage in network.stages for block in stage for conv in (block.conv1, block.conv2)]
    assert [conv.dilation[0] for conv in convs] == [1] * 8 + [2] * 4 + [4] * 4
    assert {block.pool.__class__ for stage in network.stages for block in stage[1:]} == {torch.nn.Identity}


# --- noise levels ----------------------------------------------------------------------------------------------------


def small(**options):
    """A small network, and two images for it."""
    return RefineNet(SIGMAS, 8, 1, **options, generator=seeded()), torch.rand(2, 1, 8, 8, generator=seeded())


def test_a_ladder_that_is_loaded_is_the_one_that_a_sigma_is_looked_up_in():
    network, other = (RefineNet(sigmas, 4, 1, generator=seeded()) for sigmas in ([1.0, 0.1], [2.0, 0.5]))
    network.load_state_dict(other.state_dict())
    x = torch.rand(2, 1, 8, 8, generator=seeded())
    assert network.ladder == [2.0, 0.5]
    assert torch.equal(network(x, 2.0), other(x, torch.full((2,), 2.0)))
    with pytest.raises(ValueError, match=r"ladder \[2.0, 0.5\], got 1"):
        network(x, 1.0)


def test_dividing_by_sigma_divides_each_example_by_its_own():
    plain, x = small()
    divided, _ = small(divide_by_sigma=True)
    for sigma in (SIGMAS[[4, 9]], SIGMAS[9]):
        torch.testing.assert_close(divided(x, sigma), plain(x, sigma) / sigma.reshape(-1, 1, 1, 1))


def test_ncsnv2s_network_takes_any_sigma():
    network, x = small(conditional=False, divide_by_sigma=True)
    torch.testing.assert_close(network(x, 0.123) * 0.123, network(x, 7.0) * 7.0)
    with pytest.raises(ValueError, match="sigma must be finite and positive"):
        network(x, 0.0)


@pytest.mark.parametrize(("sigma", "level"), [(0.9, 0), (0.75, 1), (0.0105, 9), (0.001, 9), (50.0, 0)])
def test_off_the_ladder_a_score_is_that_of_the_level_nearest_in_ratio_times_sigma_i_over_sigma(sigma, level):
    """Between σ_1 = 1 and σ_2 = 0.599 the border is their geometric mean, 0.774, not 0.8."""
    network, x = small()
    expected = network(x, float(SIGMAS[level])) * float(SIGMAS[level]) / sigma
    torch.testing.assert_close(rescaled(network)(x, sigma), expected)
    torch.testing.assert_close(rescaled(network)(x, torch.full((2,), sigma)), expected)
