"""What is known exactly of Langevin chains on Gaussians and mixtures, and a count of how often they change modes.

In this order: the variance of Algorithm 1's chains; an acceptance and a share by closed form or quadrature; switches;
and the exact law of chains on the paper's mixture, along the line through its means, where they are Markov alone.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sbgm import GaussianMixture
from sbgm.guard import as_list
from sbgm.measure.scores import nearest_modes

NORMAL = GaussianMixture([1.0], [[0.0]])
STEPS_TO_SETTLE = {0.1: 150, 0.5: 40, 1.0: 40, 2.0: 40}
"""By step size ε, how many steps chains on N(0, 1) need to forget `wrong_start`."""


def wrong_start(n: int) -> Tensor:
    """Half of n chains at −3 and half at 3, (n, 1): variance 9, kurtosis 1."""
    return torch.tensor([-3.0, 3.0]).repeat(n // 2)[:, None]


def annealed_variance(
    sigmas: Sequence[float] | Tensor, *, step_size: float, n_steps: int, variance: float, start: float
) -> list[float]:
    """The variance of Algorithm 1's chains at the end of each level, for data N(0, vI) and exact scores.

    Within level i a step maps V to (1 − α_i/(2(v + σ_i²)))² V + α_i.

    Args:
        sigmas: σ_1 > … > σ_L > 0.
        step_size: ε.
        n_steps: T, steps a level.
        variance: v of the data.
        start: variance of the starting points around the mean.

    Returns:
        L variances, the last one that of the samples; beyond the stable step they grow without bound.
    """
    ladder = as_list(sigmas)
    smallest = ladder[-1]
    current = start
    at_ends = []
    for sigma in ladder:
        alpha = step_size * sigma**2 / smallest**2
        noisy_variance = variance + sigma**2
        shrink = (1 - alpha / (2 * noisy_variance)) ** 2
        for _ in range(n_steps):
            current = shrink * current + alpha
        at_ends.append(current)
    return at_ends


def metropolis_acceptance(step_size: float, n_points: int = 801) -> float:
    """The mean acceptance of Metropolis-adjusted Langevin steps in equilibrium on N(0, 1), by quadrature.

    With x, z ~ N(0, 1) and the proposal y = (1 − ε/2)x + √ε z, the log acceptance ratio is (ε/8)(x² − y²). The mean of
    min{1, exp((ε/8)(x² − y²))} is summed over a grid on [−8, 8]².

    Args:
        step_size: ε.
        n_points: grid points along each side.
    """
    axis = torch.linspace(-8, 8, n_points, dtype=torch.float64)
    density = torch.exp(-(axis**2) / 2)
    normal = density / density.sum()
    x = axis[:, None]
    z = axis[None, :]
    mean = (1 - step_size / 2) * x
    y = mean + math.sqrt(step_size) * z
    log_ratio = step_size / 8 * (x**2 - y**2)
    acceptance = torch.exp(log_ratio.clamp(max=0))
    return float(normal @ acceptance @ normal)


def basin_weight(weight: float, mean: float = 5.0, extent: float = 8.0, std: float = 1.0) -> float:
    """The share of chains that Langevin dynamics brings to (m, m) from uniform starts on [−e, e]², where none crosses.

    The target is (1 − w) N((−m, −m), s²I) + w N((m, m), s²I). If they are far apart, the pulls of its components
    balance where both are equally likely, on the line x₁ + x₂ = −c with c = s² ln(w/(1 − w))/(2m), and a chain goes to
    the mode on its side. The share is ½ + c/(2e) to first order in c: ½ + ln 4/160 = .509 for w = 4/5, m = 5, e = 8
    and s = 1, so that w itself hardly counts.

    Args:
        weight: w, in (0, 1).
        mean: m > 0.
        extent: e > 0, half the side of the square.
        std: s > 0, the standard deviation of both components.
    """
    odds = weight / (1 - weight)
    shift = std**2 * math.log(odds) / (2 * mean)
    shift = min(2 * extent, shift)  # a line beyond the corners sends all chains one way
    shift = max(-2 * extent, shift)
    first_order = shift / (2 * extent)
    corner = shift * abs(shift) / (8 * extent**2)  # the line is shorter the nearer it comes to a corner
    return 0.5 + first_order - corner


class SwitchCounter:
    """A count of how often chains go from near one mean to near another, from their states one by one.

    A chain belongs to a mode from the moment it comes within `radius` of its mean until it comes as near to another, so
    that jitter on the border counts for nothing.

    Args:
        means: (K, D) means.
        radius: how near is near, in units of the data; at most half the distance between two means.

    Attributes:
        switches: (B,) switches of each chain so far; None before the first state.
    """

    def __init__(self, means: Tensor, radius: float = 1.0) -> None:
        self.means = means
        self.radius = radius
        self.switches: Tensor | None = None
        self._mode: Tensor | None = None

    def update(self, x: Tensor) -> None:
        """Take in the chains' next positions, (B, D)."""
        distance, nearest = nearest_modes(x, self.means)
        mode = torch.where(distance <= self.radius, nearest, -1)
        if self._mode is None or self.switches is None:
            self._mode = mode
            self.switches = torch.zeros_like(mode)
            return
        self.switches += (mode >= 0) & (self._mode >= 0) & (mode != self._mode)
        self._mode = torch.where(mode >= 0, mode, self._mode)


# --- the law of chains on the paper's mixture -------------------------------------------------------------------------

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
