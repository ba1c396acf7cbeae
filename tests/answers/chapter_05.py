"""Answers to chapter 5's exercises."""

import torch


def by_projections(arrows, tangents):
    projections = tangents.transpose(1, 2) @ tangents
    return torch.einsum("bij,bj->bi", projections, arrows)


def by_least_squares(arrows, tangents):
    columns = tangents.transpose(1, 2)  # (B, D, d)
    lengths = torch.linalg.lstsq(columns, arrows[:, :, None]).solution
    return (columns @ lengths)[:, :, 0]


def by_angle(x, pull, twist):
    angle = torch.atan2(x[:, 1], x[:, 0])
    r = torch.hypot(x[:, 0], x[:, 1])
    out = torch.stack([angle.cos(), angle.sin()])
    side = torch.stack([-angle.sin(), angle.cos()])
    return (-pull * (r - 1) * (out + twist * side)).T


def by_a_matrix(x, pull, twist):
    turn = torch.tensor([[1.0, twist], [-twist, 1.0]], dtype=x.dtype)
    length = pull * (1 / x.norm(dim=1, keepdim=True) - 1)
    return length * x @ turn


RIGHT = {
    "part_within": (by_projections, by_least_squares),
    "spiral": (by_angle, by_a_matrix),
}
WRONG = {}
