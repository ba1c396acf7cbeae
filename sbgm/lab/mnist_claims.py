"""The recorded claims on samples of MNIST: I1, I4, I6, I7, I10 and I11."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sbgm.data import SPLITS, load_images, load_labels
from sbgm.lab import claims
from sbgm.lab.claims import check
from sbgm.lab.drawing import CPU, Drawing, Machine, draw
from sbgm.lab.figure1 import RAW, load_raw
from sbgm.lab.i5 import noise_on_constant_pixels
from sbgm.lab.recording import command, digit_distance, enter
from sbgm.measure import (
    Estimate,
    Measured,
    Share,
    class_shares,
    confident_share,
    frechet_distance,
    in_batches,
    nearest_neighbours,
    quantise,
    share,
    shown,
)
from sbgm.measure.classifier import load_classifier
from sbgm.measure.judging import feature_space, reference_for, some_images
from sbgm.noise import perturb

DISTANCE_BOUND = 1 / 20
"""Of uniform noise's distance: set before any network was measured."""
SIGMA_L = 0.01
N_CHAINS = 16
"""Chains whose states after each level are kept with the record, for Fig. 4."""


def measure_i1(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
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


def measure_i4(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I4 on the samples of I1: the distance to MNIST's test images after each level.

    Args:
        folder, n_samples, n_steps, machine: as for I1.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    drawing = Drawing("mnist_ncsn", n_samples, n_steps)
    drawn = draw(drawing, folder, machine)
    denoised, states = ([digit_distance(x) for x in images] for images in (drawn.denoised, drawn.states))
    curves = {"denoised": denoised, "states": states}
    return enter(
        "I4",
        i4_checks(denoised, states),
        {name: torch.tensor([[d.value, d.se or 0.0] for d in curve]) for name, curve in curves.items()},
        data=f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        note="The denoised state is x + σ²s(x, σ); Fréchet distances in the features of our own classifier.",
        networks=["mnist_ncsn", "mnist_classifier"],
        command=command("I4", n_samples=n_samples, n_steps=n_steps),
        facts=drawing.facts(),
    )


def i4_checks(denoised: list[Measured], states: list[Measured]) -> list[claims.Check]:
    """What I4 expects of the distances after each level, σ_1 first; what is only reported has no interval."""
    return [
        check(
            "rank correlation, level and nearness of the denoised state", falling([d.value for d in denoised]), low=0.9
        ),
        check("the same, state as it is", falling([d.value for d in states])),
        check("Fréchet distance of the denoised state after σ_1", denoised[0].value, se=denoised[0].se),
        check("the same after σ_L", denoised[-1].value, se=denoised[-1].se),
        check("the state as it is after σ_1", states[0].value, se=states[0].se),
        check("the same after σ_L", states[-1].value, se=states[-1].se),
    ]


def falling(distances: list[float] | Tensor) -> float:
    """Spearman's rank correlation of place and nearness: 1 if every distance is smaller than the one before."""
    from scipy.stats import spearmanr

    return float(spearmanr(range(len(distances)), [-float(d) for d in distances]).statistic)


N_SHOWN = 64


def measure_i6(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I6: 10 T steps of Langevin dynamics with the network of one level, beside the samples of I1.

    Args:
        folder, n_samples, n_steps, machine: as for I1; both ask their network 10 T times.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    annealed, plain = drawings(n_samples, n_steps)
    images = draw(plain, folder, machine).states[-1]
    return enter(
        "I6",
        i6_checks(digit_distance(images), digit_distance(draw(annealed, folder, machine).states[-1])),
        {"samples": quantise(images[:N_SHOWN])},
        data=f"mnist_one_level and mnist_ncsn, {n_samples:,} samples each; 10,000 MNIST test images",
        note="Fréchet distances in the features of our own classifier.",
        networks=["mnist_one_level", "mnist_ncsn", "mnist_classifier"],
        command=command("I6", n_samples=n_samples, n_steps=n_steps),
        facts=plain.facts(),
    )


def drawings(n_samples: int, n_steps: int) -> tuple[Drawing, Drawing]:
    """Annealed samples with T steps a level, and as many evaluations of the network of one level."""
    return Drawing("mnist_ncsn", n_samples, n_steps), Drawing("mnist_one_level", n_samples, 10 * n_steps)


def i6_checks(one_level: Measured, annealed: Measured) -> list[claims.Check]:
    """What I6 expects of the two distances."""
    return [
        check("Fréchet distance, one level over annealed", one_level.value / annealed.value, low=5),
        check("Fréchet distance, one level", one_level.value, se=one_level.se),
        check("Fréchet distance, annealed", annealed.value, se=annealed.se),
    ]


PERCENTILE = 0.01
N_NEAREST_SHOWN, N_NEIGHBOURS = 10, 6


def measure_i7(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I7 on the samples of I1: how many are nearer to a training image than real digits are.

    Args:
        folder, n_samples, n_steps, machine: as for I1.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    drawing = Drawing("mnist_ncsn", n_samples, n_steps)
    samples = draw(drawing, folder, machine).states[-1]
    first, training = shown(samples[:N_NEAREST_SHOWN]), load_images("mnist")
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


N_DENOISED_SHOWN = 16


def measure_i10(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I10 on the samples of I1: the distance to MNIST's test images as they are, and denoised.

    Args:
        folder, n_samples, n_steps, machine: as for I1.

    Raises:
        DataNotFoundError: MNIST is not at hand.
    """
    drawing = Drawing("mnist_ncsn", n_samples, n_steps)
    drawn = draw(drawing, folder, machine)
    samples, denoised = drawn.states[-1], drawn.denoised[-1]
    images = some_images("mnist", "train")
    noise = [noise_on_constant_pixels(x, images, SIGMA_L) for x in (samples, denoised)]
    return enter(
        "I10",
        i10_checks(digit_distance(samples), digit_distance(denoised), *noise),
        {"samples": quantise(samples[:N_DENOISED_SHOWN]), "denoised": quantise(denoised[:N_DENOISED_SHOWN])},
        status="reported",
        data=f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        note="Fréchet distances in the features of our own classifier; the same chains with and without the step.",
        networks=["mnist_ncsn", "mnist_classifier"],
        command=command("I10", n_samples=n_samples, n_steps=n_steps),
        facts=drawing.facts() | {"rms_change": round(float((denoised - samples).square().mean().sqrt()), 5)},
    )


def i10_checks(samples: Measured, denoised: Measured, noise: Estimate, noise_left: Estimate) -> list[claims.Check]:
    """What I10 reports; nothing was expected of the distances, since later work found both signs.

    Args:
        samples, denoised: distances without and with the step.
        noise, noise_left: on pixels that never change, over σ_L²; see `noise_on_constant_pixels`.
    """
    return [
        check("Fréchet distance, as Algorithm 1 ends", samples.value, se=samples.se),
        check("Fréchet distance, denoised", denoised.value, se=denoised.se),
        check("denoised over not", denoised.value / samples.value),
        check("noise on constant pixels over σ_L², as Algorithm 1 ends", noise.value, se=noise.se),
        check("the same, denoised", noise_left.value, se=noise_left.se),
    ]


def measure_i11(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> claims.Settled:
    """Measure I11: 10 T steps of Langevin dynamics with the network trained on raw images, beside the samples of I6.

    Args:
        folder, n_samples, n_steps, machine: as for I6.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    _, one_level = drawings(n_samples, n_steps)
    raw = Drawing(RAW, n_samples, 10 * n_steps, precision="fp32")
    images = draw(raw, folder, machine, load=load_raw).states[-1]
    return enter(
        "I11",
        i11_checks(digit_distance(images), digit_distance(draw(one_level, folder, machine).states[-1])),
        {"samples": quantise(images[:N_SHOWN])},
        data=f"{RAW} and mnist_one_level, {n_samples:,} samples each; 10,000 MNIST test images",
        note="Fréchet distances in the features of our own classifier; the network without noise is Fig. 1's ResNet. "
        "Neither network makes digits; how far two failures are apart says little. I6 has the annealed distance.",
        networks=[RAW, "mnist_one_level", "mnist_classifier"],
        command=command("I11", n_samples=n_samples, n_steps=n_steps),
        facts=raw.facts(),
    )


def i11_checks(raw: Measured, one_level: Measured) -> list[claims.Check]:
    """What I11 expects of the two distances."""
    return [
        check("Fréchet distance, no noise over one level", raw.value / one_level.value, low=1),
        check("Fréchet distance, no noise", raw.value, se=raw.se),
        check("Fréchet distance, one level", one_level.value, se=one_level.se),
    ]
