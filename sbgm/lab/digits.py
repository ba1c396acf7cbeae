"""A noise conditional score network on the 8×8 digits that scikit-learn carries, small enough to train in a cell."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from sbgm.checked import check_batch, check_choice
from sbgm.data import load_images
from sbgm.lab.hardware import hardware
from sbgm.losses import ncsn_loss
from sbgm.measure import frechet_distance, level_losses
from sbgm.networks import ImageMLP
from sbgm.noise import geometric_sigmas
from sbgm.samplers import annealed_langevin, final
from sbgm.training import Step, adam, fit
from sbgm.weights import save_network

WEIGHTINGS = {"sigma_squared": torch.square, "one": torch.ones_like}


@dataclasses.dataclass(frozen=True)
class DigitsTraining:
    """Settings of a training on the digits: the network, the ladder and how Eq. 6 is minimised.

    Pixels take 17 values, i/16. They are not dequantised: spreading each evenly to the next value would add noise of
    standard deviation 1/(16 √12) = .018, more than σ_L = .01. (The paper's 256 values lie closer than σ_L.)

    Attributes:
        width, n_blocks, norm: of the `ImageMLP`.
        weighting: λ(σ), "sigma_squared" or "one".
        n_iterations: Adam steps.
        batch_size: digits a step, one uniform level each.
        learning_rate: Adam's; the peak where `one_cycle` is set.
        one_cycle: raise the rate, then anneal it to zero (Smith & Topin 2018), in place of a constant one.
        sigma_max, sigma_min, n_levels: the geometric ladder, the paper's for images.
        seed: of weights, batches, levels and noise.
    """

    width: int = 256
    n_blocks: int = 3
    norm: str = "layer"
    weighting: str = "sigma_squared"
    n_iterations: int = 6_000
    batch_size: int = 128
    learning_rate: float = 2e-3
    one_cycle: bool = True
    sigma_max: float = 1.0
    sigma_min: float = 0.01
    n_levels: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(self.weighting, "weighting", tuple(WEIGHTINGS))

    @property
    def sigmas(self) -> Tensor:
        """The ladder σ_1 > … > σ_L as a float32 tensor."""
        return geometric_sigmas(self.sigma_max, self.sigma_min, self.n_levels)

    def network(self, image_shape: tuple[int, ...] = (1, 8, 8)) -> ImageMLP:
        """The untrained network, its initial weights drawn from the seed."""
        generator = torch.Generator().manual_seed(self.seed)
        return ImageMLP(self.sigmas, image_shape, self.width, self.n_blocks, self.norm, generator=generator)


def train_digits(network: nn.Module, images: Tensor, settings: DigitsTraining) -> Iterator[Step]:
    """Train a noise conditional score network on small images by Eq. 6, in place.

    Args:
        network: s(x, sigma), such as `settings.network()`.
        images: (N, C, H, W) in [0, 1].
        settings: see `DigitsTraining`.

    Yields:
        Step(step, loss) after every iteration.
    """
    check_batch(images, "images")
    return _train_digits(network, images, settings)


def _train_digits(network, images, settings):
    generator = torch.Generator().manual_seed(settings.seed)
    sigmas, weighting = settings.sigmas, WEIGHTINGS[settings.weighting]
    one_cycle_steps = settings.n_iterations if settings.one_cycle else None
    optimizer, schedule = adam(network, settings.learning_rate, one_cycle_steps=one_cycle_steps)

    def loss() -> Tensor:
        x = images[torch.randint(len(images), (settings.batch_size,), generator=generator)]
        return ncsn_loss(network, x, sigmas, generator=generator, weighting=weighting)

    yield from fit(loss, optimizer, settings.n_iterations, schedule=schedule)


def sample_digits(
    network: ImageMLP, n: int, *, n_steps: int = 100, step_size: float = 2e-5, generator: torch.Generator
) -> Tensor:
    """Samples by Algorithm 1 from uniform noise, with the paper's T and ε unless told otherwise: (n, C, H, W).

    Args:
        network: with its ladder in `sigmas` and its `image_shape`.
        n: images.
        n_steps: T, steps a level.
        step_size: ε, in the paper's convention.
        generator: source of starts and noise.
    """
    start = torch.rand(n, *network.image_shape, generator=generator)
    states = annealed_langevin(
        network, start, network.sigmas, step_size=step_size, n_steps=n_steps, generator=generator
    )
    return final(states)


SHIPPED_DIGITS = {"digits_mlp": DigitsTraining(), "digits_mlp_lambda_1": DigitsTraining(weighting="one")}
"""The networks that ship in `data/weights/`, by the stem of their file; `load_network` loads them by it."""


def train_shipped_digits(
    name: str, folder: Path, *, n_iterations: int | None = None, n_samples: int = 1_000
) -> ImageMLP:
    """Train one of the shipped networks again and save it with the facts of its making.

    On one machine and with one thread, the weights come out the same to the last bit.

    Args:
        name: a key of SHIPPED_DIGITS.
        folder: where to save `name.safetensors`; it is made if need be.
        n_iterations: fewer steps than shipped, for a trial.
        n_samples: how many samples its distance is measured on.

    Returns:
        The trained network.
    """
    settings = SHIPPED_DIGITS[check_choice(name, "name", tuple(SHIPPED_DIGITS))]
    if n_iterations is not None:
        settings = dataclasses.replace(settings, n_iterations=n_iterations)
    images, held_out = load_images("digits"), load_images("digits", "test")
    network = settings.network()
    start = time.perf_counter()
    for _ in train_digits(network, images, settings):
        pass
    seconds = time.perf_counter() - start
    losses = level_losses(network, held_out, settings.sigmas, generator=torch.Generator().manual_seed(1))
    samples = sample_digits(network, n_samples, generator=torch.Generator().manual_seed(2))
    folder.mkdir(parents=True, exist_ok=True)
    save_network(
        network,
        folder / f"{name}.safetensors",
        data_range=[0.0, 1.0],
        command=f"sbgm.lab.train_shipped_digits({name!r}, folder)",
        data=f"digits, {len(images):,} training images",
        data_sha256=hashlib.sha256(images.mul(16).round().byte().numpy().tobytes()).hexdigest(),
        settings=dataclasses.asdict(settings),
        seconds=round(seconds),
        hardware=hardware(),
        torch=torch.__version__,
        held_out_images=len(held_out),
        held_out_loss_by_level=[round(float(value), 3) for value in losses.values],
        frechet_distance=round(frechet_distance(samples.flatten(1), images.flatten(1)).value, 3),
        frechet_distance_of=f"{n_samples:,} samples (T = 100, ε = 2e-5) to the training images, in pixels",
    )
    return network
