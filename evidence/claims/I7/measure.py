"""I7: no copies of training images (Appendix C.2), by how many samples are nearer to one than test digits are."""

from pathlib import Path

import torch
from torch import Tensor

from controls import joined_halves, moved, nearest_moved
from drawing import CPU, SIGMA_L, Machine
from ledger import Measurement, Record, declared, record, reported, script_options, seed, show
from mnist_samples import mnist_samples
from sbgm import derived_generator
from sbgm.images.data import SPLITS, load_images, load_labels
from sbgm.measure import Share, in_batches, nearest_neighbours, quantise, share, shown
from sbgm.measure.classifier import JUDGE, load_classifier
from sbgm.measure.judging import feature_space, reference_for
from sbgm.noise import perturb

SPACES = ("pixels", "features")
PERCENTILE = 0.01
N_COPIES = 500
N_SHOWN = 10
"""Samples that the record shows with their nearest neighbours."""
N_NEIGHBOURS = 6


def measure(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> Record:
    """Measure I7: the share of samples nearer to a training digit than nearly all test digits are.

    Args:
        folder, n_samples, n_steps, machine: see `mnist_samples`.
    """
    drawn, words = mnist_samples(folder, n_samples, n_steps, machine)
    samples = drawn.states[-1]
    training = load_images("mnist")
    space = feature_space("mnist", classifier=JUDGE)
    first = shown(samples[:N_SHOWN])
    in_pixels = nearest_neighbours(first, training, N_NEIGHBOURS)
    features = reference_for("mnist", space, "train").features
    in_features = nearest_neighbours(space.function(first), features, N_NEIGHBOURS)
    tensors = {
        "samples": quantise(first),
        "pixels": quantise(training[in_pixels.indices]),
        "features": quantise(training[in_features.indices]),
    }
    note = "All images that are compared carry the noise σ_L; features are the second classifier's."
    words = words | {
        "data": f"{words['data']}, and 60,000 training images",
        "narrower": f"{words['narrower']}; copies moved by more than a pixel, turned or blended are not seen",
    }
    return record("I7", i7_measurements(samples), tensors, note=note, **words)


def i7_measurements(samples: Tensor, data: str = "mnist") -> list[Measurement]:
    """The measurements of I7 on samples (N, 1, 28, 28) of a network trained on a set's training images."""
    shares = too_near(comparisons(samples, data), data)
    bounded = {
        "nearer than 99 % of test digits": "samples",
        "control: training digits with noise σ_L": "copies",
        "control: the other half of the test digits": "unseen",
    }
    others = {
        "uniform noise": "noise",
        "training digits moved by two pixels": "moved by two",
        "joined halves of training digits": "joined",
    }
    numbers = [declared("I7", f"{label}, {s}", shares[name][s]) for label, name in bounded.items() for s in SPACES]
    return numbers + [reported(f"{label}, {s}", shares[name][s]) for label, name in others.items() for s in SPACES]


def comparisons(samples: Tensor, data: str) -> dict[str, Tensor]:
    """The samples and all that they are held against, by name; all real images carry the noise that samples carry."""
    generator = derived_generator(seed("I7"))
    training = load_images(data)
    chosen = torch.randperm(len(training), generator=generator)[:N_COPIES]
    copies = training[chosen]
    _, unseen = halves_of_test(load_images(data, "test"))
    by_two = [(rows, columns) for rows in (-2, 0, 2) for columns in (-2, 0, 2) if (rows, columns) != (0, 0)]
    kinds = {
        "copies": copies,
        "moved by two": moved_apart(copies, by_two, generator),
        "joined": joined_halves(copies, load_labels(data)[chosen]),
        "unseen": unseen,
    }
    noisy = {name: perturb(images, SIGMA_L, generator=generator) for name, images in kinds.items()}
    noise = torch.rand(copies.shape, generator=generator)
    return {"samples": samples, "noise": noise} | noisy


def moved_apart(images: Tensor, ways: list[tuple[int, int]], generator: torch.Generator) -> Tensor:
    """Each image moved by one of the ways, (rows, columns) in pixels, at random."""
    drawn = torch.randint(len(ways), (len(images),), generator=generator).tolist()
    parts = [moved(image[None], *ways[way]) for image, way in zip(images, drawn, strict=True)]
    return torch.cat(parts)


def halves_of_test(values: Tensor) -> tuple[Tensor, Tensor]:
    """The test digits that set the quantiles, and those that are held against them."""
    middle = len(values) // 2
    return values[:middle], values[middle:]


def too_near(groups: dict[str, Tensor], data: str) -> dict[str, dict[str, Share]]:
    """The share of each group that is nearer to a training image than the 1st percentile of test images of their class.

    Training images are moved by up to a pixel each way. Samples carry the noise σ_L of the ladder's last level. So
    training and test images are given as much, lest the distances tell noise from its absence.

    Args:
        groups: images (N, 1, 28, 28), clamped and quantised first; their classes are the second classifier's.
        data: "mnist" or "mnist_small".

    Returns:
        By group, for "pixels" and "features".
    """
    generator = derived_generator(seed("I7"), 1)
    classifier = load_classifier(JUDGE)
    training, test = (perturb(load_images(data, split), SIGMA_L, generator=generator) for split in SPLITS)
    held_out, _ = halves_of_test(test)
    labels, _ = halves_of_test(load_labels(data, "test"))
    images = torch.cat([held_out, *groups.values()])
    classes = {name: in_batches(classifier, shown(x)).argmax(dim=1) for name, x in groups.items()}
    sizes = [len(held_out), *map(len, groups.values())]
    shares: dict[str, dict[str, Share]] = {name: {} for name in groups}
    for space, features in zip(SPACES, (shown, feature_space(data, classifier=JUDGE).function), strict=True):
        near, *distances = nearest_moved(images, training, features).split(sizes)
        limits = class_quantiles(near, labels, PERCENTILE)
        for name, distance in zip(groups, distances, strict=True):
            flagged = distance < limits[classes[name]]
            shares[name][space] = share(int(flagged.sum()), len(flagged))
    return shares


def class_quantiles(values: Tensor, labels: Tensor, q: float) -> Tensor:
    """The q-quantile of the values (N,) of each class 0 … K−1 by their labels (N,): (K,)."""
    return torch.stack([values[labels == k].quantile(q) for k in range(int(labels.max()) + 1)])


def main() -> None:
    """Measure I7 as the command line says, and print its record."""
    show(measure(**script_options(__doc__, "samples", claims=["I7"], draws=True)))
