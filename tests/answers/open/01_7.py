"""Exercise 1.7: the score of a single point with noise, and what denoising does to it."""

import torch

from sbgm import GaussianMixture, denoise

point = GaussianMixture([1.0], [[0.0, 0.0]], 0.0)
probe = torch.tensor([[0.6, 0.8]])  # at distance 1
for sigma in (1.0, 0.1):
    length = float(point.score(probe, sigma).norm())
    print(f"σ = {sigma:g}: the score has length {length:.0f}")
    assert denoise(point.score, probe, sigma).norm() < 1e-5
