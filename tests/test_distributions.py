"""The mixture's density, score and samples against autograd, quadrature and each other."""

import math

import pytest
import torch

from sbgm import GaussianMixture, paper_mixture, plots, theory
from sbgm.measure import mode_weights


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


@pytest.mark.parametrize("sigma", [0.0, 0.3, 5.0])
def test_score_is_the_gradient_of_the_log_density(sigma):
    mixture = three_component_mixture()
    x = (8 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(mixture.log_prob(x, sigma).sum(), x)
    torch.testing.assert_close(mixture.score(x.detach(), sigma), gradient, rtol=1e-10, atol=1e-12)


def test_one_component_is_the_textbook_gaussian_in_any_dimension():
    mean, std, sigma = torch.linspace(-1, 1, 5, dtype=torch.float64), 0.7, 0.4
    mixture = GaussianMixture([1.0], mean[None], std)
    x = torch.randn(50, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = math.sqrt(std**2 + sigma**2)
    normal = torch.distributions.Normal(mean, total)
    torch.testing.assert_close(mixture.log_prob(x, sigma), normal.log_prob(x).sum(dim=1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(mixture.score(x, sigma), -(x - mean) / total**2, rtol=1e-6, atol=1e-6)


def test_perturbed_density_is_the_convolution():
    """log q_σ against the mean of p's density over noisy shifts, an independent Monte Carlo computation."""
    mixture, sigma = three_component_mixture(), 1.5
    generator = torch.Generator().manual_seed(0)
    for point in torch.tensor([[0.0, 0.0], [3.0, 3.0], [-4.0, 1.0]], dtype=torch.float64):
        shifts = sigma * torch.randn(200_000, 2, generator=generator, dtype=torch.float64)
        density = mixture.log_prob(point + shifts).exp()
        standard_error = float(density.std()) / math.sqrt(len(density))
        assert abs(float(density.mean() - mixture.log_prob(point[None], sigma).exp())) < 4 * standard_error


def test_each_example_may_have_its_own_sigma():
    mixture = three_component_mixture()
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sigma = torch.tensor([0.0, 0.1, 1.0, 10.0], dtype=torch.float64)
    for method in (mixture.score, mixture.log_prob):
        one_by_one = torch.cat([method(x[i : i + 1], float(sigma[i])) for i in range(4)])
        torch.testing.assert_close(method(x, sigma), one_by_one)


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


def test_exact_sampling_of_the_papers_mixture():
    """facts.md: .799 ± .013 over 20 seeds of 1,280; the binomial standard error of the mean is .0025."""
    mixture = paper_mixture()
    weights = [
        float(mode_weights(mixture.sample(1280, generator=torch.Generator().manual_seed(s)), mixture.means)[1])
        for s in range(20)
    ]
    assert abs(sum(weights) / 20 - 0.8) < 4 * math.sqrt(0.8 * 0.2 / (20 * 1280))


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


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([0.5, 0.6], [[0.0, 0.0], [1.0, 1.0]]), "weights must be positive and sum to 1"),
        (([1.5, -0.5], [[0.0, 0.0], [1.0, 1.0]]), "weights must be positive"),
        (([1.0], [[0.0, 0.0], [1.0, 1.0]]), "weights must have shape"),
        (([1.0], [0.0, 0.0]), "means must have shape"),
        (([1.0], [[math.nan, 0.0]]), "means must be finite"),
        (([1.0], [[0.0, 0.0]], -1.0), "stds must not be negative"),
        (([1.0], [[0.0, 0.0]], [1.0, 2.0]), "stds must be a float or have shape"),
        (([1.0], [[0.0, 0.0]], math.inf), "stds must be finite"),
    ],
)
def test_bad_parameters_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        GaussianMixture(*arguments)


@pytest.mark.parametrize(
    ("x", "sigma", "error", "named"),
    [
        (torch.zeros(3, 3), 0.0, ValueError, "x must have shape"),
        (torch.zeros(2), 0.0, ValueError, "x must be a batch"),
        (torch.zeros(0, 2), 0.0, ValueError, "x must hold at least one"),
        (torch.zeros(3, 2, dtype=torch.int64), 0.0, TypeError, "x must hold floating-point"),
        (torch.full((3, 2), math.nan), 0.0, ValueError, "x must be finite"),
        ([[0.0, 0.0]], 0.0, TypeError, r"x must be a torch\.Tensor"),
        (torch.zeros(3, 2), -1.0, ValueError, "sigma must be finite and not negative"),
        (torch.zeros(3, 2), math.inf, ValueError, "sigma must be finite"),
        (torch.zeros(3, 2), torch.ones(2), ValueError, "sigma must be a float or a tensor of shape"),
        (torch.zeros(3, 2, device="meta"), torch.ones(3), ValueError, "sigma must be on the device of x"),
    ],
)
def test_bad_points_and_noise_are_named(x, sigma, error, named):
    if isinstance(x, torch.Tensor) and x.device.type == "meta":
        from sbgm.checked import require_sigma

        with pytest.raises(error, match=named):
            require_sigma(sigma, x)
        return
    with pytest.raises(error, match=named):
        paper_mixture().score(x, sigma)


def test_sample_needs_a_count_and_a_generator():
    generator = torch.Generator().manual_seed(0)
    for n, error in ((0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="n must be"):
            paper_mixture().sample(n, generator=generator)
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator"):
        paper_mixture().sample(3, generator=0)


def test_samples_have_the_dtype_of_the_means():
    mixture = GaussianMixture([0.5, 0.5], torch.zeros(2, 2), torch.ones(2, dtype=torch.float64))
    assert mixture.sample(3, generator=torch.Generator().manual_seed(0)).dtype == torch.float32


def test_paper_mixture_is_the_papers():
    mixture = paper_mixture()
    assert mixture.weights.tolist() == pytest.approx([0.2, 0.8])
    assert mixture.means.tolist() == [[-5, -5], [5, 5]]
    assert mixture.stds.tolist() == [1, 1]
    assert theory.largest_stable_step([10.0, 0.1], 1.0) == pytest.approx(0.0404)
