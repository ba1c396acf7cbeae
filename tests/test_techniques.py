"""NCSNv2's formulas against their published numbers, brute force and Monte Carlo."""

import math

import pytest
import torch

from sbgm import final, geometric_sigmas, langevin, perturb
from sbgm.measure import largest_distance
from sbgm.theory import (
    best_step_size,
    count_levels,
    level_ratio,
    overlap,
    step_size_of,
    variance_ratio,
)
from seeds import seeded

PUBLISHED_RATIO = 5_000 ** (1 / 231)  # 232 levels from 50 to .01


# --- technique 1 -----------------------------------------------------------------------------------------------------


def test_most_pairs_are_skipped(monkeypatch):
    """In Gaussian data in 2 dimensions the farthest pair is among the outermost points: few blocks are looked at."""
    calls, cdist = [], torch.cdist
    monkeypatch.setattr(torch, "cdist", lambda a, b: calls.append(1) or cdist(a, b))
    largest_distance(torch.randn(10_000, 2, generator=seeded()), block=100)
    assert len(calls) < 20  # of 5,050


# --- technique 2 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "dimensions"), [(1.0, 784), (1.0398, 3072), (1.08, 784), (1.02, 784), (1.3, 64)])
def test_the_overlap_is_the_share_of_radii(ratio, dimensions):
    """That 20,000 lengths of level i's noise lie within √D σ ± 3 σ/√2 of level i − 1: 5 binomial s.e. at most.

    The length is √(χ²_D), so that the share is known exactly too; the formula takes it for normal.
    """
    half = torch.tensor(dimensions / 2, dtype=torch.float64)
    edges = [ratio * (math.sqrt(dimensions) + side * 3 / math.sqrt(2)) for side in (-1, 1)]
    low, high = (float(torch.special.gammainc(half, torch.tensor(edge**2 / 2, dtype=torch.float64))) for edge in edges)
    slack = 0.6 / math.sqrt(dimensions)  # the normal approximation's, largest for D = 64
    assert overlap(ratio, dimensions) == pytest.approx(high - low, abs=slack)
    generator = seeded()
    radii = torch.cat([torch.randn(1_000, dimensions, generator=generator).norm(dim=1) for _ in range(20)])
    inside = float(((radii > edges[0]) & (radii < edges[1])).double().mean())
    assert inside == pytest.approx(high - low, abs=5 * math.sqrt(0.25 / 20_000))


def test_the_published_numbers_of_cifar10():
    assert level_ratio(3072) == pytest.approx(1.0398, abs=5e-5)
    assert count_levels(50, 0.01, 3072) == 219
    sigmas = geometric_sigmas(50, 0.01, 232)
    assert float(sigmas[0] / sigmas[1]) == pytest.approx(PUBLISHED_RATIO, rel=1e-5)
    assert overlap(PUBLISHED_RATIO, 3072) == pytest.approx(0.57, abs=0.005)


# --- technique 4 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step_size", "ratio", "n_steps"), [(1.24e-5, 1.0376, 5), (4e-5, 1.668, 100), (1.5e-4, 2.0, 3)]
)
def test_the_variance_ratio_is_that_of_langevin_chains_on_a_point(step_size, ratio, n_steps):
    """40,000 chains that come with γσ and take T steps at σ: within 5 standard errors of a variance."""
    sigma, n = 0.01, 40_000
    x = perturb(torch.zeros(n, 1, dtype=torch.float64), ratio * sigma, generator=seeded())
    options = {"step_size": step_size, "n_steps": n_steps, "generator": seeded(1)}
    end = final(langevin(lambda x, sigma: -x / sigma**2, x, sigma=sigma, **options))
    expected = variance_ratio(step_size, sigma, ratio, n_steps)
    assert float(end.var()) / sigma**2 == pytest.approx(expected, rel=5 * math.sqrt(2 / n))


@pytest.mark.parametrize("ratio", [1.001, 1.0376, 1.668, 10.0])
@pytest.mark.parametrize("n_steps", [1, 2, 5, 100])
def test_the_best_step_size_is_that_of_a_scan(ratio, n_steps):
    eta = torch.linspace(1e-6, 1.999, 400_001, dtype=torch.float64)  # over the overshooting steps too
    settled = 2 * eta / (1 - (1 - eta) ** 2)
    width = (1 - eta) ** (2 * n_steps) * (ratio**2 - settled) + settled
    assert float(width.min()) > 1
    best = best_step_size(0.01, ratio, n_steps)
    assert best == pytest.approx(2e-4 * float(eta[width.argmin()]), abs=2e-4 * 6e-6)
    assert variance_ratio(best, 0.01, ratio, n_steps) <= float(width.min()) + 1e-9


def test_the_published_step_size_of_cifar10_in_both_conventions():
    best = best_step_size(0.01, PUBLISHED_RATIO, 5)
    assert best == pytest.approx(step_size_of(6.2e-6), rel=0.005)
    assert best == pytest.approx(1.24e-5, rel=0.005)


def test_both_conventions_take_the_same_step():
    """x + h s + √(2h) z is x + (ε/2) s + √ε z with ε = 2h, on the same noise."""
    h, x = 0.02, torch.randn(5, 3, generator=seeded(), dtype=torch.float64)
    z = torch.randn(x.shape, generator=seeded(1), dtype=x.dtype)
    ours = final(langevin(lambda x, sigma: -x, x, step_size=step_size_of(h), n_steps=1, generator=seeded(1)))
    torch.testing.assert_close(ours, x - h * x + math.sqrt(2 * h) * z)
