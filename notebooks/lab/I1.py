"""I1: annealed Langevin dynamics draws sharp, varied digits (Fig. 5)."""

import sys
from pathlib import Path

import torch
from torch import Tensor

from claims import Found, Measurement, declared, reported, run
from drawing import CPU, FEATURES, Machine, NSamples, NSteps, digit_distance, draw_digits
from sbgm.images.data import load_labels
from sbgm.measure import (
    class_shares,
    class_test,
    confident_share,
    frechet_distance,
    in_batches,
    prdc,
    quantise,
    ratio,
    shown,
    some_images,
)
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier
from sbgm.measure.judging import feature_space
from sbgm.noise import perturb

SIGMA_L = 0.01
N_CHAINS = 16
"""Chains whose states after each level are kept with the record, for Fig. 4."""


def measure(
    folder: Path,
    n_samples: NSamples = 1_000,
    n_steps: NSteps = 100,
    machine: Machine = CPU,
) -> Found:
    """Measure I1: the distance of sampled digits to real ones, and their classes."""
    drawn, words = draw_digits(folder, n_samples, n_steps, machine)
    words["networks"].append(JUDGE)
    samples = drawn.states[-1]
    tensors = {
        "samples": quantise(samples),
        "states": quantise(drawn.states[:, :N_CHAINS]),
        "denoised": quantise(drawn.denoised[:, :N_CHAINS]),
    }
    note = (
        f"{FEATURES}, of as many samples as of noise and digits; classes and precision by a second one, trained apart."
    )
    return Found(i1_measurements(samples), tensors, note=note, **words)


def i1_measurements(samples: Tensor, data: str = "mnist") -> list[Measurement]:
    """The measurements of I1 on samples; what is only reported has no interval.

    Classes, precision and recall are by the second classifier, distances in the features of the first.

    Args:
        samples: (N, 1, 28, 28), N > 128.
        data: the set they are compared with, "mnist" or "mnist_small".
    """
    noise = torch.rand(samples.shape, generator=torch.Generator().manual_seed(0))
    distance = digit_distance(samples, data)
    far = digit_distance(noise, data)
    guide, verdict = (in_batches(load_classifier(name), shown(samples)) for name in (SHIPPED_CLASSIFIER, JUDGE))
    shares = class_shares(verdict)
    classes = class_test(verdict, load_labels(data))
    features = feature_space(data, classifier=JUDGE).function
    quality = prdc(features(samples), features(some_images(data, "test", min(len(samples), 3_000))))
    training = some_images(data, "train", min(len(samples), 3_000))
    space = feature_space(data)
    test = space.function(some_images(data, "test"))
    noisy = perturb(training, SIGMA_L, generator=torch.Generator().manual_seed(1))
    real, real_noisy = (frechet_distance(space.function(x), test) for x in (training, noisy))
    return [
        declared("I1", "Fréchet distance over that of uniform noise", ratio(distance, far)),
        declared("I1", "smallest share of a class", min(shares)),
        declared("I1", "largest share of a class", max(shares)),
        reported("share that the second classifier is 90 % sure of", confident_share(verdict)),
        reported("share that the classifier is 90 % sure of", confident_share(guide)),
        reported(f"χ² of the classes, {classes.n_degrees} degrees of freedom", classes.statistic),
        *(reported(*number) for number in quality._asdict().items()),
        reported("Fréchet distance", distance),
        reported("Fréchet distance of uniform noise", far),
        reported("Fréchet distance of as many training digits", real),
        reported("the same with noise σ_L, as samples carry it", real_noisy),
    ]


if __name__ == "__main__":
    sys.exit(run("I1", measure, folder="samples"))
