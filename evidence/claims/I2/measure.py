"""I2: samples of CIFAR-10 (Fig. 5), by kernel distances in Inception's features and in those of edges (HOG).

Samples carry the noise of the last level, and so do the controls that they are held against; denoised samples are held
against controls without.
"""

from pathlib import Path

from torch import Tensor

from features import inception_space, reference_for, some_images
from ledger import Measurement, Record, declared, record, reported, seed
from samples import (
    CPU,
    HOW_DRAWN,
    SIGMA_L,
    Drawing,
    Machine,
    difference,
    differences,
    draw,
    how_narrow,
    smaller_differences,
)
from sbgm import derived_generator
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import (
    Estimate,
    Inception,
    controls,
    feature_statistics,
    fid,
    hog_features,
    kernel_distance,
    kid,
    quantise,
)
from sbgm.noise import perturb

OPTIONS = {
    "folder": "samples",
    "draws": True,
    "more": {"--weights": {"default": "cifar10_ncsn", "help": "a shipped network's name, or a file (cifar10_ncsn)"}},
}
N_CONTROL = 1_000
N_SHOWN = 64
FID = "FID, 50,000 samples"
HOG = "HOG distance: the same in histograms of oriented gradients"
NOISE = " with noise"
HELD_AGAINST = {"samples": NOISE, "denoised": ""}
"""What the names of the controls end in that a set of images is held against."""


def measure(
    folder: Path,
    n_samples: int = 500,
    n_steps: int = 100,
    n_reference: int = 5_000,
    weights: str = "cifar10_ncsn",
    machine: Machine = CPU,
) -> Record:
    """Measure I2: the kernel distance in Inception's features (KID) of samples of CIFAR-10, and of the controls.

    Args:
        folder: of samples.
        n_samples: how many.
        n_steps: T, Langevin steps a level.
        n_reference: test images to compare with; the distance's mean does not depend on the number.
        weights: a shipped network's name, or a file.
        machine: where networks run.
    """
    sizes = {"n_samples": n_samples, "batch_size": machine.n_chains, "seed": seed("I2"), "every_level": False}
    drawing = Drawing(weights, n_steps=n_steps, precision=machine.precision, **sizes)
    space = inception_space(inception := Inception(device=machine.device))
    training = load_images("cifar10")  # missing images are told before the drawing
    drawn = draw(drawing, folder, machine)
    reference = reference_for("cifar10", space, "test", n_reference)
    made = controls(training, min(n_reference, N_CONTROL), generator=derived_generator(seed("I2"), 0, 1))
    generator = derived_generator(seed("I2"), 0, 3)
    noisy = {f"{name}{NOISE}": perturb(x, SIGMA_L, generator=generator) for name, x in made.items()}
    images = {"samples": drawn.states[-1], "denoised": drawn.denoised[-1]} | made | noisy
    features = {name: space.function(x) for name, x in images.items()}
    distances = {name: kid(x, reference) for name, x in features.items()}
    network = load_network(weights)
    differs = differences(network, n_samples, n_steps, "annealed")
    held_to_the_paper = []
    if not differs:
        statistics = feature_statistics(reference_for("cifar10", space, "train"))
        held_to_the_paper = [declared("I2", FID, fid(features["samples"], statistics))]
    return record(
        "I2",
        [
            *kid_measurements(distances),
            *object_measurements(images, some_images("cifar10", "test", n_reference)),
            *held_to_the_paper,
        ],
        {
            **{name: quantise(images[name]) for name in ("samples", "denoised")},
            "gaussian": quantise(made["Gaussian"][:N_SHOWN]),
        },
        data=f"{drawing.network}, {n_samples:,} samples; {n_reference:,} of CIFAR-10's test images",
        note=f"KID: the kernel distance in Inception's features; {HOG}; the controls are made of training images.",
        narrower=f"{how_narrow(network)}; {n_samples} samples, KID in place of FID"
        if differs
        else "; ".join(smaller_differences(weights, machine.precision)),
        networks=[drawing.network],
        facts=drawing.facts(*HOW_DRAWN) | {"n_reference": n_reference, "weights": weights, "inception": inception.name},
    )


def kid_measurements(distances: dict[str, Estimate]) -> list[Measurement]:
    """The measurements of I2, from the distances of "samples", of "denoised" ones, of the `controls`, and of others."""
    measurements = []
    for name, ending in HELD_AGAINST.items():
        less = difference(distances[name], distances[f"shuffled blocks{ending}"])
        measurements.append(declared("I2", f"{name}: KID less that of shuffled photographs{ending}", less))
    return [*measurements, *(reported(f"KID, {name}", d) for name, d in distances.items())]


def object_measurements(images: dict[str, Tensor], real: Tensor) -> list[Measurement]:
    """What I2 measures by HOG features: samples, less the nearest of the controls that show no object.

    Args:
        images: "samples", "denoised" ones, those of `controls` with and without noise, and others.
        real: images that no network or control has seen.
    """
    reference = hog_features(real)
    distances = {name: kernel_distance(hog_features(x), reference) for name, x in images.items()}
    measurements = [reported(f"HOG distance, {name}", d) for name, d in distances.items()]
    for name, ending in HELD_AGAINST.items():
        nearest = min(distances[f"{made}{ending}"] for made in ("shuffled blocks", "low resolution", "Gaussian"))
        less = difference(distances[name], nearest)
        measurements.append(declared("I2", f"{name}: HOG distance less that of the nearest control{ending}", less))
        measurements.append(reported(f"HOG distance, the nearest control{ending}", nearest))
    return measurements
