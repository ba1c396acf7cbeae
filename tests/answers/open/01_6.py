"""Exercise 1.6: the σ at which the two modes of the paper's mixture become one."""

import torch

from sbgm import paper_mixture

place = torch.linspace(-8, 8, 160_001, dtype=torch.float64)
diagonal = torch.stack([place, place], dim=1)


def modes(sigma, weight):
    """Where the score changes from uphill to downhill along the diagonal."""
    along = paper_mixture(weight=weight).score(diagonal, sigma)[:, 0]
    return place[:-1][(along[:-1] > 0) & (along[1:] <= 0)]


def merging(weight):
    """The σ at which the second mode disappears, to 0.0005, by bisection."""
    low, high = 1.0, 10.0
    while high - low > 5e-4:
        middle = (low + high) / 2
        if len(modes(middle, weight)) == 2:
            low = middle
        else:
            high = middle
    return low


print(f"equal weights: the modes merge at σ = {merging(0.5):.0f}")
sigma = merging(0.8)
print(f"the paper's weights: at {sigma:.2f}, at {float(modes(sigma, 0.8)[0]):.1f} on the diagonal")
