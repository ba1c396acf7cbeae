"""What counts: scores, how often they are asked and with which labels; and the operations of torch."""

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


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


class CountedOperations(TorchDispatchMode):
    """While it is entered, the operations on tensors are counted in `count`, backward passes included."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))
