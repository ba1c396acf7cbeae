"""Samples by Algorithm 1 that claims on images share: where they are drawn, and what they are measured by.

What is drawn is kept; a run that was stopped goes on with the next batch of samples.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from controls import joined_halves, moved, nearest_moved, turned
from errors import ratio
from features import classifier_space, reference_for
from ledger import Measurement, declared, reported, seed
from sbgm.files import content_hash
from sbgm.guard import Score
from sbgm.images.data import SPLITS, load_images, load_labels
from sbgm.images.devices import autocast, compiled, fast_precision, find_device, on_device
from sbgm.images.drawing import Sampler, generate, kept_folder
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, Share, frechet_distance, in_batches, share, shown
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier
from sbgm.networks import ScoreNetwork
from sbgm.noise import derived_generator, perturb
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


def images_of(kept: Tensor) -> Tensor:
    """Images in [0, 1], from those of a record's file, which are uint8."""
    return kept.float() / 255 if kept.dtype == torch.uint8 else kept


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


# --- the 1,000 samples of MNIST that I1, I4 and I7 rest on ------------------------------------------------------------

I1_SEED = 3140693905
"""Of the samples: I1's, when they were drawn."""


def mnist_samples(
    folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU
) -> tuple[Drawn, dict[str, Any]]:
    """Draw samples of the shipped network, or take them from a folder.

    Args:
        folder: of samples.
        n_samples: how many, more than 128.
        n_steps: T, Langevin steps a level.
        machine: where the network runs.

    Returns:
        The chains after each level, and the arguments of `ledger.record` that their records share.
    """
    load_images("mnist")  # missing images are told before the drawing
    sizes = {"n_samples": n_samples, "batch_size": machine.n_chains, "seed": I1_SEED}
    drawing = Drawing("mnist_ncsn", n_steps=n_steps, precision="bf16", **sizes)
    words = {
        "data": f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        "narrower": f"{narrower_width()}one training, on MNIST",
        "networks": ["mnist_ncsn", JUDGE],
        "facts": drawing.facts(*HOW_DRAWN),
    }
    return draw(drawing, folder, machine), words


# --- measures that claims share ---------------------------------------------------------------------------------------


def digit_distance(images: Tensor, data: str = "mnist", classifier: str = SHIPPED_CLASSIFIER) -> Estimate:
    """The Fréchet distance of grey images to a set's test images, in the features of a shipped classifier.

    Args:
        images: (N, 1, 28, 28) with N above the number of features, 128; clamped and quantised first.
        data: "mnist", or "mnist_small", which ships.
        classifier: "mnist_classifier" or "mnist_judge".
    """
    space = classifier_space(classifier)
    reference = reference_for(data, space, "test")
    return frechet_distance(space.function(images), reference)


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


def require_enough_digits(**numbers: int) -> None:
    """Raise, before any is drawn, where MNIST is not at hand or so few samples have no `digit_distance`.

    Args:
        numbers: of samples, by the name of the argument that asks for them.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        ValueError: there are no more samples than features.
    """
    n_features = classifier_space().function(load_images("mnist", "test")[:1]).shape[1]
    for name, n in numbers.items():
        if n <= n_features:
            raise ValueError(f"{name} must be more than {n_features}, the number of features, got {n}")


# --- copies of training digits ----------------------------------------------------------------------------------------

SPACES = ("pixels", "features")
PERCENTILE = 0.01


def halves_of_test(values: Tensor) -> tuple[Tensor, Tensor]:
    """The test digits that set the quantiles, and those that are held against them."""
    middle = len(values) // 2
    return values[:middle], values[middle:]


def too_near(groups: dict[str, Tensor], data: str) -> dict[str, dict[str, Share]]:
    """The share of each group that is nearer to a training image than the 1st percentile of test images of their class.

    Training images are moved by up to a pixel each way. Samples carry the noise σ_L of the ladder's last level. So
    training and test images are given as much, lest the distances tell noise from its absence.

    Args:
        groups: images (N, 1, 28, 28), clamped and quantised first; their classes are the second classifier's.
        data: "mnist" or "mnist_small".

    Returns:
        By group, for "pixels" and "features".
    """
    generator = derived_generator(seed("I7"), 1)
    classifier = load_classifier(JUDGE)
    training, test = (perturb(load_images(data, split), SIGMA_L, generator=generator) for split in SPLITS)
    held_out, _ = halves_of_test(test)
    labels, _ = halves_of_test(load_labels(data, "test"))
    images = torch.cat([held_out, *groups.values()])
    classes = {name: in_batches(classifier, shown(x)).argmax(dim=1) for name, x in groups.items()}
    sizes = [len(held_out), *map(len, groups.values())]
    shares: dict[str, dict[str, Share]] = {name: {} for name in groups}
    for space, features in zip(SPACES, (shown, classifier_space(JUDGE).function), strict=True):
        near, *distances = nearest_moved(images, training, features).split(sizes)
        limits = class_quantiles(near, labels, PERCENTILE)
        for name, distance in zip(groups, distances, strict=True):
            flagged = distance < limits[classes[name]]
            shares[name][space] = share(int(flagged.sum()), len(flagged))
    return shares


def class_quantiles(values: Tensor, labels: Tensor, q: float) -> Tensor:
    """The q-quantile of the values (N,) of each class 0 … K−1 by their labels (N,): (K,)."""
    return torch.stack([values[labels == k].quantile(q) for k in range(int(labels.max()) + 1)])


