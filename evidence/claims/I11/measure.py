"""I11: what plain Langevin dynamics leaves of test digits, by scores that were learned without noise and with a little.

Two kinds of network differ in nothing but the noise on their training images: ten without, and five with, from the
seeds of the first five. What is trained is kept; a run that was stopped goes on with the next 50 iterations.
"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from errors import of_networks
from figure1 import load_state, train_figure1
from ledger import Measurement, Record, declared, record, reported, seed
from recipes import Figure1
from sbgm import derived_generator
from sbgm.guard import Score
from sbgm.images.data import load_images
from sbgm.images.drawing import uniform_start
from sbgm.images.networks import ResNet
from sbgm.measure import nearest_neighbours, quantise
from sbgm.noise import perturb
from sbgm.samplers import langevin

OPTIONS = {"folder": "I11"}
ARMS = {"no noise": 0.0, "σ = 0.01": 0.01}
"""The standard deviation of the noise on the training images of each kind of network."""
SIGMA = 0.01
"""Of the noise on the digits that chains start from."""
N_NETWORKS = {"no noise": 10, "σ = 0.01": 5}
N_ITERATIONS = 300
N_DIGITS = 24
N_FROM_NOISE = 16
STEP_SIZE = 2e-5
N_STEPS = 500
N_BEFORE = 20
"""Iterations whose mean loss tells whether a network has blown up: a zero score has 0."""
STARTS = (("from digits", "from_digits"), ("from noise", "from_noise"))
"""What the record keeps of the first network of each kind."""
DISTANCE = "distance over free diffusion's"
BOUNDED = {
    "no noise": f"no noise: log₁₀ of {DISTANCE}, ten networks",
    "σ = 0.01": f"control: σ = 0.01: log₁₀ of {DISTANCE}, five networks",
}


def free_diffusion(n_steps: int) -> float:
    """The RMS distance from the digit of chains that start at noise SIGMA, if the score is zero: no more than noise."""
    return math.sqrt(SIGMA**2 + n_steps * STEP_SIZE)


def rms(difference: Tensor) -> float:
    """The root of the mean square of all numbers."""
    return float(difference.square().mean().sqrt())


class Chains(NamedTuple):
    """Where chains end, (B, 1, 28, 28) each: those that start at digits, and those that start at uniform noise."""

    from_digits: Tensor
    from_noise: Tensor


def run_chains(score: Score, digits: Tensor, generator: torch.Generator, n_steps: int = N_STEPS) -> Chains:
    """Plain Langevin dynamics from digits with noise SIGMA, and from N_FROM_NOISE images of uniform noise.

    Args:
        score: s(x, σ); σ is not used.
        digits: (B, C, H, W).
        generator: source of starts and noise.
        n_steps: of size STEP_SIZE.
    """
    noise = uniform_start((N_FROM_NOISE, *digits.shape[1:]), generator)
    x = torch.cat([perturb(digits, SIGMA, generator=generator), noise])
    for state in langevin(score, x, step_size=STEP_SIZE, n_steps=n_steps, sigma=SIGMA, generator=generator):
        x = state.x
    return Chains(x[: len(digits)], x[len(digits) :])


def trained(noise_std: float, part: int, images: Tensor, folder: Path) -> tuple[torch.nn.Module, Tensor]:
    """One network, trained by sliced score matching on images with this noise, and its loss at each iteration."""
    settings = Figure1(noise_std, channels=16, batch_size=32, n_steps=N_ITERATIONS, seed=seed("I11") + part)
    network = ResNet(settings.channels, 1, generator=torch.Generator().manual_seed(settings.seed))
    place = folder / f"noise{noise_std:g}-seed{settings.seed}"
    losses = [step.loss for step in train_figure1(images, settings, folder=place, save_every=50)]
    network.load_state_dict(load_state(place)["network"])
    return network.eval().requires_grad_(False), torch.tensor(losses, dtype=torch.float64)


def measure(folder: Path) -> Record:
    """Measure I11: how far chains get from test digits, with scores learned without noise and with noise of 0.01."""
    images = load_images("mnist")
    test = load_images("mnist", "test")
    chosen = torch.randperm(len(test), generator=derived_generator(seed("I11"), max(N_NETWORKS.values())))[:N_DIGITS]
    digits = test[chosen]
    chains: dict[str, list[Chains]] = {arm: [] for arm in ARMS}
    losses: dict[str, list[Tensor]] = {arm: [] for arm in ARMS}
    torch.set_flush_denormal(True)  # as in M2
    for arm, noise_std in ARMS.items():
        for part in range(N_NETWORKS[arm]):
            network, curve = trained(noise_std, part, images, folder)
            losses[arm].append(curve)
            chains[arm].append(run_chains(network, digits, derived_generator(seed("I11"), part)))
    torch.set_flush_denormal(False)
    curves = {f"losses, {arm}": torch.stack(of_arm) for arm, of_arm in losses.items()}
    ends = {f"{arm}, {start}": quantise(getattr(chains[arm][0], field)) for arm in ARMS for start, field in STARTS}
    return record(
        "I11",
        measurements(chains, losses, digits, images),
        {"digits": quantise(digits), **ends, **curves},
        data=f"Fig. 1's ResNet at half its width; {N_DIGITS} MNIST test digits and {N_FROM_NOISE} images of noise",
        note="± is of networks, Student's. Both networks of a seed begin with the same weights, and their chains have "
        "the same noise.",
        narrower="half the width of Fig. 1's network, on MNIST, 300 iterations",
        facts={f"networks, {arm}": n for arm, n in N_NETWORKS.items()}
        | {"n_iterations": N_ITERATIONS, "batch_size": 32, "step_size": STEP_SIZE, "n_steps": N_STEPS},
    )


def measurements(
    chains: dict[str, list[Chains]], losses: dict[str, list[Tensor]], digits: Tensor, training: Tensor
) -> list[Measurement]:
    """The measurements of I11.

    Args:
        chains: of each network, by kind.
        losses: of each network, by kind.
        digits: where chains start.
        training: images to which the ends of the chains from noise are compared.
    """
    listed = []
    for arm, label in BOUNDED.items():
        left = torch.tensor([rms(c.from_digits - digits) for c in chains[arm]]) / free_diffusion(N_STEPS)
        listed += [
            declared("I11", label, of_networks(left.log10())),
            reported(f"{arm}: {DISTANCE}, the smallest", float(left.min())),
            reported(f"{arm}: {DISTANCE}, the largest", float(left.max())),
        ]
    listed.append(reported("free diffusion: RMS distance from the digit", free_diffusion(N_STEPS)))
    for arm in ARMS:
        nearest = [nearest_neighbours(c.from_noise, training).distances.square().mean() for c in chains[arm]]
        off = torch.stack(nearest).div(digits[0].numel()).sqrt()
        label = f"{arm}, from noise: RMS distance to the nearest training digit"
        listed.append(reported(label, of_networks(off)))
        blown_up = sum(bool(curve[-N_BEFORE:].mean() > 0) for curve in losses[arm])
        listed.append(reported(f"{arm}: networks whose loss has passed that of a zero score", blown_up))
    return listed
