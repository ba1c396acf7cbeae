"""Exercises of chapter 5: data on a manifold."""

import math

import torch
from torch import Tensor

from sbgm.course.old_exercise import Trial, exercise, in_both_precisions


def _orthonormal(trial: Trial, *shape: int) -> Tensor:
    """Random orthonormal rows, (…, d, D), in double precision."""
    rows = torch.linalg.qr(trial.randn(*shape).transpose(-1, -2)).Q
    return rows.transpose(-1, -2).contiguous()


@exercise("5.1", minutes=10)
def part_within(trial: Trial) -> None:
    """`part_within(arrows, tangents)`: the part of each arrow that lies within a surface (§ 3.1).

    arrows is (B, D), tangents (B, d, D): d orthonormal directions within the surface at each of the points. The result
    has arrows' shape.
    """
    for (batch, d, dim), dtype in in_both_precisions(((5, 2, 6), (7, 1, 3), (4, 3, 4))):
        arrows, tangents = trial.randn(batch, dim), _orthonormal(trial, batch, d, dim)
        lengths = (tangents @ arrows[:, :, None])[..., 0]  # along each direction: (B, d)
        right = (lengths[:, :, None] * tangents).sum(dim=1)
        first = tangents[:1].expand_as(tangents)
        mistakes = {
            "this is the part across the surface: the part within is asked for": arrows - right,
            "the sign is wrong": -right,
            "these are the directions, added up: how long is the arrow along each of them?": tangents.sum(dim=1),
            "every arrow is split by the directions at the first point: each point has its own":
                ((first @ arrows[:, :, None]) * first).sum(dim=1),
            "only the size of each length counts in your sum: an arrow may also point against a direction":
                (lengths.abs()[:, :, None] * tangents).sum(dim=1),
            "the lengths along the directions are squared": (lengths.square()[:, :, None] * tangents).sum(dim=1),
            "it is divided by the arrow's length: is a cosine asked for, or a length?":
                right / arrows.norm(dim=1, keepdim=True),
            "the parts along the directions are averaged: they add up": right / d,
            "only the first direction counts: there are d of them": lengths[:, :1] * tangents[:, 0],
        }  # fmt: skip
        trial.expect(right.to(dtype), arrows.to(dtype), tangents.to(dtype), mistakes=mistakes)


@part_within.lends
def _(arrows, tangents):
    lengths = (tangents @ arrows[:, :, None])[..., 0]  # along each direction: (B, d)
    return (lengths[:, :, None] * tangents).sum(dim=1)


@exercise("5.3", minutes=10)
def score_near_plane(trial: Trial) -> None:
    """`score_near_plane(x, basis, sigma)`: ∇ log q_σ where the data are N(0, I) within a plane through 0 (§ 3.1).

    x is (B, D), basis (d, D) holds orthonormal rows that span the plane, the noise σ > 0 is a float; the score has x's
    shape.
    """
    sizes = ((7, 1, 2), (5, 2, 3), (6, 3, 8))
    for ((batch, d, dim), dtype), sigma in zip(in_both_precisions(sizes), (0.5, 0.3, 2.0, 0.4, 1e-3, 0.6), strict=True):
        sigma = sigma * trial.uniform(0.8, 1.2)
        basis = _orthonormal(trial, d, dim)
        within = trial.randn(batch, d) @ basis
        beside = trial.randn(batch, dim)
        across = sigma * (beside - beside @ basis.T @ basis)  # near the plane, where the two are best told apart
        x = within + across
        variance, noise = 1 + sigma**2, sigma**2
        mistakes = {
            "the sign is wrong: does it lead to the plane, or away from it?": within / variance + across / noise,
            "within the plane the noise is lost: it spreads the data in these directions too": -within - across / noise,
            "within the plane only the noise is counted: do the data themselves not vary there?": -x / noise,
            "across the plane the data vary as they do within: do they?": -x / variance,
            "the score has no part across the plane: what does a point beside it feel?": -within / variance,
            "the score has no part within the plane: are the data spread evenly over it?": -across / noise,
            "across the plane it is divided by a standard deviation": -within / variance - across / sigma,
            "within the plane it is divided by a standard deviation": -within / math.sqrt(variance) - across / noise,
            "both parts are divided by standard deviations": -within / math.sqrt(variance) - across / sigma,
            "within the plane σ is added to a variance: is σ one?": -within / (1 + sigma) - across / noise,
            "within the plane standard deviations are added: what adds up when independent numbers are added?":
                -within / (1 + sigma) ** 2 - across / noise,
            "the two parts are interchanged: where do the data vary?": -within / noise - across / variance,
            "off by a factor 2: what becomes of the exponent's ½ when its square is differentiated?":
                -within / (2 * variance) - across / (2 * noise),
            "this is the score of the standard normal in all directions: where is σ?": -x,
            "all of x is divided by σ² where its part across the plane belongs": -within / variance - x / noise,
        }  # fmt: skip
        right = -within / variance - across / noise
        trial.expect(right.to(dtype), x.to(dtype), basis.to(dtype), sigma, mistakes=mistakes)


