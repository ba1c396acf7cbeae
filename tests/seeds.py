"""Where the tests' random numbers come from."""

import torch


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own for each call."""
    return torch.Generator().manual_seed(seed)
