"""Precision, recall, density and coverage: by hand, against other code, against closed forms; standard errors."""

import pytest
import torch
from torch_fidelity.metric_prc import calculate_precision_recall_full

from sbgm.measure import prdc
from seeds import seeded


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n", "m", "k"), [(40, 60, 5), (60, 40, 3), (30, 30, 1)])
def test_it_is_that_of_torch_fidelity_and_of_brute_force(n, m, k):
    samples, reference = 0.8 * normal(n, 6) + 0.3, normal(m, 6, seed=1)
    found = prdc(samples, reference, k)
    assert (found.precision.value, found.recall.value) == pytest.approx(
        calculate_precision_recall_full(samples, reference, k), abs=1e-6
    )
    radius = [sorted(float((a - b).norm()) for b in reference)[k] for a in reference]  # the 0th is a itself
    inside = [[float((x - c).norm()) <= r for c, r in zip(reference, radius, strict=True)] for x in samples]
    assert found.density.value == pytest.approx(sum(map(sum, inside)) / (k * n))
    assert found.coverage.value == pytest.approx(sum(map(any, zip(*inside, strict=True))) / m)


@pytest.mark.parametrize(("n", "m"), [(200, 200), (100, 300)])
def test_samples_of_the_same_distribution_have_the_means_of_the_closed_forms(n, m):
    """Naeem et al. 2020, lemmas 1 and 2: density 1; coverage 1 − (M−1)…(M−k)/((M+N−1)…(M+N−k)). Within 4 s.e."""
    k, n_runs = 5, 60
    runs = [prdc(normal(n, 4, seed=2 * i), normal(m, 4, seed=2 * i + 1), k) for i in range(n_runs)]
    missed = 1.0
    for j in range(1, k + 1):
        missed *= (m - j) / (m + n - j)
    for name, expected in (("density", 1), ("coverage", 1 - missed)):
        values = torch.tensor([getattr(run, name).value for run in runs])
        assert float(values.mean()) == pytest.approx(expected, abs=4 * float(values.std()) / n_runs**0.5)


def test_the_standard_error_is_that_of_other_samples_against_the_same_reference():
    reference = normal(200, 3)
    runs = [prdc(1.5 * normal(100, 3, seed=1 + i), reference) for i in range(200)]
    for name in ("precision", "density"):
        values = torch.tensor([list(getattr(run, name)) for run in runs])
        assert float(values[:, 0].std()) == pytest.approx(float(values[:, 1].mean()), rel=0.2)  # 4 s.e. of an sd of 200


def test_dropped_modes_cost_recall_and_coverage_and_outliers_fool_precision_not_density():
    reference = torch.cat([normal(200, 2), normal(200, 2, seed=1) + 20])
    one_mode = prdc(normal(400, 2, seed=2), reference)
    assert one_mode.precision.value > 0.9
    assert max(one_mode.recall.value, one_mode.coverage.value) < 0.55
    between = normal(100, 2, seed=3) + torch.tensor([10.0, 0.0])
    far = torch.cat([reference, torch.tensor([[12.0, 0.0], [12.0, 60.0]])])  # two outliers with balls over everything
    assert prdc(between, far).precision.value == 1
    assert prdc(between, far).density.value < 0.5


def test_the_text():
    text = str(prdc(normal(20, 2), normal(20, 2, seed=1)))
    assert [part.split()[0] for part in text.split(", ")] == ["precision", "recall", "density", "coverage"]
    assert "±" in text
