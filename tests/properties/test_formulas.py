"""Closed forms and techniques: monotone where theory says so, scaling with the square of the units, and inverses."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.coverage import covers
from properties.strategies import SCALES, ladders
from sbgm import theory
from sbgm import theory as forms

VARIANCES = st.floats(0.05, 50.0)
STEPS = st.integers(1, 30)
PARTS = st.floats(0.01, 0.98)  # of a bound
WEIGHTS = st.floats(0.02, 0.98)


def levels_of(sigmas) -> list[float]:
    return [float(s) for s in sigmas]


@covers(forms.langevin_variance)
@given(VARIANCES, PARTS, SCALES)
def test_langevin_dynamics_is_too_wide_the_more_so_the_larger_the_step(v, part, c):
    width = forms.langevin_variance(4 * v * part, v)
    assert v < width < forms.langevin_variance(4 * v * (part + 0.01), v)
    assert forms.langevin_variance(4 * v * part * c**2, v * c**2) == pytest.approx(width * c**2)
    (settled,) = forms.annealed_variance([1.0], step_size=4 * (v + 1) * part, n_steps=1, variance=v, start=width)
    fixed = forms.langevin_variance(4 * (v + 1) * part, v + 1)
    (again,) = forms.annealed_variance([1.0], step_size=4 * (v + 1) * part, n_steps=1, variance=v, start=fixed)
    assert again == pytest.approx(fixed)
    assert abs(settled - fixed) <= abs(width - fixed) + 1e-9 * fixed


@covers(forms.langevin_kurtosis)
@given(PARTS, st.floats(1.0, 9.0))
def test_the_kurtosis_is_between_that_of_the_noise_and_a_gaussians(part, noise):
    kurtosis = forms.langevin_kurtosis(4 * part, noise)
    assert min(noise, 3) - 1e-9 <= kurtosis <= max(noise, 3) + 1e-9
    assert forms.langevin_kurtosis(4 * part) == 3
    of_nine = forms.langevin_kurtosis(4 * part, 9.0)
    assert 6 * (kurtosis - 3) == pytest.approx((noise - 3) * (of_nine - 3))


@covers(forms.metropolis_acceptance)
@given(st.floats(0.01, 10.0))
def test_larger_steps_are_accepted_less(step_size):
    assert 0 < forms.metropolis_acceptance(1.1 * step_size, 101) < forms.metropolis_acceptance(step_size, 101) < 1


@covers(forms.largest_stable_step, forms.annealed_variance)
@given(ladders(), VARIANCES, PARTS, SCALES)
def test_below_the_bound_chains_forget_their_start_and_above_it_they_do_not(sigmas, v, part, c):
    bound = forms.largest_stable_step(sigmas, v)
    assert bound > forms.largest_stable_step(sigmas) > 0
    assert forms.largest_stable_step([c * s for s in levels_of(sigmas)], c**2 * v) == pytest.approx(c**2 * bound)
    for step_size, comparison in ((bound * part, float.__le__), (bound / part, float.__ge__)):
        options = {"step_size": step_size, "n_steps": 1, "variance": v}
        first = [forms.annealed_variance(sigmas, start=start, **options)[0] for start in (1.0, 2.0)]
        assert comparison(first[1] - first[0], 1.0)


@covers(forms.annealed_variance, forms.noise_ratio)
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


@covers(forms.consistent_variance)
@given(ladders(2), VARIANCES, PARTS, SCALES)
def test_the_consistent_sampler_is_exact_for_a_point_and_scales(sigmas, v, part, c):
    levels = levels_of(sigmas)
    low = 1 - min(b / a for a, b in pairwise(levels))
    step_size = 2 * levels[-1] ** 2 * (low + part * (2 - 2 * low))
    exact = forms.consistent_variance(sigmas, step_size=step_size, variance=0.0, start=levels[0] ** 2)
    assert exact == pytest.approx([s**2 for s in levels[1:]], rel=1e-6)
    found = forms.consistent_variance(levels, step_size=step_size, variance=v, start=v)
    scaled = forms.consistent_variance(
        [c * s for s in levels], step_size=c**2 * step_size, variance=c**2 * v, start=c**2 * v
    )
    assert scaled == pytest.approx([c**2 * w for w in found])


@covers(forms.flow_variance)
@given(VARIANCES, st.floats(0.1, 10.0), PARTS, st.floats(0.0, 9.0))
def test_the_flow_keeps_the_number_of_standard_deviations(v, sigma_max, part, start):
    there = forms.flow_variance(part * sigma_max, sigma_max=sigma_max, variance=v, start=start)
    assert there <= start
    onward = forms.flow_variance(0.0, sigma_max=part * sigma_max, variance=v, start=there)
    assert onward == pytest.approx(forms.flow_variance(0.0, sigma_max=sigma_max, variance=v, start=start))
    assert forms.flow_variance(0.0, sigma_max=sigma_max, variance=v, start=v + sigma_max**2) == pytest.approx(v)


@covers(forms.basin_weight, forms.half_plane_mass, forms.steps_between_switches)
@given(WEIGHTS, st.floats(0.5, 4.0), st.floats(0.2, 2.0), SCALES)
def test_what_two_modes_do_is_mirrored_with_their_weights_and_has_no_units(w, mean, std, c):
    assert forms.basin_weight(w, mean, 8.0, std) + forms.basin_weight(1 - w, mean, 8.0, std) == pytest.approx(1)
    assert forms.half_plane_mass(w, mean, std) + forms.half_plane_mass(1 - w, mean, std) == pytest.approx(1)
    assert forms.basin_weight(w, c * mean, c * 8.0, c * std) == pytest.approx(forms.basin_weight(w, mean, 8.0, std))
    assert forms.half_plane_mass(w, c * mean, c * std) == pytest.approx(forms.half_plane_mass(w, mean, std))
    between = forms.steps_between_switches(0.1, w, mean, 2_001)
    assert forms.steps_between_switches(0.1, 1 - w, mean, 2_001) == pytest.approx(between)
    assert forms.steps_between_switches(0.1 * c, w, mean, 2_001) == pytest.approx(between / c)
    assert forms.steps_between_switches(0.1, w, 1.1 * mean, 2_001) > between
    assert abs(forms.half_plane_mass(w, 1.5 * mean, std) - w) <= abs(forms.half_plane_mass(w, mean, std) - w) + 1e-12
    assert (forms.basin_weight(w, mean, 8.0, std) - 0.5) * (w - 0.5) >= 0


@covers(theory.overlap, theory.level_ratio)
@given(st.integers(6, 5_000), st.floats(0.5, 0.99), PARTS)
def test_the_ratio_of_levels_undoes_their_overlap_and_falls_with_the_dimension(dimensions, target, part):
    ratio = theory.level_ratio(dimensions, target)
    assert theory.overlap(ratio, dimensions) == pytest.approx(target)
    assert theory.overlap(ratio + part, dimensions) < target < theory.overlap(1 + part * (ratio - 1), dimensions)
    assert 1 < theory.level_ratio(4 * dimensions, target) < ratio


@covers(theory.count_levels)
@given(st.floats(1.0, 100.0), st.floats(0.001, 0.5), st.integers(6, 5_000), SCALES)
def test_the_number_of_levels_depends_on_the_ratio_of_the_ends(sigma_max, sigma_min, dimensions, c):
    n = theory.count_levels(sigma_max, sigma_min, dimensions)
    assert n >= 2
    assert n == theory.count_levels(c * sigma_max, c * sigma_min, dimensions)
    assert n <= theory.count_levels(2 * sigma_max, sigma_min, dimensions)
    steps = math.log(sigma_max / sigma_min) / math.log(theory.level_ratio(dimensions))
    assert abs(n - 1 - steps) <= 0.5 or n == 2


@covers(theory.variance_ratio, theory.best_step_size)
@given(st.floats(0.005, 2.0), st.floats(1.01, 3.0), st.integers(1, 100), PARTS, SCALES)
def test_no_step_comes_nearer_to_the_right_width_than_the_best(sigma_min, ratio, n_steps, part, c):
    best = theory.best_step_size(sigma_min, ratio, n_steps)
    width = theory.variance_ratio(best, sigma_min, ratio, n_steps)
    assert width >= 1 - 1e-9
    assert width <= theory.variance_ratio(2 * sigma_min**2 * part, sigma_min, ratio, n_steps) + 1e-6
    assert theory.best_step_size(c * sigma_min, ratio, n_steps) == pytest.approx(c**2 * best, rel=1e-6)
    alone = forms.annealed_variance(
        [sigma_min], step_size=best, n_steps=n_steps, variance=0.0, start=(ratio * sigma_min) ** 2
    )
    assert alone[0] / sigma_min**2 == pytest.approx(width)


@covers(theory.step_size_of)
@given(VARIANCES, SCALES)
def test_the_other_convention_has_half_the_step(h, c):
    assert theory.step_size_of(h) / 2 == h
    assert theory.step_size_of(c * h) == c * theory.step_size_of(h)
