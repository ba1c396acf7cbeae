"""Answers to chapter 7's exercises."""

from __future__ import annotations

import torch

from answers import Answers
from sbgm.measure import nearest_neighbours


def column(sigma, x):
    """σ as one number an example, of x's dimensions."""
    return torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def denoised_one_by_one(score, x, sigma):
    sigmas = sigma if isinstance(sigma, torch.Tensor) else [sigma] * len(x)
    s = score(x, sigma)
    return torch.stack([x_i + s_i * float(sigma_i) ** 2 for x_i, s_i, sigma_i in zip(x, s, sigmas, strict=True)])


def denoised_from_the_last_axis(score, x, sigma):
    move = (score(x, sigma).movedim(0, -1) * sigma * sigma).movedim(-1, 0)
    return x + move


def denoised_noisily(score, x, sigma):
    return x + column(sigma, x) ** 2 * score(x, sigma) + column(sigma, x) * torch.randn_like(x)


def nearest_one_by_one(queries, data):
    found = [min(range(len(data)), key=lambda i: float((query - data[i]).pow(2).sum())) for query in queries]
    return torch.tensor(found)


def nearest_by_expansion(queries, data):
    q, d = queries.flatten(1), data.flatten(1)
    return (q.square().sum(1)[:, None] + d.square().sum(1) - 2 * q @ d.T).topk(1, largest=False).indices[:, 0]


def distances(queries, data, p=2.0):
    return torch.cdist(queries.flatten(1), data.flatten(1), p=p)


def unit(x):
    return torch.nn.functional.normalize(x.flatten(1), dim=1)


ANSWERS = {
    "denoised": Answers(
        right={
            "σ reshaped": lambda score, x, sigma: x + column(sigma, x) ** 2 * score(x, sigma),
            "example by example": denoised_one_by_one,
            "batch moved to the last axis": denoised_from_the_last_axis,
        },
        wrong={
            "σ for σ²": lambda score, x, sigma: x + column(sigma, x) * score(x, sigma),
            "sign": lambda score, x, sigma: x - column(sigma, x) ** 2 * score(x, sigma),
            "½ of a Langevin step": lambda score, x, sigma: x + column(sigma, x) ** 2 / 2 * score(x, sigma),
            "x forgotten": lambda score, x, sigma: column(sigma, x) ** 2 * score(x, sigma),
            "not scaled": lambda score, x, sigma: x + score(x, sigma),
            "σ⁴": lambda score, x, sigma: x + column(sigma, x) ** 4 * score(x, sigma),
            "no σ for the score": lambda score, x, sigma: x + column(sigma, x) ** 2 * score(x),
            "σ not reshaped": lambda score, x, sigma: x + sigma**2 * score(x, sigma),
            "the mean of σ": lambda score, x, sigma: (
                x + torch.as_tensor(sigma, dtype=x.dtype).mean() ** 2 * score(x, sigma)
            ),
            "clamped": lambda score, x, sigma: denoised_one_by_one(score, x, sigma).clamp(0, 1),
            "with noise": denoised_noisily,
            "float64 whatever x": lambda score, x, sigma: denoised_one_by_one(score, x, sigma).double(),
        },
    ),
    "dequantised": Answers(
        right={
            "of whole numbers": lambda images, u: (images + u) / 256,
            "as the paper has it": lambda images, u: images / 255 * 255 / 256 + u / 256,
            "in place on a copy": lambda images, u: images.to(u.dtype).add_(u).mul_(2**-8),
            "value by value": lambda images, u: (torch.arange(256, dtype=u.dtype) / 256)[images.long()] + u / 256,
        },
        wrong={
            "divided by 255": lambda images, u: (images + u) / 255,
            "x not shrunk": lambda images, u: images / 255 + u / 256,
            "noise not scaled": lambda images, u: images.to(u.dtype) / 256 + u,
            "noise not scaled, x not shrunk": lambda images, u: images.to(u.dtype) / 255 + u,
            "no noise": lambda images, u: images.to(u.dtype) / 256,
            "no noise, in [0, 1]": lambda images, u: images.to(u.dtype) / 255,
            "not divided": lambda images, u: images + u,
            "noise centred": lambda images, u: (images + u - 0.5) / 256,
            "rounded": lambda images, u: (images + u).round() / 256,
            "u made whole": lambda images, u: (images + u.to(torch.uint8)).to(u.dtype) / 256,
            "overflow of uint8": lambda images, u: (images * 255) / 256 + u / 256,
            "noise subtracted": lambda images, u: (images - u) / 256,
            "x = v": lambda images, u: images.to(u.dtype) * 255 / 256 + u / 256,
            "shrunk twice": lambda images, u: (images + u) / 256 * 255 / 256,
            "its own noise": lambda images, u: (images + torch.rand_like(u)) / 256,
            "normal noise": lambda images, u: (images + torch.erfinv(2 * u - 1)) / 256,
            "stays uint8": lambda images, u: (images + u).to(torch.uint8),
        },
    ),
    "nearest": Answers(
        right={
            "all differences at once": lambda queries, data: (
                (queries[:, None] - data[None]).flatten(2).square().sum(dim=2).argmin(dim=1)
            ),
            "one by one": nearest_one_by_one,
            "‖a‖² + ‖b‖² − 2 a·b": nearest_by_expansion,
            "sbgm": lambda queries, data: nearest_neighbours(queries, data).indices[:, 0],
        },
        wrong={
            "farthest": lambda queries, data: distances(queries, data).argmax(dim=1),
            "wrong axis": lambda queries, data: distances(queries, data).argmin(dim=0),
            "wrong axis, from the differences": lambda queries, data: (
                (queries[:, None] - data[None]).flatten(2).square().sum(dim=2).argmin(dim=0)
            ),
            "ℓ1": lambda queries, data: distances(queries, data, p=1.0).argmin(dim=1),
            "ℓ∞": lambda queries, data: distances(queries, data, p=float("inf")).argmin(dim=1),
            "cosine": lambda queries, data: (unit(queries) @ unit(data).T).argmax(dim=1),
            "inner product": lambda queries, data: (queries.flatten(1) @ data.flatten(1).T).argmax(dim=1),
            "smallest inner product": lambda queries, data: (queries.flatten(1) @ data.flatten(1).T).argmin(dim=1),
            "the 2 missing": lambda queries, data: (
                data.flatten(1).square().sum(dim=1) - queries.flatten(1) @ data.flatten(1).T
            ).argmin(dim=1),
            "signed differences": lambda queries, data: (
                (queries[:, None] - data[None]).flatten(2).sum(dim=2).abs().argmin(dim=1)
            ),
            "distances": lambda queries, data: distances(queries, data).amin(dim=1),
            "second nearest": lambda queries, data: distances(queries, data).argsort(dim=1)[:, 1],
            "one index for all": lambda queries, data: distances(queries, data).argmin(),
            "a column": lambda queries, data: distances(queries, data).topk(1, largest=False).indices,
            "int32": lambda queries, data: distances(queries, data).argmin(dim=1).int(),
            "values and indices": lambda queries, data: tuple(distances(queries, data).min(dim=1)),
        },
    ),
}
