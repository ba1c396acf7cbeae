"""N4: whether the held-out objective ranks noise conditional networks as their samples do, on the digits."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas
import torch
from torch import Tensor
from tqdm import tqdm

from controls import joined_halves, legible
from errors import bootstrap, rank_correlation
from ledger import Measurement, Record, declared, record, reported, seed
from recipes import DigitsTraining, kept_parts, train_digits
from sbgm import derived_generator
from sbgm.images.data import load_images, load_labels
from sbgm.images.drawing import kept_folder, uniform_start
from sbgm.measure import Estimate, frechet_distance, level_losses, shown
from sbgm.networks import ImageMLP
from sbgm.noise import perturb
from sbgm.samplers import annealed_langevin, final
from sbgm.training import n_parameters

OPTIONS = {"folder": "N4"}
N_SEEDS = 3
N_SAMPLES = 1_000
N_LATE = 6  # checkpoints over the second half of one run
SIGMA_L = 0.01

COLUMNS = ("iteration", "n_parameters", "held_out_loss", "frechet_held_out", "frechet_train", "legible")
"""How long a network was trained, its size, Eq. 6 with λ = σ² on the held-out digits, and of N_SAMPLES samples as shown
the Fréchet distances in pixels to the held-out digits and to the training digits, and the share that is legible."""


def networks(n_steps: int) -> list[DigitsTraining]:
    """Settings that differ in width, depth and normalisation alone."""
    chosen = [*itertools.product((16, 32, 64, 128, 256), (1, 3), ("layer",)), (64, 3, "none"), (256, 3, "none")]
    return [DigitsTraining(width=w, n_blocks=n, norm=norm, n_steps=n_steps) for w, n, norm in chosen]


def late(n_steps: int) -> DigitsTraining:
    """The run whose late checkpoints are reported: as the paper trains, at a constant rate."""
    return DigitsTraining(learning_rate=1e-3, one_cycle=False, n_steps=n_steps)


def measure(folder: Path, iterations: int = 3_000) -> Record:
    """Measure N4: train networks of many shapes on the digits at one budget, and rank them by loss and by samples.

    Each network's numbers are kept in `folder`; a run that was stopped goes on with the next network.

    Args:
        folder: of what is kept.
        iterations: of each network, and of the run whose late checkpoints are reported.
    """
    images = load_images("digits")
    held_out = load_images("digits", "test")
    steps = torch.linspace(iterations // 2, iterations, N_LATE).round().int().tolist()
    runs = [("network", s, [iterations]) for s in each_seed(networks(iterations))]
    runs += [("late", s, steps) for s in each_seed([late(iterations)])]

    def rows_of(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        _, settings, looks = runs[number]
        network = settings.network()
        rows = []
        for step in train_digits(network, images, settings):
            if step.step in looks:
                numbers = measure_network(network, settings, images, held_out, generator)
                rows.append((step.step, n_parameters(network), *numbers))
        columns = torch.tensor(rows, dtype=torch.float64).T
        return {name: column.clone() for name, column in zip(COLUMNS, columns, strict=True)}

    trainings = [[kind, dataclasses.asdict(settings), looks] for kind, settings, looks in runs]
    place = kept_folder(Path(folder) / "networks", {"trainings": trainings, "n_samples": N_SAMPLES})
    drawn = kept_parts(rows_of, len(runs), seed=seed("N4"), folder=place)
    bar = tqdm(drawn, "N4", len(runs), unit="network")
    parts = []
    for (kind, settings, _), found in zip(runs, bar, strict=True):
        shape = {"run": kind, "width": settings.width, "n_blocks": settings.n_blocks, "norm": settings.norm}
        shape["seed"] = settings.seed - seed("N4")
        parts.append(pandas.DataFrame(shape | {name: found[name].numpy() for name in COLUMNS}))
    table = pandas.concat(parts, ignore_index=True).astype({"iteration": int, "n_parameters": int})
    return record(
        "N4",
        measurements(table),
        table,
        data=f"digits, {len(images):,} for training, {len(held_out)} held out",
        note=f"Fréchet distances in pixels as shown, {N_SAMPLES:,} samples each by Algorithm 1, the paper's T and ε.",
        narrower="perceptrons on 8×8 digits",
        facts={"iterations": iterations, "batch_size": late(iterations).batch_size, "n_seeds": N_SEEDS},
    )


def each_seed(settings: list[DigitsTraining]) -> list[DigitsTraining]:
    """The same settings with each of the seeds, those of one shape side by side."""
    return [dataclasses.replace(s, seed=seed("N4") + part) for s in settings for part in range(N_SEEDS)]


def distance_of_halves() -> float:
    """The distance of joined halves of digits to held-out digits, beyond which samples show no digits."""
    halves = joined_halves(load_images("digits")[:N_SAMPLES], load_labels("digits")[:N_SAMPLES])
    noisy = perturb(halves, SIGMA_L, generator=derived_generator(seed("N4"), 1))
    return frechet_distance(shown(noisy).flatten(1), load_images("digits", "test").flatten(1)).value


def measurements(table: pandas.DataFrame) -> list[Measurement]:
    """The measurements of N4 on the networks; what is only reported has no interval.

    Args:
        table: a row a network: its "run", "network" or a "late" checkpoint, its width, n_blocks, norm and seed, and
            COLUMNS. The seeds of a network stand side by side, the checkpoints of a late run too.
    """
    of_halves = distance_of_halves()
    rows, late_rows = (table[table["run"] == run] for run in ("network", "late"))
    loss, distance, readable = (
        side_by_side(rows, name, N_SEEDS) for name in ("held_out_loss", "frechet_held_out", "legible")
    )

    def over_settings(statistic: Callable[[Tensor], float]) -> Estimate:
        return bootstrap(statistic, len(loss), generator=derived_generator(seed("N4"), 2))

    def of_two_seeds(i: Tensor) -> float:
        columns = distance[i].T
        return _mean(rank_correlation(columns[a], columns[b]) for a, b in itertools.combinations(range(N_SEEDS), 2))

    near = distance.mean(dim=1) < of_halves
    late_loss, late_distance = (
        side_by_side(late_rows, name, N_LATE).T for name in ("held_out_loss", "frechet_held_out")
    )
    label = "rank correlation of held-out loss and distance, three seeds"
    between = "control: rank correlation of two seeds' distances, three pairs"
    by_legible = over_settings(lambda i: _agreement(loss[i], -readable[i]))
    among_near = []
    if int(near.sum()) > 2:
        among_near.append(reported("the same among these settings", _agreement(loss[near], distance[near])))
    return [
        declared("N4", label, over_settings(lambda i: _agreement(loss[i], distance[i]))),
        declared("N4", between, over_settings(of_two_seeds)),
        reported("the same, legible share in place of distance", by_legible),
        reported("settings nearer than joined halves", int(near.sum())),
        *among_near,
        reported(f"the same among {N_LATE} late checkpoints, three seeds", _agreement(late_loss, late_distance)),
        reported("distance of joined halves", of_halves),
    ]


def side_by_side(rows: pandas.DataFrame, column: str, n: int) -> Tensor:
    """A column's numbers, n rows of the table in each row of the tensor."""
    return torch.tensor(rows[column].tolist(), dtype=torch.float64).reshape(-1, n)


def measure_network(
    network: ImageMLP, settings: DigitsTraining, images: Tensor, held_out: Tensor, generator: torch.Generator
) -> tuple[float, ...]:
    """The held-out loss, by noise that is one for all, and of samples the Fréchet distances and the legible share."""
    noise = derived_generator(seed("N4"))
    losses = level_losses(network, held_out, settings.sigmas, n_noise=4, generator=noise)
    x = uniform_start((N_SAMPLES, *network.image_shape), generator)
    x = final(annealed_langevin(network, x, network.sigmas, step_size=2e-5, n_steps=100, generator=generator))
    samples = shown(x)
    distances = (frechet_distance(samples.flatten(1), real.flatten(1)).value for real in (held_out, images))
    readable = legible(samples, images, load_labels("digits"))
    return _mean(loss.value for loss in losses), *distances, float(readable.double().mean())


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)


def _agreement(loss: Tensor, distance: Tensor) -> float:
    """The rank correlation of loss and distance over the settings, the mean of the seeds: (settings, seeds) each."""
    return _mean(rank_correlation(*pair) for pair in zip(loss.T, distance.T, strict=True))
