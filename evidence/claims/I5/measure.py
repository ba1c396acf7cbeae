"""I5: how far Algorithm 1's samples are from real images over T and ε, and how many can be read."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas
import torch
from torch import Tensor

from controls import hidden_features, joined_halves, legible, place
from errors import largest, of_networks, rank_correlation, ratio, worst_over_best
from features import classifier_space, reference_for, some_images
from laws import annealed_variance
from ledger import Measurement, Record, declared, load_record, record, reported, seed
from recipes import kept_parts, perceptrons
from samples import (
    CPU,
    I1_SEED,
    SIGMA_L,
    Drawing,
    Machine,
    draw,
    judged_distance,
    narrower_width,
    weights_hash,
    wrong_digits,
)
from sbgm import derived_generator
from sbgm.images.data import load_images, load_labels
from sbgm.images.drawing import kept_folder, uniform_start
from sbgm.images.weights import load_network
from sbgm.measure import Estimate, estimate, frechet_distance, in_batches, quantise, shown
from sbgm.measure.classifier import JUDGE, load_classifier
from sbgm.noise import perturb
from sbgm.samplers import annealed_langevin, final

OPTIONS = {"folder": "samples", "draws": True}
N_SHEET = 16
"""Samples of each cell that are kept to be looked at."""
PLACE = ["n_steps", "step_size"]
MEASURED = ["distance", "se", "predicted", "measured", "measured_se"]


class StepMap(NamedTuple):
    """How good one network's samples are at each T and ε of Algorithm 1: a table of distances and noise, and samples.

    The table has a row for each pair of T, `n_steps` a level, and ε, `step_size` in the paper's convention
    x + (ε/2) s + √ε z. `cells.loc[100, 2e-5].distance` is one of its numbers. Its columns:

    - `distance`, `se`: Fréchet distance of the samples to real images, and its standard error.
    - `predicted`: variance of the noise on the samples divided by σ_L², by `laws.annealed_variance` of a point.
    - `measured`, `measured_se`: this ratio on the samples, where real images never change, and its standard error.

    Attributes:
        cells: the table, indexed by `n_steps` and `step_size`.
        sheets: (len(cells), N_SHEET, C, H, W) uint8, samples of each cell, in the order of the table.
    """

    cells: pandas.DataFrame
    sheets: Tensor


def load_step_map(images: str) -> StepMap:
    """The map that the record of I5 holds of a network.

    Args:
        images: that the network was trained on, "digits" or "mnist".

    Raises:
        FileNotFoundError, ValueError: as `load_record`.
    """
    tensors = load_record("I5").tensors
    table = pandas.DataFrame(tensors[images].numpy(), columns=PLACE + MEASURED).astype({"n_steps": int})
    return StepMap(table.set_index(PLACE), tensors[f"{images}_sheets"])


def noise_ratio(sigmas: Tensor | Sequence[float], *, step_size: float, n_steps: int) -> float:
    """The variance of the noise that Algorithm 1 leaves on its samples, over σ_L², for data that are a point.

    The last of `annealed_variance` with v = 0, which counts what each level has not forgotten of the level before. The
    chains start from uniform noise around a black pixel, whose mean square is 1/3.

    Args:
        sigmas: σ_1 > … > σ_L > 0.
        step_size: ε.
        n_steps: T, steps at each level.
    """
    variances = annealed_variance(sigmas, step_size=step_size, n_steps=n_steps, variance=0.0, start=1 / 3)
    return variances[-1] / float(sigmas[-1]) ** 2


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


def noise_on_constant_pixels(samples: Tensor, images: Tensor, sigma_min: float) -> Estimate:
    """The variance of samples over σ_L² where images do not vary, as in a digit's corner: all that varies is noise.

    Args:
        samples: (N, C, H, W), N ≥ 2, neither clamped nor quantised.
        images: training images.
        sigma_min: σ_L.
    """
    constant = (images == images[:1]).all(dim=0)
    noise = samples[:, constant].double()
    squares = (noise - noise.mean(dim=0)).square().mean(dim=1) * len(noise) / (len(noise) - 1)
    return estimate(squares / sigma_min**2)


N_STEPS = (30, 50, 100, 200, 10)
STEP_SIZES = (5e-6, 1e-5, 2e-5, 4e-5, 5e-5, 1e-4)
"""Of the digits' map in pixels: T, and ε in the text's convention x + (ε/2) s + √ε z over the range that it names; and
besides fewer steps, and the end of the range if the text's ε is the code's h."""
CROSS = [(100, 2e-5), (30, 2e-5), (50, 2e-5), (200, 2e-5), (100, 5e-6), (100, 1e-5), (100, 4e-5), (100, 5e-5)]
"""T and ε on the digits: the cross that the paper's sentence speaks of."""
CODES_CROSS = [(n_steps, 2 * step_size) for n_steps, step_size in CROSS]
"""The same cross if the text's ε is what the authors' code calls h, whose steps are x + h s + √(2h) z: ε = 2h."""
DIGITS_PLACES = list(dict.fromkeys(CROSS + CODES_CROSS))
ENDS = {"T = 30": (30, 2e-5), "ε = 5e-06": (100, 5e-6)}
"""The ends of both ranges where fewest samples are legible: the paper claims "robust" of T, "works fine" of ε."""
PLACES = [(50, 2e-5), (100, 2e-5), (200, 2e-5), (100, 5e-6), (100, 5e-5)]
"""T and ε on MNIST, five cells of the cross; by the code's convention (100, 5e-6) is out of the range."""
MNIST_SEED = 4202678459
"""Of 2026-11-29, when MNIST's cells were drawn; those of the digits are newer. Whoever changes a bound
on MNIST takes `seed("I5")` here."""
CODES_RANGE = (1e-5, 1e-4)
TOO_SHORT = (30, 5e-6)
"""A cell that the claim leaves out, since its chains cannot forget their start: the control."""
N_DIGITS = 1_000
N_OF_CELL = 2_000
WORST = "worst distance over best"
LEAST = "least legible cell, from test digits (0) to joined halves (1)"
CODES = "the code's range of ε"
DEALT = "samples dealt at random to the cells, worst distance over best"


