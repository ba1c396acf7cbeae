"""I5: how far Algorithm 1's samples are from real images over T and ε, and the noise that it leaves on them.

With --grid, another measurement with bounds in `claims.toml`: MNIST at T of 50, 100 and 200 and three ε.
"""

import itertools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from claims import Found, Measurement, declared, load_record, reported, run
from drawing import CPU, Drawing, Machine, digit_distance, draw, require_enough_digits
from sbgm.guard import Batch, Positive, checked, count_from
from sbgm.images.data import load_images
from sbgm.images.weights import load_network, weights_file
from sbgm.measure import Estimate, estimate, frechet_distance, quantise, ratio, some_images
from sbgm.measure.judging import feature_space, reference_for
from sbgm.measure.records import N_SHEET, StepMap
from sbgm.theory import noise_ratio


def measure_cell(
    samples: Tensor,
    images: Tensor,
    distance: Callable[[Tensor], Estimate],
    *,
    n_steps: int,
    step_size: float,
    predicted: float,
    sigma_min: float,
) -> tuple[dict[str, float], Tensor]:
    """A row of `StepMap.cells` from its samples, and the sheet that it keeps.

    Args:
        samples: (N, C, H, W), as Algorithm 1 left them.
        images: training images, some of whose pixels never change.
        distance: of samples to real images.
        n_steps, step_size, predicted: as in `StepMap.cells`.
        sigma_min: σ_L.
    """
    far = distance(samples)
    noise = noise_on_constant_pixels(samples, images, sigma_min)
    cell = {"n_steps": n_steps, "step_size": step_size, "distance": far.value, "se": far.se}
    cell |= {"predicted": predicted, "measured": noise.value, "measured_se": noise.se}
    return cell, quantise(samples[:N_SHEET])


@checked
def constant_pixels(images: Batch) -> Tensor:
    """Whether a pixel has the same value in all images, such as one in a digit's corner: (C, H, W) bool."""
    return (images == images[:1]).all(dim=0)


@checked
def noise_on_constant_pixels(samples: Batch, images: Batch, sigma_min: Positive) -> Estimate:
    """The variance of samples over σ_L² where images do not vary: all that varies there is noise.

    Args:
        samples: (N, C, H, W), N ≥ 2, neither clamped nor quantised.
        images: training images.
        sigma_min: σ_L.

    Raises:
        ValueError: every pixel of the images varies.
    """
    constant = constant_pixels(images)
    if not constant.any():
        raise ValueError("images must have pixels that never change, got none")
    noise = samples[:, constant].double()
    squares = (noise - noise.mean(dim=0)).square().mean(dim=1) * len(noise) / (len(noise) - 1)
    return estimate(squares / sigma_min**2)


N_STEPS = (30, 50, 100, 200)
STEP_SIZES = (5e-6, 1e-5, 2e-5, 4e-5, 5e-5)
"""The claim's part of the map: T, and ε in the paper's convention over the range that its text names."""
BEYOND_N_STEPS = (10,)
BEYOND_STEP_SIZES = (1e-4,)
"""The digits' map shows besides: fewer steps, and the end of the range if the text's ε is the code's h = ε/2."""
MNIST_STEP_SIZES = (5e-6, 2e-5, 5e-5)
N_DIGITS = 1_000
LOW = 1.2
HIGH = 1.3
"""Predicted ratios up to LOW should do no harm; one above HIGH should."""
GRID_N_STEPS = (50, 100, 200)
GRID_STEP_SIZES = (5e-6, 2e-5, 4e-5)
DIGITS = (
    "digits: worst of 19 cells of ratio ≤ 1.2, over the best",
    "digits: worst of 1 of ratio > 1.3, over the worst of those",
)
"""The digits' numbers of the record before, which the grid's keeps."""


