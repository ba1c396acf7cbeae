"""Answers to chapter 6's exercises."""

import torch
from torch.nn import functional


def ncsn_example_by_example(score, x, sigmas, levels, z):
    sigma = sigmas[levels]
    noisy = torch.stack([x_i + s * z_i for x_i, s, z_i in zip(x, sigma, z, strict=True)])
    total = 0.0
    for s, score_i, x_i, noisy_i in zip(sigma, score(noisy, sigma), x, noisy, strict=True):
        total = total + s**2 * ((score_i + (noisy_i - x_i) / s**2) ** 2).sum() / 2
    return total / len(x)


def ncsn_by_mean(score, x, sigmas, levels, z):
    sigma = sigmas[levels].view(-1, *[1] * (x.ndim - 1))
    scaled = sigma * score(torch.addcmul(x, sigma, z), sigmas[levels])
    return functional.mse_loss(scaled, -z) * x[0].numel() / 2


def ncsn_level_by_level(score, x, sigmas, levels, z):
    total = 0.0
    for level, sigma in enumerate(sigmas.tolist()):
        of_level = levels == level
        noisy = x[of_level] + sigma * z[of_level]
        s = score(noisy, sigmas[levels[of_level]])
        total = total + functional.mse_loss(sigma * s, -z[of_level], reduction="sum")
    return total / 2 / len(x)


def not_broadcast(score, x, sigmas, levels, z):
    sigma = sigmas[levels]
    residual = sigma * score(x + sigma * z, sigma) + z
    return residual.flatten(1).square().sum(1).mean() / 2


RIGHT = {
    "ncsn_loss": (ncsn_example_by_example, ncsn_by_mean),
}
WRONG = {
    "ncsn_loss": {"σ not broadcast": not_broadcast, "a part of the batch": ncsn_level_by_level},
}