def measure(folder: Path, n_samples: int = 300, machine: Machine = CPU) -> Record:
    """Measure I5: draw samples at every T and ε, and compare them with real images.

    I1 draws those of MNIST at T = 100, ε = 2e-5, and N1 trains the perceptrons; they are kept beside `folder`.

    Args:
        folder: of samples.
        n_samples: of MNIST in each cell, more than 256: a half chooses the extreme cells, the other measures them.
        machine: where the network on MNIST runs.
    """
    digits_map, digits_sheets = map_of_digits(folder)
    of_digits, digits = measure_digits(folder)
    places = [*PLACES, TOO_SHORT]
    mnist_map, mnist_sheets, samples = map_of_mnist(folder, places, n_samples, machine)
    noise = []
    for t, eps in (TOO_SHORT, (100, 2e-5)):
        *_, predicted, measured, _ = mnist_map[places.index((t, eps))].tolist()
        noise.append(reported(f"MNIST: noise of T = {t}, ε = {eps:g}, over predicted", measured / predicted))
    return record(
        "I5",
        [*of_digits, *measurements(digits), *measure_mnist(dict(zip(places, samples, strict=True))), *noise],
        {
            "digits": digits_map,
            "digits_sheets": digits_sheets,
            "mnist": mnist_map,
            "mnist_sheets": mnist_sheets,
            **digits,
        },
        data=f"five perceptrons, {N_OF_CELL:,} samples a cell, 360 held-out and 1,437 training digits; mnist_ncsn, "
        f"{n_samples} a cell, 10,000 MNIST test images",
        note="Fréchet distances in features: of 8×8 digits in those of a classifier of them, of MNIST in those of the "
        "second classifier. The maps are of the shipped networks, that of digits in pixels.",
        narrower=f"five perceptrons on 8×8 digits; on MNIST {narrower_width()}one training, five cells",
        networks=["digits_mlp", "mnist_ncsn", JUDGE],
        facts={"n_samples": n_samples, "n_samples_digits": N_OF_CELL, "compiled": machine.compile},
    )