def measure(
    folder: Path,
    n_samples: Annotated[int, "samples of MNIST in each cell, more than 128; the digits' map has 1,000"] = 200,
    n_steps: Annotated[int, count_from(N_STEPS[0]), "the largest T on MNIST besides 100 at ε = 2e-5"] = 100,
    weights: Annotated[str, "another network on MNIST than the shipped one, by name or file"] = "mnist_ncsn",
    grid: Annotated[bool, "measure MNIST at nine cells, beside the recorded digits"] = False,
    machine: Machine = CPU,
) -> Found:
    """Measure I5: draw samples at every T and ε, and compare them with real images.

    I1 draws the first of T = 100, ε = 2e-5; they are kept in the same folder.
    """
    require_enough_digits(n_samples=n_samples)
    if grid:
        return measure_grid(folder, n_samples, machine)
    digits = digits_map(folder, N_STEPS + BEYOND_N_STEPS, STEP_SIZES + BEYOND_STEP_SIZES)
    places = [(t, eps) for t in N_STEPS if t <= n_steps for eps in MNIST_STEP_SIZES]
    places += {(100, 2e-5)} - set(places)
    common = {"n_samples": n_samples, "batch_size": machine.n_chains}
    drawings = [Drawing(weights, n_steps=t, step_size=eps, **common) for t, eps in places]
    mnist, _ = measure_map(drawings, folder, some_images("mnist", "train"), digit_distance, machine)
    return Found(
        i5_measurements(digits, "digits") + i5_measurements(mnist, "MNIST"),
        {**digits.tensors("digits"), **mnist.tensors("mnist")},
        data=f"digits_mlp, {N_DIGITS:,} samples a cell; {weights_file(weights).stem}, {n_samples} a cell, 10,000 MNIST "
        "test images",
        note="Fréchet distances: of digits in pixels to training digits, of MNIST in our own classifier's features.",
        narrower="8×8 digits, and MNIST at half the paper's width",
        networks=["digits_mlp", weights, "mnist_classifier"],
        facts={"n_samples_digits": N_DIGITS, "seed": 0},
    )


def measure_grid(folder: Path, n_samples: int, machine: Machine) -> Found:
    """Measure MNIST's map on the grid of `claims.toml`, and take the digits' from the record before."""
    before = load_record("I5")
    places = sorted(itertools.product(GRID_N_STEPS, GRID_STEP_SIZES), key=lambda place: place[0])
    common = {"n_samples": n_samples, "kept": "last"}
    drawings = [Drawing("mnist_ncsn", n_steps=t, step_size=eps, **common) for t, eps in places]
    step_map, samples = measure_map(drawings, folder, some_images("mnist", "train"), digit_distance, machine)
    assert (step_map.cells["predicted"] <= LOW).all()
    space = feature_space("mnist")
    features = [space.function(x).half() for x in samples]
    of_digits = [m for m in before.measurements if m.label in DIGITS]
    cells = zip(places, step_map.cells.itertuples(), strict=True)
    return Found(
        [
            *(declared("I5", m.label, m.value, se=m.se) for m in of_digits),
            declared("I5", "MNIST: worst of 9 cells of ratio ≤ 1.2, over the best", spread(features)),
            declared("I5", "samples a cell", n_samples),
            *(reported(f"MNIST: distance at T = {t}, ε = {e:g}", Estimate(c.distance, c.se)) for (t, e), c in cells),
        ],
        {
            **{name: before.tensors[name] for name in ("digits", "digits_sheets")},
            **step_map.tensors("mnist"),
            "mnist_features": torch.stack(features),
        },
        data=f"digits_mlp, 1,000 samples a cell; mnist_ncsn, {n_samples} a cell, 10,000 MNIST test images",
        note="Fréchet distances: of digits in pixels to training digits, of MNIST in our own classifier's features. "
        "MNIST's worst and best cell are chosen by one half of the samples and compared by the other.",
        narrower="8×8 digits, and MNIST at half the paper's width",
        networks=["digits_mlp", "mnist_ncsn", "mnist_classifier"],
        facts={"n_samples": n_samples, "n_samples_digits": 1_000, "seed": 0, "compiled": machine.compile},
    )


def features_distance(features: Tensor) -> Estimate:
    """The Fréchet distance of features to those of 10,000 test digits."""
    return frechet_distance(features.float(), reference_for("mnist", feature_space("mnist"), "test").features)


