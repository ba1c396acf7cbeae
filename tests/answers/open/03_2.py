"""Exercise 3.2: the variance that a step with the whole score, in place of its half, keeps on N(0, 1)."""

import math

import torch

STEP_SIZE = 0.02

generator = torch.Generator().manual_seed(0)
x = torch.randn(100_000, generator=generator)
for _ in range(500):
    x = x - STEP_SIZE * x + math.sqrt(STEP_SIZE) * torch.randn(x.shape, generator=generator)
error = 2 * float(x.var()) * math.sqrt(2 / len(x))
print(f"ε = {STEP_SIZE}: variance {float(x.var()):.3f} ± {error:.3f}, by its recursion {1 / (2 - STEP_SIZE):.3f}")
