"""Exercise 4.3: the share at (5, 5) on ten levels, for infinitely many chains, by step size and steps a level."""

import math

import torch

from sbgm import geometric_sigmas, paper_mixture

mixture = paper_mixture()
sigmas = geometric_sigmas(10.0, 0.1, 10)
u = torch.linspace(-60, 60, 602, dtype=torch.float64)  # along the line through the means
line = u[:, None] * torch.ones(2, dtype=torch.float64) / math.sqrt(2)


def computed_shares(epsilon, n_steps):
    """The share after each of the first six levels; below them no chain crosses."""
    density = (1 - u.abs() / (8 * math.sqrt(2))).clamp(min=0)
    after = []
    for sigma in sigmas[:6].tolist():
        alpha = epsilon * sigma**2 / float(sigmas[-1]) ** 2
        means = u + alpha / 2 * mixture.score(line, sigma).sum(dim=1) / math.sqrt(2)
        kernel = (-((u[:, None] - means) ** 2) / (2 * alpha)).softmax(dim=0)
        for _ in range(n_steps):
            density = kernel @ density
        after.append(float(density[u > 0].sum() / density.sum()))
    return after


settings = {
    "as on the page": (0.005, 100),
    "half of ε": (0.0025, 100),
    "twice T": (0.005, 200),
    "both": (0.0025, 200),
    "an eighth of ε, eight times T": (0.005 / 8, 800),
}
for name, (epsilon, n_steps) in settings.items():
    shares = computed_shares(epsilon, n_steps)
    print(f"{name}: {shares[0]:.3f} {shares[3]:.3f} {shares[-1]:.3f}")
