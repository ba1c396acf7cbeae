"""Every closed form against a computation that does not use it, and NCSNv2's against their published numbers."""

import math

import numpy
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from sbgm import GaussianMixture, geometric_sigmas, theory
from sbgm.measure import mode_weights
from sbgm.theory import level_ratio, overlap
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


# --- the mixture -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.5, 1.5, 5.0])
def test_half_plane_mass_against_samples(mean):
    mixture = GaussianMixture([0.2, 0.8], [[-mean] * 2, [mean] * 2])
    share = float(mode_weights(mixture.sample(400_000, generator=seeded()), mixture.means)[1])
    exact = theory.half_plane_mass(0.8, mean)
    assert share == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 400_000))


# --- technique 2 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "dimensions"), [(1.0, 784), (1.0398, 3072), (1.08, 784), (1.02, 784), (1.3, 64)])
def test_the_overlap_is_the_share_of_radii(ratio, dimensions):
    """Of level i's noise within √D σ ± 3 σ/√2 of level i − 1: the length is √(χ²_D), for the formula a normal."""
    edges = [ratio * (math.sqrt(dimensions) + side * 3 / math.sqrt(2)) for side in (-1, 1)]
    (share,) = numpy.diff(scipy.stats.chi(dimensions).cdf(edges))
    slack = 0.6 / math.sqrt(dimensions)  # the normal approximation's, largest for D = 64
    assert overlap(ratio, dimensions) == pytest.approx(share, abs=slack)


def test_the_published_numbers_of_cifar10():
    published = 5_000 ** (1 / 231)  # the ratio of 232 levels from 50 to .01
    assert level_ratio(3072) == pytest.approx(1.0398, abs=5e-5)
    assert overlap(published, 3072) == pytest.approx(0.57, abs=0.005)
    assert 1 + round(math.log(5_000) / math.log(level_ratio(3072))) == 219  # as the glossary says


# --- monotone, and in other units ------------------------------------------------------------------------------------


@given(st.integers(6, 5_000), st.floats(0.5, 0.99), st.floats(0.01, 0.98))
def test_the_ratio_of_levels_undoes_their_overlap_and_falls_with_the_dimension(dimensions, target, part):
    ratio = theory.level_ratio(dimensions, target)
    assert theory.overlap(ratio, dimensions) == pytest.approx(target)
    assert theory.overlap(ratio + part, dimensions) < target < theory.overlap(1 + part * (ratio - 1), dimensions)
    assert 1 < theory.level_ratio(4 * dimensions, target) < ratio