# --- from noise to images: I4 and I12 ---------------------------------------------------------------------------------


def as_rows(curves: Mapping[str, list[Estimate]]) -> dict[str, Tensor]:
    """Estimates as a record keeps them: a row each of its value and standard error, (n, 2) float64."""
    return {name: torch.tensor(curve, dtype=torch.float64) for name, curve in curves.items()}


def evolution(claim_id: str, distance: str, real: str, wrong: str, kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of I4 or I12: how far chains fall, that they rise at no level, and how near they end.

    Args:
        claim_id: of the two.
        distance: what is measured by, such as "HOG distance".
        real: what real images are, such as "photographs".
        wrong: what the wrong images are, such as "turned digits".
        kept: the distances of "states", "denoised" states and "real" images with each level's noise, σ_1 first; and
            those of the wrong images, by the first word of what they are, and of "smooth" blobs, with the noise σ_L:
            (n, 2), see `as_rows`.
    """
    names = ("states", "denoised", "real", "smooth", re.split("[- ]", wrong)[0])
    curves = {name: [Estimate(*pair) for pair in kept[name].tolist()] for name in names}
    chains = {kind: curves[kind] for kind in ("states", "denoised")}
    (of_wrong,) = curves[names[-1]]
    listed = []
    for name, distances in (chains | {f"control: {real} with each level's noise": curves["real"]}).items():
        fall = difference(distances[0], distances[-1])
        listed.append(declared(claim_id, f"{name}: distance after σ_1 minus that after σ_L", fall))
        n_farther = levels_farther(distances)
        listed.append(declared(claim_id, f"{name}: levels clearly farther than the one before", n_farther))
    for name, distances in (chains | {"control: random blobs": curves["smooth"]}).items():
        over_wrong = ratio(distances[-1], of_wrong)
        listed.append(declared(claim_id, f"{name}: distance at σ_L over that of {wrong}", over_wrong))
    for kind, name in (("states", "state as it is"), ("denoised", "denoised state")):
        listed.append(reported(f"{distance} of the {name} after σ_1", chains[kind][0]))
        listed.append(reported(f"{distance} of the {name} after σ_L", chains[kind][-1]))
    listed.append(reported(f"{distance} of {wrong}", of_wrong))
    listed.append(reported(f"{distance} of random blobs", curves["smooth"][0]))
    return listed


def levels_farther(distances: list[Estimate]) -> int:
    """How many levels' distances are larger than that of the level before by more than three standard errors."""
    rises = [difference(after, before) for before, after in itertools.pairwise(distances)]
    return sum(rise.value > 3 * rise.se for rise in rises)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a − b, whose errors are taken for independent."""
    return Estimate(a.value - b.value, math.hypot(a.se, b.se))


# --- in what a network, or a measurement of its samples, is less than the paper's -------------------------------------

PAPERS_SAMPLES = 50_000
PAPERS_CHANNELS = 128
PAPERS_EVALUATIONS = 1_000


def differences(network: ScoreNetwork, n_samples: int, n_steps: int, sampler: str) -> list[str]:
    """In what a measurement is not the paper's, whose numbers then do not bound it."""
    channels = network.arguments.get("channels")
    evaluations = n_steps * len(network.sigmas)
    differs = []
    if channels != PAPERS_CHANNELS:
        differs.append(f"{channels} channels, where the paper has {PAPERS_CHANNELS}")
    if sampler != "annealed" or evaluations != PAPERS_EVALUATIONS:
        differs.append(f"{sampler} sampler, where the paper's takes {PAPERS_EVALUATIONS:,} evaluations")
    if n_samples < PAPERS_SAMPLES:
        differs.append(f"{n_samples:,} samples, where the paper has {PAPERS_SAMPLES:,}")
    return differs


def smaller_differences(file: str | Path, precision: str) -> list[str]:
    """In what a measurement that the paper's numbers bound is not quite the paper's."""
    differs = []
    if precision != "fp32":
        differs.append(f"drawn in {precision}")
    if Path(file).stem == "average":
        differs.append("averaged weights, which the paper has not")
    return differs


def how_narrow(network: ScoreNetwork) -> str:
    """In what a network is less than the paper's, by what its file says of its training."""
    seen = epochs(network.facts, batch_size_of(network.facts))
    return f"{network.arguments['channels']} of the paper's 128 channels, {seen:.1f} epochs of some 512, one training"


def batch_size_of(facts: Mapping[str, Any]) -> int:
    """The images of a step by the settings in a file of weights, in a table of their own in that of `cifar10_ncsn`; 0
    without settings.
    """
    settings = facts.get("settings", {})
    return settings.get("training", settings).get("batch_size", 0)


def epochs(facts: Mapping[str, Any], batch_size: int) -> float:
    """How often a network has seen CIFAR-10's 50,000 images, those counted that it started from."""
    n_steps = facts.get("steps", facts.get("step", 0))  # the second is a checkpoint's
    seen = n_steps * batch_size / 50_000
    before = facts.get("started_from")
    return seen + epochs(before, batch_size_of(before)) if before else seen


def narrower_width(name: str = "mnist_ncsn") -> str:
    """The words "half the paper's width, ", or what a network's file says; none where it is the paper's 64 channels."""
    channels = load_network(name).arguments["channels"]
    if channels >= 64:
        return ""
    return "half the paper's width, " if channels == 32 else f"{channels} of the paper's 64 channels, "
