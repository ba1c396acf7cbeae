"""The log-density of a point, by the flow from it up to the noise."""

from itertools import pairwise

import torch

from sbgm import GaussianMixture, geometric_sigmas

mixture = GaussianMixture([0.2, 0.8], [[-5.0], [5.0]], 1.0)


def slope_of_score(x, sigma):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(mixture.score(x, sigma).sum(), x)[0]


def heun_step(x, sigma, sigma_next):
    slope = -sigma * mixture.score(x, sigma)
    end = x + (sigma_next - sigma) * slope
    return x + (sigma_next - sigma) * (slope - sigma_next * mixture.score(end, sigma_next)) / 2


x = torch.tensor([[4.0]], dtype=torch.float64)
exact = float(mixture.log_prob(x, 0.1))
change = 0.0
for low, high in pairwise(geometric_sigmas(10.0, 0.1, 401).flip(0).tolist()):
    before = low * slope_of_score(x, low)
    x = heun_step(x, low, high)
    change = change + (high - low) / 2 * (before + high * slope_of_score(x, high))
print(f"{float(mixture.log_prob(x, 10.0) - change[:, 0]):.3f}, exactly {exact:.3f}")
