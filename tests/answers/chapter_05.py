"""Answers to chapter 5's exercises."""

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
            "lengths alone": lengths,
            "the parts, not added up": lambda a, t: lengths(a, t)[:, :, None] * t,
        },
    ),
    "score_near_plane": Answers(
        right={
            "by parts": partial(near_plane, within=lambda s: 1 + s**2, across=lambda s: s**2),
            "by autograd": by_autograd,
            "by the covariance's inverse": by_covariance,
        },
        wrong={
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
            "the distance alone": lambda x, K, c: -K * (frame(x)[0] - 1)[:, 0],
        },
    ),
}
