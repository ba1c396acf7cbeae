"""Trainings of seconds and minutes, on the mixture, a circle and digits; which of their networks ship, and how made."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbgm.guard import Score
from sbgm.images.data import load_images
from sbgm.images.drawing import kept_tensors
from sbgm.images.weights import load_network, save_network
from sbgm.losses import ncsn_loss, score_matching_loss, sliced_score_matching_loss
from sbgm.measure import Estimate, estimate, in_batches, relative_squared_error
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, DigitClassifier, LeNet
from sbgm.measure.distances import shuffled_blocks
from sbgm.mixtures import GaussianMixture
from sbgm.networks import ImageMLP
from sbgm.noise import derived_generator, geometric_sigmas, perturb
from sbgm.training import Step, fit_score

# --- what trainings share ---------------------------------------------------------------------------------------------


def kept_parts(
    measure: Callable[[int, torch.Generator], dict[str, Tensor]], n: int, *, seed: int, folder: Path
) -> Iterator[dict[str, Tensor]]:
    """Measure part after part, such as training after training; those that are in a folder are read and not measured.

    Args:
        measure: from a part's number and its generator, that of (seed, number), to its tensors by name.
        n: parts.
        seed: of all of it.
        folder: of `kept_folder`.
    """
    for part in range(n):
        file = folder / f"seed{seed}-part{part:04d}.safetensors"
        yield kept_tensors(file, functools.partial(measure, part, derived_generator(seed, part)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeometricLadder:
    """Noise levels σ_1 > … > σ_L whose neighbours have one ratio; the paper's for images unless told otherwise."""

    sigma_max: float = 1.0
    sigma_min: float = 0.01
    n_levels: int = 10

    @property
    def sigmas(self) -> Tensor:
        """The ladder σ_1 > … > σ_L as a float32 tensor."""
        return geometric_sigmas(self.sigma_max, self.sigma_min, self.n_levels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of a training in a cell: Adam on a loss of random batches.

    Attributes:
        n_steps: Adam steps.
        batch_size: samples a step.
        learning_rate: Adam's; the peak where `one_cycle` is set.
        one_cycle: raise the rate, then anneal it to zero (Smith & Topin 2018), in place of a constant one.
        seed: of all that the training draws, and of weights.
    """

    n_steps: int
    batch_size: int = 128
    learning_rate: float = 2e-3
    one_cycle: bool = True
    seed: int = 0

    def facts(self) -> dict[str, Any]:
        """The settings by name, as files of weights and curves hold them: the number of steps is "n_iterations"."""
        settings = dataclasses.asdict(self)  # its key is the one of the files that ship, whose bytes stay
        return {"n_iterations" if name == "n_steps" else name: value for name, value in settings.items()}

    def fit(
        self, network: nn.Module, data: Tensor | Callable[..., Tensor], loss: Callable[..., Tensor]
    ) -> Iterator[Step]:
        """Train a network in place by these settings, with one generator, of the seed, for all that is drawn.

        Args:
            network: holds the parameters.
            data: (N, *shape), or a function data(n, generator=…) that draws n examples.
            loss: loss(network, x, generator=…) of a batch x, a scalar.

        Yields:
            Step(step, loss) after every iteration.
        """
        g = torch.Generator().manual_seed(self.seed)
        return fit_score(
            network,
            data if isinstance(data, Tensor) else functools.partial(data, generator=g),
            lambda network, x: loss(network, x, generator=g),
            n_steps=self.n_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            one_cycle=self.one_cycle,
            generator=g,
        )


def timed(steps: Iterator[Step]) -> tuple[list[float], int]:
    """Train to the end; return the losses, and the seconds that it took."""
    start = time.perf_counter()
    losses = [step.loss for step in steps]
    return losses, round(time.perf_counter() - start)


# --- the mixture: Fig. 2's perceptron, and noise conditional networks -------------------------------------------------


FIGURE2_AUTHORS = Training(n_steps=10_000, learning_rate=1e-3, one_cycle=False)
"""The training behind Fig. 2 (Appendix B.1), by the authors' recipe: on fresh samples, at a constant rate."""
FIGURE2_QUICK = Training(n_steps=1_250, batch_size=256, learning_rate=1e-2)
"""A better estimate in less than a quarter of the time."""
DATA_STD = math.sqrt(26)  # of the mixture's coordinates around the origin: √(5² + 1)


@dataclasses.dataclass(frozen=True)
class MixtureTraining(Training, GeometricLadder):
    """Settings of a training on the mixture: the objective (Eq. 6) and how it is minimised.

    Attributes:
        objective: what stands for ℓ(θ; σ): "denoising" (Eq. 5), "sliced" (Eq. 3) or "exact" (Eq. 1) score matching, the
            last two on perturbed samples.
        n_steps, batch_size, learning_rate, one_cycle, seed: as for `Training`; a batch is of fresh samples, at one
            uniform level each.
        sigma_max, sigma_min, n_levels: the geometric ladder.
    """

    objective: Literal["denoising", "sliced", "exact"] = "denoising"
    _: KW_ONLY
    n_steps: int = 3_000
    batch_size: int = 512
    learning_rate: float = 1e-2
    sigma_max: float = 20.0
    sigma_min: float = 1.0


def train_mixture(network: nn.Module, mixture: GaussianMixture, settings: MixtureTraining) -> Iterator[Step]:
    """Train a noise conditional score network on samples of a mixture (Eq. 6 with λ(σ) = σ²), in place.

    Args:
        network: s(x, sigma), such as `ConditionalMLP` or `EnergyMLP`.
        mixture: where the clean samples come from.
        settings: see `MixtureTraining`.

    Yields:
        Step(step, loss) after every iteration.
    """
    sigmas = settings.sigmas

    def loss(network: Score, x: Tensor, *, generator: torch.Generator) -> Tensor:
        if settings.objective == "denoising":
            return ncsn_loss(network, x, sigmas, generator=generator)
        sigma = sigmas[torch.randint(len(sigmas), (len(x),), generator=generator)]
        x_noisy = perturb(x, sigma, generator=generator)
        if settings.objective == "sliced":
            values = sliced_score_matching_loss(network, x_noisy, sigma, generator=generator, reduction="none")
        else:
            values = score_matching_loss(network, x_noisy, sigma, reduction="none")
        return (sigma**2 * values).mean()

    return settings.fit(network, mixture.sample, loss)


def trained_mixture(
    architecture: Callable[..., nn.Module], mixture: GaussianMixture, settings: MixtureTraining, data_std: float
) -> nn.Module:
    """A network of three layers of 64, built and trained on samples of a mixture by `train_mixture`, and frozen.

    Args:
        architecture: `ConditionalMLP` or `EnergyMLP`.
        mixture, settings: see `train_mixture`; the first weights come from the settings' seed as well.
        data_std: the size of a coordinate of the data, around 0.
    """
    weights = torch.Generator().manual_seed(settings.seed)
    network = architecture(dim=2, width=64, depth=3, data_std=data_std, generator=weights)
    for _ in train_mixture(network, mixture, settings):
        pass
    return network.requires_grad_(False)


@torch.no_grad()
def level_errors(
    network: nn.Module, mixture: GaussianMixture, sigmas: Tensor, *, n: int = 10_000, generator: torch.Generator
) -> Tensor:
    """The relative squared error of a score at each level, over n samples of q_σ there: (L,)."""
    samples = [(mixture.sample(n, sigma, generator=generator), sigma) for sigma in sigmas.tolist()]
    return torch.tensor([relative_squared_error(network(x, s), mixture.score(x, s)) for x, s in samples])


@torch.no_grad()
def fisher_divergence(score: Score, exact: Score, x: Tensor, sigma: float = 0.0) -> Estimate:
    """½E‖s(x, σ) − s*(x, σ)‖² over the points x, (B, D), with its standard error (what Eq. 1 stands for)."""
    return estimate(0.5 * (score(x, sigma) - exact(x, sigma)).square().sum(dim=1))


# --- a circle in the plane, the simplest manifold (Section 3.1) -------------------------------------------------------


def ring(n: int) -> GaussianMixture:
    """n equally likely points, evenly spread around the unit circle: (n, 2) means in float64.

    Its q_σ at a distance r from the origin is that of the circle itself, to rounding, where σ/√r is larger than the
    distance 2π/n of two neighbours: a mean over evenly spread angles converges exponentially.
    """
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    means = torch.stack([angle.cos(), angle.sin()], dim=1)
    return GaussianMixture(torch.full((n,), 1 / n, dtype=torch.float64), means, stds=0.0)


def on_circle(n: int, sigma: float = 0.0, *, generator: torch.Generator) -> Tensor:
    """Draw n independent points of the unit circle, perturbed by σ: (n, 2)."""
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    x = torch.stack([angle.cos(), angle.sin()], dim=1)
    return perturb(x, sigma, generator=generator) if sigma > 0 else x


@torch.no_grad()
def direction_errors(score: Score, distance: float, n_points: int = 360) -> Tensor:
    """The angles between a score and the way to the unit circle, in degrees, on a ring of points around it.

    Args:
        score: s(x, sigma).
        distance: of the points to the circle, d > −1 and not 0; negative on the inside.
        n_points: points, evenly spread around the ring.

    Returns:
        (n_points,) angles in [0, 180].
    """
    outwards = ring(n_points).means.float()
    s = score((1 + distance) * outwards, 0.0)
    cosine = -math.copysign(1, distance) * (s * outwards).sum(dim=1) / s.norm(dim=1)
    return cosine.clamp(-1, 1).acos().rad2deg()


# --- the 8×8 digits that scikit-learn carries -------------------------------------------------------------------------

WEIGHTINGS = {"sigma_squared": torch.square, "one": torch.ones_like}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitsTraining(Training, GeometricLadder):
    """Settings of a training on the digits: the network, the ladder and how Eq. 6 is minimised.

    Pixels take 17 values, i/16. They are not dequantised: spreading each evenly to the next value would add noise of
    standard deviation 1/(16 √12) = .018, more than σ_L = .01. (The paper's 256 values lie closer than σ_L.)

    Attributes:
        width, n_blocks, norm: of the `ImageMLP`.
        weighting: λ(σ), "sigma_squared" or "one".
        n_steps, batch_size, learning_rate, one_cycle, seed: as for `Training`; each digit of a batch has one
            uniform level.
        sigma_max, sigma_min, n_levels: the geometric ladder.
    """

    width: int = 256
    n_blocks: int = 3
    norm: Literal["layer", "none"] = "layer"
    weighting: Literal["sigma_squared", "one"] = "sigma_squared"
    n_steps: int = 6_000

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
    weighted = functools.partial(ncsn_loss, sigmas=settings.sigmas, weighting=WEIGHTINGS[settings.weighting])
    return settings.fit(network, images, weighted)


def trained_digits(settings: DigitsTraining, folder: Path) -> ImageMLP:
    """A network that is trained on the 8×8 digits, or taken from a folder, where it is kept for other claims."""
    file = folder / f"digits_{settings.weighting}_{settings.n_steps}_{settings.seed}.safetensors"
    if not file.exists():
        network = settings.network()
        for _ in train_digits(network, load_images("digits"), settings):
            pass
        folder.mkdir(parents=True, exist_ok=True)
        save_network(network, file, **settings.facts())
    return load_network(file)


N_PERCEPTRONS = 5
PERCEPTRONS_SEED = 1448158572
"""The seed of the first; each of the others has the next number."""
PERCEPTRON = DigitsTraining()


def perceptrons(folder: Path, weighting: Literal["sigma_squared", "one"] = "sigma_squared") -> list[ImageMLP]:
    """The five networks on the 8×8 digits that N1, F3 and I5 rest on, trained unless they are in the folder."""
    settings = dataclasses.replace(PERCEPTRON, weighting=weighting)
    return [
        trained_digits(dataclasses.replace(settings, seed=PERCEPTRONS_SEED + part), folder)
        for part in range(N_PERCEPTRONS)
    ]


# --- the classifier that measures samples: MNIST, once, in minutes ----------------------------------------------------


@dataclasses.dataclass(frozen=True)
class ClassifierTraining(Training):
    """Settings of the classifier's training.

    A plain classifier is sure of almost anything. This one also sees images that are no digits (`not_digits`) and
    learns to give every class the same probability there (outlier exposure, Hendrycks et al. 2019), so that being sure
    of a sample says something about the sample.

    Attributes:
        channels: width of the network.
        n_not_digits: images a step that are no digits.
        max_shift: the digits move by up to so many pixels each way.
        max_noise: the digits carry noise of a standard deviation between 0 and this, as samples do.
        n_steps, batch_size, learning_rate, one_cycle, seed: as for `Training`; each digit of a batch is shifted
            and perturbed at random.
    """

    channels: int = 32
    _: KW_ONLY
    n_steps: int = 3_500
    n_not_digits: int = 24
    learning_rate: float = 3e-3
    max_shift: int = 2
    max_noise: float = 0.05


def train_classifier(
    network: nn.Module, images: Tensor, labels: Tensor, settings: ClassifierTraining
) -> Iterator[Step]:
    """Train a classifier by cross-entropy, in place, and leave it in evaluation mode.

    Args:
        network: images -> logits, such as `DigitClassifier`.
        images: (N, 1, 28, 28) in [0, 1].
        labels: (N,) classes, int64.
        settings: see `ClassifierTraining`.

    Yields:
        Step(step, loss) after every iteration.
    """

    def loss(network: nn.Module, drawn: Tensor, *, generator: torch.Generator) -> Tensor:
        digits = shifted(images[drawn], settings.max_shift, generator=generator)
        others = not_digits(digits[: settings.n_not_digits], generator=generator)
        stds = settings.max_noise * torch.rand(len(digits), generator=generator)
        digits = perturb(digits, stds, generator=generator).clamp(0, 1)
        logits = network(torch.cat([digits, others]).contiguous(memory_format=torch.channels_last))
        known = functional.cross_entropy(logits[: len(digits)], labels[drawn], reduction="sum")
        unsure = -functional.log_softmax(logits[len(digits) :], dim=1).mean(dim=1).sum()  # against 1/10 each
        return (known + unsure) / len(logits)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return torch.randint(len(images), (n,), generator=generator)

    network.train().to(memory_format=torch.channels_last)  # a third faster on a CPU
    yield from settings.fit(network, draw, loss)
    network.eval()


def shifted(images: Tensor, max_shift: int, *, generator: torch.Generator) -> Tensor:
    """Images moved by whole pixels, each by its own draw from −max_shift … max_shift each way; black moves in."""
    n, _, height, width = images.shape
    windows = functional.pad(images, [max_shift] * 4).unfold(2, height, 1).unfold(3, width, 1)
    rows, columns = torch.randint(2 * max_shift + 1, (2, n), generator=generator)
    return windows[torch.arange(n), :, rows, columns]


def not_digits(digits: Tensor, *, generator: torch.Generator) -> Tensor:
    """Make B images that are no digits, (B, 1, 28, 28), a third of each kind: noise, blobs, jumbled digits.

    Noise and blobs (noise smoothed over 7×7 pixels) come at any brightness and contrast, flat grey and pure black and
    white included.

    Args:
        digits: (B, 1, 28, 28); the jumbled ones are cut into sixteen 7×7 tiles and put together in another order.
        generator: source of the noise and the orders.

    Returns:
        (B, 1, 28, 28) in [0, 1].
    """
    n = len(digits)
    noise = torch.randn(digits.shape, generator=generator)
    smooth = 7 * functional.avg_pool2d(functional.pad(noise, [3] * 4, mode="reflect"), 7, stride=1)  # variance 1 too
    grey, contrast = torch.rand(2, n, 1, 1, 1, generator=generator)
    jumbled = shuffled_blocks(digits, generator=generator)
    kinds = torch.stack([(grey + contrast * noise).clamp(0, 1), (grey + contrast * smooth).clamp(0, 1), jumbled])
    return kinds[torch.arange(n) % 3, torch.arange(n)]


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images that a classifier gives their label."""
    return float((in_batches(network, images, 500).argmax(dim=1) == labels).double().mean())


# --- Fig. 1's network, on raw images and with a little noise ----------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Figure1(Training):
    """Sliced score matching on images, raw or perturbed by N(0, noise_std² I) (Section 3.1, Appendix B.1).

    The defaults are the paper's.

    Attributes:
        noise_std: standard deviation of the noise: 0 for the left panel, 0.01 (variance 0.0001) for the right.
        channels: width of the ResNet.
        n_steps, batch_size, learning_rate, seed: as for `Training`.
        one_cycle: never, the rate is constant.
    """

    noise_std: float
    channels: int = 32
    _: KW_ONLY
    n_steps: int = 50_001
    learning_rate: float = 1e-3
    one_cycle: bool = dataclasses.field(default=False, init=False)


# --- what ships -------------------------------------------------------------------------------------------------------

SHIPPED: dict[str, tuple[Callable[..., nn.Module], Training]] = {
    "digits_mlp": (ImageMLP, DigitsTraining()),
    SHIPPED_CLASSIFIER: (DigitClassifier, ClassifierTraining()),
    JUDGE: (LeNet, ClassifierTraining(24, n_steps=6_000, n_not_digits=16, seed=1)),
}
"""The networks of short trainings in `data/weights/`, by the stem of their file: architecture and training."""


def untrained(name: str, **changes: object) -> tuple[nn.Module, Training]:
    """One of the networks in SHIPPED before its training, and its settings.

    Args:
        name: a key of SHIPPED.
        changes: to the settings, such as n_steps=100 for a trial.
    """
    architecture, settings = SHIPPED[name]
    settings = dataclasses.replace(settings, **changes)
    generator = torch.Generator().manual_seed(settings.seed)
    if isinstance(settings, DigitsTraining):
        return settings.network(), settings
    return architecture(settings.channels, generator=generator), settings
