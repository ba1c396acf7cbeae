"""Two small classifiers of 28×28 grey digits: one measures distances in its features, the other gives the verdict."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from sbgm.guard import Count, FilePath, Generator, checked
from sbgm.images.weights import load_built

N_CLASSES = 10
SHIPPED_CLASSIFIER = "mnist_classifier"
JUDGE = "mnist_judge"
"""The classifier that gives the verdict on samples: no training, checkpoint or setting was ever chosen by it."""


class DigitClassifier(nn.Module):
    """Three convolutions with batch normalisation, a 2×2 maximum after the first two, then a linear layer.

    1 → C → 2C → 4C channels at 28, 14 and 7 pixels; the 4C features are means over the last 7×7 map.

    Args:
        channels: C; 32 makes 128 features and 94,186 parameters.
        generator: source of the initial weights; None takes torch's global one.
    """

    kernel_size = 3
    padding = (1, 1, 1)

    @checked
    def __init__(self, channels: Count = 32, *, generator: Generator | None = None) -> None:
        super().__init__()
        c = channels
        k = self.kernel_size
        first, second, third = self.padding
        self.layers = nn.Sequential(
            _convolution(1, c, k, first, generator),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(c),
            nn.ReLU(),
            _convolution(c, 2 * c, k, second, generator),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(2 * c),
            nn.ReLU(),
            _convolution(2 * c, 4 * c, k, third, generator),
            nn.BatchNorm2d(4 * c),
            nn.ReLU(),
        )
        self.logits = _last_layer(4 * c, generator)

    def features(self, x: Tensor) -> Tensor:
        """Grey images in [0, 1], (B, 1, 28, 28) -> (B, 4C), the numbers before the last layer.

        Raises:
            ValueError: x has another shape.
        """
        if x.shape[1:] != (1, 28, 28):
            raise ValueError(f"x must be grey images (B, 1, 28, 28), got shape {tuple(x.shape)}")
        return self.layers(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Grey images in [0, 1], (B, 1, 28, 28) -> logits (B, 10)."""
        return self.logits(self.features(x))


class LeNet(DigitClassifier):
    """LeNet-5's layout (LeCun et al. 1998) with ReLU and batch normalisation: 5×5 convolutions, the last to one pixel.

    1 → C → 2C → 4C channels at 28, 10 and 1 pixels: unlike a mean over a map, its features know where a stroke lies.

    Args:
        channels: C; 24 makes 96 features and 145,906 parameters.
        generator: source of the initial weights; None takes torch's global one.
    """

    kernel_size = 5
    padding = (2, 0, 0)


@checked
def load_classifier(path: FilePath = SHIPPED_CLASSIFIER) -> DigitClassifier:
    """Load a classifier of digits, in evaluation mode, its weights fixed.

    Args:
        path: the file, or the name of one that ships: "mnist_classifier", in whose features distances are measured and
            which may guide a training, or "mnist_judge", which gives the verdict.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds no classifier.
    """
    kinds = {kind.__name__: kind for kind in (DigitClassifier, LeNet)}

    def build(facts: dict[str, Any]) -> DigitClassifier:
        if str(facts.get("architecture")) not in kinds:  # that of a score network is a table
            raise ValueError("it holds no classifier")
        return kinds[facts["architecture"]](facts["channels"])

    return load_built(path, build)


def _convolution(n_in: int, n_out: int, size: int, padding: int, generator: torch.Generator | None) -> nn.Conv2d:
    """One without bias; initial weights of variance 2/fan-in (He et al. 2015), for the ReLU that follows."""
    options = {"padding": padding, "bias": False, "device": torch.get_default_device()}
    layer: Any = nn.utils.skip_init(nn.Conv2d, n_in, n_out, size, **options)
    nn.init.normal_(layer.weight, std=math.sqrt(2 / (size**2 * n_in)), generator=generator)
    return layer


def _last_layer(n_in: int, generator: torch.Generator | None) -> nn.Linear:
    """Weights of variance 1/fan-in, no bias to start with."""
    layer: Any = nn.utils.skip_init(nn.Linear, n_in, N_CLASSES, device=torch.get_default_device())
    nn.init.normal_(layer.weight, std=math.sqrt(1 / n_in), generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
