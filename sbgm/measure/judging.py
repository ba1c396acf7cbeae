"""Samples judged by every measure that applies to them, each with its sample count and reference."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from sbgm.files import cache_folder, content_hash, load_tensors, save_tensors
from sbgm.guard import Batch, Count, checked, instance_of, one_of, widened
from sbgm.images.data import SetOrName, Split, data_set, load_images, load_labels
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier
from sbgm.measure.distances import (
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
from sbgm.measure.estimates import ChiSquared, Estimate, Share, class_test, confident_share, fewest_for_class_test
from sbgm.measure.inception import Inception

DIGITS = ("mnist", "mnist_small")


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
        name: the data set's name.
        inception: the network whose features colour images are compared in.
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


Number = Estimate | Share | ChiSquared
Measure = Callable[[Tensor, Tensor], Any]  # of a set of images and a reference, in pixels, features or logits
# of PRDC's four: noise has full precision and density, because it lies in the large balls of outliers
RECALL_AND_COVERAGE = {
    "recall": (lambda samples, reference: prdc(samples, reference[: len(samples)]).recall, 6),
    "coverage": (lambda samples, reference: prdc(samples, reference[: len(samples)]).coverage, 6),
}


class Row(NamedTuple):
    """One measure of several sets of images.

    Attributes:
        measure: its name, such as "Fréchet distance".
        against: what they are compared with, such as "360 8×8 digits test images, pixels", or what classifies them.
        numbers: by the name of each set, with their standard errors or intervals; {} where there are too few images.
        needs: how many images the measure takes, such as "needs at least 129 samples"; "" where there are enough.
    """

    measure: str
    against: str
    numbers: Mapping[str, Number]
    needs: str = ""


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
        for against, rows in itertools.groupby(self.rows, lambda row: row.against):
            lines.append((against, []))
            for row in rows:
                if row.needs:
                    lines.append((f"  {row.measure}: {row.needs}", []))
                else:
                    lines.append((f"  {row.measure}", [_cell(row.numbers.get(name)) for name in self.counts]))
        title_width = max(len(title) for title, cells in lines if cells)
        width = 2 + max(len(cell) for _, cells in lines for cell in cells)
        texts = []
        for title, cells in lines:
            texts.append(title.ljust(title_width) + "".join(cell.rjust(width) for cell in cells))
        return "\n".join(text.rstrip() for text in texts)


def _cell(number: Number | None) -> str:
    """A number in the table: with ± two standard errors, or as a percentage with its 95 % interval, or with its p."""
    if number is None:
        return ""
    if isinstance(number, Share):
        return f"{100 * number.value:.1f} ({100 * number.low:.1f}–{100 * number.high:.1f})"
    if isinstance(number, ChiSquared):
        return f"{number.statistic:.3g} (p = {number.p:.2g})"
    return str(number)


@checked
def judge(
    samples: Batch,
    name: SetOrName,
    *,
    split: Split = "test",
    n_reference: Count | None = None,
) -> Judged:
    """Take every measure of samples that applies to a data set, and the same of the set's `controls`.

    Grey images: Fréchet and kernel distances in the features of `feature_space`; recall and coverage (`prdc`); for
    MNIST, of how many images each classifier is at least 90 % sure, and whether the judge sees each class as often as
    the data have it. Colour images: the kernel distance of their contours; for more see `kid` and `fid`. All: how far
    the nearest training images are, in pixels. Samples are clamped to [0, 1] and quantised first.

    The controls are of the split that is no reference, and as many as the samples where it holds so many. Beside the
    samples' distance to the nearest training images stands that of test images.

    Args:
        samples: (N, C, H, W), as a sampler left them.
        name: of the data set that they are meant to be like.
        split: the split that is the reference.
        n_reference: so many images of it; None takes all.

    Returns:
        The measures; `print(judge(…))` shows them as a table.

    Raises:
        ValueError: the samples have another shape than the images, or one that `controls` can't be made of.
        DataNotFoundError: the data set is not at hand.

    Example:
        >>> from sbgm.measure.judging import judge
        >>> judged = judge(sbgm.load_images("digits", "test")[:50], "digits", split="train")
        >>> frechet, kernel, *_ = judged.rows
        >>> frechet.needs, kernel.numbers["samples"].value < kernel.numbers["Gaussian"].value
        ('needs at least 65 samples', True)
    """
    shape = data_set(name).shape
    if samples.shape[1:] != shape:
        raise ValueError(
            f"samples must be like the images of {data_set(name).title}, (N, {', '.join(map(str, shape))}), "
            f"got shape {tuple(samples.shape)}"
        )
    if samples.shape[2] % 4 or samples.shape[3] % 4:
        raise ValueError(f"samples must have H and W that are multiples of 4, got shape {tuple(samples.shape)}")
    real = load_images(name, "train" if split == "test" else "test")
    n_controls = min(len(samples), len(real))
    made = controls(real, n_controls, generator=torch.Generator().manual_seed(0))
    sets = {"samples": widened(samples)} | made
    space = feature_space(name)
    reference = reference_for(name, space, split, n_reference)
    features = _of_each(space.function, sets)
    if shape[0] == 1:
        fewest = features["samples"].shape[1] + 1
        measures = {"Fréchet distance": (frechet_distance, fewest), "kernel distance": (kernel_distance, 3)}
        rows = _rows(measures, features, reference, space.name)
        space = feature_space(name, classifier=JUDGE)
        n = min(n_controls, len(load_images(name, split)))
        reference = reference._replace(features=space.function(some_images(name, split, n)))
        rows += _rows(RECALL_AND_COVERAGE, _of_each(space.function, sets), reference, space.name)
    else:
        rows = _rows({"HOG distance": (kernel_distance, 3)}, features, reference, space.name)
    if name in DIGITS:
        rows += _by_classifiers(sets, load_labels(name))
    unseen = some_images(name, "test", min(n_controls, len(load_images(name, "test"))))
    pixels = _of_each(shown, {"samples": sets["samples"], "real images": unseen})
    training = Reference(load_images(name, "train"), f"{data_set(name).title} training images")
    measures = {"median distance to nearest": (_nearest, 1)}
    rows += _rows(measures, pixels, training, f"pixels; real images: {len(unseen):,} test images")
    return Judged({of_set: len(images) for of_set, images in sets.items()}, rows)


def _of_each(function: Callable[[Tensor], Tensor], sets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The function's value at each set of images, by the set's name."""
    return {name: function(images) for name, images in sets.items()}


