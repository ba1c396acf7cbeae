"""Samples by Algorithm 1 that recorded claims share, where they are drawn, and what digits are measured by."""

import dataclasses
from collections.abc import Mapping
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from controls import joined_halves, moved, turned
from sbgm.files import content_hash
from sbgm.guard import Score
from sbgm.images.data import load_images, load_labels
from sbgm.images.devices import autocast, compiled, fast_precision, find_device, on_device
from sbgm.images.drawing import Sampler, generate, kept_folder
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, frechet_distance
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER
from sbgm.measure.judging import feature_space, reference_for
from sbgm.noise import perturb
from sbgm.samplers import annealed_langevin, denoise

HOW_DRAWN = ("n_samples", "n_steps", "step_size", "precision", "seed")
FEATURES = "Fréchet distances in the features of the second classifier"
SIGMA_L = 0.01
"""The noise that samples carry, and so all images that they are compared with."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where networks run and their noise is drawn, by two options of every script that draws.

    Attributes:
        device: such as "cpu" or "cuda"; None is the GPU if there is one.
        compile: fuse the layers, see `sbgm.images.devices.compiled`.
    """

    device: str | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", find_device(self.device))

    @property
    def n_chains(self) -> int:
        """How many chains to run side by side: 50 on the CPU, more where that costs little time."""
        return 50 if torch.device(self.device).type == "cpu" else 500

    @property
    def precision(self) -> str:
        """Of a record's samples: what a GPU is fast in, and bfloat16 on every CPU, whose samples are then the same."""
        return "bf16" if torch.device(self.device).type == "cpu" else fast_precision(self.device)

    def prepared(self, network: nn.Module) -> nn.Module:
        """The network on the device, compiled if asked for."""
        network = on_device(network, torch.device(self.device))
        return compiled(network) if self.compile else network


CPU = Machine("cpu")


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Settings of annealed Langevin dynamics from uniform noise, the paper's by default.

    A network of one level makes it plain Langevin dynamics of n_steps steps of size ε.

    Attributes:
        network: the name of a shipped network, or a file of weights.
        n_samples: how many.
        n_steps: T, steps a level.
        step_size: ε.
        batch_size: chains side by side.
        every_level: whether the chains are kept after each level, or after the last alone.
        precision: of the network's layers, see `sbgm.images.devices`.
        seed: of all of it.
    """

    network: str
    _: KW_ONLY
    n_samples: int = 1_000
    n_steps: int = 100
    step_size: float = 2e-5
    batch_size: int = 50
    every_level: bool = True
    precision: str = "bf16"
    seed: int = 0

    def facts(self, *names: str) -> dict[str, str | int | float]:
        """The settings of these names, for a record."""
        return {name: getattr(self, name) for name in names}

    def on(self, machine: Machine) -> tuple[Any, Score]:
        """The network on a machine, and its score in this precision."""
        network = machine.prepared(load_network(self.network))
        return network, autocast(network, self.precision, torch.device(machine.device).type)

    def run(self, sampler: Sampler, network: nn.Module, folder: Path, *, of: str, **options: Any) -> Tensor:
        """Draw with these settings by `kept_samples`, whose other `options` are given; `of` says what is kept."""
        settings = self.facts("n_steps", "step_size", "every_level", "precision")
        sizes = {"seed": self.seed, "batch_size": self.batch_size}
        place = folder / f"{Path(self.network).stem}-{of}"
        return kept_samples(sampler, network, self.n_samples, folder=place, settings=settings, **sizes, **options)


def kept_samples(
    sampler: Sampler,
    network: nn.Module,
    n_samples: int,
    *,
    folder: Path | None,
    settings: Mapping[str, Any],
    given: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """Draw as `generate` does on a network's device, and keep in a folder that settings and network name.

    Args:
        sampler, given, options: as for `generate`.
        network: the one that the sampler asks, with its `image_shape` and its ladder in `sigmas`.
        n_samples: how many.
        folder: see `kept_folder`; None keeps nothing.
        settings: all that the samples depend on, except the network's weights and what is given.
    """
    if folder is not None:
        inputs = {"weights": weights_hash(network), "given": None if given is None else content_hash(given)}
        folder = kept_folder(folder, {**settings, **inputs})
    device = network.sigmas.device
    return generate(sampler, (n_samples, *network.image_shape), given=given, device=device, folder=folder, **options)


def weights_hash(network: nn.Module) -> str:
    """The sha256 of a network's parameters and buffers, wherever its file lies."""
    return content_hash(*network.state_dict().values())


