"""Exercise 10.5: 8 × 8 digits of which the means of 2 × 2 blocks are known."""

import torch
from torch.nn.functional import avg_pool2d, interpolate

import sbgm

network = sbgm.load_network("digits_mlp")
training = sbgm.load_images("digits")
images = sbgm.load_images("digits", "test")[:64]
low = avg_pool2d(images, 2)
generator = torch.Generator().manual_seed(0)


@torch.no_grad()
def filled():
    """The digits' fills, drawn by Algorithm 1 whose states get the known means after each step."""
    x = torch.rand(images.shape, generator=generator)
    for sigma in network.sigmas.tolist():
        alpha = 2e-5 * sigma**2 / 0.01**2
        y = low + sigma / 2 * torch.randn(low.shape, generator=generator)
        for _ in range(100):
            x = x + alpha / 2 * network(x, sigma) + alpha**0.5 * torch.randn(x.shape, generator=generator)
            x = x + interpolate(y - avg_pool2d(x, 2), scale_factor=2)
    return x


def with_constant(blocks):
    return torch.cat([blocks.flatten(1), torch.ones(len(blocks), 1)], dim=1)


weights = torch.linalg.lstsq(with_constant(avg_pool2d(training, 2)), training.flatten(1)).solution
regression = (with_constant(low) @ weights).view_as(images)
fills = {"fills": filled(), "linear regression": regression, "enlarged blocks": interpolate(low, scale_factor=2)}
for name, fill in fills.items():
    print(f"{name}: off by {(fill - images).square().mean().sqrt():.2f}")
