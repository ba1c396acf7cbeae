"""I15: the FID of samples of the shipped CIFAR-10 network, beside that of photographs and of blurred photographs.

Algorithm 1 has few steps a level here, as large as makes T ε the paper's. Which T is chosen beforehand, on samples of
its own.
"""

import math
from collections.abc import Mapping
from pathlib import Path

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
FEW_STEPS = (10, 20)
KEPT = 100
"""Samples in the record's file, the first ones."""


def measure(
    folder: Path,
    n_samples: int = 3_000,
    n_reference: int = 10_000,
    n_choice: int = 500,
    n_slow: int = 100,
    machine: Machine = CPU,
) -> Record:
    """Measure I15: FID of samples, of as many test images, and of these in low resolution.

    Args:
        folder: of samples.
        n_samples: whose FID is taken.
        n_reference: training images that all are compared with.
        n_choice: samples with each of FEW_STEPS, by whose KID one is chosen.
        n_slow: samples with the paper's 100 steps, whose KID stands beside these.
        machine: where the networks run.
    """
    inception = Inception(device=machine.device)
    space = feature_space("cifar10", inception)
    reference = reference_for("cifar10", space, "train", n_reference).features

    def samples(n: int, n_steps: int) -> Tensor:
        settings = {"n_samples": n, "n_steps": n_steps, "step_size": PAPERS_T_EPSILON / n_steps, "every_level": False}
        drawing = Drawing(NETWORK, seed=seed("I15") + n, batch_size=machine.n_chains, **settings)
        return draw(drawing, folder, machine).denoised[-1]

    kids = {}
    for n_steps, n in (dict.fromkeys(FEW_STEPS, n_choice) | {100: n_slow}).items():
        kids[n_steps] = kid(space.function(samples(n, n_steps)), reference)
    n_steps = chosen(kids)
    photographs = controls(
        some_images("cifar10", "test", n_samples), n_samples, generator=derived_generator(seed("I15"))
    )
    sets = {
        "samples": samples(n_samples, n_steps),
        "test images": photographs["real images"],
        "test images in low resolution": photographs["low resolution"],
    }
    numbers = {f"KID of samples with T = {n}": [value] for n, value in kids.items()}
    for name, images in sets.items():
        features = space.function(images)
        numbers[f"FID of {name}"] = [fid(features, reference)]
        if inception.has_logits:
            score = Estimate(*inception_score(inception.logits(features)))
            numbers[f"Inception Score of {name}"] = [score]
    kept = {**as_rows(numbers), "samples": quantise(sets["samples"][:KEPT])}
    return record(
        "I15",
        measurements(kept),
        kept,
        data=f"{NETWORK}, {n_samples:,} samples; {n_reference:,} training and {n_samples:,} test images",
        note=f"T = {n_steps} was chosen by KID, on {n_choice} samples of each T.",
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
    """The smaller T of FEW_STEPS, unless the larger one's KID is lower by more than two standard errors."""
    few, more = FEW_STEPS
    gain = kids[few].value - kids[more].value
    return more if gain > 2 * math.hypot(kids[few].se, kids[more].se) else few


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of I15, from its file: a row of value and standard error under each label."""
    labels = sorted(label for label in kept if label != "samples")
    return [reported(label, Estimate(*kept[label][0].tolist())) for label in labels]
