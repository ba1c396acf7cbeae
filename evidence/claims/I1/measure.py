"""I1: sharp, varied digits (Fig. 5), by the distance of samples to real digits and by their classes."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from errors import bootstrap, ratio
from features import class_test, classifier_space, confident_share, prdc, some_images
from ledger import Measurement, Record, declared, record, reported, seed
from samples import CPU, FEATURES, Machine, digit_distance, images_of, judged_distance, mnist_samples, wrong_digits
from sbgm import derived_generator
from sbgm.images.data import load_labels
from sbgm.measure import (
    Estimate,
    in_batches,
    quantise,
    shown,
)
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier

OPTIONS = {"folder": "samples", "draws": True}
N_CHAINS = 16
"""Chains whose states after each level are kept with the record, for Fig. 4."""
SURE = "share that the second classifier is 90 % sure of"


def measure(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> Record:
    """Measure I1: the distance of sampled digits to real ones, and their classes.

    Args:
        folder, n_samples, n_steps, machine: see `mnist_samples`.
    """
    drawn, words = mnist_samples(folder, n_samples, n_steps, machine)
    tensors = {
        "samples": quantise(drawn.states[-1]),
        "states": quantise(drawn.states[:, :N_CHAINS]),
        "denoised": quantise(drawn.denoised[:, :N_CHAINS]),
    }
    note = f"{FEATURES}, of as many samples as of noise and of each control; classes and precision by the same."
    words = words | {"networks": [*words["networks"], SHIPPED_CLASSIFIER]}
    return record("I1", measurements(tensors), tensors, note=note, **words)


def measurements(kept: Mapping[str, Tensor], data: str = "mnist") -> list[Measurement]:
    """The measurements of I1 on samples; what is only reported has no interval.

    Args:
        kept: the "samples", (N, 1, 28, 28), N > 128.
        data: the set they are compared with, "mnist" or "mnist_small".
    """
    samples = images_of(kept["samples"])
    generator = derived_generator(seed("I1"), 0, 1)
    noise = judged_distance(torch.rand(samples.shape, generator=generator), data)
    images = {"samples": samples} | wrong_digits(len(samples), generator, data)
    distances = {name: judged_distance(x, data) for name, x in images.items()}
    logits = {name: in_batches(load_classifier(JUDGE), shown(x)) for name, x in images.items()}
    features = classifier_space(JUDGE).function
    quality = prdc(features(samples), features(some_images(data, "test", min(len(samples), 3_000))))
    chi_squared = class_test(logits["samples"], load_labels(data))

    def share_of_class(name: str, extreme: Callable[[Tensor], Tensor]) -> Estimate:
        """The share of the rarest class, or of the commonest; its error over images."""
        seen = logits[name].argmax(dim=1)

        def share_of(chosen: Tensor) -> float:
            counts = torch.bincount(seen[chosen], minlength=10)
            return int(extreme(counts)) / len(seen)

        return bootstrap(share_of, len(seen), generator=generator)

    over_noise = {name: ratio(distance, noise) for name, distance in distances.items()}
    return [
        declared("I1", "distance over that of uniform noise", over_noise["samples"]),
        declared("I1", "smallest share of a class", share_of_class("samples", torch.min)),
        declared("I1", "largest share of a class", share_of_class("samples", torch.max)),
        declared("I1", "control: digits turned by 180°, the same", over_noise["turned"]),
        declared("I1", "control: joined halves of digits, the same", over_noise["joined"]),
        declared("I1", "control: training digits with noise σ_L, the same", over_noise["training"]),
        declared("I1", "control: training digits, smallest share of a class", share_of_class("training", torch.min)),
        declared("I1", "control: training digits, largest share of a class", share_of_class("training", torch.max)),
        *(reported(f"{SURE}, {name}", confident_share(x)) for name, x in logits.items()),
        reported("χ² of the classes, 9 degrees of freedom", chi_squared),
        *(reported(*number) for number in quality._asdict().items()),
        *(reported(f"Fréchet distance, {name}", distance) for name, distance in distances.items()),
        reported("Fréchet distance, uniform noise", noise),
        reported("the first classifier's Fréchet distance", digit_distance(samples, data)),
    ]
