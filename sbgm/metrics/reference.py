"""Features of real images, the references that samples are measured against: computed once, then kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sbgm._validate import check_callable, check_choice, check_count
from sbgm.data import SPLITS, cache_folder, load_images
from sbgm.files import load_tensors, save_tensors

TITLES = {
    "digits": "8×8 digits",
    "photo_patches": "photo patches",
    "mnist_small": "MNIST (small)",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "celeba": "CelebA",
}
"""The data sets' names in text."""


class Reference(NamedTuple):
    """Features (N, F) of real images, and what these are, such as "MNIST test images"."""

    features: Tensor
    images: str


def reference_features(
    function: Callable[[Tensor], Tensor], name: str, split: str, n: int | None = None, *, key: str
) -> Reference:
    """Features of a data set's images, from the cache if they were computed before.

    They are kept in `cache_folder()` as `SET-SPLIT-N-KEY.safetensors`; any file there can be deleted. Nothing is kept
    where that folder can't be written.

    Args:
        function: images (N, C, H, W) -> features (N, F), such as `Inception().features`.
        name, split: as for `load_images`.
        n: so many images, drawn without replacement, always the same ones; None takes all.
        key: tells features of different networks apart: a name and a hash of the weights.

    Raises:
        ValueError: there are fewer than n images.
        DataNotFoundError: neither the features nor the images are at hand.
    """
    check_callable(function, "function", "images")
    check_choice(name, "name", tuple(TITLES))
    check_choice(split, "split", SPLITS)
    path = cache_folder() / f"{name}-{split}-{'all' if n is None else check_count(n, 'n')}-{key}.safetensors"
    kept = _read(path)
    if kept is None:
        kept = {"features": function(some_images(name, split, n)).contiguous()}
        _write(path, kept)
    return Reference(kept["features"], f"{TITLES[name]} {split} images")


def some_images(name: str, split: str, n: int | None = None) -> Tensor:
    """n images of a data set, drawn without replacement, always the same ones; None takes all, in their order."""
    if n is not None:
        check_count(n, "n")
    images = load_images(name, split)
    if n is None:
        return images
    if n > len(images):
        raise ValueError(f"n must be at most the {len(images):,} {split} images of {name}, got {n:,}")
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:n]]


def _read(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file, or None if there is none or it is damaged."""
    try:
        return load_tensors(path)[0]
    except (FileNotFoundError, ValueError):
        return None


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a file at once; a folder that can't be written is left alone."""
    with contextlib.suppress(PermissionError):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(path, tensors)
