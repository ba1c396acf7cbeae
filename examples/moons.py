"""Two moons: train a noise conditional score network on 2,000 points of the plane, and draw new points from it.

To try: fewer levels, a ladder that begins at σ = 0.3, a network without `sigma` (`sbgm.MLP`), points on a spiral.
"""
# python examples/moons.py [FILE [STEPS]], a quarter of a minute; without a file the picture is shown

import sys

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import make_moons

import sbgm
from sbgm import plots

file = sys.argv[1] if len(sys.argv) > 1 else None
n_steps = int(sys.argv[2]) if len(sys.argv) > 2 else 3_000
torch.set_num_threads(1)  # two that wait for each other are slower on tensors this small
generator = torch.Generator().manual_seed(0)

# The data, and the ladder: σ_1 is about as wide as the data, σ_L a little less than the moons' own width.
points, _ = make_moons(2_000, noise=0.05, random_state=0)
data = torch.tensor(points, dtype=torch.float32)
data = data - data.mean(dim=0)
sigmas = sbgm.geometric_sigmas(1.5, 0.03, 10)

# One network for all levels, trained by denoising score matching at all of them (Eq. 6).
network = sbgm.ConditionalMLP(dim=2, width=128, depth=3, data_std=float(data.std()), generator=generator)
steps = sbgm.fit_score(
    network,
    data,
    lambda score, x: sbgm.ncsn_loss(score, x, sigmas, generator=generator),
    n_steps=n_steps,
    batch_size=256,
    learning_rate=1e-2,
    one_cycle=True,
    generator=generator,
)
for step in steps:
    if step.step % 1_000 == 0:
        print(f"step {step.step}: loss {step.loss:.2f}")

# Algorithm 1, from uniform noise. At the last level a step is a fifth of σ_L² (from 4σ_L² on it diverges, chapter 4).
start = 4 * torch.rand(2_000, 2, generator=generator) - 2
states = sbgm.annealed_langevin(
    network, start, sigmas, step_size=0.2 * sigmas[-1].item() ** 2, n_steps=50, generator=generator
)
samples = sbgm.final(states)
distances = torch.cdist(samples, data).amin(dim=1)
print(f"{(distances < 0.1).float().mean():.0%} of the samples are within 0.1 of a data point")

figure, axes = plt.subplots(1, 3, figsize=(10, 3.5), layout="constrained")
plots.draw_samples(axes[0], data, extent=2)
plots.draw_samples(axes[1], samples, extent=2)
grid = plots.grid(20, extent=2)
with torch.no_grad():
    plots.draw_field(axes[2], grid, network(grid, 0.3), extent=2, scale=40)
for ax, title in zip(axes, ("data", "samples", "learned score at σ = 0.3"), strict=True):
    ax.set_title(title)
plt.savefig(file) if file else plt.show()
