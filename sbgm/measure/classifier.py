"""A small classifier of 28×28 grey digits, whose features measure how like real digits samples are."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from sbgm.checked import Count, Generator, checked
from sbgm.weights import load_weights, weights_folder

__all__ = [
    "DigitClassifier",
    "load_classifier",
]

N_CLASSES = 10
SHIPPED_CLASSIFIER = "mnist_classifier"


class DigitClassifier(nn.Module):
    """Three convolutions with batch normalisation, a 2×2 maximum after the first two, then a linear layer.

    1 → C → 2C → 4C channels at 28, 14 and 7 pixels; the 4C features are means over the last 7×7 map.

    Args:
        channels: C; 32 makes 128 features and 94,186 parameters.
        generator: source of the initial weights; None takes torch's global one.
    """

    @checked
    def __init__(self, channels: Count = 32, *, generator: Generator | None = None) -> None:
        super().__init__()
        c = channels
        self.layers = nn.Sequential(
            _convolution(1, c, generator),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(c),
            nn.ReLU(),
            _convolution(c, 2 * c, generator),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(2 * c),
            nn.ReLU(),
            _convolution(2 * c, 4 * c, generator),
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


def load_classifier(path: Path | None = None) -> DigitClassifier:
    """Load the classifier that ships, in evaluation mode, its weights fixed.

    Args:
        path: another file of `train_shipped_classifier`'s at the shipped width; None is the shipped one.
    """
    network = DigitClassifier()
    load_weights(network, weights_folder() / f"{SHIPPED_CLASSIFIER}.safetensors" if path is None else path)
    return network.eval().requires_grad_(False)


def _convolution(n_in: int, n_out: int, generator: torch.Generator | None) -> nn.Conv2d:
    """3×3 without bias; initial weights of variance 2/fan-in (He et al. 2015), for the ReLU that follows."""
    layer = nn.utils.skip_init(nn.Conv2d, n_in, n_out, 3, padding=1, bias=False)
    nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * n_in)), generator=generator)
    return layer


def _last_layer(n_in: int, generator: torch.Generator | None) -> nn.Linear:
    """Weights of variance 1/fan-in, no bias to start with."""
    layer = nn.utils.skip_init(nn.Linear, n_in, N_CLASSES)
    nn.init.normal_(layer.weight, std=math.sqrt(1 / n_in), generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
