"""Answers to chapter 6's exercises."""

import torch
from torch.nn import functional

from answers import Answers


def ncsn(score, x, sigmas, levels, z):
    """The loss of each example, (B,)."""
    sigma = sigmas[levels]
    s = sigma.view(-1, *[1] * (x.ndim - 1))
    residual = score(x + s * z, sigma) + z / s
    return 0.5 * sigma**2 * residual.flatten(1).square().sum(1)


def ncsn_example_by_example(score, x, sigmas, levels, z):
    total = 0.0
    for x_i, level, z_i in zip(x, levels.tolist(), z, strict=True):
        sigma = sigmas[level]
        noisy = x_i + sigma * z_i
        s = score(noisy[None], sigma[None])[0]
        total = total + sigma**2 * ((s + (noisy - x_i) / sigma**2) ** 2).sum() / 2
    return total / len(x)


def ncsn_level_by_level(score, x, sigmas, levels, z):
    total = 0.0
    for level, sigma in enumerate(sigmas.tolist()):
        of_level = levels == level
        if of_level.any():
            n = int(of_level.sum())
            s = score(x[of_level] + sigma * z[of_level], torch.full((n,), sigma, dtype=x.dtype))
            total = total + functional.mse_loss(sigma * s, -z[of_level], reduction="sum") / 2
    return total / len(x)


def by_moments(x, gamma, alpha, beta):
    mu = x.mean(dim=(2, 3), keepdim=True)
    x_hat = (x - mu) / (x.var(dim=(2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    mu_hat = (mu - mu.mean(1, keepdim=True)) / (mu.var(1, keepdim=True) + 1e-5).sqrt()
    return gamma[:, :, None, None] * (x_hat + alpha[:, :, None, None] * mu_hat) + beta[:, :, None, None]


def channel_by_channel(x, gamma, alpha, beta):
    images = []
    for image, g, a, b in zip(x, gamma, alpha, beta, strict=True):
        mu = image.flatten(1).mean(1)
        spread = (((mu - mu.mean()) ** 2).sum() / (len(mu) - 1) + 1e-5) ** 0.5
        channels = []
        for c, channel in enumerate(image):
            hat = (channel - mu[c]) / ((channel - mu[c]).pow(2).mean() + 1e-5).sqrt()
            channels.append(g[c] * (hat + a[c] * (mu[c] - mu.mean()) / spread) + b[c])
        images.append(torch.stack(channels))
    return torch.stack(images)


def far(h, weight, bias):
    return (h.flatten(2) @ weight.T + bias).reshape(h.shape)


def far_place_by_place(h, weight, bias):
    n_columns = h.shape[3]
    places = [(p // n_columns, p % n_columns) for p in range(len(bias))]
    sums = []
    for row, b in zip(weight, bias, strict=True):
        sums.append(b + sum(w * h[:, :, r, c] for w, (r, c) in zip(row, places, strict=True)))
    return torch.stack(sums, dim=2).reshape(h.shape)


def renew_by_mean(score, x, sigma, next_sigma, z):
    guess = torch.stack([x, sigma**2 * score(x, sigma)]).sum(dim=0)
    return torch.lerp(guess, guess + z, next_sigma)


class Guided:
    def __init__(self, network, label, w):
        self.network, self.label, self.w = network, label, w

    def __call__(self, x, sigma):
        return (1 - self.w) * self.network(x, sigma, 10) + self.w * self.network(x, sigma, self.label)


ANSWERS = {
    "ncsn_loss": Answers(
        right={
            "vectorised": lambda *case: ncsn(*case).mean(),
            "example by example": ncsn_example_by_example,
            "level by level": ncsn_level_by_level,
        },
        wrong={
            "one loss an example": ncsn,
            "its own levels": lambda score, x, sigmas, levels, z: ncsn(
                score, x, sigmas, torch.randint(len(sigmas), (len(x),)), z
            ).mean(),
            "σ not broadcast": lambda score, x, sigmas, levels, z: (
                (sigmas[levels] * score(x + sigmas[levels] * z, sigmas[levels]) + z).flatten(1).square().sum(1).mean()
                / 2
            ),
            "detached": lambda *case: ncsn(*case).mean().detach(),
            "a Python number": lambda *case: ncsn(*case).mean().item(),
            "no_grad": torch.no_grad()(lambda *case: ncsn(*case).mean()),
        },
    ),
    "instance_norm_plus": Answers(
        right={
            "channel by channel": channel_by_channel,
            "by moments": by_moments,
        },
        wrong={
            "no_grad": torch.no_grad()(by_moments),
            "γ cut off": lambda x, gamma, alpha, beta: by_moments(x, gamma.detach(), alpha, beta),
        },
    ),
    "look_far": Answers(
        right={
            "as a layer does": lambda h, weight, bias: functional.linear(h.flatten(2), weight, bias).reshape(h.shape),
            "einsum": lambda h, weight, bias: (torch.einsum("pq,bcq->bcp", weight, h.flatten(2)) + bias).view(h.shape),
            "place by place": far_place_by_place,
        },
        wrong={
            "not reshaped": lambda h, weight, bias: h.flatten(2) @ weight.T + bias,
            "over rows of the image": lambda h, weight, bias: h @ weight + bias,
            "for 7 × 7 only": lambda h, weight, bias: (h.flatten(2) @ weight.T + bias).reshape(*h.shape[:2], 7, 7),
            "detached": lambda h, weight, bias: far(h, weight, bias).detach(),
            "W cut off": lambda h, weight, bias: far(h, weight.detach(), bias),
        },
    ),
    "renewed": Answers(
        right={
            "by a mean": renew_by_mean,
            "noise first": lambda score, x, s, n, z: n * z + score(x, s) * s * s + x,
        },
        wrong={
            "its own noise": lambda score, x, s, n, z: renew_by_mean(score, x, s, n, torch.randn_like(z)),
        },
    ),
    "guided": Answers(
        right={
            "a class, by weights that add up to 1": Guided,
            "a lambda": lambda network, label, w: (
                lambda x, sigma: torch.lerp(network(x, sigma), network(x, sigma, label), w)
            ),
        },
        wrong={
            "one σ for all": lambda network, label, w: lambda x, sigma: Guided(network, label, w)(x, 0.5),
            "a score at once": lambda network, label, w: torch.zeros(6, 2),
        },
    ),
}
