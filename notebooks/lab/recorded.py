"""Claims that cost more than a cell may: measured once, resumably, by `python -m sbgm evaluate`, and recorded.

`evaluate` measures any of them. Those on generated images stand here, I1, I4, I6, I7, I10 and I11 on MNIST, I2 on
CIFAR-10; M2, N4, I3, I5, I8 and I9 have files of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from claims import (
    Measurement,
    NotReproducedError,
    Settled,
    check_weights,
    command,
    enter,
    expected,
    load_record,
    reported,
    weights_facts,
)
from drawing import CPU, Drawing, Drawn, Machine, digit_distance, draw, require_enough_digits
from I3 import measure_faces
from I5 import measure_i5, noise_on_constant_pixels
from I8 import measure_i8
from I9 import measure_i9
from M2 import RAW, load_raw, measure_m2
from N4 import measure_n4
from sbgm.checked import checked, one_of
from sbgm.data import SPLITS, load_images, load_labels
from sbgm.measure import (
    Estimate,
    Inception,
    Measured,
    Share,
    class_shares,
    class_test,
    confident_share,
    controls,
    frechet_distance,
    in_batches,
    kid,
    nearest_neighbours,
    prdc,
    quantise,
    ratio,
    share,
    shown,
    some_images,
)
from sbgm.measure.classifier import JUDGE, SHIPPED_CLASSIFIER, load_classifier
from sbgm.measure.judging import feature_space, reference_for
from sbgm.noise import perturb
from sbgm.weights import load_network

__all__ = [
    "COMPARISONS",
    "MEASURES",
    "PERCENTILE",
    "class_quantiles",
    "evaluate",
    "falling",
    "folder_name",
    "i1_measurements",
    "i4_measurements",
    "i6_measurements",
    "i7_measurements",
    "i10_measurements",
    "i11_measurements",
    "kid_measurements",
    "measure_digits",
    "measure_i2",
    "too_near",
]

DISTANCE_BOUND = 1 / 20
"""The largest share of uniform noise's distance: set before any network was measured."""
SIGMA_L = 0.01
N_CHAINS = 16
"""Chains whose states after each level are kept with the record of I1, for Fig. 4."""
N_CONTROL = 1_000
N_SHOWN, N_DENOISED_SHOWN, N_NEAREST_SHOWN, N_NEIGHBOURS = 64, 16, 10, 6
PERCENTILE = 0.01
HOW_DRAWN = ("n_samples", "n_steps", "step_size", "precision", "seed")


# --- how each claim on MNIST is measured ------------------------------------------------------------------------------


class Found(NamedTuple):
    """A claim's measurements, the tensors that they rest on, and facts besides those of the samples."""

    measurements: list[Measurement]
    tensors: dict[str, Tensor]
    facts: Mapping[str, str | float] | None = None


class Comparison(NamedTuple):
    """A claim on samples of MNIST.

    Attributes:
        networks: that the samples are of; the first is the claim's subject.
        measure: from the samples of each to what was found.
        note: one sentence for the ledger's reader.
        images: of MNIST, with which samples are compared.
        status: "reported", of a claim that nothing was expected of.
        narrower: in what this is less than the paper's statement.
    """

    networks: tuple[str, ...]
    measure: Callable[..., Found]
    note: str
    images: str = "10,000 MNIST test images"
    status: str | None = None
    narrower: str = "half the paper's width, on MNIST"


def _i1(drawn: Drawn) -> Found:
    first = {"states": drawn.states[:, :N_CHAINS], "denoised": drawn.denoised[:, :N_CHAINS]}
    tensors = {"samples": drawn.states[-1], **first}
    kept = {name: quantise(images) for name, images in tensors.items()}
    return Found(i1_measurements(drawn.states[-1]), kept, weights_facts(JUDGE))


def _i4(drawn: Drawn) -> Found:
    denoised, states = ([digit_distance(x) for x in images] for images in (drawn.denoised, drawn.states))
    curves = {"denoised": denoised, "states": states}
    tensors = {name: torch.tensor([[d.value, d.se or 0.0] for d in curve]) for name, curve in curves.items()}
    return Found(i4_measurements(denoised, states), tensors)


