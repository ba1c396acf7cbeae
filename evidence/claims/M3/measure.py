"""M3: how the score of q_σ grows as σ falls, at a fixed distance d from a circle, with σ ≤ |d|/3.

Its norm must grow as σ⁻². (Inside the circle d is negative.) With noise the score is defined everywhere, on the circle
too: there it is (1 − I₁(σ⁻²)/I₀(σ⁻²))/σ² long, with Bessel functions, a guard.
"""

import torch
from scipy.special import i0e, i1e

from ledger import Record, declared, guard, record, reported
from recipes import ring
from sbgm import GaussianMixture, plots

DISTANCES = (-0.6, -0.3, 0.3, 0.9)
NOISE = 0.1


def slope(circle: GaussianMixture, d: float) -> float:
    """Of the score's norm against σ, in log–log coordinates by least squares."""
    sigmas = abs(d) / 3 * torch.logspace(0, -2, 15, dtype=torch.float64)
    x = torch.tensor([[1 + d, 0.0]], dtype=torch.float64)
    norms = torch.cat([circle.score(x, float(sigma)).norm(dim=1) for sigma in sigmas])
    log_sigma, log_norm = (v.log() - v.log().mean() for v in (sigmas, norms))
    return float((log_sigma * log_norm).sum() / log_sigma.square().sum())


def measure() -> Record:
    """Measure M3: the slope at each distance, and the score with noise."""
    circle = ring(10_000)  # points closer together than the narrowest noise is wide
    on_it = float(circle.score(torch.tensor([[1.0, 0.0]], dtype=torch.float64), NOISE).norm())
    closed_form = (1 - float(i1e(NOISE**-2) / i0e(NOISE**-2))) / NOISE**2
    plane = plots.grid(41, 2.0).double()  # the centre and the circle are among its points
    return record(
        "M3",
        [
            *(declared("M3", f"slope at d = {d:g}", slope(circle, d)) for d in DISTANCES),
            reported("σ = 0.1: length on the circle", on_it),
            reported("σ = 0.1: the largest length on [−2, 2]²", float(circle.score(plane, NOISE).norm(dim=1).max())),
            guard("σ = 0.1: length on the circle, over the closed form", on_it / closed_form, low=0.999, high=1.001),
        ],
    )
