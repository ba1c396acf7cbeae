"""Song & Ermon (2019) on one page, with their weight λ = σ²: learn the score of 8 × 8 digits, then draw some."""
# python examples/ncsn_on_one_page.py [FILE [STEPS]], into a window where there is no FILE

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

images = torch.tensor(load_digits().images[:1437], dtype=torch.float32).flatten(1) / 16  # (1437, 64), in [0, 1]
mean, variance = images.mean(), images.var()  # of a pixel
sigmas = torch.logspace(0, -2, 10)  # the ladder: σ_1 = 1 down to σ_10 = 0.01, each the same factor below the last


def scaled(network, x, sigma, mean, variance):
    """The score of Gaussian pixels, and what layers that see and give numbers of one size add to it, (B, 64)."""
    noisy_variance = variance + sigma[:, None] ** 2
    u = (x - mean) / noisy_variance.sqrt()
    return (mean - x) / noisy_variance + network(u, sigma) / sigma[:, None]


class ScoreNetwork(nn.Module):
    """s(x, σ): noisy images (B, 64) and σ, one for all or one per image, to scores (B, 64)."""

    def __init__(self, width=256, n_blocks=2):
        super().__init__()
        self.begin, self.end = nn.Linear(64, width), nn.Linear(width, 64)
        self.levels = nn.ModuleList(nn.Linear(1, width) for _ in range(n_blocks))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(n_blocks)
        )

    def layers(self, u, sigma):
        h = self.begin(u)
        for block, level in zip(self.blocks, self.levels, strict=True):
            h = h + block(h + level(sigma.log()[:, None]))
        return self.end(h)

    def forward(self, x, sigma):
        sigma = torch.as_tensor(sigma).reshape(-1).expand(len(x))
        return scaled(self.layers, x, sigma, mean, variance)


def objective(network, tilt=0):
    """Eq. 5 and 6, λ(σ) = σ²σ^tilt (0: the paper's), on a batch: every image draws a level, in proportion to σ^tilt."""
    x = images[torch.randint(len(images), (128,))]
    sigma = sigmas[torch.multinomial(sigmas**tilt, len(x), replacement=True)].reshape(-1, 1)
    z = torch.randn_like(x)
    return 0.5 * (sigma * network(x + sigma * z, sigma) + z).square().sum(dim=1).mean()


def train(network, n_steps, objective):
    """Minimise an objective by Adam; a generator, so that the caller can look in between two steps."""
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=n_steps)
    for step in range(1, n_steps + 1):
        loss = objective(network)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        yield step, loss.item()


@torch.no_grad()
def sample(network, n, T=100, epsilon=2e-5, seed=0):
    """Algorithm 1: T Langevin steps at each level, from uniform noise down the ladder."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 64, generator=generator)
    for sigma in sigmas:
        alpha = epsilon * sigma**2 / sigmas[-1] ** 2
        for _ in range(T):
            z = torch.randn(n, 64, generator=generator)
            x = x + alpha / 2 * network(x, sigma) + alpha.sqrt() * z
    return x


if __name__ == "__main__":
    import sys

    torch.set_num_threads(1)  # two that wait for each other are slower on tensors this small
    torch.manual_seed(0)
    network = ScoreNetwork()
    for step, loss in train(network, int(sys.argv[2]) if len(sys.argv) > 2 else 2_000, objective):
        print(f"\rstep {step}: loss {loss:.1f}", end="")
    digits = nn.functional.pad(sample(network, 64).reshape(8, 8, 8, 8), (1, 1, 1, 1), value=1)
    plt.imshow(digits.transpose(1, 2).reshape(80, 80), cmap="gray", vmin=0, vmax=1)
    plt.axis("off")
    plt.savefig(sys.argv[1]) if len(sys.argv) > 1 else plt.show()
