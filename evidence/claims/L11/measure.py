"""L11: what neighbouring levels' densities have in common, ∫ min(q, q′) dx, by sums over a grid.

It is 1 where they are equal, 0 where they share nothing. Nothing is expected: neighbours share at least what two
centred Gaussians with their σ do, whatever p is: in the plane 0.76 on the appendix's ladder and 0.64 on the text's;
with the 784 pixels of a digit 9·10⁻²⁴. For images q_σ is not known: 3,158 digits are taken for all the data there are,
and a noisy digit is asked how much likelier it is under its own level than under a neighbour's.
"""

import itertools
import math

import torch
from torch import Tensor

from ledger import Record, guard, record, reported, seed
from plane import FIGURE3_SIGMAS, TEXT_SIGMAS
from sbgm import GaussianMixture, derived_generator, geometric_sigmas, load_images, paper_mixture, plots

N_NOISY = 50
"""Digits of each level and neighbour."""


def levels_on_grid(target: GaussianMixture, ladder: Tensor, extent: float, n: int = 1_001) -> Tensor:
    """The mass of each level's q_σ in each cell of a grid: (L, n²)."""
    grid = plots.grid(n, extent).double()
    area = (2 * extent / (n - 1)) ** 2
    return torch.stack([target.log_prob(grid, sigma).exp() * area for sigma in ladder.double().tolist()])


def overlap(a: Tensor, b: Tensor) -> float:
    """What two densities on a grid have in common."""
    return float(torch.minimum(a, b).sum())


def of_digits() -> Tensor:
    """log₁₀ of how much likelier noisy digits are under their own level than under each neighbour: (900,)."""
    digits = load_images("mnist_small").flatten(1).double()
    generator = derived_generator(seed("L11"), 0)

    def log_density(x: Tensor, sigma: float) -> Tensor:
        """log q_σ of the digits with noise, but for a constant."""
        squares = torch.cdist(x, digits).square()
        return torch.logsumexp(-squares / (2 * sigma**2), dim=1) - x.shape[1] * math.log(sigma)

    odds = []
    for pair in itertools.pairwise(geometric_sigmas(1.0, 0.01, 10).double().tolist()):
        for own, other in (pair, pair[::-1]):
            clean = digits[torch.randint(len(digits), (N_NOISY,), generator=generator)]
            x = clean + own * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
            odds.append((log_density(x, own) - log_density(x, other)) / math.log(10))
    return torch.cat(odds)


def measure() -> Record:
    """Measure L11: the overlaps on both ladders, and the odds of noisy digits."""
    ladders = {
        "σ from 20 to 1": levels_on_grid(paper_mixture(stds=0.0), FIGURE3_SIGMAS, extent=125.0),
        "σ from 10 to 0.1": levels_on_grid(paper_mixture(), TEXT_SIGMAS, extent=65.0),
    }
    least = {name: min(overlap(a, b) for a, b in itertools.pairwise(levels)) for name, levels in ladders.items()}
    of_ends = {name: overlap(levels[0], levels[-1]) for name, levels in ladders.items()}
    mass_off = max(float((levels.sum(dim=1) - 1).abs().max()) for levels in ladders.values())
    odds = of_digits()
    return record(
        "L11",
        [
            *(reported(f"overlap of neighbouring levels, the least, {name}", v) for name, v in least.items()),
            *(reported(f"overlap of the first level and the last, {name}", v) for name, v in of_ends.items()),
            guard("mass of a level on the grid, off 1, the largest", mass_off, high=1e-6),
            reported("noisy digits likelier at a neighbouring level, of 900", int((odds <= 0).sum())),
            reported("log₁₀ of how much likelier at their own, the least of 900", float(odds.min())),
        ],
    )
