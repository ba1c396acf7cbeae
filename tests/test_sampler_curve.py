"""The samples behind a curve of distance against evaluations, on Gaussian data where the distance is exact."""

import functools
import math

import pytest
import torch

from counting import CountedScore
from curve import samplers_within
from sbgm.generation import fitted_start, generate, uniform_start
from sbgm.noise import derived_generator, geometric_sigmas

LADDER = geometric_sigmas(1, 0.01, 10)
VARIANCES = torch.tensor([0.25, 0.01])  # of the two coordinates, around .5


def score(x, sigma):
    return (0.5 - x) / (VARIANCES + sigma**2)


def data(n=2_000):
    return 0.5 + VARIANCES.sqrt() * torch.randn(n, 2, generator=derived_generator(9))


@pytest.mark.parametrize("budget", [10, 11, 50, 1_000])
@pytest.mark.parametrize("denoise_last", [False, True])
def test_samplers_keep_within_the_budget_and_use_it(budget, denoise_last):
    found = samplers_within(budget, LADDER, denoise_last=denoise_last)
    assert ("annealed" in found) == (budget - denoise_last >= 10)
    assert len(found) == 11 + ("annealed" in found)
    for label, sampler in found.items():
        waste = 10 if label == "annealed" else 2
        assert budget - waste < sampler.evaluations <= budget, label
        assert (sampler.sigmas[0], sampler.sigmas[-1]) == pytest.approx((1.0, 0.01))
        assert sampler.denoise_last == denoise_last


def test_the_smallest_budget_is_said():
    with pytest.raises(ValueError, match="budget must be at least 4, got 3"):
        samplers_within(3, LADDER, denoise_last=True)


def distance(samples):
    """The Fréchet distance of independent normals: (difference of means)² + (difference of stds)², summed."""
    return float(((samples.mean(dim=0) - 0.5) ** 2 + (samples.std(dim=0) - (VARIANCES + 1e-4).sqrt()) ** 2).sum())


def test_points_are_counted_and_more_evaluations_bring_samples_nearer():
    """Stds of 2,000 samples are known to ± .008, so that a distance of 3e-4 is none; few levels miss by far more."""
    counted = CountedScore(score)
    distances = {}
    for budget in (10, 300):
        for label, sampler in samplers_within(budget, LADDER).items():
            start = uniform_start if label == "annealed" else fitted_start(data(), 1.0)
            states = functools.partial(sampler.states, counted)
            samples = generate(states, 2_000, (2,), seed=0, start=start, batch_size=2_000)
            assert counted.evaluations == sampler.evaluations
            counted.evaluations = 0
            distances[label, budget] = distance(samples)
    for label in ("euler, geometric", "heun, power", "multistep, power", "ancestral, power", "consistent, geometric"):
        assert distances[label, 300] < 6e-4, label
        assert distances[label, 300] < max(distances[label, 10], 3e-4), label  # multistep's 10 are at the noise already
    assert distances["multistep, power", 10] < distances["euler, power", 10] / 3


def test_a_fitted_start_has_the_mean_and_covariance_of_perturbed_data():
    """20,000 starts, 5 standard errors; without the fit, the first coordinate would have variance 1 and not 2."""
    mixing = torch.tensor([[1.0, 0.0], [0.8, 0.3]])
    images = torch.randn(500, 1, 2, generator=derived_generator(1)) @ mixing.T + torch.tensor([2.0, -1.0])
    x = fitted_start(images, 1.0)((20_000, 1, 2), derived_generator(2))
    wanted = images.flatten(1).T.cov() + torch.eye(2)
    variances = wanted.diag()
    se = ((variances[:, None] * variances + wanted**2) / 20_000).sqrt()
    assert float(((x.flatten(1).T.cov() - wanted) / se).abs().max()) < 5
    shift = (x.mean(dim=0) - images.mean(dim=0)).flatten() / variances.sqrt() * math.sqrt(20_000)
    assert float(shift.abs().max()) < 5
