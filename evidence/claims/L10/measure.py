"""L10: how many steps a chain needs at each level to forget which side of the mixture it is on, by its exact law."""

import itertools
import math

import torch

from laws import MEAN, transition
from ledger import Record, declared, record, reported
from sbgm.noise import geometric_sigmas

SIGMAS = geometric_sigmas(20.0, 1.0, 10)
STEP_SIZE = 0.1


def relaxation(sigma: float, sigma_min: float) -> tuple[float, float]:
    """Steps until what a chain remembers has fallen by a factor of e, and how far the law's mass is off 1.

    Along u = (x₁ + x₂)/√2 the chain is Markov by itself, with the kernel N(u + α/2 s(u), α). Of its matrix on a fine
    grid the largest eigenvalue is 1, and the second, λ, is the factor by which a step shrinks the memory of the side.
    """
    spacing = 0.1 * sigma
    reach = MEAN + 9 * sigma
    u = torch.arange(-reach, reach + spacing / 2, spacing, dtype=torch.float64)
    alpha = STEP_SIZE * (sigma / sigma_min) ** 2
    kernel = transition(u, sigma, alpha, variance=0.0)
    eigenvalues = torch.linalg.eigvals(kernel).abs().sort(descending=True).values
    first, second = eigenvalues[:2].tolist()
    return -1 / math.log(second), abs(first - 1)


def measure() -> Record:
    """Measure L10: the steps of each level of Fig. 3's ladder."""
    sigmas = SIGMAS.tolist()
    steps, masses_off = zip(*(relaxation(sigma, sigmas[-1]) for sigma in sigmas), strict=True)
    slower = sum(large > small for large, small in itertools.pairwise(steps))
    return record(
        "L10",
        [
            declared("L10", "neighbouring levels where the larger σ relaxes more slowly", slower),
            *(reported(f"steps at σ = {sigma:.2g}", n) for sigma, n in zip(sigmas, steps, strict=True)),
            reported("largest eigenvalue off 1", max(masses_off)),
        ],
        data="the paper's mixture, exact scores, σ from 20 to 1",
        note="Steps until what a chain remembers of its side has fallen by a factor of e, by the exact law.",
    )
