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


def scaled_by_autograd(network, x, sigma, mean, variance):
    width = torch.sqrt(variance + sigma**2)
    pixels = torch.distributions.Normal(mean, width[:, None])
    at = x.detach().requires_grad_()
    (of_gaussian,) = torch.autograd.grad(pixels.log_prob(at).sum(), at)
    return of_gaussian + network((x - mean) / width[:, None], sigma) / sigma[:, None]


def scaled_by_division(network, x, sigma, mean, variance):
    deviation = torch.hypot(variance.sqrt(), sigma).unsqueeze(1).expand_as(x)
    u = x.sub(mean).div(deviation)
    return torch.stack([h / s - u_i / d for h, u_i, d, s in zip(network(u, sigma), u, deviation, sigma, strict=True)])


def scaled_row_by_row(network, x, sigma, mean, variance):
    rows = [scaled_by_autograd(network, x[[i]], sigma[[i]], mean, variance) for i in range(len(x))]
    return torch.cat(rows)


def scaled_not_broadcast(network, x, sigma, mean, variance):
    noisy_variance = variance + sigma**2
    return (mean - x) / noisy_variance + network((x - mean) / noisy_variance.sqrt(), sigma) / sigma


def scaled_cut_off(network, x, sigma, mean, variance):
    return scaled_by_autograd(lambda u, sigma: network(u, sigma).detach(), x, sigma, mean, variance)


def scaled_by_one_level(network, x, sigma, mean, variance):
    return scaled_by_autograd(network, x, sigma.mean().expand(len(x)), mean, variance)


RIGHT = {
    "ncsn_loss": (ncsn_example_by_example, ncsn_by_mean),
    "scaled": (scaled_by_autograd, scaled_by_division, scaled_row_by_row),
}
WRONG = {
    "ncsn_loss": {"σ not broadcast": not_broadcast, "a part of the batch": ncsn_level_by_level},
    "scaled": {
        "σ not broadcast": scaled_not_broadcast,
        "the layers cut off": scaled_cut_off,
        "one σ for all": scaled_by_one_level,
    },
}
