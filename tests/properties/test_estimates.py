"""Means with standard errors, moments, shares and the Inception Score."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from properties.comparing import assert_near
from properties.coverage import covers
from properties.strategies import SEEDS, batches, normal, seeded
from sbgm.measure import (
    ChiSquared,
    Estimate,
    Moments,
    Share,
    class_shares,
    class_test,
    confident_share,
    estimate,
    inception_score,
    moments,
    ratio,
    share,
)

SIZES = st.integers(3, 30)
LINES = st.tuples(st.floats(-5, 5), st.floats(0.1, 10), st.sampled_from([-1, 1]))  # a, |b| and the sign of b
LOGITS = batches(st.integers(2, 6).map(lambda k: (k,)), min_size=2, max_size=12)


@covers(estimate, Estimate)
@given(SIZES, SEEDS, LINES)
def test_an_estimate_follows_its_values_and_knows_no_order(n, seed, line):
    a, b, values = line[0], line[1] * line[2], normal(seed, n)
    mean = estimate(values)
    assert isinstance(mean, Estimate)
    assert_near([*estimate(a + b * values)], [a + b * mean.value, abs(b) * mean.se])
    assert_near([*estimate(values.flip(0)[:, None])], [*mean])
    twice = estimate(values.repeat(2))
    assert twice.value == pytest.approx(mean.value)
    assert twice.se == pytest.approx(mean.se * math.sqrt((n - 1) / (2 * n - 1)))


@covers(moments, Moments)
@given(SIZES, SEEDS, LINES)
def test_moments_follow_their_points_and_the_kurtosis_has_no_scale(n, seed, line):
    a, b, x = line[0], line[1] * line[2], normal(seed, n)
    before, after = moments(x), moments((a + b * x)[:, None])
    assert isinstance(before, Moments)
    assert_near(list(after.mean), [a + b * before.mean.value, abs(b) * before.mean.se])
    assert_near(list(after.variance), [b**2 * v for v in before.variance])
    assert_near(list(after.kurtosis), list(before.kurtosis), torch.float32)
    assert before.kurtosis.value >= 1


@covers(share, Share)
@given(st.integers(1, 500), st.floats(0, 1), st.floats(0.01, 0.99))
def test_a_share_lies_in_its_interval_which_mirrors_that_of_its_complement(n, part, confidence):
    count = round(part * n)
    found, rest = share(count, n, confidence=confidence), share(n - count, n, confidence=confidence)
    assert isinstance(found, Share)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert_near([rest.value, rest.low, rest.high], [1 - found.value, 1 - found.high, 1 - found.low])
    surer, larger = share(count, n, confidence=(1 + confidence) / 2), share(4 * count, 4 * n, confidence=confidence)
    assert surer.high - surer.low > found.high - found.low > larger.high - larger.low


@covers(class_shares)
@given(LOGITS)
def test_the_shares_of_the_classes_add_up_and_move_with_their_names(logits):
    shares = class_shares(logits)
    assert len(shares) == logits.shape[1]
    assert sum(s.value for s in shares) == pytest.approx(1)
    assert {s.n for s in shares} == {len(logits)}
    assert class_shares(logits.flip(1)) == shares[::-1]
    assert class_shares(logits.flip(0) + 3) == shares


@covers(confident_share)
@given(LOGITS, st.floats(0.05, 0.95), st.floats(0.01, 1.0))
def test_fewer_are_sure_of_more_and_more_are_sure_of_sharper_logits(logits, threshold, part):
    found = confident_share(logits, threshold)
    assert confident_share(logits, threshold * part).value >= found.value
    assert confident_share(2 * logits, threshold).value >= found.value
    assert confident_share(logits, 1e-6).value == 1


@covers(inception_score)
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


@covers(class_test, ChiSquared)
@given(SEEDS, st.integers(2, 5))
def test_the_class_test_knows_no_order_and_is_0_where_classes_are_the_datas(seed, n_classes):
    labels = torch.arange(10 * n_classes) % n_classes
    logits = torch.nn.functional.one_hot(labels).double()
    found = class_test(logits, labels)
    assert (found.statistic, found.n_degrees, found.p) == (0, n_classes - 1, 1)
    drawn = normal(seed, 10 * n_classes, n_classes)
    assert class_test(drawn, labels) == class_test(drawn.flip(0), labels.flip(0))


@covers(ratio)
@given(st.floats(0.5, 5), st.floats(0.5, 5), st.floats(0, 0.1), st.floats(0, 0.1))
def test_a_ratio_and_its_inverse_have_the_same_relative_error(a, b, relative_a, relative_b):
    first, second = Estimate(a, relative_a * a), Estimate(b, relative_b * b)
    there, back = ratio(first, second), ratio(second, first)
    assert_near(there.value * back.value, 1.0)
    for found in (there, back):
        assert_near(found.se / found.value, math.hypot(relative_a, relative_b))
