"""S3: how far ∇log q_σ is from ∇log p, E_p‖·‖² by quadrature at 25 levels.

Up to σ = 1 it must be that of one Gaussian of variance 1, 2 (σ²/(1 + σ²))², which tends to 0.
"""

import torch

from ledger import Record, declared, record, reported
from plane import fine_grid
from sbgm import geometric_sigmas, paper_mixture


def measure() -> Record:
    """Measure S3: the distance at each level, from level to level and beside one Gaussian's."""
    mixture = paper_mixture()
    points, weights = fine_grid()
    exact = mixture.score(points)
    sigmas = geometric_sigmas(10.0, 0.01, 25)
    squares = [(mixture.score(points, sigma) - exact).square().sum(dim=1) for sigma in sigmas.tolist()]
    gaps = torch.tensor([float((weights * of_level).sum()) for of_level in squares])
    one_gaussian = 2 * (sigmas**2 / (1 + sigmas**2)) ** 2
    off = (gaps / one_gaussian - 1)[sigmas <= 1].abs().max()
    return record(
        "S3",
        [
            declared("S3", "largest ratio from one σ to the next smaller", (gaps[1:] / gaps[:-1]).max()),
            declared("S3", "over that of one Gaussian, σ ≤ 1, off 1", off),
            reported("squared distance at σ = 10", gaps[0]),
            reported("squared distance at σ = 0.01", gaps[-1]),
        ],
    )