def _rows(
    measures: Mapping[str, tuple[Measure, int]], sets: Mapping[str, Tensor], reference: Reference, space: str
) -> list[Row]:
    """Take measures of each set, (N, …), against a reference.

    Args:
        measures: by name, each with the fewest images that it takes of a set and of the reference.
        sets: by name, "samples" among them; a control of too few images is left out.
        reference: real images.
        space: in which both are given.
    """
    against = f"{len(reference.features):,} {reference.images}, {space}"
    rows = []
    for measure, (take, fewest) in measures.items():
        numbers = {}
        needs = ""
        if len(sets["samples"]) < fewest:
            needs = f"needs at least {fewest:,} samples"
        elif len(reference.features) < fewest:
            needs = f"needs at least {fewest:,} real images"
        else:
            numbers = {name: take(x, reference.features) for name, x in sets.items() if len(x) >= fewest}
        rows.append(Row(measure, against, numbers, needs))
    return rows


def _nearest(x: Tensor, candidates: Tensor) -> Estimate:
    """The median distance of n points to the nearest of the candidates.

    Its standard error needs no law: half of what lies between the quantiles ½ ± ½/√n, since the share of n distances
    below the true median has the standard deviation ½/√n.
    """
    distances = nearest_neighbours(x, candidates).distances.flatten()
    half = 0.5 / math.sqrt(len(distances))
    low, median, high = distances.quantile(torch.tensor([0.5 - half, 0.5, 0.5 + half]).to(distances)).tolist()
    return Estimate(median, (high - low) / 2)


def _by_classifiers(sets: Mapping[str, Tensor], labels: Tensor) -> list[Row]:
    """How sure the shipped classifiers are of images, and whether the judge sees each digit as often as it comes."""
    rows = []
    for classifier in (SHIPPED_CLASSIFIER, JUDGE):
        network = load_classifier(classifier)
        logits = {name: in_batches(network, shown(images)) for name, images in sets.items()}
        sure = {name: confident_share(x) for name, x in logits.items()}
        rows.append(Row("at least 90 % sure, %", classifier, sure))
    measures = {"χ² of the classes": (class_test, fewest_for_class_test(labels))}
    return rows + _rows(measures, logits, Reference(labels, "training labels"), JUDGE)
