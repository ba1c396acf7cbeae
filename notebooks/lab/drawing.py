"""Samples by Algorithm 1: those that recorded claims share, kept batch by batch, and chains with every state kept."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from controls import joined_halves, moved, turned
from ledger import seed
from sbgm.files import file_hash
from sbgm.guard import Count, Positive, Score, Whole, checked, one_of
from sbgm.images.data import load_images, load_labels
from sbgm.images.devices import PRECISIONS, autocast, compiled, fast_precision, find_device, on_device
from sbgm.images.drawing import draw_batches, uniform_start
from sbgm.images.weights import load_network, weights_file
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

    def score(self, network: Score, precision: str) -> Score:
        """The score of a network on the device, with its layers in a precision, see `sbgm.images.devices.autocast`."""
        return autocast(network, precision, torch.device(self.device).type)


CPU = Machine("cpu")
Load = Callable[[str], nn.Module]
Sample = Callable[[nn.Module, Score, range, torch.Generator], dict[str, Tensor]]


@checked
@dataclasses.dataclass(frozen=True)
class Drawing:
    """All that samples depend on: annealed Langevin dynamics from uniform noise, at the paper's settings by default.

    A network of one level makes it plain Langevin dynamics of n_steps steps of size ε.

    Attributes:
        network: the name of a shipped network, or a file of weights.
        n_samples: how many.
        n_steps: T, steps a level.
        step_size: ε.
        batch_size: chains side by side. Batches are drawn whole, so that more samples go on with those already there.
        kept: what of a batch, for the name of its folder: "levels", the chains after each level; "last", after the last
            alone, for many samples of large images; or what else a `Sample` keeps.
        precision: of the network's layers, see `sbgm.images.devices`.
        seed: of all of it.
    """

    network: str
    _: KW_ONLY
    n_samples: Count = 1_000
    n_steps: Count = 100
    step_size: Positive = 2e-5
    batch_size: Count = 50
    kept: str = "levels"
    precision: Annotated[str, one_of(PRECISIONS)] = "bf16"
    seed: Whole = 0

    @property
    def key(self) -> str:
        """A name for the samples by all that they depend on, the hash of the weights included, but not their number."""
        settings = f"T{self.n_steps}", f"eps{self.step_size!r}", f"batch{self.batch_size}", self.kept
        return samples_key(self.network, *settings, self.precision, f"seed{self.seed}")

    def facts(self, *names: str) -> dict[str, str | int | float]:
        """The settings of these names, for a record."""
        return {name: getattr(self, name) for name in names}


def draw_kept(
    drawing: Drawing, sample: Sample, folder: Path, machine: Machine = CPU, load: Load | None = None
) -> list[dict[str, Tensor]]:
    """The batches of a drawing, from `folder` as far as they are there.

    Each batch is a file in a folder of its own name, `Drawing.key`. Batch b draws from the generator of (seed, b), as
    in `generate`: the samples are the same however often they were interrupted.

    Args:
        drawing: what to draw.
        sample: sample(network, score, indices, generator) -> what is kept of a batch.
        folder: of all such samples.
        machine: where the network runs, and how.
        load: the network of a name, with its ladder in `sigmas` and its `image_shape`; None is `load_network`.
    """

    @functools.cache
    def network() -> nn.Module:  # not loaded if nothing is left to draw
        return machine.prepared((load or load_network)(drawing.network))

    def batch(indices: range, generator: torch.Generator) -> dict[str, Tensor]:
        score = machine.score(network(), drawing.precision)
        return {name: x.cpu() for name, x in sample(network(), score, indices, generator).items()}

    sizes = {"seed": drawing.seed, "batch_size": drawing.batch_size, "device": machine.device}
    return list(draw_batches(batch, drawing.n_samples, folder=Path(folder) / drawing.key, **sizes))


# --- samples by Algorithm 1 -------------------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """Chains after the last step of each level, and what the network then takes for the clean images behind them.

    Attributes:
        states: (L, N, C, H, W), as the sampler left them; `states[-1]` are the samples. L = 1 where the last is kept.
        denoised: (L, N, C, H, W), x + σ_i² s(x, σ_i) of each.
    """

    states: Tensor
    denoised: Tensor


def draw(drawing: Drawing, folder: Path, machine: Machine = CPU, *, load: Load | None = None) -> Drawn:
    """Draw samples by Algorithm 1, or take them from `folder`; a bar counts the steps of those that are not there.

    Args:
        drawing, folder, machine, load: see `draw_kept`.
    """

    def sample(network: nn.Module, score: Score, indices: range, generator: torch.Generator) -> dict[str, Tensor]:
        x = uniform_start((len(indices), *network.image_shape), generator).to(machine.device)
        settings = drawing.facts("step_size", "n_steps")
        chains = annealed_langevin(score, x, network.sigmas, generator=generator, **settings)
        n_levels = len(network.sigmas)
        title = f"{drawing.network}, batch {indices.start // drawing.batch_size}"
        states = []
        denoised = []
        for state in tqdm(chains, title, n_levels * drawing.n_steps, unit="step"):
            if state.step == drawing.n_steps and (drawing.kept != "last" or state.level == n_levels):
                states.append(state.x)
                denoised.append(denoise(score, state.x, state.sigma))
        return {"states": torch.stack(states), "denoised": torch.stack(denoised)}

    batches = draw_kept(drawing, sample, folder, machine, load)
    states, denoised = (torch.cat([b[name] for b in batches], dim=1) for name in Drawn._fields)
    return Drawn(states[:, : drawing.n_samples], denoised[:, : drawing.n_samples])


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


def draw_digits(folder: Path, n_samples: int, n_steps: int, machine: Machine) -> tuple[Drawn, dict[str, Any]]:
    """Chains of the shipped network on MNIST, and what a record says of them, as arguments of `ledger.record`.

    Raises:
        DataNotFoundError, ValueError: as `require_enough_digits`, before any is drawn.
    """
    require_enough_digits(n_samples=n_samples)
    sizes = {"n_samples": n_samples, "batch_size": machine.n_chains, "seed": seed("I1")}
    drawing = Drawing("mnist_ncsn", n_steps=n_steps, precision="bf16", **sizes)
    words = {
        "data": f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        "narrower": f"{narrower_width()}one training, on MNIST",
        "networks": ["mnist_ncsn", JUDGE],
        "facts": drawing.facts(*HOW_DRAWN),
    }
    return draw(drawing, folder, machine), words


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


def samples_key(network: Path | str, *settings: str) -> str:
    """A name for samples of a network, by all that they depend on: "mnist_ncsn-0123456789ab-T100-seed0".

    Args:
        network: the name of a shipped network, or a file of weights, whose hash is part of the name.
        settings: such as "T100" and "seed0".

    Raises:
        FileNotFoundError: there is no such file.
    """
    file = weights_file(network)
    if not file.is_file():
        raise FileNotFoundError(f"network must be a shipped one or a file of weights, but there is none at {file}")
    return "-".join([file.stem, file_hash(file)[:12], *settings])
