"""Closed forms and techniques: monotone where theory says so, scaling with the square of the units, and inverses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.strategies import SCALES, ladders
from sbgm import theory
from sbgm import theory as forms

VARIANCES = st.floats(0.05, 50.0)
STEPS = st.integers(1, 30)
PARTS = st.floats(0.01, 0.98)  # of a bound


def levels_of(sigmas) -> list[float]:
    return [float(s) for s in sigmas]


@given(ladders(), VARIANCES, STEPS, PARTS, SCALES)
def test_annealed_variances_scale_and_grow_with_the_start(sigmas, v, n_steps, part, c):
    levels = levels_of(sigmas)
    step_size = part * forms.largest_stable_step(sigmas)
    found = forms.annealed_variance(sigmas, step_size=step_size, n_steps=n_steps, variance=v, start=1.0)
    assert len(found) == len(levels)
    scaled = forms.annealed_variance(
        [c * s for s in levels], step_size=c**2 * step_size, n_steps=n_steps, variance=c**2 * v, start=c**2
    )
    assert scaled == pytest.approx([c**2 * w for w in found])
    more = forms.annealed_variance(sigmas, step_size=step_size, n_steps=n_steps, variance=v, start=2.0)
    assert all(a <= b for a, b in zip(found, more, strict=True))
    ratio = forms.noise_ratio(sigmas, step_size=step_size, n_steps=n_steps)
    point = forms.annealed_variance(sigmas, step_size=step_size, n_steps=n_steps, variance=0.0, start=1 / 3)
    assert ratio * levels[-1] ** 2 == pytest.approx(point[-1])


@given(st.integers(6, 5_000), st.floats(0.5, 0.99), PARTS)
def test_the_ratio_of_levels_undoes_their_overlap_and_falls_with_the_dimension(dimensions, target, part):
    ratio = theory.level_ratio(dimensions, target)
    assert theory.overlap(ratio, dimensions) == pytest.approx(target)
    assert theory.overlap(ratio + part, dimensions) < target < theory.overlap(1 + part * (ratio - 1), dimensions)
    assert 1 < theory.level_ratio(4 * dimensions, target) < ratio


@given(st.floats(1.0, 100.0), st.floats(0.001, 0.5), st.integers(6, 5_000), SCALES)
def test_the_number_of_levels_depends_on_the_ratio_of_the_ends(sigma_max, sigma_min, dimensions, c):
    n = theory.count_levels(sigma_max, sigma_min, dimensions)
    assert n >= 2
    assert n == theory.count_levels(c * sigma_max, c * sigma_min, dimensions)
    assert n <= theory.count_levels(2 * sigma_max, sigma_min, dimensions)
    steps = math.log(sigma_max / sigma_min) / math.log(theory.level_ratio(dimensions))
    assert abs(n - 1 - steps) <= 0.5 or n == 2
