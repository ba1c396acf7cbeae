"""Nearest training images: whether samples are copies (Appendix C.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sbgm._validate import check_batch, check_count


class Neighbours(NamedTuple):
    """The k nearest candidates of each of B points, nearest first: Euclidean distances and indices, both (B, k)."""

    distances: Tensor
    indices: Tensor


@torch.no_grad()
def nearest_neighbours(x: Tensor, candidates: Tensor, k: int = 1, *, block_size: int = 1_000) -> Neighbours:
    """The k nearest candidates of each point in Euclidean distance: pixels, or features where these are given.

    The candidates are found by ‖x‖² + ‖y‖² − 2 x·y, block by block, and the distances of those found then computed from
    the differences, so that a copy has the distance 0 and no rounding error of large norms.

    Args:
        x: (B, *shape), such as samples.
        candidates: (N, *shape), such as training images, on any device; each block is moved to x's.
        k: how many, at most N.
        block_size: at most block_size² distances are in memory at once.

    Raises:
        ValueError: the shapes differ, or k is larger than N.
    """
    check_batch(x, "x")
    if check_batch(candidates, "candidates").shape[1:] != x.shape[1:]:
        raise ValueError(
            f"candidates must be of the shape of x, (N, {', '.join(map(str, x.shape[1:]))}), "
            f"got {tuple(candidates.shape)}"
        )
    if check_count(k, "k") > len(candidates):
        raise ValueError(f"k must be at most the number of candidates, {len(candidates)}, got {k}")
    x, candidates = x.flatten(1), candidates.flatten(1)
    found = [_nearest(block, candidates, k, block_size) for block in x.split(check_count(block_size, "block_size"))]
    return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _nearest(x: Tensor, candidates: Tensor, k: int, block_size: int) -> tuple[Tensor, Tensor]:
    """Distances and indices of one block of points, (b, k)."""
    best = x.new_full((len(x), 0), 0)
    indices = torch.empty(len(x), 0, dtype=torch.long, device=x.device)
    for start in range(0, len(candidates), block_size):
        y = candidates[start : start + block_size].to(x)
        rank = y.square().sum(dim=1) - 2 * x @ y.T  # the squared distance less ‖x‖², which is the same for all y
        best = torch.cat([best, rank], dim=1)
        indices = torch.cat([indices, torch.arange(start, start + len(y), device=x.device).expand(len(x), -1)], dim=1)
        best, kept = best.topk(min(k, best.shape[1]), dim=1, largest=False)
        indices = indices.gather(1, kept)
    chosen = candidates[indices.to(candidates.device)].to(x)
    distances, order = (chosen - x[:, None]).norm(dim=2).sort(dim=1, stable=True)
    return distances, indices.gather(1, order)
