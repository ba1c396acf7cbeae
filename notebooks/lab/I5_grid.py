"""I5: how far Algorithm 1's samples of MNIST are from digits at T of 50, 100 and 200, and three ε.

What is done is kept; a run that was stopped, or that asks for more samples, goes on with the next batch of samples.
"""

import itertools
import math
from pathlib import Path

import torch
from torch import Tensor

from claims import Found, claim, declared, load_record, record_tensors, reported
from drawing import CPU, Drawing, Machine, draw
from I5 import measure_cell
from sbgm.measure import Estimate, Measured, frechet_distance, ratio, some_images
from sbgm.measure.judging import feature_space, reference_for
from sbgm.measure.records import StepMap
from sbgm.theory import noise_ratio
from sbgm.weights import load_network

PLACES = sorted(itertools.product((50, 100, 200), (5e-6, 2e-5, 4e-5)), key=lambda place: place[0])
LOW = 1.2
DIGITS = (
    "digits: worst of 19 cells of ratio ≤ 1.2, over the best",
    "digits: worst of 1 of ratio > 1.3, over the worst of those",
)


def distance(features: Tensor) -> Measured:
    """The Fréchet distance of features to those of 10,000 test digits."""
    return frechet_distance(features.float(), reference_for("mnist", feature_space("mnist"), "test").features)


def spread(features: list[Tensor]) -> Estimate:
    """The worst cell's distance over the best one's, which one half of the samples choose and the other compares.

    The mean of both ways, as a geometric one: the worst and the best of nine are apart by chance, and a choice by other
    samples takes that out.
    """
    halves = [[distance(f[part::2]) for f in features] for part in (0, 1)]
    logs, squares = [], []
    for choice, judged in (halves, halves[::-1]):
        order = sorted(range(len(features)), key=lambda i: choice[i].value)
        r = ratio(judged[order[-1]], judged[order[0]])
        logs.append(math.log(r.value))
        squares.append((r.se / r.value) ** 2)
    value = math.exp(sum(logs) / 2)
    return Estimate(value, value * math.sqrt(sum(squares)) / 2)


@claim("I5")
def measure(folder: Path, n_samples: int = 300, machine: Machine = CPU) -> Found:
    """Measure I5 on a grid of T and ε that the record before has not.

    Args:
        n_samples: samples a cell
    """
    before, sigmas = load_record("I5"), load_network("mnist_ncsn").sigmas
    tensors, space = record_tensors("I5"), feature_space("mnist")
    cells, sheets, features = [], [], []
    for n_steps, step_size in PLACES:
        settings = {"n_steps": n_steps, "step_size": step_size}
        drawing = Drawing("mnist_ncsn", n_samples=n_samples, kept="last", **settings)
        samples = draw(drawing, folder, machine).states[-1]
        features.append(space.function(samples).half())
        more = {"predicted": noise_ratio(sigmas, **settings), "sigma_min": float(sigmas[-1])}
        training, measured = some_images("mnist", "train"), distance(features[-1])
        cell, sheet = measure_cell(samples, training, lambda _, found=measured: found, **settings, **more)
        cells.append(cell)
        sheets.append(sheet)
    step_map = StepMap.of(cells, torch.stack(sheets))
    assert (step_map.cells["predicted"] <= LOW).all()
    kept = {name: tensors[name] for name in ("digits", "digits_sheets")}
    digits = [before.measurement(label) for label in DIGITS]
    return Found(
        [
            *(declared("I5", m.label, m.value, se=m.se) for m in digits),
            declared("I5", "MNIST: worst of 9 cells of ratio ≤ 1.2, over the best", spread(features)),
            declared("I5", "samples a cell", n_samples),
            *(
                reported(f"MNIST: distance at T = {t}, ε = {eps:g}", Estimate(c.distance, c.se))
                for (t, eps), c in step_map.cells.iterrows()
            ),
        ],
        {**kept, **step_map.tensors("mnist"), "mnist_features": torch.stack(features)},
        data=f"digits_mlp, 1,000 samples a cell; mnist_ncsn, {n_samples} a cell, 10,000 MNIST test images",
        note="Fréchet distances: of digits in pixels to training digits, of MNIST in our own classifier's features. "
        "MNIST's worst and best cell are chosen by one half of the samples and compared by the other.",
        narrower="8×8 digits, and MNIST at half the paper's width",
        networks=["digits_mlp", "mnist_ncsn", "mnist_classifier"],
        facts={"n_samples": n_samples, "n_samples_digits": 1_000, "seed": 0, "compiled": machine.compile},
    )


if __name__ == "__main__":
    measure.start()
