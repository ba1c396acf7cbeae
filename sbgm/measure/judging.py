"""Samples judged by every measure that applies to them, each with its sample count and reference."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sbgm.files import cache_folder, content_hash, load_tensors, save_tensors
from sbgm.guard import Batch, Count, FilePath, checked, instance_of, one_of, widened
from sbgm.images.data import DataSet, SetOrName, Split, data_set, load_images, load_labels
from sbgm.images.own import read_picture
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier
from sbgm.measure.distances import (
    PRDC,
    FeatureFunction,
    controls,
    frechet_distance,
    hog_features,
    in_batches,
    kernel_distance,
    nearest_neighbours,
    prdc,
    shown,
)
from sbgm.measure.estimates import ChiSquared, Estimate, Share, class_shares, class_test, confident_share
from sbgm.measure.inception import Inception, fid, inception_score, kid

DIGITS = ("mnist", "mnist_small")
MOST_IN_INCEPTION = 1_000  # images of a control: KID's mean does not depend on the number, and each takes 0.1 s here

N_SPLITS = 10  # of the Inception Score, by custom


class Reference(NamedTuple):
    """Features (N, F) of real images, and what these are, such as "MNIST test images"."""

    features: Tensor
    images: str


@checked
def some_images(name: SetOrName, split: Split, n: Count | None = None) -> Tensor:
    """n images of a data set, drawn without replacement, always the same ones; None takes all, in their order."""
    images = load_images(name, split)
    if n is None:
        return images
    if n > len(images):
        raise ValueError(f"n must be at most the {len(images):,} {split} images of {data_set(name).title}, got {n:,}")
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:n]]


class FeatureSpace(NamedTuple):
    """A function from images to the features they are compared by, its name in text, and a key for the cache."""

    function: FeatureFunction
    name: str
    key: str


@checked
def feature_space(
    name: SetOrName,
    inception: Inception | None = None,
    classifier: Annotated[str, one_of((SHIPPED_CLASSIFIER, JUDGE))] = SHIPPED_CLASSIFIER,
) -> FeatureSpace:
    """The features that a data set's samples are compared in.

    A shipped classifier's for MNIST, the pixels of other grey images; for colour images Inception's if it is given, and
    contours (`hog_features`) if not.

    Args:
        name: of the data set.
        inception: for colour images.
        classifier: which of the two that ship, for MNIST.
    """
    if name in DIGITS:
        network = load_classifier(classifier)
        short = classifier.removeprefix("mnist_")
        key = f"{short}-{content_hash(*network.state_dict().values())[:8]}"
        return FeatureSpace(lambda x: in_batches(network.features, shown(x)), f"{short} features", key)
    if data_set(name).shape[0] == 1:
        return FeatureSpace(lambda x: shown(x).flatten(1), "pixels", "pixels")
    if inception is None:
        return FeatureSpace(hog_features, "contours", "hog")
    return FeatureSpace(inception.features, "Inception features", inception.name)


@checked
def reference_for(
    name: SetOrName,
    space: Annotated[FeatureSpace, instance_of(FeatureSpace, "the FeatureSpace of feature_space(name)")],
    split: Split = "test",
    n: Count | None = None,
) -> Reference:
    """The features of real images that samples are compared with, from the cache if they were computed before.

    They are kept in `cache_folder()` as `SET-SPLIT-N-KEY.safetensors`; any file there can be deleted. Pixels are not
    kept, and nothing is where that folder can't be written.

    Args:
        name, split: as for `load_images`.
        space: of `feature_space(name)`.
        n: so many of the images, drawn without replacement, always the same ones; None takes all.

    Raises:
        ValueError: there are fewer than n images.
        DataNotFoundError: neither the features nor the images are at hand.
    """
    title = f"{data_set(name).title} {split} images"
    number = "all" if n is None else n
    path = cache_folder() / f"{data_set(name).key or name}-{split}-{number}-{space.key}.safetensors"
    with contextlib.suppress(FileNotFoundError, ValueError):  # not computed yet, or damaged
        return Reference(load_tensors(path)[0]["features"], title)
    features = space.function(some_images(name, split, n)).contiguous()
    if space.key != "pixels":
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(path, {"features": features})
    return Reference(features, title)


class Judged(NamedTuple):
    """A measure of a set of images: what it gave, and of how many images beside how many of a reference.

    Attributes:
        name: of the measure, such as "Fréchet distance".
        number: with its standard error or interval; None where it can't be taken.
        n: images.
        n_reference: images of the reference, 0 where the measure has none.
        reference: what they are, and how they are compared: "MNIST test images, classifier features".
        control: "" for the samples; else which control it is of, such as "shuffled blocks (train split)".
        left_out: why it can't be taken, such as of too few samples.
    """

    name: str
    number: Estimate | PRDC | Share | ChiSquared | None
    n: int
    n_reference: int = 0
    reference: str = ""
    control: str = ""
    left_out: str = ""


@checked
def judge(
    samples: Batch,
    name: SetOrName,
    *,
    split: Split = "test",
    n_reference: Count | None = None,
    inception: Inception | None = None,
) -> Iterator[Judged]:
    """Take every measure of samples that applies to a data set; each is yielded as soon as it is known.

    Grey images: Fréchet and kernel distances in the features of `feature_space`, beside those of the `controls` of as
    many images of the other split; precision, recall, density and coverage against as many of the reference's images as
    there are samples; for MNIST what both classifiers say, and whether classes come as often as they should. Colour
    images: the kernel distance of their contours, beside that of the same controls, and Inception's measures where it
    is given; of the Inception Score the standard error is that of its mean over ten splits. All: how far the nearest
    training images are, in pixels. Samples are clamped to [0, 1] and quantised first.

    Args:
        samples: (N, C, H, W), as a sampler left them.
        name: of the data set that they are meant to be like.
        split: of the reference.
        n_reference: so many images of it; None takes all.
        inception: for colour images.

    Raises:
        ValueError: the samples have another shape than the images, or one that `controls` can't be made of; at the
            first measure that is asked for.
        DataNotFoundError: the data set is not at hand.

    Example:
        >>> from sbgm.measure.judging import judge
        >>> digits = sbgm.load_images("digits", "test")
        >>> numbers = {(one.name, one.control): one.number for one in judge(digits, "digits")}
        >>> shuffled = numbers["kernel distance", "shuffled blocks (train split)"]
        >>> numbers["kernel distance", ""].value < shuffled.value
        True
    """
    shape = data_set(name).shape
    if samples.shape[1:] != shape:
        raise ValueError(
            f"samples must be like the images of {data_set(name).title}, (N, {', '.join(map(str, shape))}), "
            f"got shape {tuple(samples.shape)}"
        )
    if samples.shape[2] % 4 or samples.shape[3] % 4:
        raise ValueError(f"samples must have H and W that are multiples of 4, got shape {tuple(samples.shape)}")
    samples = widened(samples)
    n = len(samples)
    space = feature_space(name)
    reference = reference_for(name, space, split, n_reference)
    features = space.function(samples)
    if data_set(name).shape[0] == 1:
        kinds = {"Fréchet distance": frechet_distance, "kernel distance": kernel_distance}
        yield from _distances(features, name, split, reference, space, kinds, n)
        verdict = feature_space(name, classifier=JUDGE)
        real = verdict.function(some_images(name, split, min(n, len(load_images(name, split)))))
        yield from _taken("PRDC", prdc, verdict.function(samples), real, f"{reference.images}, {verdict.name}")
    else:
        yield from _distances(features, name, split, reference, space, {"HOG distance": kernel_distance}, n)
        if inception is not None:
            yield from _in_inception(samples, name, split, n_reference, inception)
    if name in DIGITS:
        yield from _by_classifiers(samples, load_labels(name))
    training = load_images(name, "train")
    unseen = some_images(name, "test", min(n, len(load_images(name, "test"))))
    against = f"{data_set(name).title} training images, pixels"
    for control, images in (("test split", unseen), ("", samples)):
        yield from _taken("median distance to the nearest", _nearest, shown(images), training, against, control)


def _nearest(x: Tensor, candidates: Tensor) -> Estimate:
    """The median distance of n points to the nearest of the candidates.

    Its standard error needs no law: half of what lies between the quantiles ½ ± ½/√n, since the share of n distances
    below the true median has the standard deviation ½/√n.
    """
    distances = nearest_neighbours(x, candidates).distances.flatten()
    half = 0.5 / math.sqrt(len(distances))
    low, median, high = distances.quantile(torch.tensor([0.5 - half, 0.5, 0.5 + half]).to(distances)).tolist()
    return Estimate(median, (high - low) / 2)


Measure = Callable[[Tensor, Tensor], Any]  # of samples and a reference


def _taken(name: str, take: Measure, x: Tensor, reference: Tensor, against: str, control: str = "") -> Iterator[Judged]:
    """A measure of images against a reference, or why it can't be taken, which is not said of a control again."""
    try:
        number = take(x, reference)
    except ValueError as error:
        if not control:
            yield Judged(name, None, len(x), len(reference), against, left_out=str(error))
        return
    yield Judged(name, number, len(x), len(reference), against, control)


