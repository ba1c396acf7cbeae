"""Exercise 4.4: the variance at the last level of the images' ladder, in units of σ_L²."""

import math

import torch

EPSILON = 4e-5
SIGMA = 0.01

generator = torch.Generator().manual_seed(0)
x = SIGMA * torch.randn(1_000_000, generator=generator)
for _ in range(40):
    z = torch.randn(x.shape, generator=generator)
    x = x - EPSILON / 2 * x / SIGMA**2 + math.sqrt(EPSILON) * z
print(f"variance {float(x.var()) / SIGMA**2:.2f}")
