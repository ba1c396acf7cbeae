"""I7, Appendix C.2: whether samples are copies of training images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sbgm import claims
from sbgm.claims import check
from sbgm.data import SPLITS, load_images, load_labels
from sbgm.evaluation import feature_space, reference_for
from sbgm.experiments.classifier import load_classifier
from sbgm.experiments.recorded.recording import command, enter
from sbgm.experiments.recorded.samples import CPU, Drawing, Machine, draw
from sbgm.metrics import Share, in_batches, nearest_neighbours, quantise, share, shown
from sbgm.noise import perturb

PERCENTILE = 0.01
SIGMA_L = 0.01
N_SHOWN, N_NEIGHBOURS = 10, 6


def evaluate(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I7 on the samples of I1: how many are nearer to a training image than real digits are.

    Args:
        folder, n_samples, n_steps, machine: as for I1.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    drawing = Drawing("mnist_ncsn", n_samples, n_steps)
    samples = draw(drawing, folder, machine).states[-1]
    first, training = shown(samples[:N_SHOWN]), load_images("mnist")
    space = feature_space("mnist")
    in_features = nearest_neighbours(
        space.function(first), reference_for("mnist", space, "train").features, N_NEIGHBOURS
    )
    found = {"pixels": nearest_neighbours(first, training, N_NEIGHBOURS), "features": in_features}
    return enter(
        "I7",
        i7_checks(samples),
        {"samples": quantise(first)} | {name: quantise(training[n.indices]) for name, n in found.items()},
        data=f"mnist_ncsn, {n_samples:,} samples; 60,000 MNIST training and 10,000 test images",
        note="The control: as many training images with noise σ_L. All images compared carry this noise.",
        networks=["mnist_ncsn", "mnist_classifier"],
        command=command("I7", n_samples=n_samples, n_steps=n_steps),
        facts=drawing.facts(),
    )


def i7_checks(samples: Tensor, data: str = "mnist") -> list[claims.Check]:
    """What I7 expects of samples (N, 1, 28, 28) of a network trained on a set's training images."""
    training = load_images(data)
    chosen = torch.randperm(len(training), generator=torch.Generator().manual_seed(0))[: len(samples)]
    control = perturb(training[chosen], SIGMA_L, generator=torch.Generator().manual_seed(1))
    near = "nearer to a training image than 99 % of test images"
    found, flagged = too_near(torch.cat([samples, control]), data, len(samples))
    return [
        *(check(f"{near}, {space}", s.value, high=0.05) for space, s in found.items()),
        *(check(f"control: the same, {space}", s.value, low=0.95) for space, s in flagged.items()),
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
    space, generator = feature_space(data), torch.Generator().manual_seed(2)
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
