"""Gaussian noise: the ladder of levels σ_1 > … > σ_L and the perturbed data x + σz of Section 4."""

from __future__ import annotations

import numpy
import torch
from torch import Tensor

from sbgm.checked import check_batch, check_count, check_floating, check_generator, check_positive, check_sigma

__all__ = [
    "derived_generator",
    "geometric_sigmas",
    "perturb",
    "power_sigmas",
    "randn_like",
]


def geometric_sigmas(sigma_max: float, sigma_min: float, n_levels: int) -> Tensor:
    """The geometric ladder σ_1/σ_2 = … = σ_{L−1}/σ_L > 1 of Section 4.1.

    Args:
        sigma_max: σ_1, in the units of the data.
        sigma_min: σ_L, positive and smaller than `sigma_max`.
        n_levels: L ≥ 2.

    Returns:
        (L,) float32 tensor, descending, whose ends are exactly σ_1 and σ_L.

    Raises:
        ValueError: the ends are not 0 < σ_L < σ_1, or there are fewer than two levels.
    """
    _check_ends(sigma_max, sigma_min, n_levels)
    ratio = sigma_min / sigma_max
    levels = [sigma_max * ratio ** (i / (n_levels - 1)) for i in range(n_levels - 1)]
    return torch.tensor([*levels, sigma_min], dtype=torch.float32)


def power_sigmas(sigma_max: float, sigma_min: float, n_levels: int, power: float = 7.0) -> Tensor:
    """The ladder σ_i = (σ_1^{1/ρ} + (i − 1)/(L − 1) (σ_L^{1/ρ} − σ_1^{1/ρ}))^ρ, for few levels (Karras et al. 2022).

    ρ = 1 spaces the levels evenly, ρ → ∞ geometrically; 7 puts more of them near σ_L than an even ladder and fewer than
    a geometric one.

    Args:
        sigma_max: σ_1, in the units of the data.
        sigma_min: σ_L, positive and smaller than `sigma_max`.
        n_levels: L ≥ 2.
        power: ρ.

    Returns:
        (L,) float32 tensor, descending, whose ends are exactly σ_1 and σ_L.

    Raises:
        ValueError: the ends are not 0 < σ_L < σ_1, there are fewer than two levels, or ρ is not positive.
    """
    _check_ends(sigma_max, sigma_min, n_levels)
    check_positive(power, "power")
    top, bottom = sigma_max ** (1 / power), sigma_min ** (1 / power)
    levels = [(top + i / (n_levels - 1) * (bottom - top)) ** power for i in range(1, n_levels - 1)]
    return torch.tensor([sigma_max, *levels, sigma_min], dtype=torch.float32)


def _check_ends(sigma_max: float, sigma_min: float, n_levels: int) -> None:
    sigma_max, sigma_min = check_positive(sigma_max, "sigma_max"), check_positive(sigma_min, "sigma_min")
    if sigma_min >= sigma_max:
        raise ValueError(f"sigma_min must be smaller than sigma_max = {sigma_max}, got {sigma_min}")
    if check_count(n_levels, "n_levels") < 2:
        raise ValueError(f"n_levels must be at least 2, got {n_levels}")


def randn_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise z of x's shape and dtype, on x's device.

    It is drawn on the generator's device and moved, so that a CPU generator gives the same noise to a CPU and a GPU.
    """
    check_floating(x)
    check_generator(generator)
    return torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)


def perturb(x: Tensor, sigma: float | Tensor, *, generator: torch.Generator) -> Tensor:
    """A sample x̃ = x + σz of q_σ(x̃ | x) = N(x̃ | x, σ²I) (Section 4.2).

    Args:
        x: (B, *shape) data.
        sigma: standard deviation of the noise, a float or one a (B,) example; 0 returns a copy of x.
        generator: source of z.

    Returns:
        (B, *shape) perturbed data.

    Raises:
        ValueError, TypeError: x is no finite floating-point batch, or sigma is negative or of another shape.
    """
    sigma = check_sigma(sigma, check_batch(x))
    return x + sigma * randn_like(x, generator)


def derived_generator(seed: int, *keys: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on a seed and on whole numbers such as a step and a part of its batch, and on no past.

    Work that is cut into numbered pieces, each drawing from its own generator, gives the same result in any order,
    after any interruption, and on any number of processes.

    Args:
        seed: of the whole work.
        keys: what numbers the piece; different keys give independent streams (numpy's SeedSequence mixes them).
        device: where the generator draws.

    Raises:
        ValueError, TypeError: the seed or a key is negative or no whole number.
    """
    check_count(seed, "seed", least=0)
    for key in keys:
        check_count(key, "keys", least=0)
    words = numpy.random.SeedSequence(seed, spawn_key=keys).generate_state(1, numpy.uint64)
    return torch.Generator(device).manual_seed(int(words[0] >> numpy.uint64(1)))  # torch takes 63 bits on any device