def cell_numbers(
    features: Sequence[Tensor],
    readable: Sequence[Tensor],
    reference: Tensor,
    of_real: Estimate,
    of_joined: Estimate,
    generator: torch.Generator,
) -> dict[str, Estimate]:
    """The extremes of cells by distance and by legibility, and those of the same samples dealt at random to the cells.

    Args:
        features: of the samples of each cell, (N, K).
        readable: whether each sample is legible, (N,) bool.
        reference: features of real images.
        of_real, of_joined: the legible shares of real images and of joined halves.
        generator: deals the samples.
    """

    def distances(cells: Sequence[Tensor]) -> list[list[Estimate]]:
        return [[frechet_distance(cell[part::2], reference) for cell in cells] for part in (0, 1)]

    def place_of(cell: Tensor) -> Estimate:
        return place(estimate(cell.double()), of_real, of_joined)

    everything = torch.cat(list(features))
    order = torch.randperm(len(everything), generator=generator)
    dealt = everything[order].chunk(len(features))
    return {
        WORST: worst_over_best(distances(features)),
        LEAST: largest([[place_of(cell[part::2]) for cell in readable] for part in (0, 1)]),
        DEALT: worst_over_best(distances(dealt)),
    }


# --- 8×8 digits -------------------------------------------------------------------------------------------------------


