"""Answers to chapter 1's exercises."""

import numpy
import torch

from answers import Answers


def gaussian_by_autograd(x, mean, std):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(-((x - mean) ** 2).sum() / (2 * std**2), x)[0]


def by_logsumexp(x, weights, means, std):
    x = x.clone().requires_grad_()
    squared = torch.cdist(x, means, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    return torch.autograd.grad((weights.log() - squared / (2 * std**2)).logsumexp(1).sum(), x)[0]


def by_shifted_exponents(x, weights, means, std):
    total = torch.zeros_like(x)
    for i, point in enumerate(x):
        exponents = torch.stack(
            [w.log() - (point - m) @ (point - m) / (2 * std**2) for w, m in zip(weights, means, strict=True)]
        )
        r = (exponents - exponents.max()).exp()
        total[i] = (r / r.sum()) @ means - point
    return total / std**2


def of_mixture(mixture):
    """The mean arrow as the score of a mixture of the data, equally heavy, of width σ."""
    return lambda x, data, sigma: mixture(x, torch.full((len(data),), 1 / len(data), dtype=x.dtype), data, sigma)


def mean_arrow_by_exponents(x, data, sigma, *, half=0.5, power=2, sign=-1, normalised=True):
    exponents = sign * half * torch.stack([torch.linalg.vector_norm(x - d, dim=1) ** power for d in data]) / sigma**2
    if normalised:
        exponents = exponents - exponents.logsumexp(dim=0)
    return sum(w[:, None] * (d - x) for w, d in zip(exponents.exp(), data, strict=True)) / sigma**2


def path(a, b, n):
    return a + torch.linspace(0, 1, n, dtype=a.dtype)[:, None] * (b - a)


def by_quadrature(score, a, b):
    nodes, weights = numpy.polynomial.legendre.leggauss(60)
    points = a.double() + torch.as_tensor((nodes + 1) / 2)[:, None] * (b - a).double()
    return float((torch.as_tensor(weights) / 2) @ (score(points) @ (b - a).double()))


def by_many_steps(score, a, b):
    total, n = 0.0, 400
    for i in range(n):
        middle = a + (i + 0.5) / n * (b - a)
        total += float((score(middle[None])[0] * (b - a)).sum()) / n
    return total


ANSWERS = {
    "gaussian_score": Answers(
        right={
            "by autograd": gaussian_by_autograd,
            "through z": lambda x, mean, std: ((mean - x) / std).div(std),
            "as a one-component mixture": lambda x, mean, std: torch.stack([(mean - row) * std**-2 for row in x]),
        },
        wrong={
            "^ for a power": lambda x, mean, std: (mean - x) / torch.as_tensor(std) ^ 2,
            "the log-density": lambda x, mean, std: -((x - mean) ** 2).sum(1) / (2 * std**2),
            "mean over the batch": lambda x, mean, std: ((mean - x) / std**2).mean(0),
            "in double precision": lambda x, mean, std: ((mean - x) / std**2).double(),
        },
    ),
    "mixture_score": Answers(
        right={
            "autograd of logsumexp": by_logsumexp,
            "point by point, exponents shifted": by_shifted_exponents,
        },
    ),
    "mean_arrow": Answers(
        right={
            "as the score of a mixture": of_mixture(by_shifted_exponents),
            "candidate by candidate": mean_arrow_by_exponents,
        },
    ),
    "log_ratio": Answers(
        right={
            "Gauss–Legendre, a Python number": by_quadrature,
            "midpoints, in a loop": by_many_steps,
            "many left ends": lambda score, a, b: (score(path(a, b, 40_001)[:-1]) @ (b - a)).mean(),
        },
        wrong={
            "one term a point": lambda score, a, b: score(path(a, b, 500)) @ (b - a) / 500,
            "a point, not a batch": lambda score, a, b: score(a) @ (b - a),
            "at random points": lambda score, a, b: (
                score(a + torch.rand(10_000, 1, dtype=a.dtype) * (b - a)) @ (b - a)
            ).mean(),
        },
    ),
}
