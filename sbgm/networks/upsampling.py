"""Bilinear upsampling whose gradient survives the compiler.

`functional.interpolate` gives the same values, but `torch.compile` can lose its gradient on a CPU: with torch 2.13 in
bfloat16 it was zero where two maps were brought to one size and added (tests/test_compiled.py).
"""

from __future__ import annotations

import torch
from torch import Tensor


def upsampled(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation with aligned corners, (B, C, H, W) -> (B, C, *size), as products with two matrices.

    Row j of the result stands at r = j (H − 1)/(size[0] − 1) among the H rows of x, and takes max(0, 1 − |r − i|) of
    each row i; columns alike.
    """
    if x.shape[2:] == size:
        return x
    rows, columns = (_linear_interpolation(n, m).to(x) for n, m in zip(x.shape[2:], size, strict=True))
    return rows @ x @ columns.T


def _linear_interpolation(n_in: int, n_out: int) -> Tensor:
    """The matrix (n_out, n_in) that takes n_in values at equal distances to n_out from the first to the last."""
    at = torch.linspace(0, n_in - 1, n_out, dtype=torch.float64)
    return (1 - (at[:, None] - torch.arange(n_in)).abs()).clamp(min=0)
