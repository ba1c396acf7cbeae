"""The exact law of chains on the paper's mixture, along the line through its means, where they are Markov alone."""

import math

import torch
from torch import Tensor

MEAN = math.sqrt(50)
"""Of (5, 5) along u = (x₁ + x₂)/√2; the other mode's is −MEAN, and the weights are 0.8 and 0.2."""


def transition(u: Tensor, sigma: float, alpha: float, variance: float) -> Tensor:
    """The matrix of one Langevin step of size α on a grid: column j is the law of where a chain at u_j goes.

    A step's kernel is N(u + α/2 s(u), α). The score s of the perturbed mixture depends on u alone along this line.

    Args:
        u: (n,) float64 grid, finer than √α.
        sigma: of the perturbation.
        alpha: the step size.
        variance: of a component before it is perturbed: 1, or 0 where σ is a component's whole standard deviation.
    """
    width = variance + sigma**2
    upper = torch.sigmoid(math.log(4) + 2 * MEAN * u / width)
    score = (MEAN * (2 * upper - 1) - u) / width
    ends = u + alpha / 2 * score
    squares = (u[:, None] - ends).square()
    kernel = torch.exp(-squares / (2 * alpha))
    return kernel / kernel.sum(dim=0)


def annealed_weight(
    sigmas: Tensor,
    n_steps: int,
    *,
    step_size: float = 0.1,
    variance: float = 0.0,
    spacing: float = 0.2,
    reach: float = 100.0,
) -> float:
    """The probability that a chain of Algorithm 1 from [−8, 8]² ends nearer to (5, 5): 0.8 would be right.

    Args:
        sigmas: (L,) the ladder; one level is plain Langevin dynamics.
        n_steps: T.
        step_size: ε.
        variance: see `transition`.
        spacing, reach: of the grid, [−reach, reach].
    """
    u = torch.arange(-reach, reach + spacing / 2, spacing, dtype=torch.float64)
    density = (1 - u.abs() / (8 * math.sqrt(2))).clamp(min=0)  # of u, for points uniform on the square
    density /= density.sum()
    smallest = float(sigmas[-1])
    for sigma in sigmas.tolist():
        step = transition(u, sigma, step_size * (sigma / smallest) ** 2, variance)
        for _ in range(n_steps):
            density = step @ density
    above = density[u > spacing / 2].sum()
    on_the_border = density[u.abs() <= spacing / 2].sum()
    return float(above + on_the_border / 2)
