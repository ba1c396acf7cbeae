"""A network of one's own: it learns the scores of MNIST's digits, and then draws the digit that it is asked for."""
# python examples/own_network.py [FOLDER [STEPS [SEED]]], some minutes of one core; FOLDER must be new

import os
import sys

import matplotlib.pyplot as plt
import torch

import sbgm
from sbgm.training import adam, fit

images, labels = sbgm.load_images("mnist_small"), sbgm.load_labels("mnist_small")  # (3158, 1, 28, 28) and (3158,)
mean, variance = float(images.mean()), float(images.var())  # of a pixel
sigmas = sbgm.geometric_sigmas(5.0, 0.02, 30)
watched = (1, 25, 50, 100, 150, 200, 300, 400, 550, 700, 900, 1200, 1500, 2000, 2500, 3000)


def train(network, n_steps, generator):
    """Minimise Eq. 6 with λ(σ) = σ² by Adam; every image draws a level of its own, and one in ten hides its class."""

    def loss():
        chosen = torch.randint(len(images), (64,), generator=generator)
        label = labels[chosen].where(torch.rand(64, generator=generator) > 0.1, 10)  # 10: any class
        return sbgm.ncsn_loss(lambda x, sigma: network(x, sigma, label), images[chosen], sigmas, generator=generator)

    optimizer, schedule = adam(network, 3e-3, one_cycle_steps=n_steps)
    return fit(loss, optimizer, n_steps, schedule=schedule)


@torch.no_grad()
def sample(score, n, generator):
    """At each level guess the image without noise, x + σ² s(x, σ), and add noise of the next level (exercise 8.1)."""
    x = mean + sigmas[0] * torch.randn(n, 1, 28, 28, generator=generator)
    for sigma, next_sigma in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
        x = x + sigma**2 * score(x, sigma) + next_sigma * torch.randn(x.shape, generator=generator)
    return x


if __name__ == "__main__":
    folder, n_steps, seed = [*sys.argv[1:], *("work/own_network", 3_000, 1)[len(sys.argv) - 1 :]]
    if folder.startswith("-"):
        sys.exit("usage: python examples/own_network.py [FOLDER [STEPS [SEED]]], FOLDER a new one")
    torch.set_num_threads(1)  # two that wait for each other are slower on tensors this small
    os.makedirs(folder)  # an error where it exists: nothing is overwritten
    print(f"{n_steps} steps on {len(images):,} digits, from seed {seed}; three samples of each digit as it learns:")
    generator = torch.Generator().manual_seed(int(seed))
    network = sbgm.DigitNetwork(sigmas, mean, variance, generator=generator)
    losses, sheets, classes = [], {}, torch.arange(10).repeat(3)
    for step in train(network, int(n_steps), generator):
        losses.append(step.loss)
        if step.step in (*watched, int(n_steps)):  # the loss, beside samples that begin from the same noise
            digits = sample(sbgm.guided(network, classes, w=2), len(classes), torch.Generator().manual_seed(0))
            sheets[step.step] = (255 * digits.clamp(0, 1)).round().byte()[:, 0]
            figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.5), layout="constrained")
            left.semilogy(losses)
            sbgm.plots.draw_images(right, digits, n_columns=10)
            figure.savefig(f"{folder}/step_{step.step}.png")
            plt.close(figure)
            print(f"step {step.step}: loss {step.loss:.0f}, {folder}/step_{step.step}.png")
    growth = {"steps": torch.tensor([*sheets]), "losses": torch.tensor(losses)}
    growth["sheets"] = torch.stack([*sheets.values()])
    sbgm.files.save_tensors(f"{folder}/growth.safetensors", growth)
    facts = {"n_steps": int(n_steps), "seed": int(seed)}
    sbgm.save_network(network, f"{folder}/own_network.safetensors", dtype=torch.float16, **facts)
    print(f"{folder}/own_network.safetensors: copy it beside the chapters, which draw with it from chapter 8 on")
