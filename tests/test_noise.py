"""The ladder of noise levels and the perturbation of data."""

import math

import pytest
import torch

from sbgm import derived_generator, geometric_sigmas, perturb, power_sigmas
from sbgm.measure import moments


def test_the_ladder_is_geometric_and_ends_exactly():
    sigmas = geometric_sigmas(1.0, 0.01, 10)
    assert sigmas.dtype == torch.float32
    assert sigmas[0] == 1.0
    assert sigmas[-1] == torch.tensor(0.01)
    ratios = sigmas[:-1] / sigmas[1:]
    torch.testing.assert_close(ratios, torch.full((9,), 100 ** (1 / 9)))
    assert geometric_sigmas(20, 1, 2).tolist() == [20, 1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0.1, 10.0, 10), "sigma_min must be smaller"),
        ((1.0, 1.0, 10), "sigma_min must be smaller"),
        ((1.0, 0.0, 10), "sigma_min must be finite and positive"),
        ((math.inf, 0.1, 10), "sigma_max must be finite and positive"),
        ((1.0, 0.1, 1), "n_levels must be at least 2"),
        ((1.0, 0.1, 0), "n_levels must be at least 2"),
    ],
)
def test_bad_ladders_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        geometric_sigmas(*arguments)


def test_noise_is_gaussian_with_each_examples_own_std():
    x = torch.zeros(3, 200_000)
    noise = perturb(x, torch.tensor([0.0, 0.5, 4.0]), generator=torch.Generator().manual_seed(0)) - x
    assert bool((noise[0] == 0).all())
    for row, sigma in ((noise[1], 0.5), (noise[2], 4.0)):
        m = moments(row / sigma)
        assert abs(m.mean.value) < 4 * m.mean.se
        assert abs(m.variance.value - 1) < 4 * m.variance.se
        assert abs(m.kurtosis.value - 3) < 4 * math.sqrt(24 / 200_000)


def test_a_seed_gives_the_same_noise_again_and_x_is_left_alone():
    x = torch.rand(5, 3, 4, 4)
    before = x.clone()
    first, second = (perturb(x, 0.1, generator=torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(x, before)
    assert not torch.equal(first, x)


def test_torchs_global_generator_is_never_used():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    perturb(torch.zeros(4, 2), 1.0, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("x", [torch.zeros(4, 2, dtype=torch.uint8), torch.zeros(4), torch.full((2, 2), math.inf)])
def test_bad_data_are_named(x):
    with pytest.raises((TypeError, ValueError), match=r"^x must"):
        perturb(x, 0.1, generator=torch.Generator())


def test_a_power_ladder_descends_however_small_its_power():
    sigmas = power_sigmas(4.0, 1.0, 4, 1e-3)
    expected = torch.tensor([4.0, 4 * (2 / 3) ** 1e-3, 4 * (1 / 3) ** 1e-3, 1.0])
    torch.testing.assert_close(sigmas, expected)


@pytest.mark.parametrize("power", [1.0, 2.0, 7.0])
def test_a_power_ladder_is_even_in_its_root(power):
    sigmas = power_sigmas(80, 0.002, 18, power)
    assert sigmas.dtype == torch.float32
    assert (float(sigmas[0]), float(sigmas[-1])) == (80.0, pytest.approx(0.002, rel=1e-7))
    steps = sigmas.double().pow(1 / power).diff()
    torch.testing.assert_close(steps, steps.mean().expand(17), rtol=1e-4, atol=0)


def test_a_power_ladder_lies_between_the_even_and_the_geometric_one():
    even, ours, geometric = power_sigmas(1, 0.01, 10, 1), power_sigmas(1, 0.01, 10), geometric_sigmas(1, 0.01, 10)
    assert bool((even[1:-1] > ours[1:-1]).all())
    assert bool((ours[1:-1] > geometric[1:-1]).all())
    torch.testing.assert_close(power_sigmas(1, 0.01, 10, 1e5), geometric, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0.01, 10, 0), "power must be finite and positive"),
        ((1, 2, 10), "sigma_min must be smaller than sigma_max = 1"),
        ((1, 0.1, 1), "n_levels must be at least 2, got 1"),
    ],
)
def test_a_bad_power_ladder_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        power_sigmas(*arguments)


def test_a_derived_generator_depends_on_the_seed_and_every_key_in_order():
    keys = [(0, 1, 2), (0, 2, 1), (0, 1), (0, 1, 2, 0), (1, 1, 2), (0,)]
    draws = [float(torch.rand(1, generator=derived_generator(*key))) for key in keys]
    assert len(set(draws)) == len(keys)
    assert draws == [float(torch.rand(1, generator=derived_generator(*key))) for key in keys]


def test_streams_of_neighbouring_keys_are_uncorrelated():
    x = torch.stack([torch.randn(10_000, generator=derived_generator(0, step, 3)) for step in range(20)])
    correlations = torch.corrcoef(x)[~torch.eye(20, dtype=torch.bool)]
    assert float(correlations.abs().max()) < 5 / 10_000**0.5
