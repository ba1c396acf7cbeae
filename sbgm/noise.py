"""Gaussian noise: the ladder of levels σ_1 > … > σ_L and the perturbed data x + σz of Section 4."""

from __future__ import annotations

from typing import Annotated

import numpy
import torch
from torch import Tensor

from sbgm.guard import (
    ArgumentError,
    Batch,
    Generator,
    Positive,
    Sigma,
    Whole,
    checked,
    count_from,
    require_sigma,
)

__all__ = [
    "derived_generator",
    "geometric_sigmas",
    "perturb",
    "power_sigmas",
    "randn_like",
]


@checked
def geometric_sigmas(sigma_max: Positive, sigma_min: Positive, n_levels: Annotated[int, count_from(2)]) -> Tensor:
    """The geometric ladder σ_1/σ_2 = … = σ_{L−1}/σ_L > 1 of Section 4.1.

    Args:
        sigma_max: σ_1, a float, in the units of the data.
        sigma_min: σ_L, a float, positive and smaller than `sigma_max`.
        n_levels: number of levels, an int, L ≥ 2.

    Returns:
        (L,) float32 tensor, descending, whose ends are exactly σ_1 and σ_L.

    Raises:
        ValueError: σ_L is not smaller than σ_1.

    Example:
        >>> sbgm.geometric_sigmas(8.0, 1.0, 4)
        tensor([8., 4., 2., 1.])
    """
    ratio = sigma_min / sigma_max
    levels = [sigma_max * ratio ** (i / (n_levels - 1)) for i in range(n_levels - 1)]
    return _descending([*levels, sigma_min])  # σ_L itself, which the formula meets up to rounding


@checked
def power_sigmas(
    sigma_max: Positive, sigma_min: Positive, n_levels: Annotated[int, count_from(2)], power: Positive = 7.0
) -> Tensor:
    """The ladder σ_i = (σ_1^{1/ρ} + (i − 1)/(L − 1) (σ_L^{1/ρ} − σ_1^{1/ρ}))^ρ, for few levels (Karras et al. 2022).

    ρ = 1 spaces the levels evenly, ρ → ∞ geometrically; 7 puts more of them near σ_L than an even ladder and fewer than
    a geometric one.

    Args:
        sigma_max: σ_1, a float, in the units of the data.
        sigma_min: σ_L, a float, positive and smaller than `sigma_max`.
        n_levels: number of levels, an int, L ≥ 2.
        power: the exponent ρ, a float.

    Returns:
        (L,) float32 tensor, descending, whose ends are exactly σ_1 and σ_L.

    Raises:
        ValueError: σ_L is not smaller than σ_1.

    Example:
        >>> sbgm.power_sigmas(4.0, 1.0, 4, power=1.0)
        tensor([4., 3., 2., 1.])
        >>> sbgm.power_sigmas(9.0, 1.0, 3, power=2.0)  # (3, 2, 1)²
        tensor([9., 4., 1.])
    """
    root = (sigma_min / sigma_max) ** (1 / power)  # of the ratio, which is below 1: no ρ overflows
    levels = [sigma_max * (1 + i / (n_levels - 1) * (root - 1)) ** power for i in range(1, n_levels - 1)]
    return _descending([sigma_max, *levels, sigma_min])


def _descending(levels: list[float]) -> Tensor:
    """The ladder as float32, in which levels that are too close become equal, and too large ones infinite."""
    sigma_max = levels[0]
    sigma_min = levels[-1]
    if sigma_min >= sigma_max:
        raise ArgumentError("sigma_min", f"be smaller than sigma_max = {sigma_max}", sigma_min)
    # networks keep their ladder in float32, and look a σ up in it
    ladder = torch.tensor(levels, dtype=torch.float32)
    if not (ladder[0].isfinite() and ladder[-1] > 0 and (ladder[:-1] > ladder[1:]).all()):
        raise ValueError(
            f"sigma_max = {sigma_max:g} and sigma_min = {sigma_min:g} must be so far apart, and of such a size, that "
            f"float32 tells {len(levels)} levels apart"
        )
    return ladder


def randn_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise z of x's shape and dtype, on x's device.

    It is drawn on the generator's device and moved, so that a CPU generator gives the same noise to a CPU and a GPU.

    Example:
        >>> x = torch.zeros(3, 2)
        >>> z, again = (sbgm.randn_like(x, torch.Generator().manual_seed(0)) for _ in range(2))
        >>> z.shape, torch.equal(z, again)
        (torch.Size([3, 2]), True)
    """
    return torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)


@checked
def perturb(x: Batch, sigma: Sigma, *, generator: Generator) -> Tensor:
    """A sample x̃ = x + σz of q_σ(x̃ | x) = N(x̃ | x, σ²I) (Section 4.2).

    Args:
        x: a tensor (B, *shape) of data.
        sigma: standard deviation of the noise, a float or one a (B,) example; 0 returns a copy of x.
        generator: source of the noise z.

    Returns:
        (B, *shape) perturbed data.

    Example:
        >>> x, g = torch.full((10_000, 1), 3.0), torch.Generator().manual_seed(0)
        >>> noisy = sbgm.perturb(x, sigma=0.5, generator=g)
        >>> f"{noisy.mean():.1f}, {noisy.std():.1f}"
        '3.0, 0.5'
    """
    return x + require_sigma(sigma, x) * randn_like(x, generator)


@checked
def derived_generator(seed: Whole, *keys: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on a seed and on whole numbers such as a step and a part of its batch, and on no past.

    Work that is cut into numbered pieces, each drawing from its own generator, gives the same result in any order,
    after any interruption, and on any number of processes.

    Args:
        seed: an int, the seed of the whole work.
        keys: what numbers the piece; different keys give independent streams (numpy's SeedSequence mixes them).
        device: where the generator draws.

    Example:
        >>> first, second, again = (sbgm.derived_generator(0, batch) for batch in (1, 2, 1))
        >>> a, b, c = (torch.rand(3, generator=g) for g in (first, second, again))
        >>> torch.equal(a, b), torch.equal(a, c)
        (False, True)
    """
    for key in keys:
        count_from(0)(key, "keys")
    # seed + key would give (0, 1) and (1, 0) one stream; SeedSequence hashes them, so that near seeds are unrelated
    (word,) = numpy.random.SeedSequence(seed, spawn_key=keys).generate_state(1, numpy.uint64)
    return torch.Generator(device).manual_seed(int(word) >> 1)  # torch takes 63 bits on any device
