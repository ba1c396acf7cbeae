"""The mixture's density, score and samples against autograd, quadrature and each other."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sbgm
from properties.comparing import assert_like, assert_near, assert_one_by_one, untouched
from properties.strategies import SCALES, SEEDS, batches, mixtures, normal, seeded, sigmas_of
from sbgm import GaussianMixture, paper_mixture, plots, theory


def three_component_mixture(dtype=torch.float64):
    return GaussianMixture(
        torch.tensor([0.2, 0.5, 0.3], dtype=dtype),
        torch.tensor([[-2.0, 1.0], [0.5, 0.0], [3.0, -1.0]], dtype=dtype),
        torch.tensor([0.5, 1.0, 2.0], dtype=dtype),
    )


@pytest.mark.parametrize("sigma", [0.0, 0.3, 5.0])
def test_density_integrates_to_one(sigma):
    mixture = three_component_mixture()
    half = 60.0
    n = 1201
    points = plots.grid(n, half).double()
    cell = (2 * half / (n - 1)) ** 2
    assert float(mixture.log_prob(points, sigma).exp().sum() * cell) == pytest.approx(1, abs=1e-6)


def test_one_component_is_the_textbook_gaussian_in_any_dimension():
    mean, std, sigma = torch.linspace(-1, 1, 5, dtype=torch.float64), 0.7, 0.4
    mixture = GaussianMixture([1.0], mean[None], std)
    x = torch.randn(50, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = math.sqrt(std**2 + sigma**2)
    normal = torch.distributions.Normal(mean, total)
    torch.testing.assert_close(mixture.log_prob(x, sigma), normal.log_prob(x).sum(dim=1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(mixture.score(x, sigma), -(x - mean) / total**2, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_samples_have_the_mixtures_weights_moments_and_scores_of_mean_zero(sigma):
    mixture, n = three_component_mixture(), 100_000
    x = mixture.sample(n, sigma, generator=torch.Generator().manual_seed(1))
    mean = mixture.weights @ mixture.means
    spread = mixture.means - mean
    covariance = (mixture.weights[:, None] * spread).T @ spread
    covariance += torch.eye(2, dtype=torch.float64) * float(mixture.weights @ (mixture.stds**2 + sigma**2))
    assert torch.all((x.mean(dim=0) - mean).abs() < 4 * (covariance.diag() / n).sqrt())
    torch.testing.assert_close(x.T.cov(), covariance, rtol=0.03, atol=0.03)
    scores = mixture.score(x, sigma)  # E_q[∇log q] = 0 for every density
    assert torch.all(scores.mean(dim=0).abs() < 4 * scores.std(dim=0) / math.sqrt(n))


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
    z = torch.randn(1_000, 2, generator=torch.Generator().manual_seed(0))
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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_scores_have_the_dtype_of_x_and_densities_are_in_float32_at_least(dtype):
    x = plots.grid(3).to(dtype)
    assert paper_mixture().score(x, 0.5).dtype == dtype
    assert paper_mixture().log_prob(x, 0.5).dtype == torch.promote_types(dtype, torch.float32)


def test_paper_mixture_is_the_papers():
    mixture = paper_mixture()
    assert mixture.weights.tolist() == pytest.approx([0.2, 0.8])
    assert mixture.means.tolist() == [[-5, -5], [5, 5]]
    assert mixture.stds.tolist() == [1, 1]
    assert theory.largest_stable_step([10.0, 0.1], 1.0) == pytest.approx(0.0404)


# --- laws of any mixture ---------------------------------------------------------------------------------------------


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
