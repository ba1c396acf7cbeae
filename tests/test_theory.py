"""Every closed form against a computation that does not use it."""

import math

import pytest

from sbgm import GaussianMixture, geometric_sigmas, theory
from sbgm.measure import mode_weights
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
    first = float(ladder[0])
    alpha = part * theory.largest_stable_step(ladder, variance) * (first / float(ladder[-1])) ** 2
    current = 1e4
    for _ in range(3_000):
        current = (1 - alpha / (2 * (variance + first**2))) ** 2 * current + alpha
    assert least <= current < most


# --- the mixture -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.5, 1.5, 5.0])
def test_half_plane_mass_against_samples(mean):
    mixture = GaussianMixture([0.2, 0.8], [[-mean] * 2, [mean] * 2])
    share = float(mode_weights(mixture.sample(400_000, generator=seeded()), mixture.means)[1])
    exact = theory.half_plane_mass(0.8, mean)
    assert share == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 400_000))
