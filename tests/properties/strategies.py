"""What the properties are drawn over: batches, noise levels, ladders, masks and scores, each from a drawn seed.

Hypothesis draws shapes, dtypes, sizes and seeds; torch fills the tensors, so that an example costs microseconds.
"""

import math
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

from sbgm import ConditionalMLP, GaussianMixture
from seeds import seeded

Score = Callable[[Tensor, "float | Tensor"], Tensor]

SEEDS = st.integers(0, 2**31 - 1)
SHAPES = st.sampled_from([(1,), (2,), (5,), (3, 2), (1, 4, 4), (3, 2, 6), (2, 1, 2, 2)])
IMAGE_SHAPES = st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(2, 9))
EXACT = st.sampled_from([torch.float32, torch.float64])
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16])
DIMENSIONS = st.integers(1, 4)
POSITIVE = st.floats(0.05, 20.0)
SCALES = st.sampled_from([0.25, 0.5, 2.0, 8.0])  # powers of two: scaling by them rounds nothing


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


@st.composite
def batches(draw, shapes=SHAPES, dtypes=EXACT, min_size: int = 1, max_size: int = 6) -> Tensor:
    """(B, *shape) normal points of a drawn scale."""
    shape = draw(shapes)
    n = draw(st.integers(min_size, max_size))
    x = draw(st.sampled_from([0.1, 1.0, 10.0])) * normal(draw(SEEDS), n, *shape)
    return x.to(draw(dtypes))


def points(dim=DIMENSIONS, **options) -> st.SearchStrategy[Tensor]:
    """(B, D) points."""
    return batches(dim.map(lambda d: (d,)), **options)


@st.composite
def images(draw, shapes=IMAGE_SHAPES, dtypes=EXACT, min_size: int = 1, max_size: int = 5) -> Tensor:
    """(B, C, H, W) images in [0, 1]."""
    x = torch.rand(draw(st.integers(min_size, max_size)), *draw(shapes), generator=seeded(draw(SEEDS)))
    return x.to(draw(dtypes))


@st.composite
def sigmas_of(draw, x: Tensor) -> float | Tensor:
    """A noise level for a batch: a positive float, or one an example in one of two dtypes."""
    if draw(st.booleans()):
        return draw(POSITIVE)
    sigma = 0.05 + 5 * torch.rand(len(x), generator=seeded(draw(SEEDS)), dtype=torch.float64)
    return sigma.to(draw(st.sampled_from([x.dtype, torch.float64])))


def sigma_at(sigma: float | Tensor, examples: slice | Tensor) -> float | Tensor:
    """The noise level of some of a batch's examples."""
    return sigma[examples] if isinstance(sigma, Tensor) else sigma


@st.composite
def ladders(draw, min_size: int = 1, max_size: int = 5) -> Tensor | list[float] | tuple[float, ...]:
    """σ_1 > … > σ_L, as a tensor, a list or a tuple, of equal ratios or not."""
    ratios = draw(st.lists(st.floats(1.1, 3.0), min_size=min_size - 1, max_size=max_size - 1))
    levels = [draw(st.floats(0.05, 2.0))]
    for ratio in ratios:
        levels.insert(0, levels[0] * ratio)
    return draw(st.sampled_from([list, tuple, torch.tensor]))(levels)


@st.composite
def masks_of(draw, x: Tensor) -> Tensor:
    """A boolean mask that broadcasts to a batch."""
    shape = draw(st.sampled_from([tuple(x.shape), tuple(x.shape[1:]), (1,) * x.ndim]))
    return torch.rand(shape, generator=seeded(draw(SEEDS))) < draw(st.sampled_from([0.0, 0.3, 0.7, 1.1]))


@st.composite
def mixtures(draw, dim: int | None = None, dtypes=EXACT) -> GaussianMixture:
    """A mixture of one to three components, of one std or several."""
    k = draw(st.integers(1, 3))
    dtype = draw(dtypes)
    dim = draw(st.integers(1, 4)) if dim is None else dim
    weights = normal(draw(SEEDS), k).softmax(dim=0)
    means = 3 * normal(draw(SEEDS), k, dim)
    stds = 0.3 + normal(draw(SEEDS), k).abs()
    return GaussianMixture(weights.to(dtype), means.to(dtype), draw(st.sampled_from([stds, stds[0]])).to(dtype))


def gaussian_score(mean: float | Tensor, variance: float) -> Score:
    """The exact score of N(mean, vI) perturbed by noise, for points of any shape."""

    def score(x: Tensor, sigma: float | Tensor) -> Tensor:
        return (mean - x) / (variance + wide(sigma, x) ** 2)

    return score


def wide(sigma: float | Tensor, x: Tensor) -> float | Tensor:
    """σ in a form that broadcasts against x."""
    return sigma.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1)) if isinstance(sigma, Tensor) and sigma.ndim else sigma


@st.composite
def scores(draw, shape: tuple[int, ...]) -> Score:
    """A score for points of a shape: exact, of a mixture, a linear map, or a small network; one example at a time."""
    dim = math.prod(shape)
    seed = draw(SEEDS)
    kind = draw(st.sampled_from(["gaussian", "mixture", "linear", "network"]))
    if kind == "gaussian":
        return gaussian_score(draw(st.floats(-2, 2)), draw(st.floats(0.1, 4)))
    if kind == "linear":
        matrix = 0.3 * normal(seed, dim, dim) / math.sqrt(dim) - torch.eye(dim, dtype=torch.float64)
        return lambda x, sigma: (x.flatten(1) @ matrix.to(x.dtype)).reshape(x.shape) / (1 + wide(sigma, x) ** 2)
    if kind == "mixture":
        mixture = draw(mixtures(dim))
        return lambda x, sigma: mixture.score(x.flatten(1), sigma).reshape(x.shape)
    networks = {dtype: ConditionalMLP(dim, 4, 1, generator=seeded(seed)).to(dtype) for dtype in DTYPES_OF_NETWORKS}
    return lambda x, sigma: networks[x.dtype](x.flatten(1), sigma).reshape(x.shape)


DTYPES_OF_NETWORKS = (torch.float32, torch.float64, torch.bfloat16)

BAD_SCORES = {  # of points (4, 2): the score, the error and what it says
    "one number an example": (lambda x, sigma: x[:, 0], ValueError, r"return x's shape, \(4, 2\), got \(4,\)"),
    "one dimension": (lambda x, sigma: x[:, :1], ValueError, r"return x's shape, \(4, 2\), got \(4, 1\)"),
    "transposed": (lambda x, sigma: x.T, ValueError, r"return x's shape, \(4, 2\), got \(2, 4\)"),
    "no tensor": (lambda x, sigma: 0.0, TypeError, r"return a torch\.Tensor of floats, got float"),
    "whole numbers": (lambda x, sigma: x.long(), TypeError, r"return a torch\.Tensor of floats, got torch\.int64"),
    "complex": (lambda x, sigma: x * 1j, TypeError, r"return a torch\.Tensor of floats, got torch\.complex64"),
}
