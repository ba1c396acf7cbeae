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


def far_place_by_place(h, weight, bias):
    result = torch.empty_like(h).flatten(2)
    for p, (row, b) in enumerate(zip(weight, bias, strict=True)):
        result[:, :, p] = (row * h.flatten(2)).sum(dim=2) + b
    return result.reshape(h.shape)


def renew_by_mean(score, x, sigma, next_sigma, z):
    guess = torch.stack([x, sigma**2 * score(x, sigma)]).sum(dim=0)
    return torch.lerp(guess, guess + z, next_sigma)


def renew_noise_first(score, x, sigma, next_sigma, z):
    noisy = next_sigma * z + x
    return score(x, sigma) * sigma * sigma + noisy


class Guided:
    def __init__(self, network, label, w):
        self.network, self.label, self.w = network, label, w

    def __call__(self, x, sigma):
        of_any = self.network(x, sigma, 10)
        of_class = self.network(x, sigma, self.label)
        return (1 - self.w) * of_any + self.w * of_class


def not_broadcast(score, x, sigmas, levels, z):
    sigma = sigmas[levels]
    residual = sigma * score(x + sigma * z, sigma) + z
    return residual.flatten(1).square().sum(1).mean() / 2


def by_einsum(h, weight, bias):
    return (torch.einsum("pq,bcq->bcp", weight, h.flatten(2)) + bias).view(h.shape)


def guided_by_lerp(network, label, w):
    return lambda x, sigma: torch.lerp(network(x, sigma), network(x, sigma, label), w)


def at_one_level(network, label, w):
    return lambda x, sigma: Guided(network, label, w)(x, 0.5)


RIGHT = {
    "ncsn_loss": (ncsn_example_by_example, ncsn_by_mean),
    "look_far": (by_einsum, far_place_by_place),
    "renewed": (renew_by_mean, renew_noise_first),
    "guided": (Guided, guided_by_lerp),
}
WRONG = {
    "ncsn_loss": {"σ not broadcast": not_broadcast, "a part of the batch": ncsn_level_by_level},
    "look_far": {
        "over rows of the image": lambda h, weight, bias: h @ weight + bias,
        "W cut off": lambda h, weight, bias: by_einsum(h, weight.detach(), bias),
    },
    "guided": {"one σ for all": at_one_level},
}
