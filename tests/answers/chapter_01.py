"""Answers to chapter 1's exercises."""

import numpy
import torch


def gaussian_by_autograd(x, mean, std):
    x = x.clone().requires_grad_()
    log_density = -((x - mean) ** 2).sum() / (2 * std**2)
    return torch.autograd.grad(log_density, x)[0]


def mixture_by_autograd(x, weights, means, std):
    x = x.clone().requires_grad_()
    squares = torch.cdist(x, means, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    log_density = (weights.log() - squares / (2 * std**2)).logsumexp(1)
    return torch.autograd.grad(log_density.sum(), x)[0]


def mixture_point_by_point(x, weights, means, std):
    total = torch.zeros_like(x)
    for i, point in enumerate(x):
        squares = (point - means).square().sum(dim=1)
        exponents = weights.log() - squares / (2 * std**2)
        r = (exponents - exponents.max()).exp()
        total[i] = (r / r.sum()) @ means - point
    return total / std**2


def of_mixture(x, data, sigma):
    """The mean arrow as the score of a mixture of the data, equally heavy, of width σ."""
    weights = torch.full((len(data),), 1 / len(data), dtype=x.dtype)
    return mixture_point_by_point(x, weights, data, sigma)


def mean_arrow_by_exponents(x, data, sigma):
    distances = torch.stack([torch.linalg.vector_norm(x - d, dim=1) for d in data])
    exponents = -0.5 * (distances / sigma) ** 2
    weights = (exponents - exponents.logsumexp(dim=0)).exp()
    total = 0.0
    for w, d in zip(weights, data, strict=True):
        total = total + w[:, None] * (d - x)
    return total / sigma**2


def by_quadrature(score, a, b):
    nodes, weights = numpy.polynomial.legendre.leggauss(60)
    way = (b - a).double()
    points = a.double() + torch.as_tensor((nodes + 1) / 2)[:, None] * way
    slopes = score(points) @ way
    return float(torch.as_tensor(weights) @ slopes) / 2


def by_many_left_ends(score, a, b):
    path = a + torch.linspace(0, 1, 40_001, dtype=a.dtype)[:, None] * (b - a)
    return (score(path[:-1]) @ (b - a)).mean()


def at_random_points(score, a, b):
    points = a + torch.rand(10_000, 1, dtype=a.dtype) * (b - a)
    return (score(points) @ (b - a)).mean()


def gaussian_row_by_row(x, mean, std):
    return torch.stack([(mean - row) * std**-2 for row in x])


RIGHT = {
    "gaussian_score": (gaussian_by_autograd, gaussian_row_by_row),
    "mixture_score": (mixture_by_autograd, mixture_point_by_point),
    "mean_arrow": (of_mixture, mean_arrow_by_exponents),
    "log_ratio": (by_quadrature, by_many_left_ends),
}
WRONG = {
    "gaussian_score": {"^ for a power": lambda x, mean, std: (mean - x) / torch.as_tensor(std) ^ 2},
    "log_ratio": {
        "a point, not a batch": lambda score, a, b: score(a) @ (b - a),
        "at random points": at_random_points,
    },
}
