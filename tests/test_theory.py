"""Every closed form against a computation that does not use it, and NCSNv2's against their published numbers."""

import math

import numpy
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_bvp

from sbgm import GaussianMixture, geometric_sigmas, plots, theory
from sbgm.measure import mode_weights
from sbgm.theory import best_step_size, level_ratio, overlap, step_size_of, variance_ratio
from seeds import seeded

# --- Langevin dynamics on a Gaussian ---------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", [0.25, 1.0, 9.0])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.9, 0.99])  # of the bound 4v
def test_langevin_variance_is_where_the_recursion_settles(variance, fraction):
    step_size = 4 * variance * fraction
    current = 100.0
    for _ in range(20_000):
        current = (1 - step_size / (2 * variance)) ** 2 * current + step_size
    assert theory.langevin_variance(step_size, variance) == pytest.approx(current, rel=1e-9)


# --- Algorithm 1 on a Gaussian ---------------------------------------------------------------------------------------

TEXT_LADDER = geometric_sigmas(10.0, 0.1, 10)
AUTHORS_LADDER = geometric_sigmas(20.0, 1.0, 10)


@pytest.mark.parametrize("ladder", [TEXT_LADDER, AUTHORS_LADDER, [1.0]])
@pytest.mark.parametrize("variance", [0.0, 1.0, 50.0])
@pytest.mark.parametrize(("part", "least", "most"), [(0.99, 0.0, 1e5), (1.01, 1e24, math.inf)])
def test_the_first_level_grows_just_above_the_bound_and_not_just_below(ladder, variance, part, least, most):
    options = {"step_size": part * theory.largest_stable_step(ladder, variance), "n_steps": 3_000, "start": 1e4}
    assert least <= theory.annealed_variance(ladder, variance=variance, **options)[0] < most


def test_the_noise_left_on_a_point_counts_from_uniform_noise_unless_told_otherwise():
    assert theory.noise_ratio([2.0], step_size=2.0, n_steps=1) == pytest.approx((0.75**2 / 3 + 2) / 4)  # E U² = 1/3
    assert theory.noise_ratio([1.0], step_size=0.5, n_steps=1, start=4.0) == pytest.approx(0.75**2 * 4 + 0.5)


# --- the mixture -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "mean", "extent", "std"),
    [
        (0.8, 5.0, 8.0, 1.0),
        (0.5, 5.0, 8.0, 1.0),
        (0.2, 5.0, 8.0, 1.0),
        (0.999, 0.5, 4.0, 1.0),
        (0.001, 0.5, 4.0, 1.0),
        (0.999, 0.1, 1.0, 1.0),
        (0.8, 5.0, 8.0, 2.0),
    ],
)
def test_basin_weight_is_the_area_where_a_component_is_the_likelier(weight, mean, extent, std):
    points = plots.grid(1_001, extent).double()
    far, near = (
        w * torch.exp(-(points - m).square().sum(dim=1) / (2 * std**2))
        for w, m in ((1 - weight, -mean), (weight, mean))
    )
    share = float((near > far).double().mean())
    assert theory.basin_weight(weight, mean, extent, std) == pytest.approx(share, abs=2 / 1_000)  # two rows of points


@pytest.mark.parametrize("mean", [0.5, 1.5, 5.0])
def test_half_plane_mass_against_samples(mean):
    mixture = GaussianMixture([0.2, 0.8], [[-mean] * 2, [mean] * 2])
    share = float(mode_weights(mixture.sample(400_000, generator=seeded()), mixture.means)[1])
    exact = theory.half_plane_mass(0.8, mean)
    assert share == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 400_000))


def mean_hitting_time(start, target, score):
    """The mean time of dx = ½ s dt + dW from start to target on a line: ½τ″ + ½sτ′ = −1, τ(target) = 0.

    It is solved by the distance u from the target. The far end is reflecting, 5 beyond the start, where hardly any path
    comes.
    """
    side = math.copysign(1.0, start - target)

    def slopes(u, tau):
        s = side * score(torch.from_numpy(target + side * u)[:, None])[:, 0].numpy()
        return tau[1], -2 - s * tau[1]

    u = numpy.linspace(0, abs(start - target) + 5, 400)
    solved = solve_bvp(slopes, lambda near, far: (near[0], far[1]), u, numpy.zeros((2, 400)))
    return solved.sol(abs(start - target))[0]


@pytest.mark.parametrize(("weight", "mean"), [(0.8, 1.0), (0.8, 1.5), (0.5, 2.0)])
def test_steps_between_switches_is_half_of_the_way_there_and_back(weight, mean):
    end = math.sqrt(2) * mean
    score = GaussianMixture([1 - weight, weight], [[-end], [end]]).score
    there_and_back = mean_hitting_time(-end, end, score) + mean_hitting_time(end, -end, score)
    assert theory.steps_between_switches(0.1, weight, mean) == pytest.approx(there_and_back / 2 / 0.1, rel=1e-4)


# --- technique 2 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "dimensions"), [(1.0, 784), (1.0398, 3072), (1.08, 784), (1.02, 784), (1.3, 64)])
def test_the_overlap_is_the_share_of_radii(ratio, dimensions):
    """Of level i's noise within √D σ ± 3 σ/√2 of level i − 1: the length is √(χ²_D), for the formula a normal."""
    edges = [ratio * (math.sqrt(dimensions) + side * 3 / math.sqrt(2)) for side in (-1, 1)]
    (share,) = numpy.diff(scipy.stats.chi(dimensions).cdf(edges))
    slack = 0.6 / math.sqrt(dimensions)  # the normal approximation's, largest for D = 64
    assert overlap(ratio, dimensions) == pytest.approx(share, abs=slack)


# --- technique 4 -----------------------------------------------------------------------------------------------------


def test_the_published_numbers_of_cifar10():
    published = 5_000 ** (1 / 231)  # the ratio of 232 levels from 50 to .01
    assert level_ratio(3072) == pytest.approx(1.0398, abs=5e-5)
    assert overlap(published, 3072) == pytest.approx(0.57, abs=0.005)
    assert best_step_size(0.01, published, 5) == pytest.approx(step_size_of(6.2e-6), rel=0.005)


@pytest.mark.parametrize(
    ("step_size", "ratio", "n_steps"), [(1.24e-5, 1.0376, 5), (4e-5, 1.668, 100), (1.5e-4, 2.0, 3)]
)
def test_the_variance_ratio_is_that_of_a_level_that_begins_too_wide(step_size, ratio, n_steps):
    options = {"step_size": step_size, "n_steps": n_steps, "variance": 0.0, "start": (0.01 * ratio) ** 2}
    (end,) = theory.annealed_variance([0.01], **options)
    assert variance_ratio(step_size, 0.01, ratio, n_steps) == pytest.approx(end / 0.01**2)


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


# --- monotone, and in other units ------------------------------------------------------------------------------------


@given(st.integers(6, 5_000), st.floats(0.5, 0.99), st.floats(0.01, 0.98))
def test_the_ratio_of_levels_undoes_their_overlap_and_falls_with_the_dimension(dimensions, target, part):
    ratio = theory.level_ratio(dimensions, target)
    assert theory.overlap(ratio, dimensions) == pytest.approx(target)
    assert theory.overlap(ratio + part, dimensions) < target < theory.overlap(1 + part * (ratio - 1), dimensions)
    assert 1 < theory.level_ratio(4 * dimensions, target) < ratio