def _i6(one_level: Drawn, annealed: Drawn) -> Found:
    distances = (digit_distance(drawn.states[-1]) for drawn in (one_level, annealed))
    return Found(i6_measurements(*distances), {"samples": quantise(one_level.states[-1][:N_SHOWN])})


def _i11(raw: Drawn) -> Found:
    """The distance without noise, of as many samples as that of one level is, which the record of I6 has."""
    record, samples = load_record("I6"), raw.states[-1]
    check_weights(record)
    if len(samples) < (n := int(record.facts["n_samples"])):
        raise ValueError(f"n_samples must be at least {n}, as many as the record of I6 has, got {len(samples)}")
    known = record.measurement(ONE_LEVEL)
    found = i11_measurements(digit_distance(samples[:n]), Estimate(known.value, known.se or 0.0))
    return Found(found, {"samples": quantise(samples[:N_SHOWN])}, weights_facts("mnist_one_level"))


def _i7(drawn: Drawn) -> Found:
    samples, training, space = drawn.states[-1], load_images("mnist"), feature_space("mnist")
    first, features = shown(samples[:N_NEAREST_SHOWN]), reference_for("mnist", space, "train").features
    found = {
        "pixels": nearest_neighbours(first, training, N_NEIGHBOURS),
        "features": nearest_neighbours(space.function(first), features, N_NEIGHBOURS),
    }
    nearest = {name: quantise(training[n.indices]) for name, n in found.items()}
    return Found(i7_measurements(samples), {"samples": quantise(first), **nearest})


def _i10(drawn: Drawn) -> Found:
    images, both = some_images("mnist", "train"), {"samples": drawn.states[-1], "denoised": drawn.denoised[-1]}
    distances = [digit_distance(x) for x in both.values()]
    noise = [noise_on_constant_pixels(x, images, SIGMA_L) for x in both.values()]
    change = float((both["denoised"] - both["samples"]).square().mean().sqrt())
    tensors = {name: quantise(x[:N_DENOISED_SHOWN]) for name, x in both.items()}
    return Found(i10_measurements(*distances, *noise), tensors, {"rms_change": round(change, 5)})


ONE_LEVEL = "Fréchet distance, one level"
FEATURES = "Fréchet distances in the features of our own classifier"
COMPARISONS = {
    "I1": Comparison(
        ("mnist_ncsn",),
        _i1,
        f"{FEATURES}, of as many samples as of noise and digits; classes and precision by a second one, trained apart.",
    ),
    "I4": Comparison(("mnist_ncsn",), _i4, f"The denoised state is x + σ²s(x, σ); {FEATURES}."),
    "I6": Comparison(("mnist_one_level", "mnist_ncsn"), _i6, f"{FEATURES}."),
    "I7": Comparison(
        ("mnist_ncsn",),
        _i7,
        "The control: as many training images with noise σ_L. All images compared carry this noise.",
        images="60,000 MNIST training and 10,000 test images",
    ),
    "I10": Comparison(
        ("mnist_ncsn",), _i10, f"{FEATURES}; the same chains with and without the step.", status="reported"
    ),
    "I11": Comparison(
        (RAW,),
        _i11,
        f"{FEATURES}; the network without noise is Fig. 1's ResNet. Neither it nor one level makes digits; how far two "
        "failures are apart says little. I6 has the distance of one level, of as many samples, and the annealed one.",
    ),
}
"""The claims on samples of MNIST, by id."""


