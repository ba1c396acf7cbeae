"""The kernel distance of two sets of features: what KID is in Inception's features."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sbgm._validate import check_batch, check_count
from sbgm.metrics.measured import Measured


def kernel_distance(
    samples: Tensor,
    reference: Tensor,
    *,
    name: str = "kernel distance",
    against: str = "reference images",
    features: str = "given features",
    block_size: int = 2_000,
) -> Measured:
    """The unbiased squared maximum mean discrepancy with the kernel k(x, y) = (x·y/F + 1)³ (Bińkowski et al. 2018).

    Mean k(x, x') over pairs of samples + mean k(y, y') over pairs of the reference − 2 mean k(x, y). Unlike the Fréchet
    distance it needs no more points than features, and its mean does not depend on how many there are; it can be
    negative. Here all pairs count; the mean over random subsets, as often reported, estimates the same number with more
    noise. The standard error is the jackknife's over samples and reference, on the safe side near 0.

    Args:
        samples: (N, F) features, N ≥ 3.
        reference: (N', F) features of real images.
        name, against, features: for the result's text.
        block_size: rows of the kernel matrix in memory at once.

    Raises:
        ValueError: the numbers of features differ, or a set has fewer than three points.
    """
    x, y = _points(samples, "samples"), _points(reference, "reference")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"samples must have the {y.shape[1]:,} features of reference, got {x.shape[1]:,}")
    check_count(block_size, "block_size")
    n, m = len(x), len(y)
    xx, yy = _row_sums(x, x, block_size) - _kernel_norms(x), _row_sums(y, y, block_size) - _kernel_norms(y)
    xy, yx = torch.zeros(n, dtype=x.dtype), torch.zeros(m, dtype=y.dtype)
    for rows, block in _blocks(x, y, block_size):
        xy[rows], yx = block.sum(dim=1), yx + block.sum(dim=0)

    def distance(xx: Tensor, yy: Tensor, xy: Tensor, n: int, m: int) -> Tensor:
        return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)

    value = distance(xx.sum(), yy.sum(), xy.sum(), n, m)
    without_x = distance(xx.sum() - 2 * xx, yy.sum(), xy.sum() - xy, n - 1, m)
    without_y = distance(xx.sum(), yy.sum() - 2 * yy, xy.sum() - yx, n, m - 1)
    variance = sum(float((len(w) - 1) ** 2 / len(w) * w.var()) for w in (without_x, without_y))
    return Measured(name, float(value), math.sqrt(variance), n, m, against, features)


def _blocks(x: Tensor, y: Tensor, block_size: int) -> Iterator[tuple[slice, Tensor]]:
    """The kernel matrix of x and y, some rows at a time, with the rows' place."""
    for start in range(0, len(x), block_size):
        rows = slice(start, start + block_size)
        yield rows, (x[rows] @ y.T / x.shape[1] + 1) ** 3


def _row_sums(x: Tensor, y: Tensor, block_size: int) -> Tensor:
    return torch.cat([block.sum(dim=1) for _, block in _blocks(x, y, block_size)])


def _kernel_norms(x: Tensor) -> Tensor:
    """k(x, x) of each point."""
    return (x.square().mean(dim=1) + 1) ** 3


def _points(features: Tensor, name: str) -> Tensor:
    if check_batch(features, name).ndim != 2 or len(features) < 3:
        raise ValueError(f"{name} must be of shape (N, F) with N of at least 3, got shape {tuple(features.shape)}")
    return features.detach().cpu().double()
