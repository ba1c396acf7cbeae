"""A network of one's own: it learns the scores of MNIST's digits, and then draws the digit that it is asked for."""
# python examples/own_network.py [FOLDER [STEPS [SEED]]], some minutes of one core; FOLDER must be new

import os
import sys

import matplotlib.pyplot as plt
import torch
from torch import nn

import sbgm

images, labels = sbgm.load_images("mnist_small"), sbgm.load_labels("mnist_small")  # (3158, 1, 28, 28) and (3158,)
mean, variance = images.mean(), images.var()  # of a pixel
sigmas = torch.logspace(0.7, -1.7, 30)  # the ladder: σ_1 = 5 down to σ_30 = 0.02


class Block(nn.Module):
    """Maps h (B, width, 7, 7) to h plus what is new: seen near, then far, then scaled and shifted as σ demands."""

    def __init__(self, width):
        super().__init__()
        self.near = nn.Sequential(nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
        self.far = nn.Linear(7 * 7, 7 * 7)  # one matrix, from every place to every place
        self.norm, self.level = nn.GroupNorm(4, width), nn.Linear(width, 2 * width)
        self.end = nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, 1))

    def forward(self, h, level):
        new = self.near(h)  # each place looks at its neighbours
        new = new + self.far(new.flatten(2)).reshape(h.shape)
        scale, shift = self.level(level)[:, :, None, None].chunk(2, dim=1)
        return h + self.end((1 + scale) * self.norm(new) + shift)


class ScoreNetwork(nn.Module):
    """s(x, σ) or s(x, σ, label): images (B, 1, 28, 28), one σ or one an image, labels the same, to scores like x."""

    def __init__(self, width=64, n_blocks=4):
        super().__init__()
        self.begin = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(16, width, 3, padding=1))  # 4 × 4 pixels a place
        self.level = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.label = nn.Sequential(nn.Embedding(11, width * 7 * 7), nn.Unflatten(-1, (width, 7, 7)))  # 10: any class
        self.blocks = nn.ModuleList(Block(width) for _ in range(n_blocks))
        self.end = nn.Sequential(nn.SiLU(), nn.Conv2d(width, 16, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, x, sigma, label=10):
        sigma = torch.as_tensor(sigma).reshape(-1, 1, 1, 1)
        noisy_variance = variance + sigma**2
        h = self.begin((x - mean) / noisy_variance.sqrt()) + self.label(torch.as_tensor(label))
        level = self.level(sigma.log().flatten(1))
        for block in self.blocks:
            h = block(h, level)
        return (mean - x) / noisy_variance + (variance / noisy_variance).sqrt() / sigma * self.end(h)


def train(network, n_steps):
    """Minimise Eq. 6 with λ(σ) = σ² by Adam; every image draws a level of its own, and one in ten hides its class."""
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=n_steps)
    for _ in range(n_steps):
        chosen = torch.randint(len(images), (64,))
        label = labels[chosen].where(torch.rand(64) > 0.1, 10)
        sigma = sigmas[torch.randint(len(sigmas), (64,))].reshape(-1, 1, 1, 1)
        z = torch.randn(64, 1, 28, 28)
        loss = 0.5 * (sigma * network(images[chosen] + sigma * z, sigma, label) + z).square().sum(dim=(1, 2, 3)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        yield loss.item()


def guided(network, label, w):
    """The score s(x, σ) + w (s(x, σ, label) − s(x, σ)): at w = 1 the class's own, beyond it the class exaggerated."""
    return lambda x, sigma: (1 - w) * network(x, sigma) + w * network(x, sigma, label)


@torch.no_grad()
def sample(score, n, generator):
    """At each level guess the image without noise, x + σ² s(x, σ), and add noise of the next level to the guess."""
    x = mean + sigmas[0] * torch.randn(n, 1, 28, 28, generator=generator)
    for sigma, following in zip(sigmas, [*sigmas[1:], 0], strict=True):
        x = x + sigma**2 * score(x, sigma) + following * torch.randn(x.shape, generator=generator)
    return x


if __name__ == "__main__":
    folder, n_steps, seed = [*sys.argv[1:], *("work/own_network", 3_000, 0)[len(sys.argv) - 1 :]]
    os.makedirs(folder)  # an error where it exists: nothing is overwritten
    torch.manual_seed(int(seed))
    network, losses, classes = ScoreNetwork(), [], torch.arange(10).repeat_interleave(10)
    for step, loss in enumerate(train(network, int(n_steps)), start=1):
        losses.append(loss)
        if step in {int(n_steps) // part for part in (10, 5, 2, 1)}:  # the loss, beside samples, a row a class
            digits = sample(guided(network, classes, w=2), 100, torch.Generator().manual_seed(0))
            figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
            left.semilogy(losses)
            sbgm.plots.draw_images(right, digits, n_columns=10)
            figure.savefig(f"{folder}/step_{step}.png")
    sbgm.save_weights(network, f"{folder}/weights.safetensors", dtype=torch.float16, n_steps=step, seed=int(seed))