def measure_digits(
    claim_id: str, folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU
) -> Settled:
    """Measure a claim of `COMPARISONS` on samples of networks on MNIST.

    Args:
        claim_id: such as "I1".
        folder: where samples are kept, those of other claims included.
        n_samples: how many of each network; more than 128, the number of features.
        n_steps: T, fewer than the paper's 100 for a trial; a network of one level makes 10 T steps, so that each is
            asked 10 T times.
        machine: where and how the networks run.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        ValueError: there are too few samples.
        NotReproducedError: it is not reproduced, or inconclusive; the message shows why, and nothing is recorded.
    """
    claim = COMPARISONS[claim_id]
    require_enough_digits(n_samples=n_samples)
    drawings = [_drawing(name, n_samples, n_steps, machine) for name in claim.networks]
    loads = [load_raw if name == RAW else load_network for name in claim.networks]
    samples = [draw(drawing, folder, machine, load=load) for drawing, load in zip(drawings, loads, strict=True)]
    found = claim.measure(*samples)
    each = " each" if len(drawings) > 1 else ""
    return enter(
        claim_id,
        found.measurements,
        found.tensors,
        narrower=claim.narrower,
        status=claim.status,
        data=f"{' and '.join(claim.networks)}, {n_samples:,} samples{each}; {claim.images}",
        note=claim.note,
        networks=[*claim.networks, SHIPPED_CLASSIFIER],
        command=command(claim_id, *machine.flags, n_samples=n_samples, n_steps=n_steps),
        facts={**drawings[0].facts(*HOW_DRAWN), **(found.facts or {})},
    )


def _drawing(network: str, n_samples: int, n_steps: int, machine: Machine) -> Drawing:
    """Samples of a network with T steps a level, or 10 T where it has one level, so that all are asked as often."""
    steps = n_steps if network == "mnist_ncsn" else 10 * n_steps
    settings = {"n_samples": n_samples, "n_steps": steps, "batch_size": machine.n_chains}
    return Drawing(network, precision="fp32" if network == RAW else "bf16", **settings)


# --- their measurements -----------------------------------------------------------------------------------------------


def i1_measurements(samples: Tensor, data: str = "mnist") -> list[Measurement]:
    """The measurements of I1 on samples; what is only reported has no interval.

    Classes, precision and recall are by the second classifier, distances in the features of the first.

    Args:
        samples: (N, 1, 28, 28), N > 128.
        data: the set they are compared with, "mnist" or "mnist_small".
    """
    noise = torch.rand(samples.shape, generator=torch.Generator().manual_seed(0))
    distance, far = digit_distance(samples, data), digit_distance(noise, data)
    guide, verdict = (in_batches(load_classifier(name), shown(samples)) for name in (SHIPPED_CLASSIFIER, JUDGE))
    shares, classes = class_shares(verdict), class_test(verdict, load_labels(data))
    features = feature_space(data, classifier=JUDGE).function
    quality = prdc(features(samples), features(some_images(data, "test", min(len(samples), 3_000))))
    training = some_images(data, "train", min(len(samples), 3_000))
    space = feature_space(data)
    test = space.function(some_images(data, "test"))
    noisy = perturb(training, SIGMA_L, generator=torch.Generator().manual_seed(1))
    real, real_noisy = (frechet_distance(space.function(x), test) for x in (training, noisy))
    return [
        expected(
            "Fréchet distance over that of uniform noise",
            ratio(distance, far),
            high=DISTANCE_BOUND,
        ),
        expected("smallest share of a class", min(shares), low=0.04),
        expected("largest share of a class", max(shares), high=0.18),
        reported("share that the second classifier is 90 % sure of", confident_share(verdict)),
        reported("share that the classifier is 90 % sure of", confident_share(guide)),
        reported(f"χ² of the classes, {classes.n_degrees} degrees of freedom", classes.statistic),
        *(reported(*number) for number in quality._asdict().items()),
        reported("Fréchet distance", distance),
        reported("Fréchet distance of uniform noise", far),
        reported("Fréchet distance of as many training digits", real),
        reported("the same with noise σ_L, as samples carry it", real_noisy),
    ]


