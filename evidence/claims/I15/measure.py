"""I15: the FID of samples of the shipped CIFAR-10 network, beside that of photographs and of blurred photographs.

Algorithm 1 has few steps a level here, as large as makes T ε the paper's.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from features import inception_space, reference_for, some_images
from ledger import Measurement, Record, record, reported, seed
from samples import CPU, Drawing, Machine, as_rows, draw, how_narrow
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, Inception, controls, fid, inception_score, kid, quantise
from sbgm.measure.inception import FEWEST_FOR_FID
from sbgm.noise import derived_generator

OPTIONS = {"folder": "samples", "draws": True}
NETWORK = "cifar10_ncsn"
N_STEPS = 10
STEP_SIZE = 100 * 2e-5 / N_STEPS  # T ε is the paper's
KEPT = 100
"""Samples in the record's file, the first ones."""


def measure(
    folder: Path,
    n_samples: int = FEWEST_FOR_FID,
    n_reference: int = 5_000,
    machine: Machine = CPU,
) -> Record:
    """Measure I15: FID of samples, of as many test images, and of these in low resolution.

    Args:
        folder: of samples.
        n_samples: whose FID is taken.
        n_reference: training images that all are compared with.
        machine: where the networks run.
    """
    inception = Inception(device=machine.device)
    space = inception_space(inception)
    reference = reference_for("cifar10", space, "train", n_reference)

    drawing = Drawing(
        NETWORK,
        seed=seed("I15"),
        batch_size=machine.n_chains,
        n_samples=n_samples,
        n_steps=N_STEPS,
        step_size=STEP_SIZE,
        every_level=False,
    )
    images = draw(drawing, folder, machine).denoised[-1]
    test = some_images("cifar10", "test", n_samples)
    blurred = controls(test, n_samples, generator=derived_generator(seed("I15")))["low resolution"]
    features = {
        "samples": space.function(images),
        "test images": reference_for("cifar10", space, "test", n_samples),
        "test images in low resolution": space.function(blurred),
    }
    numbers = {}
    for name, of_images in features.items():
        numbers[f"FID of {name}"] = [fid(of_images, reference)]
        numbers[f"KID of {name}"] = [kid(of_images, reference)]
        if inception.has_logits:
            score = Estimate(*inception_score(inception.logits(of_images)))
            numbers[f"Inception Score of {name}"] = [score]
    kept = {**as_rows(numbers), "samples": quantise(images[:KEPT])}
    return record(
        "I15",
        measurements(kept),
        kept,
        data=f"{NETWORK}, {n_samples:,} samples; {n_reference:,} training and {n_samples:,} test images",
        narrower=how_narrow(load_network(NETWORK)),
        networks=[NETWORK],
        facts={**drawing.facts("n_samples", "n_steps", "step_size", "precision"), "inception": inception.name},
    )


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of I15, from its file: a row of value and standard error under each label."""
    labels = sorted(label for label in kept if label != "samples")
    return [reported(label, Estimate(*kept[label][0].tolist())) for label in labels]
