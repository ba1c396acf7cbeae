"""Mixtures: density, score and samples, and the laws that scaling, moving and perturbing a density obeys."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

import sbgm
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.strategies import SCALES, SEEDS, batches, mixtures, normal, seeded, sigmas_of


@st.composite
def mixtures_with_points(draw):
    """A mixture, points of its space in either dtype, and a noise level for them."""
    mixture = draw(mixtures())
    x = draw(batches(st.just((mixture.dim,))))
    return mixture, x, draw(sigmas_of(x))


@given(mixtures_with_points())
def test_density_and_score_take_one_example_at_a_time_in_the_dtype_of_x(drawn):
    mixture, x, sigma = drawn
    with untouched(x, mixture.means, mixture.weights, mixture.stds):
        assert_like(assert_one_by_one(mixture.score, x, sigma), x)
        assert_like(assert_one_by_one(mixture.log_prob, x, sigma), x[:, 0])


@given(mixtures_with_points())
def test_the_score_is_the_gradient_of_the_log_density(drawn):
    mixture, x, sigma = drawn
    x = x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(mixture.log_prob(x, sigma).sum(), x)
    assert_near(mixture.score(x.detach(), sigma), gradient)


@given(mixtures_with_points(), SCALES)
def test_scaling_space_divides_the_score_and_lowers_the_log_density(drawn, c):
    mixture, x, sigma = drawn
    scaled = sbgm.GaussianMixture(mixture.weights, c * mixture.means, c * mixture.stds)
    assert_near(scaled.score(c * x, c * sigma), mixture.score(x, sigma) / c)
    assert_near(scaled.log_prob(c * x, c * sigma), mixture.log_prob(x, sigma) - mixture.dim * math.log(c))


@given(mixtures(dtypes=st.just(torch.float64)), st.floats(0.0, 5.0), SEEDS)
def test_noise_only_widens_the_components(mixture, sigma, seed):
    wider = sbgm.GaussianMixture(mixture.weights, mixture.means, (mixture.stds**2 + sigma**2).sqrt())
    x = normal(seed, 4, mixture.dim)
    assert_near(wider.score(x), mixture.score(x, sigma))
    assert_near(wider.log_prob(x), mixture.log_prob(x, sigma))
    assert_near(wider.sample(5, generator=seeded(seed)), mixture.sample(5, sigma, generator=seeded(seed)))


@given(mixtures(), st.integers(1, 20), SEEDS)
def test_samples_are_the_seeds_own(mixture, n, seed):
    with untouched():
        x = mixture.sample(n, generator=seeded(seed))
    assert_like(x, mixture.means[:1].expand(n, -1))
    assert torch.equal(x, mixture.sample(n, generator=seeded(seed)))
    assert not torch.equal(x, mixture.sample(n, generator=seeded(seed + 1)))