def digits_cells(folder: Path) -> tuple[list[tuple[int, float]], Tensor]:
    """T and ε of each cell, and samples of five perceptrons there: (networks, cells, N, 1, 8, 8) uint8."""
    networks = perceptrons(folder.parent / "perceptrons")
    places = DIGITS_PLACES
    runs = list(itertools.product(networks, places))

    def samples(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        network, (n_steps, step_size) = runs[number]
        x = uniform_start((N_OF_CELL, *network.image_shape), generator)
        states = annealed_langevin(
            network, x, network.sigmas, step_size=step_size, n_steps=n_steps, generator=generator
        )
        return {"samples": quantise(final(states))}

    settings = {"places": places, "n_samples": N_OF_CELL, "weights": [weights_hash(network) for network in networks]}
    place = kept_folder(folder / "digits_cells", settings)
    parts = kept_parts(samples, len(runs), seed=seed("I5"), folder=place)
    drawn = torch.stack([part["samples"] for part in parts])
    return places, drawn.unflatten(0, (len(networks), len(places)))


def held_out_and_halves(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Held-out digits and joined halves of them, with noise, as they would be shown."""
    held_out = load_images("digits", "test")
    halves = joined_halves(held_out, load_labels("digits", "test"))
    real, wrong = (shown(perturb(x, SIGMA_L, generator=generator)) for x in (held_out, halves))
    return real, wrong


def measurements(kept: Mapping[str, Tensor]) -> list[Measurement]:
    """The measurements of I5 at ENDS, from the legible shares of "digits_cells", (networks, cells, 2).

    ± is of networks; the shares of held-out digits and of joined halves are taken as they are.
    """
    training = load_images("digits")
    labels = load_labels("digits")
    images = held_out_and_halves(derived_generator(seed("I5"), 0, 1))
    real, joined = (float(legible(x, training, labels).double().mean()) for x in images)
    numbers = []
    for name, where in ENDS.items():
        shares = kept["digits_cells"][:, DIGITS_PLACES.index(where), 1]
        label = f"digits, {name}: legible, from test digits (0) to joined halves (1)"
        numbers.append(declared("I5", label, of_networks((shares - real) / (joined - real))))
    return numbers


def measure_digits(folder: Path) -> tuple[list[Measurement], dict[str, Tensor]]:
    """The measurements of I5 on 8×8 digits; and the distance and legible share of each cell, (networks, cells, 2)."""
    training = load_images("digits")
    labels = load_labels("digits")
    function = hidden_features(training, labels)
    reference = function(training)
    generator = derived_generator(seed("I5"), 0, 1)
    real, wrong = held_out_and_halves(generator)
    of_real, of_joined = (estimate(legible(x, training, labels).double()) for x in (real, wrong))
    real_distance, wrong_distance = (frechet_distance(function(x), reference) for x in (real, wrong))

    places, drawn = digits_cells(folder)
    of_each = []
    of_codes = []
    table = []
    in_pixels = []
    for cells in drawn.float() / 255:
        features = [function(x) for x in cells]
        readable = [legible(x, training, labels) for x in cells]
        for cross, numbers in ((CROSS, of_each), (CODES_CROSS, of_codes)):
            some = ([values[places.index(where)] for where in cross] for values in (features, readable))
            numbers.append(cell_numbers(*some, reference, of_real, of_joined, generator))
        far = [frechet_distance(f, reference).value for f in features]
        table.append(torch.tensor([far, [float(r.double().mean()) for r in readable]], dtype=torch.float64).T)
        in_pixels.append([frechet_distance(x.flatten(1), training.flatten(1)).value for x in cells])
    cells = torch.stack(table)
    pixels = torch.tensor(in_pixels, dtype=torch.float64)
    columns = [of_network[: len(CROSS)].T for of_network in cells]
    ranks = torch.tensor([rank_correlation(distance, -share) for distance, share in columns])

    def least(numbers: list[dict[str, Estimate]]) -> Estimate:
        return of_networks(torch.tensor([n[LEAST].value for n in numbers]))

    numbers = [
        declared("I5", f"digits, cross: {WORST}, five networks", geometric([n[WORST] for n in of_each])),
        declared("I5", f"digits, cross: {LEAST}", least(of_each)),
        declared("I5", f"control: digits, cross: {DEALT}", geometric([n[DEALT] for n in of_each])),
        declared("I5", "control: digits: joined halves over test digits", ratio(wrong_distance, real_distance)),
        declared("I5", f"digits, {CODES}: {WORST}, five networks", geometric([n[WORST] for n in of_codes])),
        declared("I5", f"digits, {CODES}: {LEAST}", least(of_codes)),
        reported("digits: rank correlation of distance and legible share over the cells", of_networks(ranks)),
    ]
    for i, (n_steps, step_size) in enumerate(places):
        cell = f"digits, T = {n_steps}, ε = {step_size:g}"
        numbers.append(reported(f"{cell}: distance", of_networks(cells[:, i, 0])))
        numbers.append(reported(f"{cell}: legible share", of_networks(cells[:, i, 1])))
        numbers.append(reported(f"{cell}: distance in pixels", of_networks(pixels[:, i])))
    return numbers, {"digits_cells": cells, "digits_cells_in_pixels": pixels}


def geometric(ratios: Sequence[Estimate]) -> Estimate:
    """The geometric mean of a ratio over networks, and its standard error."""
    log = of_networks(torch.tensor([r.value for r in ratios]).log())
    value = math.exp(log.value)
    return Estimate(value, value * log.se)


# --- MNIST ------------------------------------------------------------------------------------------------------------


def measure_mnist(samples: dict[tuple[int, float], Tensor]) -> list[Measurement]:
    """The measurements of I5 on MNIST, from the samples at each T and ε."""
    space = classifier_space(JUDGE)
    reference = reference_for("mnist", space, "test")
    classifier = load_classifier(JUDGE)

    def sure(images: Tensor) -> Tensor:
        return in_batches(classifier, shown(images)).softmax(dim=1).amax(dim=1) >= 0.9

    n_samples = len(samples[TOO_SHORT])
    made = wrong_digits(n_samples, derived_generator(MNIST_SEED, 0, 2))
    of_real, of_joined = (estimate(sure(made[name]).double()) for name in ("training", "joined"))
    readable = {where: sure(x) for where, x in samples.items()}
    features = {where: space.function(x) for where, x in samples.items()}
    far = {where: frechet_distance(f, reference) for where, f in features.items()}
    cells = ([values[where] for where in PLACES] for values in (features, readable))
    numbers = cell_numbers(*cells, reference, of_real, of_joined, derived_generator(MNIST_SEED, 0, 3))
    joined = ratio(judged_distance(made["joined"]), judged_distance(made["training"]))
    in_codes = [far[t, eps] for t, eps in PLACES if CODES_RANGE[0] <= eps <= CODES_RANGE[1]]
    short = ratio(far[TOO_SHORT], max(far[where] for where in PLACES))
    measurements = [
        declared("I5", f"MNIST: {WORST}", numbers[WORST]),
        declared("I5", f"MNIST: {LEAST}", numbers[LEAST]),
        declared("I5", f"control: MNIST: {DEALT}", numbers[DEALT]),
        declared("I5", "control: MNIST: joined halves over training digits", joined),
        declared("I5", "control: MNIST: T = 30 at ε = 5e-6, over the worst cell", short),
        declared("I5", f"MNIST, {CODES}: {WORST}", ratio(max(in_codes), min(in_codes))),
    ]
    for (n_steps, step_size), distance in far.items():
        cell = f"MNIST, T = {n_steps}, ε = {step_size:g}"
        measurements.append(reported(f"{cell}: distance", distance))
        share = estimate(readable[n_steps, step_size].double())
        measurements.append(reported(f"{cell}: legible share", share))
    return measurements


# --- maps -------------------------------------------------------------------------------------------------------------


def map_of_digits(folder: Path) -> tuple[Tensor, Tensor]:
    """The map of the shipped perceptron on 8×8 digits, by Fréchet distances in pixels to the training digits."""
    images = load_images("digits")

    def distance(samples: Tensor) -> Estimate:
        return frechet_distance(samples.flatten(1), images.flatten(1))

    common = {"n_samples": N_DIGITS, "batch_size": 500, "precision": "fp32"}
    places = itertools.product(N_STEPS, STEP_SIZES)
    drawings = [Drawing("digits_mlp", n_steps=t, step_size=eps, **common) for t, eps in places]
    return measure_map(drawings, folder, images, distance)[:2]


def map_of_mnist(
    folder: Path, places: Sequence[tuple[int, float]], n_samples: int, machine: Machine
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The map of the shipped network on MNIST at these T and ε, and the samples of each cell."""
    common = {"n_samples": n_samples, "batch_size": machine.n_chains}
    drawings = []
    for n_steps, step_size in places:
        how = {"seed": MNIST_SEED, "every_level": False}
        if (n_steps, step_size) == (100, 2e-5):
            how = {"seed": I1_SEED}  # the first of those that I1, I4 and I7 rest on
        drawings.append(Drawing("mnist_ncsn", n_steps=n_steps, step_size=step_size, **common, **how))
    return measure_map(drawings, folder, some_images("mnist", "train"), judged_distance, machine)


def measure_map(
    drawings: Sequence[Drawing],
    folder: Path,
    images: Tensor,
    distance: Callable[[Tensor], Estimate],
    machine: Machine = CPU,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Draw every cell's samples, or take them from `folder`, and measure them.

    Args:
        drawings: one a cell.
        folder: of all such samples.
        images: training images, some of whose pixels never change.
        distance: of samples to real images.
        machine: where and how the networks run.

    Returns:
        A row a cell, (cells, 7) float64, the columns as PLACE and MEASURED; the sheets; and the samples of each cell.
    """
    rows = []
    sheets = []
    drawn = []
    for drawing in drawings:
        sigmas = load_network(drawing.network).sigmas
        settings = drawing.facts("n_steps", "step_size")
        ladder = {"predicted": noise_ratio(sigmas, **settings), "sigma_min": float(sigmas[-1])}
        samples = draw(drawing, folder, machine).states[-1]
        cell, sheet = measure_cell(samples, images, distance, **settings, **ladder)
        rows.append([*cell.values()])
        sheets.append(sheet)
        drawn.append(samples)
    return torch.tensor(rows, dtype=torch.float64), torch.stack(sheets), drawn