def i4_measurements(denoised: list[Measured], states: list[Measured]) -> list[Measurement]:
    """The measurements of I4, from the distances after each level, σ_1 first."""
    return [
        expected(
            "rank correlation, level and nearness of the denoised state", falling([d.value for d in denoised]), low=0.9
        ),
        expected(  # the number is ours: the paper shows images
            "rank correlation, level and nearness of the state as it is",
            falling([d.value for d in states]),
            low=0.9,
            yardstick=True,
        ),
        reported("Fréchet distance of the denoised state after σ_1", denoised[0]),
        reported("Fréchet distance of the denoised state after σ_L", denoised[-1]),
        reported("Fréchet distance of the state as it is after σ_1", states[0]),
        reported("Fréchet distance of the state as it is after σ_L", states[-1]),
    ]


def falling(distances: list[float] | Tensor) -> float:
    """Spearman's rank correlation of place and nearness: 1 if every distance is smaller than the one before."""
    from scipy.stats import spearmanr

    return float(spearmanr(range(len(distances)), [-float(d) for d in distances]).statistic)


def i6_measurements(one_level: Measured, annealed: Measured) -> list[Measurement]:
    """The measurements of I6, from the two distances."""
    return [
        expected(
            "Fréchet distance, one level over annealed",
            ratio(one_level, annealed),
            low=5,
        ),
        reported(ONE_LEVEL, one_level),
        reported("Fréchet distance, annealed", annealed),
    ]


