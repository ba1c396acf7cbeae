"""Scores that count: how often they are asked, which is the cost of sampling, and which labels they are given."""

import torch
from torch import nn


class CountedScore:
    """A score, and in `evaluations` the calls so far; a call scores a whole batch."""

    def __init__(self, score):
        self.score = score
        self.evaluations = 0

    def __call__(self, x, sigma):
        self.evaluations += 1
        return self.score(x, sigma)


class ZeroNetwork(nn.Module):
    """A score of zero, until it is trained; in `hidden` it notes which images of ten classes came without theirs.

    Its loss is ½‖z‖²: for an image of 28×28, 392 with a standard deviation of √392.
    """

    def __init__(self, hidden):
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))
        self.hidden = hidden

    def forward(self, x, sigma, label):
        assert sigma.shape == label.shape == x.shape[:1]
        self.hidden.append(label == 10)
        return self.zero * x
