"""The ladder of noise levels and the perturbation of data."""

import math

import torch

from sbgm import derived_generator, perturb, power_sigmas
from sbgm.measure import moments


def test_noise_is_gaussian_with_each_examples_own_std():
    x = torch.zeros(3, 200_000)
    noise = perturb(x, torch.tensor([0.0, 0.5, 4.0]), generator=torch.Generator().manual_seed(0)) - x
    assert bool((noise[0] == 0).all())
    for row, sigma in ((noise[1], 0.5), (noise[2], 4.0)):
        m = moments(row / sigma)
        assert abs(m.mean.value) < 4 * m.mean.se
        assert abs(m.variance.value - 1) < 4 * m.variance.se
        assert abs(m.kurtosis.value - 3) < 4 * math.sqrt(24 / 200_000)


def test_a_power_ladder_descends_however_small_its_power():
    sigmas = power_sigmas(4.0, 1.0, 4, 1e-3)
    expected = torch.tensor([4.0, 4 * (2 / 3) ** 1e-3, 4 * (1 / 3) ** 1e-3, 1.0])
    torch.testing.assert_close(sigmas, expected)


def test_streams_of_neighbouring_keys_are_uncorrelated():
    x = torch.stack([torch.randn(10_000, generator=derived_generator(0, step, 3)) for step in range(20)])
    correlations = torch.corrcoef(x)[~torch.eye(20, dtype=torch.bool)]
    assert float(correlations.abs().max()) < 5 / 10_000**0.5
