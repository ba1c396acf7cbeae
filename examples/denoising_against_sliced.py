"""Denoising against sliced score matching: the same network and batches, two losses, five noise levels.

python examples/denoising_against_sliced.py [FILE [STEPS]]      # half a minute; without a file the picture is shown

Both losses estimate the score of q_σ, the paper's mixture with noise σ, which is known exactly. Sliced score matching
sees the noisy points only. Denoising score matching also sees the noise z: its target −z/σ costs nothing, but the
smaller σ, the more it scatters. To try: larger batches, more steps, narrower modes (`paper_mixture(stds=0.2)`).
"""

import sys
import time

import matplotlib.pyplot as plt
import torch

import sbgm
from sbgm.measure import relative_squared_error

file = sys.argv[1] if len(sys.argv) > 1 else None
n_steps = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
torch.set_num_threads(1)  # two that wait for each other are slower on tensors this small
mixture = sbgm.paper_mixture()


def denoising(score, x, sigma, generator):
    """Eq. 2 on a batch of samples."""
    return sbgm.denoising_score_matching_loss(score, x, sigma, generator=generator)


def sliced(score, x, sigma, generator):
    """Eq. 3 on a batch of samples with noise."""
    noisy = sbgm.perturb(x, sigma, generator=generator)
    return sbgm.sliced_score_matching_loss(score, noisy, generator=generator)


def error(loss, sigma):
    """Train a network by a loss; return its relative squared error under q_σ, and the seconds of a step."""
    generator = torch.Generator().manual_seed(0)
    network = sbgm.MLP(dim=2, width=128, depth=2, generator=generator)
    steps = sbgm.fit_score(
        network,
        lambda n: mixture.sample(n, generator=generator),
        lambda score, x: loss(score, x, sigma, generator),
        n_steps=n_steps,
        batch_size=256,
        learning_rate=1e-2,
        one_cycle=True,
        generator=generator,
    )
    began = time.perf_counter()
    list(steps)
    seconds = (time.perf_counter() - began) / n_steps
    x = mixture.sample(5_000, sigma, generator=generator)
    with torch.no_grad():
        return relative_squared_error(network(x), mixture.score(x, sigma)), seconds


sigmas = (2.0, 1.0, 0.5, 0.2, 0.1)
for loss, style in ((denoising, "o-"), (sliced, "s--")):
    errors, seconds = zip(*(error(loss, sigma) for sigma in sigmas), strict=True)
    plt.loglog(sigmas, errors, style, label=loss.__name__)
    found = ", ".join(f"{value:.3f}" for value in errors)
    print(f"{loss.__name__}: error {found} at σ = {sigmas}; {1000 * sum(seconds) / 5:.1f} ms a step")
plt.xlabel("σ")
plt.ylabel("relative squared error of the score")
plt.legend()
plt.savefig(file) if file else plt.show()
