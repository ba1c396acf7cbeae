"""I5, Section 5: whether samples depend on T and ε: 8×8 digits over the whole map, MNIST over a part of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sbgm import claims
from sbgm.claims import check
from sbgm.closed_forms import noise_ratio
from sbgm.data import load_images
from sbgm.experiments.recorded.recording import command, digit_distance, enter
from sbgm.experiments.recorded.samples import CPU, Drawing, Machine, draw
from sbgm.experiments.step_map import StepMap, measure_cell
from sbgm.metrics import Measured, frechet_distance
from sbgm.metrics.reference import some_images
from sbgm.weights import load_network, weights_file

N_STEPS, STEP_SIZES = (30, 50, 100, 200), (5e-6, 1e-5, 2e-5, 4e-5, 5e-5)
"""The claim's part of the map: T, and ε in the paper's convention over the range that its text names."""
BEYOND_N_STEPS, BEYOND_STEP_SIZES = (10,), (1e-4,)
"""What the digits' map shows besides: fewer steps, and the end of the range if the text's ε is the code's h = ε/2."""
MNIST_STEP_SIZES = (5e-6, 2e-5, 5e-5)
N_DIGITS = 1_000
LOW, HIGH = 1.2, 1.3
"""Predicted ratios up to LOW should do no harm; one above HIGH should."""
WITHIN = 1.5


def evaluate(
    folder: Path, n_samples: int = 200, n_steps: int = 100, weights: str = "mnist_ncsn", machine: Machine = CPU
) -> claims.Settled:
    """Measure I5: draw samples at every T and ε, and compare them with real images.

    Args:
        folder: where samples are kept, those of other claims included: I1 draws the first of T = 100, ε = 2e-5.
        n_samples: of MNIST in each cell; more than 128, the number of features. The digits' map has 1,000.
        n_steps: the largest T on MNIST besides 100 at ε = 2e-5; the time is proportional to the sum of them.
        weights: another network on MNIST than the shipped one, by name or file.
        machine: where and how that network runs.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        AssertionError: an expectation fails; the message shows it, and nothing is recorded.
    """
    digits = digits_map(folder, N_STEPS + BEYOND_N_STEPS, STEP_SIZES + BEYOND_STEP_SIZES)
    places = [(t, eps) for t in N_STEPS if t <= n_steps for eps in MNIST_STEP_SIZES]
    mnist = mnist_map(folder, [*places, *({(100, 2e-5)} - set(places))], n_samples, weights, machine)
    return enter(
        "I5",
        i5_checks(digits, "digits") + i5_checks(mnist, "MNIST"),
        {**digits.tensors("digits"), **mnist.tensors("mnist")},
        data=f"digits_mlp, {N_DIGITS:,} samples a cell; {weights_file(weights).stem}, {n_samples} a cell, 10,000 MNIST "
        "test images",
        note="Fréchet distances: of digits in pixels to training digits, of MNIST in our own classifier's features.",
        networks=["digits_mlp", weights, "mnist_classifier"],
        command=command("I5", n_samples=n_samples, n_steps=n_steps, weights=weights),
        facts={"n_samples": n_samples, "n_samples_digits": N_DIGITS, "largest_n_steps": n_steps, "seed": 0},
    )


def i5_checks(step_map: StepMap, name: str) -> list[claims.Check]:
    """What I5 expects of a network's map: harmless where the predicted noise is, worse somewhere where it is not.

    Args:
        step_map: the claim's part of it is taken.
        name: of the images.
    """
    cells = step_map.within(N_STEPS, STEP_SIZES).cells
    best = min(cells, key=lambda c: c.distance)
    harmless = [c for c in cells if c.predicted <= LOW]
    harmed = [c for c in cells if c.predicted > HIGH]
    worst = max(harmless, key=lambda c: c.distance)
    return [
        check(
            f"{name}: worst of {len(harmless)} cells of ratio ≤ {LOW}, over the best",
            worst.distance / best.distance,
            high=WITHIN,
        ),
        check(
            f"{name}: worst of {len(harmed)} of ratio > {HIGH}, over the worst of those",
            max(c.distance for c in harmed) / worst.distance,
            low=1,
        ),
        check(f"{name}: smallest distance", best.distance, se=best.se),
        check(f"{name}: largest distance, ratio ≤ {LOW}", worst.distance, se=worst.se),
        check(f"{name}: noise of T = 30, ε = 5e-6, over predicted", _over_predicted(step_map, 30, 5e-6)),
        check(f"{name}: noise of T = 100, ε = 2e-5, over predicted", _over_predicted(step_map, 100, 2e-5)),
    ]


def digits_map(folder: Path, n_steps: Sequence[int], step_sizes: Sequence[float], n_samples: int = N_DIGITS) -> StepMap:
    """The map of the shipped perceptron on 8×8 digits: Fréchet distances in pixels to the training digits.

    Args:
        folder: where samples are kept.
        n_steps, step_sizes: T and ε; every pair is a cell.
        n_samples: of each; more than 64, the number of pixels.
    """
    images = load_images("digits")

    def distance(samples: Tensor) -> Measured:
        return frechet_distance(samples.flatten(1), images.flatten(1), against="training digits", features="pixels")

    batch_size = math.gcd(n_samples, 500)
    drawings = [Drawing("digits_mlp", n_samples, t, eps, batch_size, "fp32") for t in n_steps for eps in step_sizes]
    return measure_map(drawings, folder, images, distance)


def mnist_map(
    folder: Path,
    places: Sequence[tuple[int, float]],
    n_samples: int,
    weights: str = "mnist_ncsn",
    machine: Machine = CPU,
) -> StepMap:
    """The map of a network on MNIST: Fréchet distances in the classifier's features to the test images.

    Args:
        folder: where samples are kept.
        places: (T, ε) of each cell.
        n_samples: of each; more than 128, the number of features.
        weights: of the network, a shipped one's name or a file.
        machine: where and how it runs.
    """
    drawings = [Drawing(weights, n_samples, t, eps) for t, eps in places]
    return measure_map(drawings, folder, some_images("mnist", "train"), digit_distance, machine)


def measure_map(
    drawings: Sequence[Drawing],
    folder: Path,
    images: Tensor,
    distance: Callable[[Tensor], Measured],
    machine: Machine = CPU,
) -> StepMap:
    """Draw every cell's samples, or take them from `folder`, and measure them.

    Args:
        drawings: one a cell.
        folder: of all such samples.
        images: training images, some of whose pixels never change.
        distance: of samples to real images.
        machine: where and how the networks run.
    """
    measured = []
    for drawing in drawings:
        sigmas = load_network(drawing.network).sigmas
        settings = {"n_steps": drawing.n_steps, "step_size": drawing.step_size}
        measured.append(
            measure_cell(
                draw(drawing, folder, machine).states[-1],
                images,
                distance,
                predicted=noise_ratio(sigmas, **settings),
                sigma_min=float(sigmas[-1]),
                **settings,
            )
        )
    cells, sheets = zip(*measured, strict=True)
    return StepMap(cells, torch.stack(sheets))


def _over_predicted(step_map: StepMap, n_steps: int, step_size: float) -> float:
    cell = step_map.at(n_steps, step_size)
    return cell.measured / cell.predicted
