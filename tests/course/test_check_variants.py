"""Exercises with variants: each group has its own numbers, and another group's answer is refused."""

import itertools

import pytest

from sbgm import checks
from sbgm.theory import count_levels

VARIANTS = range(6)


def answer_of(variant):
    problem = checks.ladder_problem(variant)
    n_levels = count_levels(problem["sigma_max"], problem["sigma_min"], problem["dim"])
    return lambda: n_levels


@pytest.mark.parametrize("variant", VARIANTS)
def test_own_answer_passes(variant):
    assert checks.levels_needed(answer_of(variant), variant=variant).correct


@pytest.mark.parametrize(("mine", "theirs"), list(itertools.permutations(VARIANTS, 2)))
def test_another_groups_answer_is_refused(mine, theirs):
    with pytest.raises(checks.WrongAnswer, match="another group"):
        checks.levels_needed(answer_of(theirs), variant=mine)


def test_the_numbers_of_a_variant_are_fixed():
    assert checks.ladder_problem(3) == checks.ladder_problem(3)
    assert checks.ladder_problem() == checks.ladder_problem(0)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (-1, "variant must not be negative, got -1"),
        (1.5, "variant must be a whole number, got 1.5"),
        ("A", "variant must be a whole number, got 'A'"),
    ],
)
def test_a_bad_variant_is_named(variant, message):
    with pytest.raises((ValueError, TypeError), match=message):
        checks.ladder_problem(variant)
