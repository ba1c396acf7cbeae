"""I7: the model does not memorise training images (Appendix C.2)."""

import sys
from pathlib import Path

import torch
from torch import Tensor

from claims import Found, Measurement, declared, run
from drawing import CPU, Machine, NSamples, NSteps, draw_digits
from sbgm.images.data import SPLITS, load_images, load_labels
from sbgm.measure import Share, in_batches, nearest_neighbours, quantise, share, shown
from sbgm.measure.classifier import load_classifier
from sbgm.measure.judging import feature_space, reference_for
from sbgm.noise import perturb

SIGMA_L = 0.01
PERCENTILE = 0.01
N_SHOWN = 10
N_NEIGHBOURS = 6


def measure(
    folder: Path,
    n_samples: NSamples = 1_000,
    n_steps: NSteps = 100,
    machine: Machine = CPU,
) -> Found:
    """Measure I7: the share of samples that are nearer to a training digit than nearly all test digits are."""
    drawn, words = draw_digits(folder, n_samples, n_steps, machine)
    words["data"] += ", and 60,000 training images"
    samples = drawn.states[-1]
    training = load_images("mnist")
    space = feature_space("mnist")
    first = shown(samples[:N_SHOWN])
    in_pixels = nearest_neighbours(first, training, N_NEIGHBOURS)
    features = reference_for("mnist", space, "train").features
    in_features = nearest_neighbours(space.function(first), features, N_NEIGHBOURS)
    tensors = {
        "samples": quantise(first),
        "pixels": quantise(training[in_pixels.indices]),
        "features": quantise(training[in_features.indices]),
    }
    note = "The control: as many training images with noise σ_L. All images compared carry this noise."
    return Found(i7_measurements(samples), tensors, note=note, **words)


def i7_measurements(samples: Tensor, data: str = "mnist") -> list[Measurement]:
    """The measurements of I7 on samples (N, 1, 28, 28) of a network trained on a set's training images."""
    training = load_images(data)
    chosen = torch.randperm(len(training), generator=torch.Generator().manual_seed(0))[: len(samples)]
    control = perturb(training[chosen], SIGMA_L, generator=torch.Generator().manual_seed(1))
    near = "nearer to a training image than 99 % of test images"
    found, flagged = too_near(torch.cat([samples, control]), data, len(samples))
    return [
        *(declared("I7", f"{near}, {space}", s) for space, s in found.items()),
        *(declared("I7", f"control: the same, {space}", s) for space, s in flagged.items()),
    ]


def too_near(images: Tensor, data: str, *sizes: int) -> list[dict[str, Share]]:
    """The share of images nearer to a training image than the 1st percentile of test images of their class.

    Samples carry the noise σ_L of the ladder's last level. So training and test images are given as much, lest the
    distances tell noise from its absence: in the classifier's features this noise, which nobody sees, moves an image as
    far as the nearest of its kin.

    Args:
        images: (N, 1, 28, 28) with noise σ_L, clamped and quantised first; their classes are the classifier's.
        data: "mnist" or "mnist_small".
        sizes: of the groups that the images come in, but for the last; none is one group.

    Returns:
        For each group, by "pixels" and "features".
    """
    space = feature_space(data)
    generator = torch.Generator().manual_seed(2)
    classes = in_batches(load_classifier(), shown(images)).argmax(dim=1)
    labels = load_labels(data, "test")
    training, held_out = (perturb(load_images(data, split), SIGMA_L, generator=generator) for split in SPLITS)
    groups: list[dict[str, Share]] = [{} for _ in range(len(sizes) + 1)]
    for name, function in (("pixels", shown), ("features", space.function)):
        candidates = function(training)
        real = nearest_neighbours(function(held_out), candidates).distances[:, 0]
        distances = nearest_neighbours(function(images), candidates).distances[:, 0]
        near = distances < class_quantiles(real, labels, PERCENTILE)[classes]
        for group, part in zip(groups, near.tensor_split(torch.tensor(sizes).cumsum(0).tolist()), strict=True):
            group[name] = share(int(part.sum()), len(part))
    return groups


def class_quantiles(values: Tensor, labels: Tensor, q: float) -> Tensor:
    """The q-quantile of the values (N,) of each class 0 … K−1 by their labels (N,): (K,).

    Raises:
        ValueError: a class below the largest label has no value.
    """
    n_classes = int(labels.max()) + 1
    if empty := [k for k in range(n_classes) if not bool((labels == k).any())]:
        raise ValueError(f"labels must have every class up to the largest, but there is none of {empty}")
    return torch.stack([values[labels == k].quantile(q) for k in range(n_classes)])


if __name__ == "__main__":
    sys.exit(run("I7", measure, folder="samples"))
