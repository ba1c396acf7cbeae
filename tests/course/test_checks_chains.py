"""The law that chapter 4's checks hold chains against, itself held against the closed forms."""

import math

import pytest
import torch

from sbgm.course.exercise import ChainStep, chain_law
from sbgm.theory import annealed_variance, langevin_kurtosis, langevin_variance

OFFSET = torch.full((1, 1), 3.0, dtype=torch.float64)


def test_variance_of_algorithm_1():
    sigmas, epsilon, n_steps, v = [4.0, 2.0, 1.0], 0.3, 5, 0.7
    levels = [[ChainStep(epsilon * s**2 / 2, epsilon * s**2, s)] * n_steps for s in sigmas]
    expected = annealed_variance(sigmas, step_size=epsilon, n_steps=n_steps, variance=v, start=0.0)[-1]
    assert chain_law(OFFSET, v, levels).variance == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("step_size", [0.1, 1.0])
def test_moments_of_langevin_dynamics_when_settled(step_size):
    law = chain_law(OFFSET, 1.0, [[ChainStep(step_size / 2, step_size, 0.0)] * 600], kurtosis=9.0)
    assert float(law.mean) == pytest.approx(0.0, abs=1e-12)
    assert law.variance == pytest.approx(langevin_variance(step_size), rel=1e-12)
    assert law.kurtosis == pytest.approx(langevin_kurtosis(step_size, 9.0), rel=1e-12)


@pytest.mark.parametrize(("draw", "n_draws"), [(int, 6), (lambda i: i // 3, 2), (lambda i: i % 3, 3), (lambda i: 0, 1)])
def test_law_equals_that_of_drawn_chains(draw, n_draws):
    levels = [[ChainStep(0.5, 0.8, 1.0)] * 3, [ChainStep(0.3, 0.4, 0.5)] * 3]
    law = chain_law(OFFSET, 1.0, levels, noise_mean=0.2, draw=draw)
    n = 100_000
    z = torch.randn(n_draws, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, means = OFFSET[0].expand(n), OFFSET[0]
    for i, step in enumerate(s for level in levels for s in level):
        keep = 1 - step.drift / (1 + step.sigma**2)
        means = keep * means + 0.2 * math.sqrt(step.noise)
        x = keep * x + math.sqrt(step.noise) * z[draw(i)]
    assert float(law.mean) == pytest.approx(float(means), rel=1e-12)
    assert law.variance == pytest.approx(float(x.var()), rel=5 * math.sqrt(2 / n))