class Drawn(NamedTuple):
    """Chains after the last step of each level, and what the network then takes for the clean images behind them.

    Attributes:
        states: (L, N, C, H, W), as the sampler left them; `states[-1]` are the samples. L = 1 where the last is kept.
        denoised: (L, N, C, H, W), x + σ_i² s(x, σ_i) of each.
    """

    states: Tensor
    denoised: Tensor


def draw(drawing: Drawing, folder: Path, machine: Machine = CPU) -> Drawn:
    """Draw samples by Algorithm 1, or take them from a folder; a bar counts the steps of those that are not there.

    Args:
        drawing: what to draw.
        folder: of all such samples.
        machine: where the network runs, and how.
    """
    network, score = drawing.on(machine)
    settings = drawing.facts("step_size", "n_steps")
    n_levels = len(network.sigmas)

    def ends(x: Tensor, generator: torch.Generator) -> Tensor:
        """Chains and their denoised images, (B, 2, L, C, H, W)."""
        states = annealed_langevin(score, x, network.sigmas, generator=generator, **settings)
        pairs = []
        for state in tqdm(states, drawing.network, n_levels * drawing.n_steps, unit="step"):
            if state.step == drawing.n_steps and (drawing.every_level or state.level == n_levels):
                pairs.append(torch.stack([state.x, denoise(score, state.x, state.sigma)], dim=1))
        return torch.stack(pairs, dim=2)

    kept = drawing.run(ends, network, folder, of="samples")
    return Drawn(*kept.movedim(0, 2).contiguous())


# --- measures that claims share ---------------------------------------------------------------------------------------


def digit_distance(images: Tensor, data: str = "mnist", classifier: str = SHIPPED_CLASSIFIER) -> Estimate:
    """The Fréchet distance of grey images to a set's test images, in the features of a shipped classifier.

    Args:
        images: (N, 1, 28, 28) with N above the number of features, 128; clamped and quantised first.
        data: "mnist", or "mnist_small", which ships.
        classifier: "mnist_classifier" or "mnist_judge".
    """
    space = feature_space(data, classifier=classifier)
    reference = reference_for(data, space, "test")
    return frechet_distance(space.function(images), reference.features)


def judged_distance(images: Tensor, data: str = "mnist") -> Estimate:
    """`digit_distance` in the features of the second classifier, which tell turned digits and joined halves."""
    return digit_distance(images, data, JUDGE)


def wrong_digits(n: int, generator: torch.Generator, data: str = "mnist") -> dict[str, Tensor]:
    """Training digits with noise σ_L, and the same "turned", "joined" and "moved" by 2 pixels; see `controls`.

    Args:
        n: how many, drawn from all training digits of the set.
        generator: source of the choice and the noise.
        data: "mnist", or "mnist_small", which ships.
    """
    images = load_images(data)
    chosen = torch.randperm(len(images), generator=generator)[:n]
    digits = images[chosen]
    kinds = {
        "training": digits,
        "turned": turned(digits),
        "joined": joined_halves(digits, load_labels(data)[chosen]),
        "moved": moved(digits, 2, 2),
    }
    return {name: perturb(x, SIGMA_L, generator=generator) for name, x in kinds.items()}


def narrower_width(name: str = "mnist_ncsn") -> str:
    """The words "half the paper's width, ", or what a network's file says; none where it is the paper's 64 channels."""
    channels = load_network(name).arguments["channels"]
    if channels >= 64:
        return ""
    return "half the paper's width, " if channels == 32 else f"{channels} of the paper's 64 channels, "


def require_enough_digits(**numbers: int) -> None:
    """Raise, before any is drawn, where MNIST is not at hand or so few samples have no `digit_distance`.

    Args:
        numbers: of samples, by the name of the argument that asks for them.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        ValueError: there are no more samples than features.
    """
    n_features = feature_space("mnist").function(load_images("mnist", "test")[:1]).shape[1]
    for name, n in numbers.items():
        if n <= n_features:
            raise ValueError(f"{name} must be more than {n_features}, the number of features, got {n}")