def _distances(
    features: Tensor,
    name: str | DataSet,
    split: str,
    reference: Reference,
    space: FeatureSpace,
    kinds: Mapping[str, Measure],
    n_control: int,
) -> Iterator[Judged]:
    """The distances of samples' features to those of real images, beside those of each control."""
    other = "train" if split == "test" else "test"
    real = load_images(name, other)
    made = controls(real, min(n_control, len(real)), generator=torch.Generator().manual_seed(0))
    sets = {"": features}
    for control, images in made.items():
        sets[f"{control} ({other} split)"] = space.function(images)
    against = f"{reference.images}, {space.name}"
    for control, points in sets.items():
        for kind, distance in kinds.items():
            yield from _taken(kind, distance, points, reference.features, against, control)


def _in_inception(
    samples: Tensor, name: str | DataSet, split: str, n_reference: int | None, inception: Inception
) -> Iterator[Judged]:
    """KID and FID, the Inception Score, and `prdc`."""
    space = feature_space(name, inception)
    reference = reference_for(name, space, split, n_reference)
    features = space.function(samples)
    against = f"{reference.images}, {space.name}"
    yield from _distances(features, name, split, reference, space, {"KID": kid}, min(len(samples), MOST_IN_INCEPTION))
    yield from _taken("FID", fid, features, reference.features, against)
    yield from _taken("Inception Score", _score, inception.logits(features), reference.features[:0], "")
    yield from _taken("PRDC", prdc, features, reference.features[: len(features)], against)


