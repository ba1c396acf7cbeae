"""Exercise 10.3: the known number without noise, at all levels."""

import torch

import sbgm

mixture = sbgm.paper_mixture()
ladder = sbgm.geometric_sigmas(20.0, 0.2, 14).tolist()
start = 16 * torch.rand(4_000, 2, generator=torch.Generator().manual_seed(1)) - 8
known = torch.tensor([True, False])


def share_above(a, noise):
    """The share above 0, where y has noise · σ of noise: 1 is Algorithm 2, 0 a clean y."""
    generator = torch.Generator().manual_seed(0)
    image = torch.tensor([a, 0.0])
    x = start
    for sigma in ladder:
        alpha = 0.01 * sigma**2 / ladder[-1] ** 2
        y = image
        if noise:
            y = image + sigma * torch.randn(x.shape, generator=generator)
        for _ in range(100):
            z = torch.randn(x.shape, generator=generator)
            x = torch.where(known, y, x + alpha / 2 * mixture.score(x, sigma) + alpha**0.5 * z)
    return float((x[:, 1] > 0).double().mean())


for a in (0.0, 1.0, -0.5):
    exact = float(torch.sigmoid(torch.tensor(4.0).log() + 10 * torch.tensor(a)))
    print(f"exact {exact:.2f}, clean {share_above(a, 0):.2f}, by Algorithm 2 {share_above(a, 1):.2f}")
