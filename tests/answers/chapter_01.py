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


def by_softmax(x, weights, means, std, *, prior=torch.log, width=None, pull=None):
    squared = ((x[:, None, :] - means) ** 2).sum(dim=2)
    r = torch.softmax(prior(weights) - squared / (2 * (width or std**2)), dim=1)
    return (r[:, :, None] * (means - x[:, None, :])).sum(dim=1) / (pull or std**2)


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


def naive(x, weights, means, std, *, floor=0.0):
    offsets = means - x[:, None, :]
    joint = weights * torch.exp(-(offsets**2).sum(2) / (2 * std**2))
    return (joint[:, :, None] * offsets).sum(1) / (std**2 * (joint.sum(1, keepdim=True) + floor))


def nearest_mean(x, weights, means, std):
    return (means[torch.cdist(x, means).argmin(1)] - x) / std**2


def softmax_over_points(x, weights, means, std):
    offsets = means - x[:, None, :]
    r = torch.softmax(weights.log() - (offsets**2).sum(2) / (2 * std**2), dim=0)
    return (r[:, :, None] * offsets).sum(1) / std**2


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
            "summed over the coordinates": lambda x, mean, std: x.shape[1] * (mean - x) / std**2,
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
            "autograd of logsumexp": by_logsumexp,
            "point by point, exponents shifted": by_shifted_exponents,
        },
        wrong={
            "naive exp": naive,
            "naive exp, with a floor": lambda *a: naive(*a, floor=1e-12),
            "sign": lambda *a: -by_softmax(*a),
            "no std": lambda x, weights, means, std: by_softmax(x, weights, means, 1.0),
            "std in the responsibilities only": lambda *a: by_softmax(*a, pull=1.0),
            "std in the pulls only": lambda *a: by_softmax(*a, width=1.0),
            "std for the variance": lambda x, weights, means, std: by_softmax(x, weights, means, std**0.5),
            "divided by the standard deviation": lambda x, weights, means, std: by_softmax(
                x, weights, means, std, pull=std
            ),
            "2 std in the exponent": lambda x, weights, means, std: by_softmax(x, weights, means, std, width=std),
            "½ of the exponent lost": lambda x, weights, means, std: by_softmax(
                x, weights, means, std, width=std**2 / 2
            ),
            "no weights": lambda *a: by_softmax(*a, prior=torch.zeros_like),
            "weights for their logarithm": lambda *a: by_softmax(*a, prior=lambda w: w),
            "weights for responsibilities": lambda x, weights, means, std: (weights @ means - x) / std**2,
            "the nearest mean only": nearest_mean,
            "softmax over the points": softmax_over_points,
            "gradient of the density": lambda x, weights, means, std: (
                naive(x, weights, means, std)
                * (weights * torch.exp(-(torch.cdist(x, means) ** 2) / (2 * std**2))).sum(1, keepdim=True)
            ),
        },
    ),
    "mean_arrow": Answers(
        right={
            "as the score of a mixture": of_mixture(by_shifted_exponents),
            "candidate by candidate": mean_arrow_by_exponents,
        },
        wrong={
            "sign": lambda *a: -mean_arrow_by_exponents(*a),
            "not divided": lambda x, data, sigma: sigma**2 * mean_arrow_by_exponents(x, data, sigma),
            "divided by σ": lambda x, data, sigma: sigma * mean_arrow_by_exponents(x, data, sigma),
            "times σ²": lambda x, data, sigma: sigma**4 * mean_arrow_by_exponents(x, data, sigma),
            "the origin itself": lambda x, data, sigma: x + sigma**2 * mean_arrow_by_exponents(x, data, sigma),
            "all alike": lambda x, data, sigma: (data.mean(0) - x) / sigma**2,
            "the nearest only": of_mixture(nearest_mean),
            "½ missing": lambda *a: mean_arrow_by_exponents(*a, half=1),
            "σ for σ² in the exponent": lambda x, data, sigma: mean_arrow_by_exponents(x, data, sigma, half=sigma / 2),
            "no σ in the exponent": lambda x, data, sigma: mean_arrow_by_exponents(x, data, sigma, half=sigma**2 / 2),
            "distances not squared": lambda *a: mean_arrow_by_exponents(*a, power=1),
            "sign of the exponent": lambda *a: mean_arrow_by_exponents(*a, sign=1),
            "over the points": of_mixture(softmax_over_points),
            "not normalised": lambda *a: mean_arrow_by_exponents(*a, normalised=False),
            "a sum": lambda x, data, sigma: (data - x[:, None]).sum(1) / sigma**2,
            "naive exp": of_mixture(naive),
            "naive exp, with a floor": of_mixture(lambda *a: naive(*a, floor=1e-12)),
        },
    ),
    "log_ratio": Answers(
        right={
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
    ),
}
