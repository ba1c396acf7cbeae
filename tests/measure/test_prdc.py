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


def test_the_standard_error_is_that_of_other_samples_against_the_same_reference():
    reference = normal(200, 3)
    runs = [prdc(1.5 * normal(100, 3, seed=1 + i), reference) for i in range(200)]
    for name in ("precision", "density"):
        values = torch.tensor([list(getattr(run, name)) for run in runs])
        assert float(values[:, 0].std()) == pytest.approx(float(values[:, 1].mean()), rel=0.2)  # 4 s.e. of an sd of 200
