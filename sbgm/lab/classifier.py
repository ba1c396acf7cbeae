"""The digit classifier that measures samples: its training on MNIST, its test accuracy, and the one that ships."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbgm.checked import Batch, Count, Network, NonNegative, Positive, Whole, checked
from sbgm.data import load_images, load_labels
from sbgm.files import content_hash
from sbgm.lab.recipes import Training
from sbgm.lab.runs import hardware
from sbgm.measure.classifier import SHIPPED_CLASSIFIER, DigitClassifier, load_classifier
from sbgm.noise import perturb
from sbgm.training import Step
from sbgm.weights import save_weights

__all__ = [
    "ClassifierTraining",
    "accuracy",
    "load_classifier",
    "not_digits",
    "shifted",
    "train_classifier",
    "train_shipped_classifier",
]


@checked
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
        n_iterations, batch_size, learning_rate, one_cycle, seed: as for `Training`; each digit of a batch is shifted
            and perturbed at random.
    """

    channels: Count = 32
    _: KW_ONLY
    n_iterations: Count = 3_500
    n_not_digits: Count = 24
    learning_rate: Positive = 3e-3
    max_shift: Whole = 2
    max_noise: NonNegative = 0.05


def _one_an_image(labels: Tensor, name: str, given: Mapping[str, Any]) -> Tensor:
    if labels.shape != given["images"].shape[:1]:
        n = len(given["images"])
        raise ValueError(f"{name} must be ({n},), one an image, got shape {tuple(labels.shape)}")
    return labels


@checked
def train_classifier(
    network: Network, images: Batch, labels: Annotated[Tensor, _one_an_image], settings: ClassifierTraining
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
    network.train().to(memory_format=torch.channels_last)  # a third faster on a CPU

    def loss(generator: torch.Generator) -> Tensor:
        drawn = torch.randint(len(images), (settings.batch_size,), generator=generator)
        digits = shifted(images[drawn], settings.max_shift, generator=generator)
        others = not_digits(digits[: settings.n_not_digits], generator=generator)
        stds = settings.max_noise * torch.rand(len(digits), generator=generator)
        digits = perturb(digits, stds, generator=generator).clamp(0, 1)
        logits = network(torch.cat([digits, others]).contiguous(memory_format=torch.channels_last))
        known = functional.cross_entropy(logits[: len(digits)], labels[drawn], reduction="sum")
        unsure = -functional.log_softmax(logits[len(digits) :], dim=1).mean(dim=1).sum()  # against 1/10 each
        return (known + unsure) / len(logits)

    yield from settings.fit(network, loss)
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
    n, size = len(digits), digits.shape[2:]
    noise = torch.randn(digits.shape, generator=generator)
    smooth = 7 * functional.avg_pool2d(functional.pad(noise, [3] * 4, mode="reflect"), 7, stride=1)  # variance 1 too
    grey, contrast = torch.rand(2, n, 1, 1, 1, generator=generator)
    orders = torch.rand(n, 16, generator=generator).argsort(dim=1)
    tiles = functional.unfold(digits, 7, stride=7)  # (B, 49, 16)
    jumbled = functional.fold(tiles.gather(2, orders[:, None].expand_as(tiles)), size, 7, stride=7)
    kinds = torch.stack([(grey + contrast * noise).clamp(0, 1), (grey + contrast * smooth).clamp(0, 1), jumbled])
    return kinds[torch.arange(n) % 3, torch.arange(n)]


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int = 500) -> float:
    """The share of images that a classifier gives their label."""
    right = sum(
        int((network(x).argmax(dim=1) == y).sum())
        for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True)
    )
    return right / len(images)


def train_shipped_classifier(folder: Path, settings: ClassifierTraining | None = None) -> DigitClassifier:
    """Train the classifier that ships, on MNIST, and save it with the facts of its making.

    Args:
        folder: where to save `mnist_classifier.safetensors`; it is made if need be.
        settings: other than the shipped ones, for a trial.

    Returns:
        The trained network, in evaluation mode.

    Raises:
        DataNotFoundError: MNIST is not at hand.
    """
    settings = ClassifierTraining() if settings is None else settings
    network = DigitClassifier(settings.channels, generator=torch.Generator().manual_seed(settings.seed))
    images, labels = load_images("mnist"), load_labels("mnist")
    start = time.perf_counter()
    for _ in train_classifier(network, images, labels, settings):
        pass
    seconds = time.perf_counter() - start
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(
        network,
        folder / f"{SHIPPED_CLASSIFIER}.safetensors",
        architecture=type(network).__name__,
        command="sbgm.lab.train_shipped_classifier",
        data=f"MNIST, {len(images):,} training images",
        data_sha256=content_hash(images, labels),
        test_accuracy=accuracy(network, load_images("mnist", "test"), load_labels("mnist", "test")),
        seconds=round(seconds),
        hardware=hardware(),
        torch=torch.__version__,
        **dataclasses.asdict(settings),
    )
    return network
