"""Numbers that say whether a loss curve settles or runs on: its spread, with and without its trend, and its drift."""

from __future__ import annotations

import torch
from torch import Tensor


def relative_spread(losses: Tensor, *, detrended: bool = False) -> float:
    """sd/|mean| of a loss over the last third of its curve, (T,) with T ≥ 9.

    Args:
        losses: the loss of every iteration.
        detrended: take the standard deviation around a straight line, fitted to that third, in place of the mean.
    """
    last = _last(losses, 3)
    rest = last - _line(last) if detrended else last
    return float(rest.std() / last.mean().abs())


def relative_drift(losses: Tensor) -> float:
    """How far the mean of a loss moves over the last quarter of its curve, (T,), as a share of its size.

    The change, from end to end, of a straight line fitted to that quarter, over |mean|.
    """
    last = _last(losses, 4)
    line = _line(last)
    return float((line[-1] - line[0]).abs() / last.mean().abs())


def running_mean(losses: Tensor, n: int = 100) -> Tensor:
    """The means of n consecutive losses: (T,) -> (T − n + 1,)."""
    if not 1 <= n <= len(losses):
        raise ValueError(f"n must be 1 … {len(losses)}, the number of losses, got {n}")
    return losses.double().unfold(0, n, 1).mean(dim=1)


def _last(losses: Tensor, parts: int) -> Tensor:
    if losses.ndim != 1 or len(losses) < 9:
        raise ValueError(f"losses must be at least nine numbers, (T,), got shape {tuple(losses.shape)}")
    if not bool(torch.isfinite(losses).all()):
        raise ValueError("losses must be finite, but they hold NaN or infinity")
    return losses[len(losses) - len(losses) // parts :].double()


def _line(values: Tensor) -> Tensor:
    """The least-squares straight line through equally spaced values, at the same places."""
    t = torch.arange(len(values), dtype=values.dtype)
    t = t - t.mean()
    return values.mean() + (t * values).sum() / t.square().sum() * t
