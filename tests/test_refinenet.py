"""The image network: the authors' parameter counts, its norm against the formula, and how σ selects a level."""

import pytest
import torch

from sbgm import geometric_sigmas
from sbgm.networks import RefineNet
from sbgm.networks.refinenet import ConditionalInstanceNorm

SIGMAS = geometric_sigmas(1.0, 0.01, 10)


def small(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return RefineNet(SIGMAS, channels=8, image_channels=1, **options)


@pytest.mark.parametrize(
    ("channels", "image_channels", "parameters"), [(16, 1, 518_817), (64, 1, 7_638_657), (128, 3, 30_117_635)]
)
def test_the_parameter_counts_are_the_authors(channels, image_channels, parameters):
    with torch.device("meta"):  # counted without being allocated
        network = RefineNet(SIGMAS.tolist(), channels, image_channels)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_the_norm_is_its_formula():
    norm = ConditionalInstanceNorm(5, 3)
    x = torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    level = torch.tensor([2, 0])
    result = norm(x, level)
    for b in range(2):
        gamma, alpha, beta = norm.levels.weight[level[b]].reshape(3, 5)
        means = [float(x[b, c].mean()) for c in range(5)]
        over_channels = torch.tensor(means)
        for c in range(5):
            whitened = (x[b, c] - means[c]) / (x[b, c].var(unbiased=False) + 1e-5).sqrt()
            shift = (means[c] - over_channels.mean()) / (over_channels.var(unbiased=True) + 1e-5).sqrt()
            expected = gamma[c] * (whitened + alpha[c] * shift) + beta[c]
            torch.testing.assert_close(result[b, c], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (10, 6)])
def test_a_score_has_the_images_shape_and_each_example_is_its_own(size):
    network = small()
    x = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(0))
    sigma = SIGMAS[[0, 4, 9]]
    together = network(x, sigma)
    assert together.shape == x.shape
    for i in range(3):
        torch.testing.assert_close(network(x[i : i + 1], float(sigma[i])), together[i : i + 1], rtol=1e-4, atol=1e-5)


def test_sigma_selects_a_level_and_one_off_the_ladder_is_refused():
    network, x = small(), torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert network.level(x, SIGMAS[[9, 0]]).tolist() == [9, 0]
    assert network.level(x, 0.01).tolist() == [9, 9]
    assert not torch.allclose(network(x, 1.0), network(x, 0.01))
    for sigma in (0.02, 2.0, 0.005):
        with pytest.raises(ValueError, match="sigma must be a level of the network's ladder"):
            network(x, sigma)


def test_the_baseline_is_the_same_at_every_sigma():
    network, x = small(conditional=False), torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(x, 1.0), network(x, 0.01))


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="even H and W"):
        small()(torch.rand(1, 1, 7, 8), 1.0)
