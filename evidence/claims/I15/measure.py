"""I15: the FID of samples of the shipped CIFAR-10 network, beside that of photographs and of blurred photographs.

Algorithm 1 has few steps a level here, as large as makes T ε the paper's. Which T is chosen beforehand, on samples of
its own.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from ledger import Measurement, Record, record, reported, seed
from samples import CPU, Drawing, Machine, as_rows, draw, how_narrow
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, Inception, controls, fid, inception_score, kid, quantise, some_images
from sbgm.measure.judging import feature_space, reference_for
from sbgm.noise import derived_generator

OPTIONS = {"folder": "samples", "draws": True}
NETWORK = "cifar10_ncsn"
PAPERS_T_EPSILON = 100 * 2e-5
CHOICE = MappingProxyType({10: 500, 20: 250, 100: 50})
"""Samples with each T by whose KID one of the first two is chosen; the last is the paper's, to stand beside them."""
START = 3_000
"""Added to the seed of the samples whose FID is taken: more than any n of CHOICE."""
KEPT = 100
"""Samples in the record's file, the first ones."""


def measure(
    folder: Path,
    n_samples: int = 1_000,
    n_reference: int = 10_000,
    choice: Mapping[int, int] = CHOICE,
    machine: Machine = CPU,
) -> Record:
    """Measure I15: FID of samples, of as many test images, and of these in low resolution.

    Args:
        folder: of samples.
        n_samples: whose FID is taken.
        n_reference: training images that all are compared with.
        choice: samples with each T for CHOICE's KID.
        machine: where the networks run.
    """
    inception = Inception(device=machine.device)
    space = feature_space("cifar10", inception)
    reference = reference_for("cifar10", space, "train", n_reference).features

    def samples(n: int, n_steps: int, start: int) -> Tensor:
        settings = {"n_samples": n, "n_steps": n_steps, "step_size": PAPERS_T_EPSILON / n_steps, "every_level": False}
        drawing = Drawing(NETWORK, seed=seed("I15") + start, batch_size=machine.n_chains, **settings)
        return draw(drawing, folder, machine).denoised[-1]

    kids = {}
    for n_steps, n in choice.items():
        kids[n_steps] = kid(space.function(samples(n, n_steps, start=n)), reference)
    n_steps = chosen(kids)
    images = samples(n_samples, n_steps, START)
    test = some_images("cifar10", "test", n_samples)
    blurred = controls(test, n_samples, generator=derived_generator(seed("I15")))["low resolution"]
    features = {
        "samples": space.function(images),
        "test images": reference_for("cifar10", space, "test", n_samples).features,
        "test images in low resolution": space.function(blurred),
    }
    numbers = {f"KID of samples with T = {n}": [value] for n, value in kids.items()}
    for name, of_images in features.items():
        numbers[f"FID of {name}"] = [fid(of_images, reference)]
        if inception.has_logits:
            score = Estimate(*inception_score(inception.logits(of_images)))
            numbers[f"Inception Score of {name}"] = [score]
    kept = {**as_rows(numbers), "samples": quantise(images[:KEPT])}
    return record(
        "I15",
        measurements(kept),
        kept,
        data=f"{NETWORK}, {n_samples:,} samples; {n_reference:,} training and {n_samples:,} test images",
        note=f"T = {n_steps} was chosen by KID, on other samples.",
        narrower=how_narrow(load_network(NETWORK)),
        networks=[NETWORK],
        facts={
            "n_samples": n_samples,
            "n_steps": n_steps,
            "step_size": PAPERS_T_EPSILON / n_steps,
            "precision": "bf16",
            "inception": inception.name,
        },
    )


def chosen(kids: Mapping[int, Estimate]) -> int:
    """The smallest T of CHOICE, unless the next one's KID is lower by more than two standard errors."""
    few, more, *_ = sorted(kids)
    gain = kids[few].value - kids[more].value
    return more if gain > 2 * math.hypot(kids[few].se, kids[more].se) else few


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of I15, from its file: a row of value and standard error under each label."""
    labels = sorted(label for label in kept if label != "samples")
    return [reported(label, Estimate(*kept[label][0].tolist())) for label in labels]
