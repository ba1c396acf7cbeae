"""Values that an argument of each kind must refuse."""

from __future__ import annotations

import math

import numpy
import torch
from hypothesis import strategies as st

from properties.strategies import SEEDS, normal, seeded


def among(*values: object) -> st.SearchStrategy:
    return st.sampled_from(values)


def given_only(strategy: st.SearchStrategy) -> st.SearchStrategy:
    """The same for an argument that may be None."""
    return strategy.filter(lambda value: value is not None)


NAN, INF = math.nan, math.inf
NONE = st.none()

NO_NUMBER = among("0.1", b"1", [0.1], torch.ones(2), True, 1j, len)
NOT_FINITE = NO_NUMBER | among(NAN, INF, -INF)
NEGATIVE = NOT_FINITE | NONE | st.floats(max_value=-1e-6)
NOT_POSITIVE = NEGATIVE | among(0, 0.0)
OUTSIDE_0_1 = NOT_POSITIVE | among(1, 1.0) | st.floats(min_value=1)
BELOW_1 = NOT_POSITIVE | st.floats(max_value=0.999)
NOT_ABOVE_1 = BELOW_1 | among(1, 1.0)

NO_WHOLE_NUMBER = among(2.5, "3", NAN, True, [3], torch.ones(2), 3.0)
NO_COUNT = NO_WHOLE_NUMBER | NONE | st.integers(max_value=0)
NEGATIVE_COUNT = NO_WHOLE_NUMBER | NONE | st.integers(max_value=-1)

NO_GENERATOR = among(None, 0, "cpu", torch.ones(1), numpy.random.default_rng(0))
NO_CALLABLE = among(None, 3, "score", torch.ones(3, 2))
NO_CHOICE = among(None, "", "nonsense", 3, ["mean"])
NO_SHAPE = among(None, 4, (), "ab", (0, 4), (4, -4), (4.0, 4.0), (4, None))
NO_IMAGE_SHAPE = NO_SHAPE | among((4,), (4, 1), (1, 4, 1))
NO_ITERABLE = among(None, 3, 0.5)
NO_NETWORK = among(None, 3, "network", torch.ones(2))


@st.composite
def with_holes(draw, *shape: int) -> torch.Tensor:
    """Normal numbers, but for one that is NaN or infinite."""
    x = normal(draw(SEEDS), *shape).float()
    x.view(-1)[draw(st.integers(0, x.numel() - 1))] = draw(among(NAN, INF, -INF))
    return x


NO_TENSOR = among(None, 1.0, "x", [[1.0, 2.0]], numpy.ones((3, 2)), torch.ones(3, 2, dtype=torch.complex64))
NO_FLOATS = NO_TENSOR | among(torch.ones(3, 2, dtype=torch.int64), torch.ones(3, 2, dtype=torch.bool))
NO_BATCH = NO_FLOATS | among(torch.ones(3), torch.ones(()), torch.ones(0, 2), torch.ones(3, 0)) | with_holes(3, 2)
NO_SET_OF_TWO = NO_BATCH | among(torch.ones(1, 2))
NO_ROWS = NO_BATCH | among(torch.ones(3, 2, 1))  # neither (N, K)
NO_VALUES = NO_TENSOR | among(torch.ones(0), torch.ones(1)) | with_holes(3)


def no_batch_of(*shape: int) -> st.SearchStrategy:
    """What is no finite batch (B, *shape), for one example's shape other than (2,)."""
    return NO_BATCH | among(torch.ones(3, *shape, 1), torch.ones(3, *shape[:-1], shape[-1] + 1)) | with_holes(3, *shape)


def no_sigma_of(n: int) -> st.SearchStrategy:
    """What is no noise level ≥ 0 of a batch of n."""
    wrong = among(torch.ones(n + 1), torch.ones(n, 1), -torch.ones(n), torch.full((n,), NAN), torch.full((n,), INF))
    return among(None, "0.5", [0.5] * n, NAN, INF, -0.1) | wrong


def no_positive_sigma_of(n: int) -> st.SearchStrategy:
    return no_sigma_of(n) | among(0, 0.0, torch.zeros(n), torch.arange(n))


@st.composite
def not_descending(draw) -> list[float] | torch.Tensor:
    """Two levels or more, of which some neighbours ascend or are equal."""
    levels = sorted((0.1 + torch.rand(draw(st.integers(2, 5)), generator=seeded(draw(SEEDS)))).tolist(), reverse=True)
    place = draw(st.integers(1, len(levels) - 1))
    levels[place] = levels[place - 1] * draw(among(1.0, 1.5))
    return draw(among(levels, torch.tensor(levels)))


NO_LADDER = not_descending() | among(
    None, 1.0, "ladder", [], torch.tensor(1.0), [1.0, None], ["2", "1"], [2.0, NAN], [INF, 1.0], [1.0, 0.0], [1.0, -1.0]
)
NO_LADDER_OF_TWO = NO_LADDER | among([1.0], (2.0,))
