"""The network that Section 5 warns of: a score trained on MNIST's images without any noise."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import torch
from torch import nn

from sbgm.data import load_images
from sbgm.experiments.figure1 import Figure1, train_figure1
from sbgm.hardware import hardware
from sbgm.hashing import content_hash
from sbgm.networks import ResNet
from sbgm.training import load_checkpoint
from sbgm.weights import load_weights, save_weights, weights_file

RAW = "mnist_raw"
SETTINGS = Figure1.laptop(noise_std=0.0, n_iterations=500)
IMAGE_SHAPE = (1, 28, 28)


def train_shipped_raw(folder: Path, settings: Figure1 = SETTINGS) -> Path:
    """Train the shipped network again by sliced score matching on raw MNIST, and save it with the facts of its making.

    Args:
        folder: for `mnist_raw.safetensors` and the run's checkpoint, `mnist_raw.pt`, from which it goes on.
        settings: other than the shipped ones, for a trial.

    Returns:
        The file of weights.

    Raises:
        DataNotFoundError: MNIST is not at hand.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images = load_images("mnist")
    start = time.perf_counter()
    losses = [s.loss for s in train_figure1(images, settings, checkpoint=folder / f"{RAW}.pt")]
    network = ResNet(settings.channels, IMAGE_SHAPE[0])
    network.load_state_dict(load_checkpoint(folder / f"{RAW}.pt")["network"])
    path = folder / f"{RAW}.safetensors"
    save_weights(
        network,
        path,
        dtype=torch.float16,
        command="sbgm.experiments.raw_images.train_shipped_raw(folder)",
        data=f"MNIST, {len(images):,} training images, without noise",
        data_sha256=content_hash(images),
        settings=dataclasses.asdict(settings),
        seconds=round(time.perf_counter() - start),
        last_losses=[float(f"{loss:.4g}") for loss in losses[-5:]],
        hardware=hardware(),
        torch=torch.__version__,
    )
    return path


def load_raw(name: str = RAW) -> nn.Module:
    """The network trained on raw images, in evaluation mode, its weights fixed; it takes any σ and ignores it.

    Its `sigmas` are the one level 0.01, so that Algorithm 1 is plain Langevin dynamics with the step size ε.
    """
    path = weights_file(name)
    network = ResNet(SETTINGS.channels, IMAGE_SHAPE[0])
    load_weights(network, path)
    network.sigmas, network.image_shape = torch.tensor([0.01]), IMAGE_SHAPE
    return network.eval().requires_grad_(False)
