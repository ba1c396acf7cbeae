"""Exercise 2.1: exact score matching on the uniform density on [0, 1]."""

import torch

from sbgm import score_matching_loss

interval = ((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)[:, None]  # evenly spaced
slopes = torch.linspace(0, 6, 61)
objective = [score_matching_loss(lambda x, sigma, c=c: -c * x, interval).item() for c in slopes]
divergence = [0.5 * float((c * interval).square().mean()) for c in slopes]
least = slopes[torch.tensor(objective).argmin()]
of_divergence = slopes[torch.tensor(divergence).argmin()]
print(f"J is least at c = {least:.0f}, the Fisher divergence at c = {of_divergence:.0f}")
field = score_matching_loss(lambda x, sigma: -201 * x**100, interval).item()
print(f"J of s = −(2n + 1) x^n at n = 100: {field:.1f}")
