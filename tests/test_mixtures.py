"""The mixture's density, score and samples against torch's, autograd and each other."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.strategies import DTYPES, EXACT, SEEDS, batches, mixtures, seeded, sigmas_of
from sbgm import GaussianMixture, paper_mixture, plots
from sbgm.guard import widened


def test_scores_stay_accurate_in_float32_far_from_every_mode():
    exact = paper_mixture()
    precise = GaussianMixture(exact.weights.double() / exact.weights.double().sum(), exact.means.double())
    x = plots.grid(41, 40.0)
    torch.testing.assert_close(exact.score(x).double(), precise.score(x.double()), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.001, 0.01, 0.1])
def test_scores_stay_accurate_in_float32_at_small_sigma(sigma):
    """Two modes 10 σ apart, a third one far away: errors are those of rounding, in units of the score's own 1/σ."""
    means = [[5.0, 5.0], [5.0 + 10 * sigma, 5.0], [-5.0, -5.0]]
    single, double = (
        GaussianMixture([0.25, 0.25, 0.5], torch.tensor(means).to(d), 0.0) for d in (torch.float32, torch.float64)
    )
    double.means = single.means.double()  # 5.001 is another number in float32
    z = torch.randn(1_000, 2, generator=seeded())
    across = torch.linspace(0, 1, 1_000)[:, None] * (single.means[1] - single.means[0])
    x = single.means[0] + across + sigma * z  # about both modes and on the ridge between them
    torch.testing.assert_close(
        single.score(x, sigma).double(), double.score(x.double(), sigma), rtol=1e-5, atol=1e-4 / sigma
    )
    errors = single.log_prob(x, sigma).double() - double.log_prob(x.double(), sigma)
    assert float(errors.abs().max()) < 1e-4


def test_points_have_a_score_only_under_noise():
    points = paper_mixture(stds=0.0)
    torch.testing.assert_close(points.score(plots.grid(9), 1.0), paper_mixture(stds=1.0).score(plots.grid(9)))
    with pytest.raises(ValueError, match="sigma must be positive"):
        points.score(plots.grid(9))


# --- laws of any mixture ---------------------------------------------------------------------------------------------


def test_without_sigma_it_is_the_law_of_the_data():
    mixture = GaussianMixture([0.3, 0.7], [[-1.0], [2.0]], [0.5, 1.0])
    x = torch.linspace(-3.0, 3.0, 7)[:, None]
    assert torch.equal(mixture.log_prob(x), mixture.log_prob(x, 0.0))
    assert torch.equal(mixture.score(x), mixture.score(x, 0.0))
    assert torch.equal(mixture.sample(9, generator=seeded()), mixture.sample(9, 0.0, generator=seeded()))


@pytest.mark.parametrize(
    ("means", "dtype"),
    [
        (torch.tensor([[1 / 3]], dtype=torch.float64), torch.float64),
        (torch.tensor([[1 / 3]], dtype=torch.bfloat16), torch.float32),
        ([[1]], torch.float32),
    ],
    ids=["double", "half", "whole numbers"],
)
def test_parameters_stay_in_their_dtype_but_are_never_in_half_precision_or_whole(means, dtype):
    mixture = GaussianMixture([1.0], means, [1.0])
    assert mixture.means.dtype == dtype
    assert torch.equal(mixture.means, torch.as_tensor(means).to(dtype))


@st.composite
def mixtures_with_points(draw, dtypes=EXACT):
    """A mixture, points of its space, and a noise level for them."""
    mixture = draw(mixtures())
    x = draw(batches(st.just((mixture.dim,)), dtypes))
    return mixture, x, draw(sigmas_of(x))


@given(mixtures_with_points(DTYPES))
def test_density_and_score_take_one_example_at_a_time_in_the_dtype_of_x(drawn):
    mixture, x, sigma = drawn
    with untouched(x, mixture.means, mixture.weights, mixture.stds):
        assert_like(assert_one_by_one(mixture.score, x, sigma), x)
        assert_like(assert_one_by_one(mixture.log_prob, x, sigma), widened(x)[:, 0])


@given(mixtures_with_points())
def test_the_score_is_the_gradient_of_the_log_density(drawn):
    mixture, x, sigma = drawn
    x = x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(mixture.log_prob(x, sigma).sum(), x)
    assert_near(mixture.score(x.detach(), sigma), gradient)


@given(mixtures_with_points())
def test_the_density_is_torchs_of_the_widened_components(drawn):
    mixture, x, sigma = drawn
    variances = mixture.stds.double() ** 2 + (torch.as_tensor(sigma, dtype=torch.float64) ** 2).reshape(
        -1, 1
    )  # (B or 1, K)
    components = Normal(mixture.means.double(), variances.sqrt()[..., None])
    torchs = MixtureSameFamily(Categorical(mixture.weights.double().expand_as(variances)), Independent(components, 1))
    assert_near(mixture.log_prob(x, sigma), torchs.log_prob(x.double()), mixture.means.dtype)


@given(mixtures(), st.floats(0.0, 5.0), st.integers(1, 20), SEEDS)
def test_samples_are_the_seeds_own_and_noise_only_widens_the_components(mixture, sigma, n, seed):
    wider = GaussianMixture(mixture.weights, mixture.means, (mixture.stds**2 + sigma**2).sqrt())
    with untouched():
        x, again, other = (mixture.sample(n, sigma, generator=seeded(seed + i)) for i in (0, 0, 1))
    assert_like(x, mixture.means[:1].expand(n, -1))
    assert_near(wider.sample(n, generator=seeded(seed)), x)
    assert torch.equal(x, again)
    assert not torch.equal(x, other)


@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_samples_have_the_mixtures_moments_and_scores_of_mean_zero(sigma):
    mixture = GaussianMixture([0.2, 0.5, 0.3], [[-2.0, 1.0], [0.5, 0.0], [3.0, -1.0]], [0.5, 1.0, 2.0])
    n = 100_000
    x = mixture.sample(n, sigma, generator=seeded(1))
    mean = mixture.weights @ mixture.means
    spread = mixture.means - mean
    covariance = spread.T @ torch.diag(mixture.weights) @ spread
    covariance += torch.eye(2) * (mixture.weights @ (mixture.stds**2 + sigma**2))
    assert torch.all((x.mean(dim=0) - mean).abs() < 4 * (covariance.diag() / n).sqrt())
    torch.testing.assert_close(x.T.cov(), covariance, rtol=0.03, atol=0.03)
    scores = mixture.score(x, sigma)  # E_q[∇log q] = 0 for every density
    assert torch.all(scores.mean(dim=0).abs() < 4 * scores.std(dim=0) / math.sqrt(n))
