"""Training noise conditional networks on the mixture, and their errors."""

import pytest
import torch

from recipes import MixtureTraining, fisher_divergence, level_errors, train_mixture
from sbgm import ConditionalMLP, GaussianMixture, geometric_sigmas, paper_mixture
from seeds import seeded


@pytest.mark.parametrize("objective", ["denoising", "sliced", "exact"])
def test_every_objective_learns_the_perturbed_score(objective):
    """A short training brings the error of most levels far below 1, the error of s = 0."""
    network = ConditionalMLP(width=64, data_std=5.0, generator=seeded())
    settings = MixtureTraining(objective, n_steps=300)
    steps = list(train_mixture(network, paper_mixture(), settings))
    assert [step.step for step in steps] == list(range(1, 301))
    errors = level_errors(network, paper_mixture(), settings.sigmas, n=2_000, generator=seeded())
    assert float(errors.log().mean().exp()) < 0.1


def test_level_errors_are_zero_for_the_exact_score_and_one_for_none():
    mixture, sigmas = paper_mixture(), geometric_sigmas(20, 1, 4)
    assert torch.equal(level_errors(mixture.score, mixture, sigmas, n=100, generator=seeded()), torch.zeros(4))
    nothing = level_errors(lambda x, sigma: 0 * x, mixture, sigmas, n=100, generator=seeded())
    assert torch.equal(nothing, torch.ones(4))


def test_fisher_divergence_of_two_gaussians():
    """½E‖−x + x/v‖² = ½ D (1 − 1/v)² v for x ~ N(0, vI)."""
    wide = GaussianMixture([1.0], [[0.0, 0.0, 0.0]], 2.0)
    x = wide.sample(50_000, generator=seeded())
    divergence = fisher_divergence(lambda x, sigma: -x, wide.score, x)
    exact = 0.5 * 3 * (1 - 1 / 4) ** 2 * 4
    assert divergence.value == pytest.approx(exact, abs=4 * divergence.se)
    assert 0 < divergence.se < 0.02
