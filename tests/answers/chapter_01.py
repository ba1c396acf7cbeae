"""Answers to chapter 1's exercises."""

import math

import numpy
import torch
from torch.distributions import Normal

from answers import Answers


def gaussian_by_autograd(x, mean, std):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(-((x - mean) ** 2).sum() / (2 * std**2), x)[0]


def gaussian_density_gradient(x, mean, std):
    x = x.clone().requires_grad_()
    log_density = -((x - mean) ** 2).sum(1) / (2 * std**2) - x.shape[1] * math.log(std * math.sqrt(2 * math.pi))
    return torch.autograd.grad(log_density.exp().sum(), x)[0]


def by_softmax(x, weights, means, sigma, *, prior=torch.log, width=None, pull=None):
    v = 1 + sigma**2
    squared = ((x[:, None, :] - means) ** 2).sum(dim=2)
    r = torch.softmax(prior(weights) - squared / (2 * (width or v)), dim=1)
    return (r[:, :, None] * (means - x[:, None, :])).sum(dim=1) / (pull or v)


def by_logsumexp(x, weights, means, sigma):
    x = x.clone().requires_grad_()
    exponents = weights.log() - torch.cdist(x, means, compute_mode="donot_use_mm_for_euclid_dist") ** 2 / 2 / (
        1 + sigma**2
    )
    return torch.autograd.grad(exponents.logsumexp(1).sum(), x)[0]


def by_shifted_exponents(x, weights, means, sigma):
    total = torch.zeros_like(x)
    for i, point in enumerate(x):
        exponents = torch.stack(
            [w.log() - (point - m) @ (point - m) / (2 + 2 * sigma**2) for w, m in zip(weights, means, strict=True)]
        )
        r = (exponents - exponents.max()).exp()
        total[i] = (r / r.sum()) @ means - point
    return total / (1 + sigma**2)


def naive(x, weights, means, sigma, *, floor=0.0):
    v = 1 + sigma**2
    offsets = means - x[:, None, :]
    joint = weights * torch.exp(-(offsets**2).sum(2) / (2 * v))
    return (joint[:, :, None] * offsets).sum(1) / (v * (joint.sum(1, keepdim=True) + floor))


def nearest_mean(x, weights, means, sigma):
    return (means[torch.cdist(x, means).argmin(1)] - x) / (1 + sigma**2)


def softmax_over_points(x, weights, means, sigma):
    offsets = means - x[:, None, :]
    r = torch.softmax(weights.log() - (offsets**2).sum(2) / (2 + 2 * sigma**2), dim=0)
    return (r[:, :, None] * offsets).sum(1) / (1 + sigma**2)


def path(a, b, n):
    return a + torch.linspace(0, 1, n, dtype=a.dtype)[:, None] * (b - a)