@score_near_plane.lends
def _(x, basis, sigma):
    within = x @ basis.T @ basis
    return -within / (1 + sigma**2) - (x - within) / sigma**2


@exercise("5.4", minutes=10)
def spiral(trial: Trial) -> None:
    """`spiral(x, pull, twist)`: the field −K (r − 1)(e_r + c e_θ) around the unit circle (§ 3.1).

    x is (B, 2); pull K and twist c are floats; the field has x's shape. e_r is x/r, e_θ is e_r turned to the left.
    """
    for (batch, pull, twist), dtype in in_both_precisions(((7, 10.0, 1.0), (5, 3.0, -4.0), (6, 100.0, 0.0))):
        pull, twist = pull * trial.uniform(0.8, 1.2), twist * trial.uniform(0.8, 1.2)
        x = trial.randn(batch, 2)
        r = x.norm(dim=1, keepdim=True)
        out = x / r
        side = torch.stack([-out[:, 1], out[:, 0]], dim=1)

        def field(distance, out=out, side=side, pull=pull, twist=twist):
            return -pull * distance * (out + twist * side)

        right = field(r - 1)
        mistakes = {
            "the sign is wrong: does it lead to the circle, or away from it?": -right,
            "it pulls to the origin: it should pull to the circle, where r = 1": field(r),
            "inside the circle the pull should lead outwards: is r − 1 positive there?": field((r - 1).abs()),
            "r − 1 is squared": field((r - 1).square()),
            "r² − 1 stands for r − 1": field(r.square() - 1),
            "x and its turned copy are not of length 1: divide them by r": field(r - 1, x, r * side),
            "e_θ is not divided by r": field(r - 1, out, r * side),
            "e_r is not divided by r": field(r - 1, x, side),
            "e_θ is turned to the right: take (−x₂, x₁)/r": field(r - 1, out, -side),
            "e_θ is not at a right angle to e_r: which of its coordinates has the minus sign?":
                field(r - 1, out, out.flip(1)),
            "the sideways part is not multiplied by the pull": -(r - 1) * (pull * out + twist * side),
            "the sideways part is not multiplied by r − 1: on the circle the field should be zero":
                -pull * ((r - 1) * out + twist * side),
            "there is no sideways part: where is the twist?": -pull * (r - 1) * out,
            "the arrows are all of one length: they should grow with the distance to the circle": field((r - 1).sign()),
            "the twisted direction is brought to length 1: the pull should stay as it is": right / math.hypot(1, twist),
        }  # fmt: skip
        trial.expect(right.to(dtype), x.to(dtype), pull, twist, mistakes=mistakes)


@spiral.lends
def _(x, pull, twist):
    r = x.norm(dim=1, keepdim=True)
    outwards = x / r
    sideways = torch.stack([-outwards[:, 1], outwards[:, 0]], dim=1)
    return -pull * (r - 1) * (outwards + twist * sideways)
