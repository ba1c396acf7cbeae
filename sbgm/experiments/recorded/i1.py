"""I1, Fig. 5: whether Algorithm 1's samples of MNIST are sharp and varied."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sbgm import claims
from sbgm.claims import check
from sbgm.evaluation import feature_space
from sbgm.experiments.classifier import load_classifier
from sbgm.experiments.recorded.recording import command, digit_distance, enter
from sbgm.experiments.recorded.samples import CPU, Drawing, Machine, draw
from sbgm.metrics import class_shares, confident_share, frechet_distance, in_batches, quantise, shown
from sbgm.metrics.reference import some_images
from sbgm.noise import perturb

DISTANCE_BOUND = 1 / 20
"""Of uniform noise's distance: set before any network was measured."""
SIGMA_L = 0.01
N_CHAINS = 16
"""Chains whose states after each level are kept with the record, for Fig. 4."""


def evaluate(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I1: draw samples from the shipped MNIST network, and compare them with MNIST's test images.

    Args:
        folder: where samples are kept, those of other claims included.
        n_samples: how many; more than 128, the number of features.
        n_steps: T, fewer than the paper's 100 for a trial.
        machine: where and how the network runs.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    drawing = Drawing("mnist_ncsn", n_samples, n_steps)
    drawn = draw(drawing, folder, machine)
    samples = drawn.states[-1]
    tensors = {"samples": samples, "states": drawn.states[:, :N_CHAINS], "denoised": drawn.denoised[:, :N_CHAINS]}
    return enter(
        "I1",
        i1_checks(samples),
        {name: quantise(images) for name, images in tensors.items()},
        data=f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        note="Fréchet distances in the features of our own classifier, of as many samples as of noise and digits.",
        networks=["mnist_ncsn", "mnist_classifier"],
        command=command("I1", n_samples=n_samples, n_steps=n_steps),
        facts=drawing.facts(),
    )


def i1_checks(samples: Tensor, data: str = "mnist") -> list[claims.Check]:
    """What I1 expects of samples; what is only reported has no interval.

    Args:
        samples: (N, 1, 28, 28), N > 128.
        data: the set they are compared with, "mnist" or "mnist_small".
    """
    noise = torch.rand(samples.shape, generator=torch.Generator().manual_seed(0))
    distance, far = digit_distance(samples, data), digit_distance(noise, data)
    logits = in_batches(load_classifier(), shown(samples))
    shares, sure = class_shares(logits), confident_share(logits)
    training = some_images(data, "train", min(len(samples), 3_000))
    space = feature_space(data)
    test = space.function(some_images(data, "test"))
    noisy = perturb(training, SIGMA_L, generator=torch.Generator().manual_seed(1))
    real, real_noisy = (frechet_distance(space.function(x), test) for x in (training, noisy))
    return [
        check("Fréchet distance over that of uniform noise", distance.value / far.value, high=DISTANCE_BOUND),
        check("smallest share of a class", min(s.value for s in shares), low=0.04),
        check("largest share of a class", max(s.value for s in shares), high=0.18),
        check("share that the classifier is 90 % sure of", sure.value),
        check("Fréchet distance", distance.value, se=distance.se),
        check("Fréchet distance of uniform noise", far.value, se=far.se),
        check("Fréchet distance of as many training digits", real.value, se=real.se),
        check("the same with noise σ_L, as samples carry it", real_noisy.value, se=real_noisy.se),
    ]
