"""L10: how many steps a chain needs at each level to forget which side of the mixture it is on, by its exact law."""

import itertools
import math
import sys
from pathlib import Path

import torch

from claims import Found, declared, reported, run
from sbgm import geometric_sigmas

MEAN, SIGMAS, STEP_SIZE = math.sqrt(50), geometric_sigmas(20.0, 1.0, 10), 0.1


def relaxation(sigma: float, sigma_min: float) -> tuple[float, float]:
    """Steps until what a chain remembers has fallen by a factor of e, and how far the law's mass is off 1.

    Along u = (x₁ + x₂)/√2 the chain is Markov by itself, with the kernel N(u + α/2 s(u), α). Of its matrix on a fine
    grid the largest eigenvalue is 1, and the second, λ, is the factor by which a step shrinks the memory of the side.
    """
    spacing, reach = 0.2 * sigma, MEAN + 9 * sigma
    u = torch.arange(-reach, reach + spacing / 2, spacing, dtype=torch.float64)
    alpha = STEP_SIZE * (sigma / sigma_min) ** 2
    score = (MEAN * (2 * torch.sigmoid(math.log(4) + 2 * MEAN * u / sigma**2) - 1) - u) / sigma**2
    kernel = torch.exp(-((u[:, None] - (u + alpha / 2 * score)) ** 2) / (2 * alpha))
    kernel /= kernel.sum(dim=0)
    first, second = torch.linalg.eigvals(kernel).abs().sort(descending=True).values[:2].tolist()
    return -1 / math.log(second), abs(first - 1)


def measure(folder: Path) -> Found:
    """Measure L10."""
    found = [relaxation(sigma, float(SIGMAS[-1])) for sigma in SIGMAS.tolist()]
    slower = sum(large > small for (large, _), (small, _) in itertools.pairwise(found))
    return Found(
        [
            declared("L10", "neighbouring levels where the larger σ relaxes more slowly", slower),
            *(reported(f"steps at σ = {s:.2g}", steps) for s, (steps, _) in zip(SIGMAS.tolist(), found, strict=True)),
            reported("largest eigenvalue off 1", max(off for _, off in found)),
        ],
        {"steps": torch.tensor([steps for steps, _ in found], dtype=torch.float64)},
        data="the paper's mixture, exact scores, σ from 20 to 1",
        note="Steps until what a chain remembers of its side has fallen by a factor of e, by the exact law.",
        networks=[],
        facts={},
    )


if __name__ == "__main__":
    sys.exit(run("L10", measure))
