"""Answers to chapter 5's exercises."""

import math

import numpy
import torch

from answers import Answers


def errors(image, noisy):
    return ((noisy - image) ** 2).mean(dim=(1, 2, 3))


def psnr_one_by_one(image, noisy):
    roots = [(a - b).norm() / math.sqrt(a.numel()) for a, b in zip(image, noisy, strict=True)]
    return -20 * torch.stack(roots).log10()


def by_autograd(x, sigma):
    x = x.clone().requires_grad_()
    variances = torch.tensor([1.0, 0.0], dtype=x.dtype) + sigma**2
    log_density = (-(x**2) / (2 * variances) - (2 * math.pi * variances).log() / 2).sum()
    return torch.autograd.grad(log_density, x)[0]


def by_covariance(x, sigma):
    covariance = torch.diag(torch.tensor([1 + sigma**2, sigma**2], dtype=x.dtype))
    return -torch.linalg.solve(covariance, x.T).T


def near_line(along, across):
    """The score −x₁/along(σ), −x₂/across(σ)."""
    return lambda x, sigma: torch.stack([-x[:, 0] / along(sigma), -x[:, 1] / across(sigma)], dim=1)


def objective(a, sigma, *, trace=None, half=0.5, along=None, across=None):
    """The objective, with any part replaced."""
    along = 1 + sigma**2 if along is None else along
    across = sigma**2 if across is None else across
    return (-1 - a if trace is None else trace) + half * (along + a**2 * across)


def by_quadrature(a, sigma):
    nodes, weights = numpy.polynomial.hermite_e.hermegauss(8)
    nodes, weights = torch.as_tensor(nodes), torch.as_tensor(weights / weights.sum())
    x = torch.cartesian_prod(nodes * math.sqrt(1 + sigma**2), nodes * sigma).requires_grad_()
    s = torch.stack([-x[:, 0], -a * x[:, 1]], dim=1)
    trace = sum(torch.autograd.grad(s[:, d].sum(), x, retain_graph=True)[0][:, d] for d in range(2))
    return (torch.cartesian_prod(weights, weights).prod(1) * (trace + s.square().sum(1) / 2)).sum()


def by_matrices(a, sigma):
    slope = -torch.diag(torch.tensor([1.0, a], dtype=torch.float64))
    covariance = torch.diag(torch.tensor([1 + sigma**2, sigma**2], dtype=torch.float64))
    return slope.trace() + (slope @ covariance @ slope.T).trace() / 2


def by_samples(a, sigma, generator=None):
    x = torch.randn(100_000, 2, generator=generator, dtype=torch.float64) * torch.tensor([(1 + sigma**2) ** 0.5, sigma])
    return float((-1 - a + (x[:, 0] ** 2 + (a * x[:, 1]) ** 2) / 2).mean())


