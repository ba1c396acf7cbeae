"""Samples judged by every measure that applies to them, each with its sample count and reference."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sbgm.checked import check_batch, check_callable, check_choice, check_count
from sbgm.data import SPLITS, cache_folder, load_images
from sbgm.files import content_hash, load_tensors, save_tensors
from sbgm.measure.classifier import load_classifier
from sbgm.measure.distances import frechet_distance, in_batches, kernel_distance, nearest_neighbours, shown
from sbgm.measure.estimates import Measured, class_shares, confident_share
from sbgm.measure.inception import FEWEST_FOR_FID, Inception, fid, inception_score, kid

__all__ = [
    "FeatureSpace",
    "Reference",
    "feature_space",
    "judge",
    "load_images_of",
    "reference_features",
    "reference_for",
    "some_images",
]

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


DIGITS = ("mnist", "mnist_small")
COLOUR = ("photo_patches", "cifar10", "celeba")


class FeatureSpace(NamedTuple):
    """Where images are compared: a function from images to features, its name in text, and a key for the cache."""

    function: Callable[[Tensor], Tensor]
    name: str
    key: str


def feature_space(name: str, inception: Inception | None = None) -> FeatureSpace:
    """The features that a data set's samples are compared in.

    The shipped classifier's for MNIST, Inception's for colour images, the pixels of other grey ones.

    Args:
        name: of the data set.
        inception: needed for colour images.

    Raises:
        ValueError: the images are in colour and there is no Inception.
    """
    check_choice(name, "name", tuple(TITLES))
    if name in DIGITS:
        classifier = load_classifier()
        key = f"classifier-{content_hash(*classifier.state_dict().values())[:8]}"
        return FeatureSpace(lambda x: in_batches(classifier.features, shown(x)), "classifier features", key)
    if name not in COLOUR:
        return FeatureSpace(lambda x: shown(x).flatten(1), "pixels", "pixels")
    if inception is None:
        raise ValueError(f"{TITLES[name]} needs Inception's features; pass inception=Inception(…)")
    return FeatureSpace(inception.features, "Inception features", inception.name)


def reference_for(name: str, space: FeatureSpace, split: str = "test", n: int | None = None) -> Reference:
    """The features of real images that samples are compared with, kept in the cache once computed.

    Args:
        name, split: as for `load_images`.
        space: of `feature_space(name)`.
        n: so many of the images, always the same ones; None takes all.
    """
    if not isinstance(space, FeatureSpace):
        raise TypeError(f"space must be the FeatureSpace of feature_space(name), got {type(space).__name__}")
    if space.key == "pixels":
        return Reference(space.function(some_images(name, split, n)), f"{TITLES[name]} {split} images")
    return reference_features(space.function, name, split, n, key=space.key)


def judge(
    samples: Tensor,
    name: str,
    *,
    split: str = "test",
    n_reference: int | None = None,
    inception: Inception | None = None,
) -> Iterator[Measured | str]:
    """Every measure of samples that applies to a data set, each yielded as soon as it is known; str() is its text.

    Fréchet and kernel distances in the features of `feature_space`, beside those of as many images of the other split;
    for MNIST what the classifier says; how far the nearest training images are, in pixels. Samples are clamped to
    [0, 1] and quantised first.

    Args:
        samples: (N, C, H, W), as a sampler left them.
        name: of the data set that they are meant to be like.
        split: of the reference.
        n_reference: so many images of it; None takes all.
        inception: for colour images; without it they are compared with their nearest training images alone.

    Raises:
        ValueError: the samples have another shape than the images, before any measure.
        DataNotFoundError: the data set is not at hand.
    """
    other = {"test": "train", "train": "test"}[check_choice(split, "split", ("train", "test"))]
    if n_reference is not None:
        check_count(n_reference, "n_reference")
    training = load_images(check_choice(name, "name", tuple(TITLES)), "train")
    if check_batch(samples, "samples").shape[1:] != training.shape[1:]:
        raise ValueError(
            f"samples must be like the images of {name}, (N, {', '.join(map(str, training.shape[1:]))}), "
            f"got shape {tuple(samples.shape)}"
        )
    return _judge(samples, name, split, other, n_reference, inception, training)


def _judge(samples, name, split, other, n_reference, inception, training):
    if name in COLOUR:
        if inception is not None:
            yield from _in_inception(samples, name, split, n_reference, inception)
    else:
        space = feature_space(name)
        reference = reference_for(name, space, split, n_reference)
        n_real = min(len(samples), len(training) if other == "train" else len(load_images(name, other)))
        for features, prefix in (
            (space.function(samples), ""),
            (reference_for(name, space, other, n_real).features, f"real {other} images instead: "),
        ):
            options = {"against": reference.images, "features": space.name}
            if min(len(features), len(reference.features)) > features.shape[1]:
                yield frechet_distance(features, reference.features, name=f"{prefix}Fréchet distance", **options)
            yield kernel_distance(features, reference.features, name=f"{prefix}kernel distance", **options)
    if name in DIGITS:
        logits = in_batches(load_classifier(), shown(samples))
        yield f"classifier at least 90 % sure: {confident_share(logits)}"
        yield from (f"class {digit}: {share}" for digit, share in enumerate(class_shares(logits)))
    yield _distance_to_nearest(shown(samples), training, f"{TITLES[name]} training images")


def _in_inception(samples, name, split, n_reference, inception):
    features = inception.features(samples)
    reference = reference_for(name, feature_space(name, inception), split, n_reference)
    yield kid(features, reference.features, against=reference.images)
    if min(len(features), len(reference.features)) >= FEWEST_FOR_FID:
        yield fid(features, reference.features, against=reference.images)
    else:
        yield f"FID: needs {FEWEST_FOR_FID:,} samples and as many real images; from fewer it would mislead"
    if inception.has_logits:
        mean, spread = inception_score(inception.logits(samples))
        yield f"Inception Score {mean:.2f}, sd over 10 splits {spread:.2f} ({len(samples):,} samples)"
    else:
        yield "Inception Score: these weights have no logits"


def _distance_to_nearest(samples: Tensor, training: Tensor, against: str) -> Measured:
    distances = nearest_neighbours(samples, training).distances
    median = float(distances.median())
    return Measured("median distance to the nearest", median, None, len(samples), len(training), against, "pixels")


def load_images_of(path: Path | str) -> Tensor:
    """Images of a file or folder, (N, C, H, W) float32: what `evaluate --samples` reads.

    * `.safetensors`: the tensor "samples", as `python -m sbgm sample` writes it, or the only one there is;
    * `.npz` or `.npy`: the array "samples" or the only one, (N, C, H, W) or (N, H, W, C); uint8 is divided by 255;
    * a folder: its PNG files, in the order of their names, grey or colour, all of one size.

    Raises:
        FileNotFoundError: there is no such file or folder, or no PNG file in it.
        ValueError: it is of another kind, or holds no batch of images.
    """
    path = Path(path)
    if path.is_dir():
        images = _folder_of_png(path)
    elif not path.is_file():
        raise FileNotFoundError(f"path must be a file or folder of images, but there is none at {path}")
    elif path.suffix == ".safetensors":
        images = _only(load_tensors(path)[0], path)
    elif path.suffix in (".npz", ".npy"):
        import numpy as np

        arrays = np.load(path, allow_pickle=False)
        images = torch.from_numpy(np.asarray(arrays if path.suffix == ".npy" else _only(dict(arrays), path)))
    else:
        raise ValueError(f"path must be .safetensors, .npz, .npy or a folder of PNG files, got {path}")
    if images.ndim != 4:
        raise ValueError(
            f"path must hold images (N, C, H, W), but those in {path} have the shape {tuple(images.shape)}"
        )
    if images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    return images.contiguous().float() / 255 if images.dtype == torch.uint8 else images.contiguous().float()


def _only(arrays: dict, path: Path):
    """The one named "samples", or the only one."""
    if "samples" not in arrays and len(arrays) != 1:
        raise ValueError(f'path must hold "samples" or a single array, but {path} holds {", ".join(arrays) or "none"}')
    return arrays["samples"] if "samples" in arrays else next(iter(arrays.values()))


def _folder_of_png(folder: Path) -> Tensor:
    import numpy as np
    from PIL import Image

    files = sorted(folder.glob("*.png"))
    if not files:
        raise FileNotFoundError(f"path must be a folder of PNG files, but there is none in {folder}")
    images = []
    for file in files:
        with Image.open(file) as image:
            images.append(torch.from_numpy(np.array(image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB"))))
    if len(shapes := {tuple(image.shape) for image in images}) > 1:
        raise ValueError(f"path must hold images of one size, but those in {folder} have the shapes {sorted(shapes)}")
    stacked = torch.stack(images)
    return stacked[:, None] if stacked.ndim == 3 else stacked.permute(0, 3, 1, 2)
