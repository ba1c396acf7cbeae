"""Exercises of chapter 5: data on a manifold."""

import math

import torch

from sbgm_course.exercise import exercise, in_both_precisions


def _orthonormal(trial, *shape):
    """Random orthonormal rows, (…, d, D), in double precision."""
    rows = torch.linalg.qr(trial.randn(*shape).transpose(-1, -2)).Q
    return rows.transpose(-1, -2).contiguous()


def _arrows(trial):
    for (batch, d, dim), dtype in in_both_precisions(((5, 2, 6), (7, 1, 3), (4, 3, 4))):
        yield trial.randn(batch, dim, dtype=dtype), _orthonormal(trial, batch, d, dim).to(dtype)


@exercise("5.1", minutes=10, cases=_arrows)
def part_within(arrows, tangents):
    """`part_within(arrows, tangents)`: the part of each arrow that lies within a surface (§ 3.1).

    arrows is (B, D), tangents (B, d, D): d orthonormal directions within the surface at each of the points. The result
    has arrows' shape.
    """
    return _along(tangents, _lengths(arrows, tangents))


def _lengths(arrows, tangents):
    """Of each arrow along each direction, (B, d)."""
    return (tangents @ arrows[:, :, None])[..., 0]


def _along(tangents, lengths):
    """The directions times lengths, added up, (B, D)."""
    return (lengths[:, :, None] * tangents).sum(dim=1)


def _with_lengths(change):
    """A mistake in the lengths, (B, d)."""
    return lambda arrows, tangents: _along(tangents, change(_lengths(arrows, tangents)))


part_within.mistakes = {
    "this is the part across the surface: the part within is asked for":
        lambda arrows, tangents: arrows - part_within.right(arrows, tangents),
    "these are the directions, added up: how long is the arrow along each of them?": _with_lengths(torch.ones_like),
    "every arrow is split by the directions at the first point: each point has its own":
        lambda arrows, tangents: part_within.right(arrows, tangents[:1].expand_as(tangents)),
    "the lengths are added without their signs: an arrow may also point against a direction":
        _with_lengths(torch.abs),
    "the lengths along the directions are squared": _with_lengths(torch.square),
    "it is divided by the arrow's length: is a cosine asked for, or a length?":
        lambda arrows, tangents: part_within.right(arrows, tangents) / arrows.norm(dim=1, keepdim=True),
    "the parts along the directions are averaged: they add up":
        _with_lengths(lambda lengths: lengths / lengths.shape[1]),
    "only the first direction counts: there are d of them":
        lambda arrows, tangents: part_within.right(arrows, tangents[:, :1]),
    "these are the arrows as they came: which part of them lies within the surface?":
        lambda arrows, tangents: 1 * arrows,
}  # fmt: skip


def _around_circles(trial):
    for (batch, pull, twist), dtype in in_both_precisions(((7, 10.0, 1.0), (5, 3.0, -4.0), (6, 100.0, 0.0))):
        yield trial.randn(batch, 2, dtype=dtype), pull * trial.uniform(0.8, 1.2), twist * trial.uniform(0.8, 1.2)


@exercise("5.3", minutes=10, cases=_around_circles)
def spiral(x, pull, twist):
    """`spiral(x, pull, twist)`: the field −K (r − 1)(e_r + c e_θ) around the unit circle (§ 3.1).

    x is (B, 2); pull K and twist c are floats; the field has x's shape. e_r is x/r, e_θ is e_r turned to the left.
    """
    r = x.norm(dim=1, keepdim=True)
    outwards = x / r
    return -pull * (r - 1) * (outwards + twist * _turned(outwards))


def _turned(x):
    """To the left, (B, 2)."""
    return torch.stack([-x[:, 1], x[:, 0]], dim=1)


def _spiral_with(distance=lambda r: r - 1, out=lambda x, r: x / r, side=lambda x, r: _turned(x / r)):
    """−K d(r)(e_r + c e_θ), with other distances or directions."""

    def mistaken(x, pull, twist):
        r = x.norm(dim=1, keepdim=True)
        return -pull * distance(r) * (out(x, r) + twist * side(x, r))

    return mistaken


def _parts(combine):
    """A field of the parts e_r and c e_θ, of r − 1 and of K."""

    def mistaken(x, pull, twist):
        r = x.norm(dim=1, keepdim=True)
        return -combine(x / r, twist * _turned(x / r), r - 1, pull)

    return mistaken


spiral.mistakes = {
    "it pulls to the origin: it should pull to the circle, where r = 1": _spiral_with(lambda r: r),
    "inside the circle the pull should lead outwards: is r − 1 positive there?": _spiral_with(lambda r: (r - 1).abs()),
    "r − 1 is squared": _spiral_with(lambda r: (r - 1) ** 2),
    "r² − 1 stands for r − 1": _spiral_with(lambda r: r**2 - 1),
    "e_r and e_θ have length 1: divide x and its turned copy by r": (
        _spiral_with(out=lambda x, r: x, side=lambda x, r: _turned(x)),
        _spiral_with(side=lambda x, r: _turned(x)),
        _spiral_with(out=lambda x, r: x),
    ),
    "e_θ is turned to the right: take (−x₂, x₁)/r": _spiral_with(side=lambda x, r: -_turned(x / r)),
    "e_θ is not at a right angle to e_r: which of its coordinates has the minus sign?":
        _spiral_with(side=lambda x, r: (x / r).flip(1)),
    "the sideways part is not multiplied by the pull":
        _parts(lambda out, side, off, pull: off * (pull * out + side)),
    "the sideways part is not multiplied by r − 1: on the circle the field should be zero":
        _parts(lambda out, side, off, pull: pull * (off * out + side)),
    "there is no sideways part: where is the twist?":
        _parts(lambda out, side, off, pull: pull * off * out),
    "the arrows are all of one length: they should grow with the distance to the circle":
        _spiral_with(lambda r: (r - 1).sign()),
    "the twisted direction is brought to length 1: the pull should stay as it is":
        lambda x, pull, twist: spiral.right(x, pull, twist) / math.hypot(1, twist),
}  # fmt: skip
