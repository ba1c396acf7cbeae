"""Answers to chapter 5's exercises."""

import math
from functools import partial

import torch

from answers import Answers


def lengths(arrows, tangents):
    return torch.einsum("bkd,bd->bk", tangents, arrows)


def spanned(coefficients, tangents):
    return torch.einsum("bk,bkd->bd", coefficients, tangents)


def by_projections(arrows, tangents):
    projections = tangents.transpose(1, 2) @ tangents
    return torch.stack([projection @ arrow for projection, arrow in zip(projections, arrows, strict=True)])


def by_least_squares(arrows, tangents):
    across = tangents.transpose(1, 2)  # (B, D, d)
    return (across @ torch.linalg.lstsq(across, arrows[:, :, None]).solution)[:, :, 0]


def by_covariance(x, basis, sigma):
    covariance = basis.T @ basis + sigma**2 * torch.eye(x.shape[1], dtype=x.dtype)
    return -torch.linalg.solve(covariance, x.T).T


def by_autograd(x, basis, sigma):
    x = x.clone().requires_grad_()
    within = x @ basis.T
    squares = within.square().sum() / (1 + sigma**2) + (x - within @ basis).square().sum() / sigma**2
    return torch.autograd.grad(-squares / 2, x)[0]


def near_plane(x, basis, sigma, *, within, across):
    """The score −x_within/within(σ) − x_across/across(σ)."""
    part = x @ basis.T @ basis
    return -part / within(sigma) - (x - part) / across(sigma)


def frame(x):
    r = x.norm(dim=1, keepdim=True)
    return r, x / r, torch.stack([-x[:, 1], x[:, 0]], dim=1) / r


def twisted(x, pull, twist, *, distance=lambda r: r - 1, out=lambda r, e, t: e, side=lambda r, e, t: t):
    """The field −K·distance(r)·(e_r + c e_θ), with any part replaced: `out` and `side` of r, e_r, e_θ."""
    parts = frame(x)
    return -pull * distance(parts[0]) * (out(*parts) + twist * side(*parts))


def by_angle(x, pull, twist):
    angle, r = torch.atan2(x[:, 1], x[:, 0]), torch.hypot(x[:, 0], x[:, 1])
    out, side = torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])
    return (-pull * (r - 1) * (out + twist * side)).T


def by_a_matrix(x, pull, twist):
    turn = torch.tensor([[1.0, twist], [-twist, 1.0]], dtype=x.dtype)
    return pull * (1 / x.norm(dim=1, keepdim=True) - 1) * x @ turn


ANSWERS = {
    "part_within": Answers(
        right={
            "by lengths": lambda a, t: spanned(lengths(a, t), t),
            "by projections": by_projections,
            "by least squares": by_least_squares,
        },
        wrong={
            "across": lambda a, t: a - spanned(lengths(a, t), t),
            "sign": lambda a, t: -spanned(lengths(a, t), t),
            "the directions added up": lambda a, t: t.sum(dim=1),
            "the first point's directions": lambda a, t: a @ t[0].T @ t[0],
            "sizes of lengths": lambda a, t: spanned(lengths(a, t).abs(), t),
            "squared lengths": lambda a, t: spanned(lengths(a, t).square(), t),
            "cosines": lambda a, t: spanned(lengths(a, t), t) / a.norm(dim=1, keepdim=True),
            "mean of the parts": lambda a, t: (lengths(a, t)[:, :, None] * t).mean(dim=1),
            "the first direction": lambda a, t: lengths(a, t)[:, :1] * t[:, 0],
            "lengths alone": lengths,
            "the parts, not added up": lambda a, t: lengths(a, t)[:, :, None] * t,
            "the arrows themselves": lambda a, t: a.clone(),
        },
    ),
    "score_near_plane": Answers(
        right={
            "by parts": partial(near_plane, within=lambda s: 1 + s**2, across=lambda s: s**2),
            "by autograd": by_autograd,
            "by the covariance's inverse": by_covariance,
        },
        wrong={
            "sign": partial(near_plane, within=lambda s: -1 - s**2, across=lambda s: -(s**2)),
            "no noise within": partial(near_plane, within=lambda s: 1, across=lambda s: s**2),
            "noise alone": partial(near_plane, within=lambda s: s**2, across=lambda s: s**2),
            "width 1 in all directions": partial(near_plane, within=lambda s: 1 + s**2, across=lambda s: 1 + s**2),
            "nothing across": partial(near_plane, within=lambda s: 1 + s**2, across=lambda s: math.inf),
            "nothing within": partial(near_plane, within=lambda s: math.inf, across=lambda s: s**2),
            "σ for σ² across": partial(near_plane, within=lambda s: 1 + s**2, across=lambda s: s),
            "a standard deviation within": partial(
                near_plane, within=lambda s: math.sqrt(1 + s**2), across=lambda s: s**2
            ),
            "standard deviations": partial(near_plane, within=lambda s: math.sqrt(1 + s**2), across=lambda s: s),
            "1 + σ": partial(near_plane, within=lambda s: 1 + s, across=lambda s: s**2),
            "(1 + σ)²": partial(near_plane, within=lambda s: (1 + s) ** 2, across=lambda s: s**2),
            "interchanged": partial(near_plane, within=lambda s: s**2, across=lambda s: 1 + s**2),
            "extra ½": partial(near_plane, within=lambda s: 2 + 2 * s**2, across=lambda s: 2 * s**2),
            "no σ": lambda x, basis, sigma: -x,
            "all of x across": lambda x, basis, sigma: -x @ basis.T @ basis / (1 + sigma**2) - x / sigma**2,
            "the first coordinates for the plane": lambda x, basis, sigma: (
                -x / ((torch.arange(x.shape[1]) < len(basis)) + sigma**2)
            ),
            "1e-3 added to every variance": partial(
                near_plane, within=lambda s: 1 + s**2 + 1e-3, across=lambda s: s**2 + 1e-3
            ),
            "within, in the basis": lambda x, basis, sigma: -x @ basis.T / (1 + sigma**2),
        },
    ),
    "spiral": Answers(
        right={
            "by unit vectors": twisted,
            "by the angle": by_angle,
            "by a matrix": by_a_matrix,
        },
        wrong={
            "sign": partial(twisted, distance=lambda r: 1 - r),
            "to the origin": partial(twisted, distance=lambda r: r),
            "outwards from inside": partial(twisted, distance=lambda r: (r - 1).abs()),
            "squared distance": partial(twisted, distance=lambda r: (r - 1) ** 2),
            "r² − 1": partial(twisted, distance=lambda r: r**2 - 1),
            "no unit vectors": partial(twisted, out=lambda r, e, t: r * e, side=lambda r, e, t: r * t),
            "e_r not divided": partial(twisted, out=lambda r, e, t: r * e),
            "e_θ not divided": partial(twisted, side=lambda r, e, t: r * t),
            "turned to the right": partial(twisted, side=lambda r, e, t: -t),
            "coordinates swapped": partial(twisted, side=lambda r, e, t: e.flip(1)),
            "twist without pull": lambda x, K, c: twisted(x, K, 0.0) - (frame(x)[0] - 1) * c * frame(x)[2],
            "twist on the circle": lambda x, K, c: twisted(x, K, 0.0) - K * c * frame(x)[2],
            "no twist": lambda x, K, c: twisted(x, K, 0.0),
            "one length": partial(twisted, distance=lambda r: (r - 1).sign()),
            "unit direction": lambda x, K, c: twisted(x, K, c) / math.hypot(1, c),
            "the distance alone": lambda x, K, c: -K * (frame(x)[0] - 1)[:, 0],
        },
    ),
}
