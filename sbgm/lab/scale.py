"""Two scales for the chapters on images: a laptop's, and a GPU's by one setting, `SBGM_SCALE=gpu`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import torch
from torch import nn

from sbgm.checked import Score, one_of
from sbgm.precision import autocast
from sbgm.weights import load_network

__all__ = [
    "Scale",
    "fast_precision",
]

VARIABLE = "SBGM_SCALE"


@dataclasses.dataclass(frozen=True)
class Scale:
    """The amount of work of a chapter: its cells are the same at every scale.

    `dataclasses.replace(scale, network="runs/weights/mine.safetensors")` takes a network of your own.

    Attributes:
        name: "laptop" or "gpu".
        data: digits to compare with: a part of MNIST that ships, or all of it.
        network: the noise conditional network on MNIST, the name of a shipped one or a file.
        colour_network: the one on CIFAR-10.
        n_images: images drawn in a cell.
        n_steps: T, Langevin steps a level.
        batch_size: chains side by side.
        device: where networks run.
        precision: of their layers, see `sbgm.precision`.
    """

    name: str
    data: str
    n_images: int
    n_steps: int
    batch_size: int
    device: str = "cpu"
    precision: str = "fp32"
    network: str = "mnist_ncsn"
    colour_network: str = "cifar10_ncsn"

    @classmethod
    def laptop(cls) -> Scale:
        """A few images, by a fifth of the paper's steps, in half a minute on two cores."""
        return cls("laptop", "mnist_small", n_images=16, n_steps=20, batch_size=16, precision=fast_precision("cpu"))

    @classmethod
    def gpu(cls, device: str = "cuda") -> Scale:
        """A thousand images by the paper's settings."""
        precision = fast_precision(torch.device(device).type)
        return cls("gpu", "mnist", n_images=1_000, n_steps=100, batch_size=500, device=device, precision=precision)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Scale:
        """The scale that the variable SBGM_SCALE names, "laptop" if it is not set.

        Raises:
            ValueError: it names another, or "gpu" where torch sees no GPU.
        """
        if one_of(("laptop", "gpu"))(environment.get(VARIABLE, "laptop"), VARIABLE) == "laptop":
            return cls.laptop()
        if not torch.cuda.is_available():
            raise ValueError(f'{VARIABLE} must be "laptop" where torch sees no CUDA device, got "gpu"')
        return cls.gpu()

    def load(self, name: str | None = None) -> nn.Module:
        """A shipped network on this scale's device; None is `network`."""
        return load_network(self.network if name is None else name).to(self.device)

    def score(self, network: nn.Module) -> Score:
        """The network's score in this scale's precision."""
        return autocast(network, self.precision, torch.device(self.device).type)


def fast_precision(device_type: str = "cpu") -> str:
    """Say "bf16" where the hardware multiplies bfloat16 itself, else "fp32", which is faster there."""
    if device_type == "cuda":
        return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has_bf16 = any(getattr(torch.cpu, test, lambda: False)() for test in tests)
    return "bf16" if device_type == "cpu" and has_bf16 else "fp32"
