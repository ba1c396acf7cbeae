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
        ValueError: σ_L is not smaller than σ_1, or float32 can't tell the levels apart.

    Example:
        >>> sbgm.geometric_sigmas(8.0, 1.0, 4)
        tensor([8., 4., 2., 1.])
    """
    if sigma_min >= sigma_max:
        raise ArgumentError("sigma_min", f"be smaller than sigma_max = {sigma_max}", sigma_min)
    ratio = sigma_min / sigma_max
    levels = [sigma_max * ratio ** (i / (n_levels - 1)) for i in range(n_levels - 1)]
    # σ_L itself, which the formula meets up to rounding; networks keep their ladder in float32, and look a σ up in it
    ladder = torch.tensor([*levels, sigma_min], dtype=torch.float32)
    if not (ladder[0].isfinite() and ladder[-1] > 0 and (ladder[:-1] > ladder[1:]).all()):
        raise ValueError(
            f"sigma_max = {sigma_max:g} and sigma_min = {sigma_min:g} must be so far apart, and of such a size, that "
            f"float32 tells {n_levels} levels apart"
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
