"""I2: samples of CIFAR-10 (Fig. 5), by kernel distances in Inception's features and in those of edges (HOG)."""

import math
import sys
from pathlib import Path
from typing import Annotated

from torch import Tensor

from claims import Found, Measurement, declared, reported, run, seed
from drawing import CPU, HOW_DRAWN, Drawing, Machine, draw
from sbgm import derived_generator
from sbgm.guard import Count
from sbgm.images.data import load_images
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, Inception, controls, hog_features, kernel_distance, kid, quantise, some_images
from sbgm.measure.judging import feature_space, reference_for

N_CONTROL = 1_000
N_SHOWN = 64
HOG = "HOG distance: the same in histograms of oriented gradients"


def measure(
    folder: Path,
    n_samples: Annotated[Count, "samples"] = 500,
    n_steps: Annotated[Count, "T, Langevin steps a level"] = 100,
    n_reference: Annotated[
        Count, "test images to compare with; the distance's mean does not depend on the number"
    ] = 5_000,
    weights: Annotated[str, "a shipped network's name, or a file"] = "cifar10_ncsn",
    fid_weights: Annotated[Path | None, "Inception's weights, a file ($SBGM_FID_WEIGHTS, or a download)"] = None,
    machine: Machine = CPU,
) -> Found:
    """Measure I2: the kernel distance in Inception's features (KID) of samples of CIFAR-10, and of the controls."""
    sizes = {"n_samples": n_samples, "batch_size": machine.n_chains, "seed": seed("I2"), "kept": "last"}
    drawing = Drawing(weights, n_steps=n_steps, precision=machine.precision, **sizes)
    space = feature_space("cifar10", inception := Inception(fid_weights, machine.device))
    training = load_images("cifar10")  # missing images are told before the drawing
    drawn = draw(drawing, folder, machine)
    reference = reference_for("cifar10", space, "test", n_reference)
    made = controls(training, min(n_reference, N_CONTROL), generator=derived_generator(seed("I2"), 0, 1))
    images = {"samples": drawn.states[-1], "denoised": drawn.denoised[-1]} | made
    distances = {name: kid(space.function(x), reference.features) for name, x in images.items()}
    return Found(
        [*kid_measurements(distances), *object_measurements("I2", images, some_images("cifar10", "test", n_reference))],
        {
            **{name: quantise(images[name]) for name in ("samples", "denoised")},
            "gaussian": quantise(made["Gaussian"][:N_SHOWN]),
        },
        data=f"{drawing.network}, {n_samples:,} samples; {n_reference:,} of CIFAR-10's test images",
        note=f"KID: the kernel distance in Inception's features; {HOG}; the controls are made of training images.",
        narrower=how_narrow(weights, n_samples),
        networks=[drawing.network],
        facts=drawing.facts(*HOW_DRAWN) | {"inception": inception.name},
    )


def how_narrow(weights: str, n_samples: int) -> str:
    """In what a network and its samples are less than the paper's, by what its file says of its training."""
    network = load_network(weights)
    settings = network.facts.get("settings", {})
    n_seen = network.facts.get("steps", 0) * settings.get("training", {}).get("batch_size", 0)
    return (
        f"{network.arguments['channels']} of the paper's 128 channels, {n_seen / 50_000:.1f} epochs of some 512, "
        f"one training; {n_samples} samples, KID in place of FID"
    )


def kid_measurements(distances: dict[str, Estimate]) -> list[Measurement]:
    """The measurements of I2, from the distances of "samples", of the `controls`, and of others."""
    samples = distances["samples"]
    shuffled = distances["shuffled blocks"]
    less = declared(  # a difference: a ratio of what can be 0 or negative says nothing
        "I2",
        "KID of samples less that of photographs with shuffled blocks",
        samples.value - shuffled.value,
        se=math.hypot(samples.se, shuffled.se),
    )
    return [less, *(reported(f"KID, {name}", d) for name, d in distances.items())]


def object_measurements(claim_id: str, images: dict[str, Tensor], real: Tensor) -> list[Measurement]:
    """What I2 and I3 measure by HOG features: the samples, less the nearest of the controls that show no object.

    Args:
        claim_id: "I2" or "I3".
        images: "samples", those of `controls`, and others.
        real: images that no network or control has seen.
    """
    reference = hog_features(real)
    distances = {name: kernel_distance(hog_features(x), reference) for name, x in images.items()}
    samples = distances["samples"]
    nearest = min(distances[name] for name in ("shuffled blocks", "low resolution", "Gaussian"))
    less = declared(
        claim_id,
        "HOG distance of samples less that of the nearest control",
        samples.value - nearest.value,
        se=math.hypot(samples.se, nearest.se),
    )
    of_nearest = reported("HOG distance, the nearest control", nearest)
    return [less, *(reported(f"HOG distance, {name}", d) for name, d in distances.items()), of_nearest]


if __name__ == "__main__":
    sys.exit(run("I2", measure, folder="samples"))