def _score(logits: Tensor, _: Tensor) -> Estimate:
    """The Inception Score, which compares samples with nothing, and the standard error of its mean over the splits."""
    mean, spread = inception_score(logits, n_splits=N_SPLITS)
    return Estimate(mean, spread / math.sqrt(N_SPLITS))


def _by_classifiers(samples: Tensor, labels: Tensor) -> Iterator[Judged]:
    """How sure the shipped classifiers are of the samples, and how often the judge sees each digit."""
    n = len(samples)
    for classifier in (SHIPPED_CLASSIFIER, JUDGE):
        logits = in_batches(load_classifier(classifier), shown(samples))
        yield Judged(f"{classifier} at least 90 % sure", confident_share(logits), n)
    for digit, share in enumerate(class_shares(logits)):
        yield Judged(f"class {digit}", share, n)
    yield from _taken("class shares", class_test, logits, labels, "training labels")


@checked
def load_images_of(samples: FilePath) -> Tensor:
    """Read the images of a file or folder, (N, C, H, W) float32.

    * `.safetensors`: the tensor "samples", as `sbgm sample` writes it, or the only one there is;
    * `.npz` or `.npy`: the array "samples" or the only one, (N, C, H, W) or (N, H, W, C);
    * a folder: the samples.safetensors in it, as `sbgm sample` writes it, or else its PNG files, in the order of their
      names, grey or colour, all square and of one size.

    Bytes are divided by 255. Floats are taken as they are, images in [0, 1] as a sampler left them: a little beyond.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it is of another kind or damaged, or holds no batch of images, or of another range.
    """
    path = Path(samples)
    if (path / "samples.safetensors").is_file():
        path = path / "samples.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"samples must be a file or folder of images, but there is none at {path}")
    try:
        images = _read_images(path)
    except Exception as error:  # each reader has its own, a MemoryError among them
        reason = str(error) or type(error).__name__
        kinds = "a whole .safetensors, .npz or .npy file, or a folder of PNG files"
        raise ValueError(f"samples must be {kinds}, but {path} is not: {reason}") from error
    if images.ndim != 4:
        raise ValueError(
            f"samples must hold images (N, C, H, W), but those in {path} have the shape {tuple(images.shape)}"
        )
    if images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    if images.dtype == torch.uint8:
        return images.contiguous().float() / 255
    if not images.is_floating_point():
        raise ValueError(f"samples must hold bytes or floating-point numbers, but those in {path} are {images.dtype}")
    images = images.contiguous().float()
    if float(((images - 0.5).abs() > 0.75).float().mean()) > 0.1:  # as many lie there of [−1, 1] and of 0 … 255
        low, high = (float(bound) for bound in images.aminmax())
        raise ValueError(
            f"samples must hold images in [0, 1], but those in {path} reach from {low:.3g} to {high:.3g}, and more "
            "than a tenth of their pixels lies beyond [−0.25, 1.25]; take (x + 1)/2 if they are in [−1, 1], x/255 if "
            "they are in [0, 255], and train longer if the network that drew them has hardly learned"
        )
    return images


def _read_images(path: Path) -> Tensor:
    """The array "samples" of a file, or its only one, or the bytes of a folder's PNG files."""
    if path.is_dir():
        images = []
        for file in sorted(path.glob("*.png")):
            with Image.open(file, formats=["PNG"]) as image:  # by no other reader, whatever is in the file
                if image.width != image.height:
                    raise ValueError(f"its images must be square, got {image.width}×{image.height} in {file.name}")
                images.append(read_picture(image, image.width))
        if not images:
            raise ValueError("no file in it is called *.png")
        pixels = torch.stack(images)  # raises unless they are of one size
        is_grey = torch.equal(pixels[:, :1].expand_as(pixels), pixels)
        return pixels[:, :1] if is_grey else pixels
    arrays = load_tensors(path)[0] if path.suffix == ".safetensors" else np.load(path, allow_pickle=False)
    if isinstance(arrays, np.ndarray):
        return torch.as_tensor(arrays)
    names = {"samples"}.intersection(arrays) or set(arrays)
    if len(names) != 1:
        raise ValueError(f'it must hold "samples" or a single array, and holds {", ".join(arrays) or "none"}')
    return torch.as_tensor(arrays[names.pop()])
