"""Samples judged: their distance to real images beside that of four controls, and how near training images are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from sbgm.guard import Batch, checked, widened
from sbgm.images.data import SetOrName, data_set, load_images
from sbgm.measure.classifier import load_classifier
from sbgm.measure.distances import (
    FeatureFunction,
    controls,
    hog_features,
    in_batches,
    kernel_distance,
    nearest_neighbours,
    shown,
)
from sbgm.measure.estimates import Estimate


class Row(NamedTuple):
    """One measure of several sets of images.

    Attributes:
        measure: its name, such as "kernel distance".
        against: what they are compared with, such as "360 8×8 digits test images, pixels".
        numbers: by the name of each set, with their standard errors.
    """

    measure: str
    against: str
    numbers: Mapping[str, Estimate]


class Judged(NamedTuple):
    """The measures of samples and their controls; as text a table, a line for each measure, a column for each set.

    Attributes:
        counts: how many images each set holds, by its name: "samples", and those of `controls`.
        rows: the measures.
    """

    counts: dict[str, int]
    rows: list[Row]

    def __str__(self) -> str:
        lines = [("", [*self.counts]), ("images", [f"{n:,}" for n in self.counts.values()])]
        for row in self.rows:
            lines.append((row.against, []))
            lines.append((f"  {row.measure}", [str(row.numbers.get(name, "")) for name in self.counts]))
        title_width = max(len(title) for title, cells in lines if cells)
        width = 2 + max(len(cell) for _, cells in lines for cell in cells)
        texts = []
        for title, cells in lines:
            texts.append(title.ljust(title_width) + "".join(cell.rjust(width) for cell in cells))
        return "\n".join(text.rstrip() for text in texts)


@checked
def judge(samples: Batch, name: SetOrName) -> Judged:
    """Take the kernel distance of samples to a data set's test images, and how far the nearest training images are.

    The kernel distance is in a shipped classifier's features for MNIST, in the pixels of other grey images, and by the
    contours of colour images (`hog_features`); beside it stand those of the training images' `controls`, as many as the
    samples where there are so many. Beside the samples' median distance to the nearest training image, in pixels,
    stands that of as many test images. Samples are clamped to [0, 1] and quantised first.

    Args:
        samples: (N, C, H, W), N ≥ 3, as a sampler left them.
        name: of the data set that they are meant to be like.

    Returns:
        The measures; `print(judge(…))` shows them as a table.

    Raises:
        ValueError: the samples have another shape than the images, or one that `controls` can't be made of; or there
            are fewer than three of them, or of the test images.
        DataNotFoundError: the data set is not at hand.

    Example:
        >>> from sbgm.measure.judging import judge
        >>> distance, nearest = judge(sbgm.load_images("digits")[:50], "digits").rows
        >>> distance.numbers["samples"].value < distance.numbers["low resolution"].value
        True
        >>> nearest.numbers["samples"].value  # these are training images
        0.0
    """
    shape = data_set(name).shape
    title = data_set(name).title
    if samples.shape[1:] != shape:
        raise ValueError(
            f"samples must be like the images of {title}, (N, {', '.join(map(str, shape))}), "
            f"got shape {tuple(samples.shape)}"
        )
    if samples.shape[2] % 4 or samples.shape[3] % 4:
        raise ValueError(f"samples must have H and W that are multiples of 4, got shape {tuple(samples.shape)}")
    training = load_images(name, "train")
    test = load_images(name, "test")
    n_controls = min(len(samples), len(training))
    made = controls(training, n_controls, generator=torch.Generator().manual_seed(0))
    sets = {"samples": widened(samples)} | made
    features, space = _features(name)
    reference = features(test)
    distances = {of_set: kernel_distance(features(images), reference) for of_set, images in sets.items()}
    unseen = test[torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:n_controls]]
    nearest = {"samples": _nearest(sets["samples"], training), "real images": _nearest(unseen, training)}
    in_pixels = f"{len(training):,} {title} training images, pixels; real images: {len(unseen):,} test images"
    rows = [
        Row("kernel distance", f"{len(test):,} {title} test images, {space}", distances),
        Row("median distance to nearest", in_pixels, nearest),
    ]
    return Judged({of_set: len(images) for of_set, images in sets.items()}, rows)


def _features(name: SetOrName) -> tuple[FeatureFunction, str]:
    """The features that a data set's samples are compared in, and their name in text."""
    if name in ("mnist", "mnist_small"):
        network = load_classifier()
        return lambda images: in_batches(network.features, shown(images)), "classifier features"
    if data_set(name).shape[0] == 1:
        return lambda images: shown(images).flatten(1), "pixels"
    return hog_features, "contours"


def _nearest(images: Tensor, candidates: Tensor) -> Estimate:
    """The median distance of n images, as they would be shown, to the nearest of the candidates.

    Its standard error needs no law: half of what lies between the quantiles ½ ± ½/√n, since the share of n distances
    below the true median has the standard deviation ½/√n.
    """
    distances = nearest_neighbours(shown(images), candidates).distances.flatten()
    half = 0.5 / math.sqrt(len(distances))
    low, median, high = distances.quantile(torch.tensor([0.5 - half, 0.5, 0.5 + half]).to(distances)).tolist()
    return Estimate(median, (high - low) / 2)