ANSWERS = {
    "psnr": Answers(
        right={
            "as written": lambda image, noisy: -10 * errors(image, noisy).log10(),
            "root mean squares, one by one": psnr_one_by_one,
            "a ratio of powers": lambda image, noisy: (
                10 * (1 / (noisy - image).flatten(1).square().mean(1)).log() / math.log(10)
            ),
        },
        wrong={
            "sign": lambda image, noisy: 10 * errors(image, noisy).log10(),
            "20 for 10": lambda image, noisy: -20 * errors(image, noisy).log10(),
            "10 for 20": lambda image, noisy: -10 * errors(image, noisy).sqrt().log10(),
            "natural logarithm": lambda image, noisy: -10 * errors(image, noisy).log(),
            "logarithm to the base 2": lambda image, noisy: -10 * errors(image, noisy).log2(),
            "bels": lambda image, noisy: -errors(image, noisy).log10(),
            "the error": errors,
            "summed over an image": lambda image, noisy: -10 * (noisy - image).square().flatten(1).sum(1).log10(),
            "one number": lambda image, noisy: -10 * (noisy - image).square().mean().log10(),
            "one number, for all": lambda image, noisy: -10 * errors(image, noisy).mean().log10().expand(len(image)),
            "the batch's mean": lambda image, noisy: -10 * errors(image, noisy).log10().mean().repeat(len(image)),
            "for each channel": lambda image, noisy: -10 * (noisy - image).square().mean(dim=(2, 3)).log10(),
            "clamped": lambda image, noisy: -10 * errors(image, noisy.clamp(0, 1)).log10(),
            "peak 255": lambda image, noisy: 10 * (255**2 / errors(image, noisy)).log10(),
            "the image's own peak": lambda image, noisy: (
                10 * (image.amax((1, 2, 3)) ** 2 / errors(image, noisy)).log10()
            ),
            "signal to noise": lambda image, noisy: (
                10 * (image.square().mean((1, 2, 3)) / errors(image, noisy)).log10()
            ),
            "absolute differences": lambda image, noisy: -20 * (noisy - image).abs().mean((1, 2, 3)).log10(),
            "averaged, then squared": lambda image, noisy: -10 * (noisy - image).mean((1, 2, 3)).square().log10(),
        },
    ),
    "score_near_line": Answers(
        right={
            "by components": near_line(lambda s: 1 + s**2, lambda s: s**2),
            "by autograd": by_autograd,
            "by the covariance's inverse": by_covariance,
        },
        wrong={
            "sign": near_line(lambda s: -1 - s**2, lambda s: -(s**2)),
            "no noise along the line": near_line(lambda s: 1, lambda s: s**2),
            "noise alone": near_line(lambda s: s**2, lambda s: s**2),
            "width 1 both ways": near_line(lambda s: 1 + s**2, lambda s: 1 + s**2),
            "nothing across": near_line(lambda s: 1 + s**2, lambda s: math.inf),
            "nothing along": near_line(lambda s: math.inf, lambda s: s**2),
            "σ for σ² across": near_line(lambda s: 1 + s**2, lambda s: s),
            "standard deviations": near_line(lambda s: math.sqrt(1 + s**2), lambda s: s),
            "1 + σ": near_line(lambda s: 1 + s, lambda s: s**2),
            "(1 + σ)²": near_line(lambda s: (1 + s) ** 2, lambda s: s**2),
            "the other line": near_line(lambda s: s**2, lambda s: 1 + s**2),
            "components swapped": lambda x, sigma: by_autograd(x, sigma).flip(1),
            "extra ½": lambda x, sigma: by_autograd(x, sigma) / 2,
            "no σ": lambda x, sigma: -x,
            "variances in single precision": lambda x, sigma: -x / (torch.tensor([1.0, 0.0]) + sigma**2),
            "1e-3 added to every variance": near_line(lambda s: 1 + s**2 + 1e-3, lambda s: s**2 + 1e-3),
            "one component": lambda x, sigma: -x[:, 1] / sigma**2,
        },
    ),
    "objective_on_line": Answers(
        right={
            "by moments": objective,
            "Gauss–Hermite, with autograd": by_quadrature,
            "by matrices": by_matrices,
        },
        wrong={
            "sign of the trace": lambda a, sigma: objective(a, sigma, trace=1 + a),
            "no trace": lambda a, sigma: objective(a, sigma, trace=0),
            "only the trace": lambda a, sigma: -1 - a,
            "no ½": lambda a, sigma: objective(a, sigma, half=1),
            "½ on both": lambda a, sigma: objective(a, sigma, trace=(-1 - a) / 2),
            "trace without −1": lambda a, sigma: objective(a, sigma, trace=-a),
            "trace without −a": lambda a, sigma: objective(a, sigma, trace=-1),
            "no noise along the line": lambda a, sigma: objective(a, sigma, along=1),
            "nothing along the line": lambda a, sigma: objective(a, sigma, along=0),
            "nothing across the line": lambda a, sigma: objective(a, sigma, across=0),
            "a for a²": lambda a, sigma: -1 - a + (1 + sigma**2 + abs(a) * sigma**2) / 2,
            "σ for σ² across": lambda a, sigma: objective(a, sigma, across=sigma),
            "σ for σ²": lambda a, sigma: objective(a, sigma, along=1 + sigma, across=sigma),
            "width 1 both ways": lambda a, sigma: objective(a, sigma, across=1 + sigma**2),
            "(1 + σ)²": lambda a, sigma: objective(a, sigma, along=(1 + sigma) ** 2),
            "the determinant": lambda a, sigma: objective(a, sigma, trace=a),
            "twice": lambda a, sigma: 2 * objective(a, sigma),
            "minus": lambda a, sigma: -objective(a, sigma),
            "from samples": lambda a, sigma: by_samples(a, sigma, torch.Generator().manual_seed(0)),
            "from samples of the global generator": by_samples,
            "one number a coordinate": lambda a, sigma: torch.tensor(
                [-1 + (1 + sigma**2) / 2, -a + a**2 * sigma**2 / 2]
            ),
        },
        takes_tensors=False,
        gives_number=True,
    ),
}