def i7_measurements(samples: Tensor, data: str = "mnist") -> list[Measurement]:
    """The measurements of I7 on samples (N, 1, 28, 28) of a network trained on a set's training images."""
    training = load_images(data)
    chosen = torch.randperm(len(training), generator=torch.Generator().manual_seed(0))[: len(samples)]
    control = perturb(training[chosen], SIGMA_L, generator=torch.Generator().manual_seed(1))
    near = "nearer to a training image than 99 % of test images"
    found, flagged = too_near(torch.cat([samples, control]), data, len(samples))
    return [
        *(expected(f"{near}, {space}", s, high=0.05) for space, s in found.items()),
        *(expected(f"control: the same, {space}", s, low=0.95, yardstick=True) for space, s in flagged.items()),
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


def i10_measurements(samples: Measured, denoised: Measured, noise: Estimate, noise_left: Estimate) -> list[Measurement]:
    """The measurements of I10; nothing was expected of the distances, since later work found both signs.

    Args:
        samples, denoised: distances without and with the step.
        noise, noise_left: on pixels that never change, over σ_L²; see `noise_on_constant_pixels`.
    """
    return [
        reported("Fréchet distance, as Algorithm 1 ends", samples),
        reported("Fréchet distance, denoised", denoised),
        reported("denoised over not", ratio(denoised, samples)),
        reported("noise on constant pixels over σ_L², as Algorithm 1 ends", noise),
        reported("the same, denoised", noise_left),
    ]


def i11_measurements(raw: Measured, one_level: Measured | Estimate) -> list[Measurement]:
    """The measurements of I11, from the two distances."""
    return [
        expected(  # how far two failures are apart says little
            "Fréchet distance, no noise over one level",
            ratio(raw, one_level),
            low=1,
            yardstick=True,
        ),
        reported("Fréchet distance, no noise", raw),
        reported(ONE_LEVEL, one_level),
    ]


# --- colour -----------------------------------------------------------------------------------------------------------


def measure_i2(
    folder: Path,
    n_samples: int = 1_000,
    n_steps: int = 100,
    n_reference: int = 5_000,
    weights: str = "cifar10_ncsn",
    fid_weights: Path | None = None,
    machine: Machine = CPU,
) -> Settled:
    """Measure I2: the kernel distance in Inception's features (KID) of samples of CIFAR-10, and of the controls.

    Args:
        folder: where samples are kept, those of other claims included.
        n_samples: how many of the network.
        n_steps: T, fewer than the paper's 100 for a trial.
        n_reference: test images to compare with; the distance's mean does not depend on the number.
        weights: a shipped network's name, or a file.
        fid_weights: Inception's, see `Inception`.
        machine: where and how networks run.

    Raises:
        ImportError, ConnectionError: Inception is not at hand, see `sbgm.measure.inception`.
        DataNotFoundError: the images are not at hand.
        NotReproducedError: it is not reproduced, or inconclusive; the message shows why, and nothing is recorded.
    """
    sizes = {"n_samples": n_samples, "batch_size": machine.n_chains, "every_level": False}
    drawing = Drawing(weights, n_steps=n_steps, precision=machine.precision, **sizes)
    space = feature_space("cifar10", inception := Inception(fid_weights, machine.device))
    training = load_images("cifar10")  # missing images are told before the drawing
    drawn = draw(drawing, folder, machine)
    reference = reference_for("cifar10", space, "test", n_reference)
    made = controls(training, min(n_reference, N_CONTROL), generator=torch.Generator().manual_seed(drawing.seed))
    images = {"samples": drawn.states[-1], "denoised": drawn.denoised[-1]} | made
    distances = {
        name: kid(space.function(x), reference.features, against=reference.images) for name, x in images.items()
    }
    options = {"n_samples": n_samples, "n_steps": n_steps, "n_reference": n_reference, "weights": drawing.network}
    return enter(
        "I2",
        kid_measurements(distances),
        {"samples": quantise(drawn.states[-1][:N_SHOWN]), "gaussian": quantise(made["Gaussian"][:N_SHOWN])},
        narrower="a quarter of the paper's width, and KID of few samples in place of FID",
        data=f"{drawing.network}, {n_samples:,} samples; {n_reference:,} of CIFAR-10's test images",
        note="KID: the kernel distance in Inception's features; the controls are made of training images.",
        networks=[drawing.network],
        command=command("I2", *machine.flags, **options),
        facts=drawing.facts(*HOW_DRAWN) | {"inception": inception.name},
    )


def kid_measurements(distances: dict[str, Measured]) -> list[Measurement]:
    """The measurements of I2, from the distances of "samples", of the `controls`, and of others."""
    samples, shuffled = distances["samples"], distances["shuffled blocks"]
    less = expected(  # a difference: a ratio of what can be 0 or negative says nothing
        "KID of samples less that of photographs with shuffled blocks",
        samples.value - shuffled.value,
        se=math.hypot(samples.se or 0.0, shuffled.se or 0.0),
        high=0,
    )
    return [less, *(reported(f"KID, {name}", d) for name, d in distances.items())]


# --- all of them ------------------------------------------------------------------------------------------------------

MEASURES = {
    "M2": measure_m2,
    "N4": measure_n4,
    "I1": partial(measure_digits, "I1"),
    "I2": measure_i2,
    "I3": measure_faces,
    "I4": partial(measure_digits, "I4"),
    "I5": measure_i5,
    "I6": partial(measure_digits, "I6"),
    "I7": partial(measure_digits, "I7"),
    "I8": measure_i8,
    "I9": measure_i9,
    "I10": partial(measure_digits, "I10"),
    "I11": partial(measure_digits, "I11"),
}
"""The recorded claims, and the function of a folder and options that measures each."""

KEEP_THEIR_OWN = ("M2", "N4", "I8")
"""Those whose folder nothing else uses; the others find there what any of them has drawn."""


def folder_name(claim_id: str) -> str:
    """The folder in `runs/` that a claim's measurement is kept in."""
    return claim_id if claim_id in KEEP_THEIR_OWN else "samples"


@checked
def evaluate(
    claim_id: Annotated[str, one_of(MEASURES)], folder: Path, *, accept: bool = False, **options: object
) -> Settled:
    """Measure a recorded claim and write its record, unless it is not reproduced or inconclusive.

    Args:
        claim_id: a key of MEASURES.
        folder: where the measurement is kept, and resumed from.
        accept: record a claim that is not reproduced, or inconclusive, as just that.
        options: passed on; each claim's function says which it takes.

    Raises:
        TypeError: the claim does not take one of the options.
        NotReproducedError: it is, and that was not accepted; the message shows why, and nothing is recorded.
    """
    try:
        return MEASURES[claim_id](folder, **options)
    except NotReproducedError as error:
        if not accept:
            raise
        return error.enter()
