"""Upsampling and pooling as products with a matrix for the rows and one for the columns.

PyTorch has both, and they give the same values. But on a CPU `torch.compile` can lose the gradient of
`functional.interpolate`: with torch 2.13 in bfloat16 it was zero where two maps were brought to one size and added
(tests/test_compiled.py). And of `functional.avg_pool2d` it makes a loop that takes three times as long as the product.
"""

from __future__ import annotations

import torch
from torch import Tensor


def upsampled(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation with aligned corners, (B, C, H, W) -> (B, C, *size).

    Row j of the result stands at r = j (H − 1)/(size[0] − 1) among the H rows of x, and takes max(0, 1 − |r − i|) of
    each row i; columns alike.
    """
    if x.shape[2:] == size:
        return x
    rows, columns = (_linear_interpolation(n, m).to(x) for n, m in zip(x.shape[2:], size, strict=True))
    return rows @ x @ columns.T


def pooled(x: Tensor, width: int = 5) -> Tensor:
    """The mean over width × width pixels around each, with zeros beyond the border, (B, C, H, W) -> (B, C, H, W)."""
    rows, columns = (_band(n, width // 2).to(x) for n in x.shape[2:])
    return rows @ x @ columns / width**2  # sums first: 1/width is no number of bfloat16


def _linear_interpolation(n_in: int, n_out: int) -> Tensor:
    """The matrix (n_out, n_in) that takes n_in values at equal distances to n_out from the first to the last."""
    at = torch.linspace(0, n_in - 1, n_out, dtype=torch.float64)
    return (1 - (at[:, None] - torch.arange(n_in)).abs()).clamp(min=0)


def _band(n: int, reach: int) -> Tensor:
    """The symmetric matrix (n, n) that adds up the values at a distance of at most `reach`."""
    index = torch.arange(n)
    return ((index[:, None] - index).abs() <= reach).float()
