"""A score whose expected clean point stays in the range of the data."""

from __future__ import annotations

from torch import Tensor

from sbgm._validate import check_callable, check_number, check_sigma
from sbgm.losses import Score


def in_range(score: Score, low: float = 0.0, high: float = 1.0) -> Score:
    """Keep what a score takes for the clean point, D(x, σ) = x + σ² s(x, σ), between low and high.

    s'(x, σ) = (min{max{D(x, σ), low}, high} − x)/σ². The true D is an expectation of data within [low, high] and lies
    there itself, so that clamping brings every coordinate nearer to it or leaves it alone. It counts at large σ, where
    a small relative error of the score is a large one of D.

    Args:
        score: noise conditional score s(x, sigma), such as a network's.
        low, high: the data's range, such as a network's `data_range`.

    Returns:
        A score that takes what `score` takes; sigma must be positive.

    Raises:
        ValueError: the range is empty.
    """
    check_callable(score, "score")
    if not check_number(low, "low") < check_number(high, "high"):
        raise ValueError(f"low must be smaller than high = {high}, got {low}")

    def clamped(x: Tensor, sigma: float | Tensor) -> Tensor:
        variance = check_sigma(sigma, x, positive=True) ** 2
        return ((x + variance * score(x, sigma)).clamp(low, high) - x) / variance

    return clamped
