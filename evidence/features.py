"""What claims judge samples of images by: features and their references, precision and recall, and classes."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.stats import chisquare
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from sbgm.files import content_hash, data_folder, load_tensors, save_tensors
from sbgm.images.data import load_images
from sbgm.measure import Estimate, Inception, Share, estimate, in_batches, nearest_neighbours, share, shown
from sbgm.measure.classifier import SHIPPED_CLASSIFIER, load_classifier

# --- features of images, and those of real images ---------------------------------------------------------------------


class FeatureSpace(NamedTuple):
    """A function from images to the features they are compared by, and a key for the files that keep these."""

    function: Callable[[Tensor], Tensor]
    key: str


def classifier_space(classifier: str = SHIPPED_CLASSIFIER) -> FeatureSpace:
    """The features of a classifier that ships, "mnist_classifier" or "mnist_judge"."""
    network = load_classifier(classifier)
    short = classifier.removeprefix("mnist_")
    key = f"{short}-{content_hash(*network.state_dict().values())[:8]}"
    return FeatureSpace(lambda x: in_batches(network.features, shown(x)), key)


def inception_space(inception: Inception) -> FeatureSpace:
    """Inception's features."""
    return FeatureSpace(inception.features, inception.name)


def some_images(data: str, split: str, n: int | None = None) -> Tensor:
    """n images of a data set, drawn without replacement, always the same ones; None takes all, in their order."""
    images = load_images(data, split)
    if n is None:
        return images
    if n > len(images):
        raise ValueError(f"n must be at most the {len(images):,} {split} images of {data}, got {n:,}")
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:n]]


def reference_for(data: str, space: FeatureSpace, split: str, n: int | None = None) -> Tensor:
    """The features (n, F) of `some_images`, from `cache/` in `data_folder()` if they were computed before.

    They are kept there as `SET-SPLIT-N-KEY.safetensors`, which can be deleted; where nothing can be written nothing is.
    """
    number = "all" if n is None else n
    path = data_folder() / "cache" / f"{data}-{split}-{number}-{space.key}.safetensors"
    with contextlib.suppress(FileNotFoundError, ValueError):  # not computed yet, or damaged
        return load_tensors(path)[0]["features"]
    features = space.function(some_images(data, split, n)).contiguous()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(path, {"features": features})
    return features


# --- precision, recall, density and coverage: I1 and the budgets ------------------------------------------------------


class PRDC(NamedTuple):
    """How much of samples and reference lies among the other.

    Attributes:
        precision: share of samples that lie in a ball of the reference: are they realistic?
        recall: share of the reference that lies in a ball of the samples: is all of it drawn?
        density: how many balls of the reference hold a sample, over k; its mean is 1 for the reference's distribution.
        coverage: share of the reference's balls that hold a sample.
    """

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def prdc(samples: Tensor, reference: Tensor, k: int = 5) -> PRDC:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020), in features.

    A point's ball reaches to the k-th nearest other point of its own set. Outliers have large balls, which let
    precision and recall pass more than they should; density counts the balls, and coverage uses the reference's alone.

    Take as many of both: with N samples of the same distribution as M of the reference, coverage has the mean
    1 − (M−1)…(M−k)/((M+N−1)…(M+N−k)), about 1 − 2⁻ᵏ where N = M. The standard errors are those of means over the
    points counted, with all balls and the points of the other set as they are.

    Args:
        samples: (N, F) features, N > k.
        reference: (M, F) features of real images, M > k.
        k: the neighbour that a ball reaches to.
    """
    samples = samples.double()
    reference = reference.double()
    radii = _radii(samples, k)
    reference_radii = _radii(reference, k)
    balls = _balls(samples, reference, reference_radii)
    nearest = nearest_neighbours(reference, samples).distances[:, 0]
    return PRDC(
        precision=estimate((balls > 0).double()),
        recall=estimate((_balls(reference, samples, radii) > 0).double()),
        density=estimate(balls.double() / k),
        coverage=estimate((nearest <= reference_radii).double()),
    )


def _radii(points: Tensor, k: int) -> Tensor:
    """The distance of each point to the k-th nearest other one: (N,)."""
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points.numpy())
    distances, _ = search.kneighbors()  # no point is its own neighbour
    return torch.from_numpy(distances[:, -1])


def _balls(points: Tensor, centres: Tensor, radii: Tensor) -> Tensor:
    """How many of the balls each point is in, some points at a time: (N,)."""
    counts = []
    for part in points.split(1_000):
        inside = torch.cdist(part, centres) <= radii
        counts.append(inside.sum(dim=1))
    return torch.cat(counts)


# --- classes: I1 and the curves ---------------------------------------------------------------------------------------


def confident_share(logits: Tensor) -> Share:
    """The share of samples whose most probable class has at least the probability 0.9: logits (N, K)."""
    confidence = logits.softmax(dim=1).amax(dim=1)
    return share(int((confidence >= 0.9).sum()), len(logits))


def class_test(logits: Tensor, labels: Tensor) -> float:
    """Pearson's χ², K − 1 degrees of freedom, of whether samples have the classes of the data as often as the data.

    The data's own shares, not equal ones, are what a perfect model has: of MNIST's training digits 11.2 % are ones and
    9.0 % fives. They are taken as known, since the labels are many more than the samples.

    Args:
        logits: (N, K) of a classifier; of so many samples that five of the rarest class are expected (Cochran 1954).
        labels: (M,) classes of the data, int64, each of the K among them.
    """
    observed = torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1]).double()
    shares = torch.bincount(labels).double() / len(labels)
    return float(chisquare(observed, shares * len(logits)).statistic)