def trapezoid(score, a, b, n=500):
    return torch.trapezoid(score(path(a, b, n)) @ (b - a), dx=1 / (n - 1))


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
            "as written": lambda x, mean, std: -(x - mean) / std**2,
            "by autograd": gaussian_by_autograd,
            "through z": lambda x, mean, std: ((mean - x) / std).div(std),
            "as a one-component mixture": lambda x, mean, std: torch.stack([(mean - row) * std**-2 for row in x]),
        },
        wrong={
            "sign": lambda x, mean, std: (x - mean) / std**2,
            "std for the variance": lambda x, mean, std: -(x - mean) / std,
            "not divided": lambda x, mean, std: mean - x,
            "times the variance": lambda x, mean, std: (mean - x) * std**2,
            "extra ½": lambda x, mean, std: (mean - x) / (2 * std**2),
            "½ missing": lambda x, mean, std: 2 * (mean - x) / std**2,
            "no mean": lambda x, mean, std: -x / std**2,
            "gradient of the density": gaussian_density_gradient,
            "unit arrows": lambda x, mean, std: torch.nn.functional.normalize(mean - x),
            "the log-density of each coordinate": lambda x, mean, std: Normal(mean, std).log_prob(x),
            "half the square of each coordinate": lambda x, mean, std: -((x - mean) ** 2) / (2 * std**2),
            "the log-density in every coordinate": lambda x, mean, std: (
                Normal(mean, std).log_prob(x).sum(1, keepdim=True).expand_as(x)
            ),
            "^ for a power": lambda x, mean, std: (mean - x) / torch.as_tensor(std) ^ 2,
            "the log-density": lambda x, mean, std: -((x - mean) ** 2).sum(1) / (2 * std**2),
            "mean over the batch": lambda x, mean, std: ((mean - x) / std**2).mean(0),
            "in double precision": lambda x, mean, std: ((mean - x) / std**2).double(),
        },
    ),
    "mixture_score": Answers(
        right={
            "softmax": by_softmax,
            "autograd of logsumexp": by_logsumexp,
            "point by point, exponents shifted": by_shifted_exponents,
        },
        wrong={
            "naive exp": naive,
            "naive exp, with a floor": lambda *a: naive(*a, floor=1e-12),
            "sign": lambda *a: -by_softmax(*a),
            "no noise": lambda x, weights, means, sigma: by_softmax(x, weights, means, 0.0),
            "noise in the responsibilities only": lambda *a: by_softmax(*a, pull=1.0),
            "noise in the pulls only": lambda *a: by_softmax(*a, width=1.0),
            "σ² alone": lambda x, weights, means, sigma: by_softmax(
                x, weights, means, sigma, width=sigma**2, pull=sigma**2
            ),
            "1 + σ": lambda x, weights, means, sigma: by_softmax(
                x, weights, means, sigma, width=1 + sigma, pull=1 + sigma
            ),
            "(1 + σ)²": lambda x, weights, means, sigma: by_softmax(
                x, weights, means, sigma, width=(1 + sigma) ** 2, pull=(1 + sigma) ** 2
            ),
            "divided by the standard deviation": lambda x, weights, means, sigma: by_softmax(
                x, weights, means, sigma, pull=math.sqrt(1 + sigma**2)
            ),
            "½ of the exponent lost": lambda x, weights, means, sigma: by_softmax(
                x, weights, means, sigma, width=(1 + sigma**2) / 2
            ),
            "no weights": lambda *a: by_softmax(*a, prior=torch.zeros_like),
            "weights for their logarithm": lambda *a: by_softmax(*a, prior=lambda w: w),
            "weights for responsibilities": lambda x, weights, means, sigma: (weights @ means - x) / (1 + sigma**2),
            "the nearest mean only": nearest_mean,
            "softmax over the points": softmax_over_points,
            "gradient of the density": lambda x, weights, means, sigma: (
                naive(x, weights, means, sigma, floor=0.0)
                * (weights * torch.exp(-(torch.cdist(x, means) ** 2) / (2 + 2 * sigma**2))).sum(1, keepdim=True)
            ),
        },
    ),
    "log_ratio": Answers(
        right={
            "trapezoids": trapezoid,
            "Gauss–Legendre, a Python number": by_quadrature,
            "midpoints, in a loop": by_many_steps,
            "many left ends": lambda score, a, b: (score(path(a, b, 40_001)[:-1]) @ (b - a)).mean(),
        },
        wrong={
            "one Euler step": lambda score, a, b: score(a[None])[0] @ (b - a),
            "score at b": lambda score, a, b: score(b[None])[0] @ (b - a),
            "the mean of the ends": lambda score, a, b: trapezoid(score, a, b, n=2),
            "the midpoint": lambda score, a, b: score((a + b)[None] / 2)[0] @ (b - a),
            "reversed": lambda score, a, b: trapezoid(score, b, a),
            "ten left ends": lambda score, a, b: (score(path(a, b, 11)[:-1]) @ (b - a)).mean(),
            "a sum for a mean": lambda score, a, b: (score(path(a, b, 500)) @ (b - a)).sum(),
            "unit direction": lambda score, a, b: trapezoid(score, a, b) / (b - a).norm(),
            "the score's length": lambda score, a, b: score(path(a, b, 500)).norm(dim=1).mean() * (b - a).norm(),
            "no direction": lambda score, a, b: score(path(a, b, 2_000)).mean(0).sum(),
            "the ratio itself": lambda *a: trapezoid(*a).exp(),
            "one term a point": lambda score, a, b: score(path(a, b, 500)) @ (b - a) / 500,
            "a point, not a batch": lambda score, a, b: score(a) @ (b - a),
            "at random points": lambda score, a, b: (
                score(a + torch.rand(10_000, 1, dtype=a.dtype) * (b - a)) @ (b - a)
            ).mean(),
        },
        gives_number=True,
    ),
}
