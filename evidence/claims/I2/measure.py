"""I2: samples of CIFAR-10 (Fig. 5), by kernel distances in Inception's features and in those of edges (HOG).

Samples carry the noise of the last level, and so do the controls that they are held against; denoised samples are held
against controls without. With `--earlier`, also what each hour of the training bought: the loss and the distances of
earlier checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curve import Entry, draw_entry, sampler_within
from drawing import CPU, HOW_DRAWN, SIGMA_L, Drawing, Machine, draw
from evolution import difference
from ledger import Measurement, Record, declared, record, reported, script_options, seed, show
from narrower import batch_size_of, differences, epochs, how_narrow, smaller_differences
from sbgm import derived_generator
from sbgm.files import file_hash
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
    level_losses,
    quantise,
    some_images,
)
from sbgm.measure.judging import feature_space, reference_for
from sbgm.noise import perturb

N_CONTROL = 1_000
N_SHOWN = 64
N_HELD_OUT = 1_000
BUDGET = 50
"""Evaluations of the network for a sample of a checkpoint: by ancestral sampling, a twentieth of Algorithm 1's work."""
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
    earlier: Sequence[Path] = (),
    machine: Machine = CPU,
) -> Record:
    """Measure I2: the kernel distance in Inception's features (KID) of samples of CIFAR-10, and of the controls.

    Args:
        folder: of samples.
        n_samples: how many.
        n_steps: T, Langevin steps a level.
        n_reference: test images to compare with; the distance's mean does not depend on the number.
        weights: a shipped network's name, or a file.
        earlier: files of the same training's weights after fewer steps.
        machine: where networks run.
    """
    sizes = {"n_samples": n_samples, "batch_size": machine.n_chains, "seed": seed("I2"), "every_level": False}
    drawing = Drawing(weights, n_steps=n_steps, precision=machine.precision, **sizes)
    space = feature_space("cifar10", inception := Inception(device=machine.device))
    training = load_images("cifar10")  # missing images are told before the drawing
    drawn = draw(drawing, folder, machine)
    reference = reference_for("cifar10", space, "test", n_reference)
    made = controls(training, min(n_reference, N_CONTROL), generator=derived_generator(seed("I2"), 0, 1))
    generator = derived_generator(seed("I2"), 0, 3)
    noisy = {f"{name}{NOISE}": perturb(x, SIGMA_L, generator=generator) for name, x in made.items()}
    images = {"samples": drawn.states[-1], "denoised": drawn.denoised[-1]} | made | noisy
    features = {name: space.function(x) for name, x in images.items()}
    distances = {name: kid(x, reference.features) for name, x in features.items()}
    network = load_network(weights)
    differs = differences(network, n_samples, n_steps, "annealed")
    held_to_the_paper = []
    if not differs:
        statistics = feature_statistics(reference_for("cifar10", space, "train").features)
        held_to_the_paper = [declared("I2", FID, fid(features["samples"], statistics))]
    real = some_images("cifar10", "test", n_reference)
    bought = []
    if earlier:
        hog_reference = hog_features(real)

        def both(x: Tensor) -> dict[str, Estimate]:
            in_hog = kernel_distance(hog_features(x), hog_reference)
            return {"KID": kid(space.function(x), reference.features), "HOG distance": in_hog}

        for name in [*map(str, earlier), weights]:
            bought += growth(name, network.facts, training, real, both, folder, n_samples, machine)
    return record(
        "I2",
        [*kid_measurements(distances), *object_measurements(images, real), *held_to_the_paper, *bought],
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
        facts=drawing.facts(*HOW_DRAWN)
        | {"n_reference": n_reference, "weights": weights, "inception": inception.name}
        | {f"checkpoint {number}": file_hash(name) for number, name in enumerate(earlier, 1)},
    )


# --- what each hour of the training bought ----------------------------------------------------------------------------


def growth(
    name: str,
    last: Mapping[str, Any],
    training: Tensor,
    real: Tensor,
    distances: Callable[[Tensor], dict[str, Estimate]],
    folder: Path,
    n_samples: int,
    machine: Machine,
) -> list[Measurement]:
    """What a checkpoint is worth: its held-out loss, and the distances of its samples by `BUDGET` evaluations.

    Args:
        name: of its file.
        last: the facts of the training's last network.
        training: images that the start of the chains is fitted to.
        real: images that the loss is measured on, the first 1,000 of them.
        distances: of samples, by their names.
        folder: where samples are kept.
        n_samples: to draw.
        machine: where the network runs.
    """
    network = load_network(name)
    seen = epochs(network.facts, batch_size_of(network.facts) or batch_size_of(last))
    losses = level_losses(network, real[:N_HELD_OUT], network.sigmas, generator=derived_generator(seed("I2"), 0, 2))
    sampler = sampler_within("ancestral, geometric", BUDGET, network.sigmas, denoise_last=True)
    entry = Entry("ancestral, geometric", sampler, "fitted", clamped=False)
    options = {"batch_size": machine.n_chains, "seed": seed("I2"), "precision": machine.precision}
    place = Path(folder) / Path(name).stem
    prepared = machine.prepared(network)
    samples = draw_entry(entry, prepared, training[:N_CONTROL], n_samples, folder=place, **options)
    of_levels = torch.tensor(losses).mean(dim=0)  # the same images at all levels: the mean of their errors is the most
    numbers = {"held-out loss": Estimate(*of_levels.tolist()), **distances(samples)}
    return [reported(f"{seen:.1f} epochs: {label}", number) for label, number in numbers.items()]


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


def main() -> None:
    """Measure I2 as the command line says, and print its record."""
    more = {
        "--weights": {"default": "cifar10_ncsn", "help": "a shipped network's name, or a file (cifar10_ncsn)"},
        "--earlier": {
            "type": Path,
            "nargs": "+",
            "default": (),
            "help": "the same training's weights after fewer steps",
        },
    }
    show(measure(**script_options(__doc__, "samples", claims=["I2"], draws=True, more=more)))
