"""Means with standard errors, moments, shares and the Inception Score."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_near
from properties.strategies import SEEDS, batches, seeded
from sbgm.measure import (
    Estimate,
    inception_score,
    ratio,
)

SIZES = st.integers(3, 30)
LOGITS = batches(st.integers(2, 6).map(lambda k: (k,)), min_size=2, max_size=12)


@given(LOGITS, st.integers(1, 2), SEEDS)
def test_the_inception_score_is_between_one_and_the_number_of_classes(logits, n_splits, seed):
    mean, spread = inception_score(logits, n_splits=n_splits)
    assert 1 - 1e-9 <= mean <= logits.shape[1] + 1e-9
    assert spread >= 0
    assert_near([*inception_score(logits.flip(1), n_splits=n_splits)], [mean, spread], torch.float32)
    order = torch.randperm(len(logits), generator=seeded(seed))
    assert_near(inception_score(logits[order], n_splits=1)[0], inception_score(logits, n_splits=1)[0])
    alike = inception_score(logits[:1].expand(len(logits), -1), n_splits=n_splits)
    assert_near([*alike], [1.0, 0.0])


@given(st.floats(0.5, 5), st.floats(0.5, 5), st.floats(0, 0.1), st.floats(0, 0.1))
def test_a_ratio_and_its_inverse_have_the_same_relative_error(a, b, relative_a, relative_b):
    first, second = Estimate(a, relative_a * a), Estimate(b, relative_b * b)
    there, back = ratio(first, second), ratio(second, first)
    assert_near(there.value * back.value, 1.0)
    for found in (there, back):
        assert_near(found.se / found.value, math.hypot(relative_a, relative_b))
