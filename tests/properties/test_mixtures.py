"""Mixtures: density, score and samples, and the laws that scaling, moving and perturbing a density obeys."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sbgm
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.coverage import covers
from properties.strategies import EXACT, SCALES, SEEDS, batches, mixtures, normal, seeded, sigmas_of


@st.composite
def mixtures_with_points(draw):
    """A mixture, points of its space in either dtype, and a noise level for them."""
    mixture = draw(mixtures())
    x = draw(batches(st.just((mixture.dim,))))
    return mixture, x, draw(sigmas_of(x))


@covers(sbgm.GaussianMixture)
@given(mixtures_with_points())
def test_density_and_score_take_one_example_at_a_time_in_the_dtype_of_x(drawn):
    mixture, x, sigma = drawn
    with untouched(x, mixture.means, mixture.weights, mixture.stds):
        assert_like(assert_one_by_one(mixture.score, x, sigma), x)
        assert_like(assert_one_by_one(mixture.log_prob, x, sigma), x[:, 0])


@covers(sbgm.GaussianMixture)
@given(mixtures_with_points())
def test_the_score_is_the_gradient_of_the_log_density(drawn):
    mixture, x, sigma = drawn
    x = x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(mixture.log_prob(x, sigma).sum(), x)
    assert_near(mixture.score(x.detach(), sigma), gradient)


@covers(sbgm.GaussianMixture)
@given(mixtures_with_points(), SCALES)
def test_scaling_space_divides_the_score_and_lowers_the_log_density(drawn, c):
    mixture, x, sigma = drawn
    scaled = sbgm.GaussianMixture(mixture.weights, c * mixture.means, c * mixture.stds)
    assert_near(scaled.score(c * x, c * sigma), mixture.score(x, sigma) / c)
    assert_near(scaled.log_prob(c * x, c * sigma), mixture.log_prob(x, sigma) - mixture.dim * math.log(c))


@covers(sbgm.GaussianMixture)
@given(mixtures_with_points(), SEEDS)
def test_moving_the_means_moves_the_density(drawn, seed):
    mixture, x, sigma = drawn
    x, shift = x.double(), normal(seed, mixture.dim)
    moved = sbgm.GaussianMixture(mixture.weights, mixture.means.double() + shift, mixture.stds)
    assert_near(moved.score(x + shift, sigma), mixture.score(x, sigma))


@covers(sbgm.GaussianMixture)
@given(mixtures_with_points())
def test_components_have_no_order(drawn):
    mixture, x, sigma = drawn
    turned = sbgm.GaussianMixture(mixture.weights.flip(0), mixture.means.flip(0), mixture.stds.flip(0))
    assert_near(turned.score(x, sigma), mixture.score(x, sigma))


@covers(sbgm.GaussianMixture)
@given(mixtures(dtypes=st.just(torch.float64)), st.floats(0.0, 5.0), SEEDS)
def test_noise_only_widens_the_components(mixture, sigma, seed):
    wider = sbgm.GaussianMixture(mixture.weights, mixture.means, (mixture.stds**2 + sigma**2).sqrt())
    x = normal(seed, 4, mixture.dim)
    assert_near(wider.score(x), mixture.score(x, sigma))
    assert_near(wider.log_prob(x), mixture.log_prob(x, sigma))
    assert_near(wider.sample(5, generator=seeded(seed)), mixture.sample(5, sigma, generator=seeded(seed)))


@covers(sbgm.GaussianMixture)
@given(mixtures(), st.integers(1, 20), SEEDS)
def test_samples_are_the_seeds_own(mixture, n, seed):
    with untouched():
        x = mixture.sample(n, generator=seeded(seed))
    assert_like(x, mixture.means[:1].expand(n, -1))
    assert torch.equal(x, mixture.sample(n, generator=seeded(seed)))
    assert not torch.equal(x, mixture.sample(n, generator=seeded(seed + 1)))


@covers(sbgm.paper_mixture)
@given(st.floats(0.01, 0.99), st.floats(0.0, 3.0), batches(st.just((2,)), EXACT))
def test_the_papers_mixture_turned_by_half_a_circle_has_its_weights_exchanged(weight, std, x):
    mixture, turned = sbgm.paper_mixture(std, weight=weight), sbgm.paper_mixture(std, weight=1 - weight)
    assert_near(turned.score(-x, 0.5), -mixture.score(x, 0.5))
    assert float(mixture.weights[1]) == pytest.approx(weight)
