"""I1, I4, I7 and I10: what is measured of samples of MNIST, which are drawn once (Fig. 4, Fig. 5, Appendix C.2).

What is drawn is kept; a run that was stopped goes on with the next batch of samples.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from claims.I5.measure import noise_on_constant_pixels
from controls import joined_halves, moved, nearest_moved
from drawing import (
    CPU,
    FEATURES,
    HOW_DRAWN,
    SIGMA_L,
    Drawing,
    Drawn,
    Machine,
    digit_distance,
    draw,
    judged_distance,
    narrower_width,
    require_enough_digits,
    wrong_digits,
)
from errors import bootstrap
from ledger import Measurement, Record, declared, record, reported, script_options, seed, show
from sbgm import derived_generator
from sbgm.images.data import SPLITS, load_images, load_labels
from sbgm.images.weights import load_network
from sbgm.measure import (
    Estimate,
    Share,
    class_test,
    confident_share,
    in_batches,
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

N_CHAINS = 16
"""Chains whose states after each level are kept with the record, for Fig. 4."""


def measure(folder: Path, n_samples: int = 1_000, n_steps: int = 100, machine: Machine = CPU) -> list[Record]:
    """Draw samples of the shipped network, and measure I1, I4, I7 and I10 on them.

    Args:
        folder: of samples.
        n_samples: how many, more than 128.
        n_steps: T, Langevin steps a level.
        machine: where the network runs.

    Raises:
        DataNotFoundError, ValueError: as `require_enough_digits`, before any is drawn.
    """
    require_enough_digits(n_samples=n_samples)
    sizes = {"n_samples": n_samples, "batch_size": machine.n_chains, "seed": seed("I1")}
    drawing = Drawing("mnist_ncsn", n_steps=n_steps, precision="bf16", **sizes)
    drawn = draw(drawing, folder, machine)
    words = {
        "data": f"mnist_ncsn, {n_samples:,} samples; 10,000 MNIST test images",
        "narrower": f"{narrower_width()}one training, on MNIST",
        "networks": ["mnist_ncsn", JUDGE],
        "facts": drawing.facts(*HOW_DRAWN),
    }
    return [record_claim(drawn, words) for record_claim in (record_i1, record_i4, record_i7, record_i10)]


# --- I1: sharp, varied digits (Fig. 5) --------------------------------------------------------------------------------

SURE = "share that the second classifier is 90 % sure of"


def record_i1(drawn: Drawn, words: dict[str, Any]) -> Record:
    """Record I1, the distance of sampled digits to real ones, and their classes.

    Args:
        drawn: the samples.
        words: what the records of one drawing share, arguments of `ledger.record`.
    """
    tensors = {
        "samples": quantise(drawn.states[-1]),
        "states": quantise(drawn.states[:, :N_CHAINS]),
        "denoised": quantise(drawn.denoised[:, :N_CHAINS]),
    }
    note = f"{FEATURES}, of as many samples as of noise and of each control; classes and precision by the same."
    words = words | {"networks": [*words["networks"], SHIPPED_CLASSIFIER]}
    return record("I1", i1_measurements(drawn.states[-1]), tensors, note=note, **words)


def i1_measurements(samples: Tensor, data: str = "mnist") -> list[Measurement]:
    """The measurements of I1 on samples; what is only reported has no interval.

    Args:
        samples: (N, 1, 28, 28), N > 128.
        data: the set they are compared with, "mnist" or "mnist_small".
    """
    generator = derived_generator(seed("I1"), 0, 1)
    noise = judged_distance(torch.rand(samples.shape, generator=generator), data)
    images = {"samples": samples} | wrong_digits(len(samples), generator, data)
    distances = {name: judged_distance(x, data) for name, x in images.items()}
    logits = {name: in_batches(load_classifier(JUDGE), shown(x)) for name, x in images.items()}
    features = feature_space(data, classifier=JUDGE).function
    quality = prdc(features(samples), features(some_images(data, "test", min(len(samples), 3_000))))
    classes = class_test(logits["samples"], load_labels(data))

    def share_of_class(name: str, extreme: Callable[[Tensor], Tensor]) -> Estimate:
        return class_share(logits[name].argmax(dim=1), extreme, generator)

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
        reported(f"χ² of the classes, {classes.n_degrees} degrees of freedom", classes.statistic),
        *(reported(*number) for number in quality._asdict().items()),
        *(reported(f"Fréchet distance, {name}", distance) for name, distance in distances.items()),
        reported("Fréchet distance, uniform noise", noise),
        reported("the first classifier's Fréchet distance", digit_distance(samples, data)),
    ]


def class_share(classes: Tensor, extreme: Callable[[Tensor], Tensor], generator: torch.Generator) -> Estimate:
    """The share of the rarest class, or of the commonest, among classes (N,) of ten; its error over samples."""

    def share_of(chosen: Tensor) -> float:
        counts = torch.bincount(classes[chosen], minlength=10)
        return int(extreme(counts)) / len(classes)

    return bootstrap(share_of, len(classes), generator=generator)


# --- I4: from noise to images (Fig. 4) --------------------------------------------------------------------------------

N_CONTROL = 1_000


def record_i4(drawn: Drawn, words: dict[str, Any]) -> Record:
    """Record I4, the distance of the chains to real digits after each level; see `record_i1`."""
    curves = {
        "states": [judged_distance(x) for x in drawn.states],
        "denoised": [judged_distance(x) for x in drawn.denoised],
        "real": real_digits(),
    }
    of_first = [digit_distance(x) for x in drawn.states]
    note = f"The denoised state is x + σ²s(x, σ); {FEATURES}. The ten distances are taken for independent."
    measurements = [
        *i4_measurements(**curves),
        reported("levels clearly farther by the first classifier, states as they are", levels_farther(of_first)),
    ]
    tensors = {name: torch.tensor(curve) for name, curve in curves.items()}
    return record("I4", measurements, tensors, note=note, **words)


def real_digits() -> list[Estimate]:
    """The distances of training digits with the noise of each level, which a measure of this kind must order."""
    generator = derived_generator(seed("I4"))
    images = load_images("mnist")
    digits = images[torch.randperm(len(images), generator=generator)[:N_CONTROL]]
    sigmas = load_network("mnist_ncsn").sigmas.tolist()
    return [judged_distance(perturb(digits, sigma, generator=generator)) for sigma in sigmas]


def i4_measurements(states: list[Estimate], denoised: list[Estimate], real: list[Estimate]) -> list[Measurement]:
    """The measurements of I4, from the distances after each level, σ_1 first."""
    names = {"states": "state as it is", "denoised": "denoised state"}
    ends = [
        reported(f"Fréchet distance of the {names[kind]} after σ_{level}", distances[i])
        for kind, distances in (("states", states), ("denoised", denoised))
        for level, i in (("1", 0), ("L", -1))
    ]
    curves = {"states": states, "denoised": denoised, "control: digits with each level's noise": real}
    return [*evolution("I4", curves), *ends]


def evolution(claim_id: str, curves: Mapping[str, list[Estimate]]) -> list[Measurement]:
    """What I4 and I12 bound: how far each curve of distances falls, and that it rises at no level."""
    measurements = []
    for kind, distances in curves.items():
        fall = difference(distances[0], distances[-1])
        measurements.append(declared(claim_id, f"{kind}: distance after σ_1 minus that after σ_L", fall))
        n_farther = levels_farther(distances)
        measurements.append(declared(claim_id, f"{kind}: levels clearly farther than the one before", n_farther))
    return measurements


def levels_farther(distances: list[Estimate]) -> int:
    """How many levels' distances are larger than that of the level before by more than three standard errors."""
    rises = [difference(after, before) for before, after in itertools.pairwise(distances)]
    return sum(rise.value > 3 * rise.se for rise in rises)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a − b, whose errors are taken for independent."""
    return Estimate(a.value - b.value, math.hypot(a.se, b.se))


# --- I7: no copies of training images (Appendix C.2) ------------------------------------------------------------------

SPACES = ("pixels", "features")
PERCENTILE = 0.01
N_COPIES = 500
N_SHOWN = 10
"""Samples that the record shows with their nearest neighbours."""
N_NEIGHBOURS = 6


def record_i7(drawn: Drawn, words: dict[str, Any]) -> Record:
    """Record I7, the share of samples nearer to a training digit than nearly all test digits are; see `record_i1`."""
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
    """The q-quantile of the values (N,) of each class 0 … K−1 by their labels (N,): (K,).

    Raises:
        ValueError: a class below the largest label has no value.
    """
    n_classes = int(labels.max()) + 1
    if empty := [k for k in range(n_classes) if not bool((labels == k).any())]:
        raise ValueError(f"labels must have every class up to the largest, but there is none of {empty}")
    return torch.stack([values[labels == k].quantile(q) for k in range(n_classes)])


# --- I10: a denoising step at the end, which the paper has not --------------------------------------------------------


def record_i10(drawn: Drawn, words: dict[str, Any]) -> Record:
    """Record I10, the distance of sampled digits to real ones, with and without the step; see `record_i1`."""
    samples = drawn.states[-1]
    denoised = drawn.denoised[-1]
    training = some_images("mnist", "train")
    measurements = i10_measurements(
        [judged_distance(x) for x in (samples, denoised)],
        [digit_distance(x) for x in (samples, denoised)],
        noise_on_constant_pixels(samples, training, SIGMA_L),
        noise_on_constant_pixels(denoised, training, SIGMA_L),
    )
    rms_change = float((denoised - samples).square().mean().sqrt())
    tensors = {"samples": quantise(samples[:N_CHAINS]), "denoised": quantise(denoised[:N_CHAINS])}
    note = "Fréchet distances in the features of two classifiers; the same chains with and without the step."
    words = words | {
        "networks": [*words["networks"], SHIPPED_CLASSIFIER],
        "facts": words["facts"] | {"rms_change": round(rms_change, 5)},
    }
    return record("I10", measurements, tensors, note=note, **words)


def i10_measurements(
    judged: list[Estimate], guided: list[Estimate], noise: Estimate, noise_left: Estimate
) -> list[Measurement]:
    """The measurements of I10; nothing was expected of the distances, since later work found both signs.

    Args:
        judged, guided: distances without the step and with it, by the second classifier and by the first.
        noise, noise_left: on pixels that never change, over σ_L²; see `noise_on_constant_pixels`.
    """
    return [
        reported("Fréchet distance, as Algorithm 1 ends", judged[0]),
        reported("Fréchet distance, denoised", judged[1]),
        reported("denoised over not", ratio(judged[1], judged[0])),
        reported("the first classifier's, as Algorithm 1 ends", guided[0]),
        reported("the first classifier's, denoised", guided[1]),
        reported("noise on constant pixels over σ_L², as Algorithm 1 ends", noise),
        reported("the same, denoised", noise_left),
    ]


def main() -> None:
    """Measure the four claims, and print their records."""
    for measured in measure(**script_options(__doc__, "samples", claims=["I1", "I4", "I7", "I10"], draws=True)):
        show(measured)


if __name__ == "__main__":
    main()
