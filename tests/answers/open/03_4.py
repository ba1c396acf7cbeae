"""Exercise 3.4: the steps from mode to mode once noise fills the valley, by the formula and by count."""

import math

import torch

from sbgm import GaussianMixture, langevin, paper_mixture

SIGMA = 3.2


def crossing_time(a, epsilon=0.1):
    """The formula, for means at ±a on a line and components of variance 1."""
    u = torch.linspace(-a, a, 2_001).double()[:, None]
    log_p = GaussianMixture([0.2, 0.8], [[-a], [a]]).log_prob(u)
    return float(torch.trapezoid(torch.exp(-log_p), u[:, 0])) / epsilon


variance = 1 + SIGMA**2
noisy = paper_mixture(stds=math.sqrt(variance))
far = 5 * math.sqrt(2)  # of a mean, along the line through both
generator = torch.Generator().manual_seed(0)
x = 16 * torch.rand(2_560, 2, generator=generator) - 8
side = torch.zeros(len(x))
crossings = 0
for state in langevin(noisy.score, x, step_size=0.1 * variance, n_steps=2_000, generator=generator):
    u = state.x.sum(dim=1) / math.sqrt(2)
    end = (u > far).float() - (u < -far).float()
    if state.step > 500:
        crossings += int((end * side == -1).sum())
    side = torch.where(end == 0, side, end)
counted = 1_500 * len(x) / crossings
print(f"σ = {SIGMA}: by the formula {crossing_time(far / math.sqrt(variance)):.0f}", end=", ")
print(f"by count {counted:.0f} ± {2 * counted / math.sqrt(crossings):.0f}")
