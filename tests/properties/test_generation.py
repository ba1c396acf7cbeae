"""Starts, samples in batches, files of samples and of weights, and what judges them."""

import pytest
import torch
from hypothesis import strategies as st

import sbgm
from properties.strategies import gaussian_score, seeded
from sbgm.measure import Measured
from sbgm.measure.judging import FeatureSpace, feature_space, judge, reference_for

SHAPES = st.sampled_from([(1,), (3,), (2, 2), (1, 4, 4)])


def sample(x, generator):
    return sbgm.langevin(gaussian_score(0.5, 1.0), x, step_size=0.1, n_steps=2, generator=generator)


@pytest.mark.parametrize("split", ["train", "test"])
def test_samples_are_judged_in_the_features_of_their_set(split):
    space = feature_space("digits")
    assert isinstance(space, FeatureSpace)
    samples = torch.rand(70, 1, 8, 8, generator=seeded(0))
    assert space.function(samples).shape == (70, 64)
    assert reference_for("digits", space, split, 100).features.shape == (100, 64)
    judged = list(judge(samples, "digits", split=split, n_reference=100))
    measures = [m for m in judged if isinstance(m, Measured)]  # precision to coverage come as text
    assert {m.n for m in measures} == {70}
    assert all(m.value > 0 for m in measures if "kernel" not in m.name)