def spread(features: list[Tensor]) -> Estimate:
    """The worst cell's distance over the best one's, which one half of the samples choose and the other compares.

    The mean of both ways, as a geometric one: the worst and the best of nine are apart by chance, and a choice by other
    samples takes that out.
    """
    halves = [[features_distance(f[part::2]) for f in features] for part in (0, 1)]
    logs = []
    squares = []
    for choice, judged in (halves, halves[::-1]):
        order = sorted(range(len(features)), key=lambda i: choice[i].value)
        r = ratio(judged[order[-1]], judged[order[0]])
        logs.append(math.log(r.value))
        squares.append((r.se / r.value) ** 2)
    value = math.exp(sum(logs) / 2)
    return Estimate(value, value * math.sqrt(sum(squares)) / 2)


def i5_measurements(step_map: StepMap, name: str) -> list[Measurement]:
    """The measurements of I5 on a network's map: no harm where little noise is predicted, some where much is.

    Args:
        step_map: the claim's part of it is taken.
        name: of the images.
    """
    cells = step_map.cells.query("n_steps in @N_STEPS and step_size in @STEP_SIZES").sort_values("distance")
    harmless = cells.query("predicted <= @LOW")
    harmed = cells.query("predicted > @HIGH")
    extremes = cells.iloc[0], harmless.iloc[-1], harmed.iloc[-1]
    best, worst, worst_harmed = (Estimate(cell.distance, cell.se) for cell in extremes)
    return [
        declared("I5", f"{name}: worst of {len(harmless)} cells of ratio ≤ {LOW}, over the best", ratio(worst, best)),
        declared(
            "I5",
            f"{name}: worst of {len(harmed)} of ratio > {HIGH}, over the worst of those",
            ratio(worst_harmed, worst),
        ),
        reported(f"{name}: smallest distance", best),
        reported(f"{name}: largest distance, ratio ≤ {LOW}", worst),
        reported(f"{name}: noise of T = 30, ε = 5e-6, over predicted", _over_predicted(step_map, 30, 5e-6)),
        reported(f"{name}: noise of T = 100, ε = 2e-5, over predicted", _over_predicted(step_map, 100, 2e-5)),
    ]


def digits_map(folder: Path, n_steps: Sequence[int], step_sizes: Sequence[float], n_samples: int = N_DIGITS) -> StepMap:
    """The map of the shipped perceptron on 8×8 digits: Fréchet distances in pixels to the training digits.

    Args:
        folder: where samples are kept.
        n_steps, step_sizes: T and ε; every pair is a cell.
        n_samples: of each; more than 64, the number of pixels.
    """
    images = load_images("digits")

    def distance(samples: Tensor) -> Estimate:
        return frechet_distance(samples.flatten(1), images.flatten(1))

    common = {"n_samples": n_samples, "batch_size": math.gcd(n_samples, 500), "precision": "fp32"}
    drawings = [Drawing("digits_mlp", n_steps=t, step_size=eps, **common) for t in n_steps for eps in step_sizes]
    return measure_map(drawings, folder, images, distance)[0]


def measure_map(
    drawings: Sequence[Drawing],
    folder: Path,
    images: Tensor,
    distance: Callable[[Tensor], Estimate],
    machine: Machine = CPU,
) -> tuple[StepMap, list[Tensor]]:
    """Draw every cell's samples, or take them from `folder`, and measure them; return the map, and the samples.

    Args:
        drawings: one a cell.
        folder: of all such samples.
        images: training images, some of whose pixels never change.
        distance: of samples to real images.
        machine: where and how the networks run.
    """
    measured = []
    drawn = []
    for drawing in drawings:
        sigmas = load_network(drawing.network).sigmas
        settings = drawing.facts("n_steps", "step_size")
        ladder = {"predicted": noise_ratio(sigmas, **settings), "sigma_min": float(sigmas[-1])}
        samples = draw(drawing, folder, machine).states[-1]
        drawn.append(samples)
        measured.append(measure_cell(samples, images, distance, **settings, **ladder))
    cells, sheets = zip(*measured, strict=True)
    return StepMap.of(cells, torch.stack(sheets)), drawn


def _over_predicted(step_map: StepMap, n_steps: int, step_size: float) -> float:
    cell = step_map.cells.loc[n_steps, step_size]
    return cell.measured / cell.predicted


if __name__ == "__main__":
    sys.exit(run("I5", measure, folder="samples"))
