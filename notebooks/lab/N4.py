"""N4: whether the held-out objective ranks noise conditional networks as their samples do, on the digits."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from claims import Found, Measurement, Table, claim, declared, reported
from recipes import DigitsTraining, sample_digits, train_digits
from sbgm.checked import Count, checked
from sbgm.data import load_images
from sbgm.generation import draw_batches
from sbgm.measure import frechet_distance, level_losses
from sbgm.networks import ImageMLP
from sbgm.training import n_parameters

N_SAMPLES = 400
N_LATE = 6  # checkpoints over the second half of one run


class NetworkRow(NamedTuple):
    """One network: what it is, its held-out loss, and how far its samples are from real digits.

    Attributes:
        width, n_blocks, norm, iteration: the network, and how long it was trained.
        n_parameters: its size.
        held_out_loss: Eq. 6 with λ = σ² on the held-out digits.
        frechet_held_out, frechet_train: Fréchet distance in pixels of N_SAMPLES samples to the held-out digits and to
            the training digits.
    """

    width: int
    n_blocks: int
    norm: str
    iteration: int
    n_parameters: int
    held_out_loss: float
    frechet_held_out: float
    frechet_train: float


def networks(n_steps: int) -> list[DigitsTraining]:
    """Settings that differ in width, depth and normalisation alone."""
    chosen = [*itertools.product((16, 32, 64, 128, 256), (1, 3), ("layer",)), (64, 3, "none"), (256, 3, "none")]
    return [DigitsTraining(width=w, n_blocks=n, norm=norm, n_steps=n_steps) for w, n, norm in chosen]


def late(n_steps: int) -> DigitsTraining:
    """The run whose late checkpoints are reported: as the paper trains, at a constant rate."""
    return DigitsTraining(learning_rate=1e-3, one_cycle=False, n_steps=n_steps)


@claim("N4")
@checked
def measure(folder: Path, iterations: Count = 3_000) -> Found:
    """Measure N4: train networks of many shapes on the digits at one budget, and rank them by loss and by samples.

    Each network's numbers are kept in `folder`; a run that was stopped goes on with the next network.

    Args:
        iterations: of each network, and of the run whose late checkpoints are reported
    """
    images, held_out = load_images("digits"), load_images("digits", "test")
    steps = torch.linspace(iterations // 2, iterations, N_LATE).round().int().tolist()
    runs = [*((s, [iterations]) for s in networks(iterations)), (late(iterations), steps)]

    def numbers(indices: range, generator: torch.Generator) -> dict[str, Tensor]:
        rows = _train_and_measure(*runs[indices.start], images, held_out)
        columns = zip(*(row[3:] for row in rows), strict=True)
        return {n: torch.tensor(x, dtype=torch.float64) for n, x in zip(NetworkRow._fields[3:], columns, strict=True)}

    kept = Path(folder) / hashlib.sha256(repr((runs, N_SAMPLES)).encode()).hexdigest()[:12]
    bar = tqdm(draw_batches(numbers, len(runs), seed=0, batch_size=1, folder=kept), "N4", len(runs), unit="network")
    *by_network, late_rows = (_rows(settings, found) for (settings, _), found in zip(runs, bar, strict=True))
    rows = list(itertools.chain(*by_network))
    return Found(
        n4_measurements(rows, late_rows),
        table(rows, late_rows),
        data=f"digits, {len(images):,} for training, {len(held_out)} held out",
        note=f"Fréchet distances in pixels, {N_SAMPLES:,} samples each by Algorithm 1 with the paper's T and ε.",
        narrower="it tells networks that work from those that do not; among those that work the ranks agree less",
        facts={"batch_size": late(iterations).batch_size, "seed": late(iterations).seed},
    )


def n4_measurements(rows: Sequence[NetworkRow], late_rows: Sequence[NetworkRow]) -> list[Measurement]:
    """The measurements of N4 on the networks; what is only reported has no interval."""
    return [
        declared("N4", "rank correlation, held-out loss and distance to held-out digits", _agreement(rows)),
        declared("N4", "networks", len(rows)),
        reported("rank correlation, distance to training digits", _agreement(rows, "frechet_train")),
        reported(f"the same among {len(late_rows)} late checkpoints of one run", _agreement(late_rows)),
        reported("largest over smallest distance, networks", _spread(rows)),
        reported("the same, late checkpoints", _spread(late_rows)),
    ]


def measure_network(
    network: ImageMLP, settings: DigitsTraining, iteration: int, images: Tensor, held_out: Tensor
) -> NetworkRow:
    """Measure the held-out loss and the Fréchet distances of a trained network."""
    losses = level_losses(network, held_out, settings.sigmas, n_noise=4, generator=torch.Generator().manual_seed(1))
    samples = sample_digits(network, N_SAMPLES, generator=torch.Generator().manual_seed(2)).flatten(1)
    return NetworkRow(
        settings.width,
        settings.n_blocks,
        settings.norm,
        iteration,
        n_parameters(network),
        float(losses.values.mean()),
        frechet_distance(samples, held_out.flatten(1)).value,
        frechet_distance(samples, images.flatten(1)).value,
    )


def table(rows: Sequence[NetworkRow], late_rows: Sequence[NetworkRow]) -> Table:
    """The numbers as a table, a row a network, marked in the column "run" as "network" or "late" checkpoint."""
    import pandas

    runs = {"network": rows, "late": late_rows}
    return pandas.DataFrame([{"run": run, **row._asdict()} for run in runs for row in runs[run]])


def read_rows(path: Path) -> tuple[list[NetworkRow], list[NetworkRow]]:
    """The rows of a file of `table`: the networks, and the late checkpoints of one run."""
    import pandas

    exactly = dict.fromkeys(NetworkRow._fields[5:], float)  # which not every version of pandas reads by itself
    runs = dict(list(pandas.read_csv(path, converters=exactly, keep_default_na=False).groupby("run")))
    networks, late_rows = (runs[run].drop(columns="run").to_dict("records") for run in ("network", "late"))
    return [NetworkRow(**row) for row in networks], [NetworkRow(**row) for row in late_rows]


def _rows(settings: DigitsTraining, found: dict[str, Tensor]) -> list[NetworkRow]:
    shape = {name: getattr(settings, name) for name in NetworkRow._fields[:3]}
    whole = {name: found[name].long() for name in ("iteration", "n_parameters")}
    columns = {name: x.tolist() for name, x in (found | whole).items()}
    return [NetworkRow(**shape, **dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _train_and_measure(
    settings: DigitsTraining, iterations: list[int], images: Tensor, held_out: Tensor
) -> Iterator[NetworkRow]:
    network = settings.network()
    for step in train_digits(network, images, settings):
        if step.step in iterations:
            yield measure_network(network, settings, step.step, images, held_out)


def _agreement(rows: Sequence[NetworkRow], distance: str = "frechet_held_out") -> float:
    """Spearman's rank correlation of held-out loss and distance."""
    from scipy.stats import spearmanr

    return float(spearmanr([r.held_out_loss for r in rows], [getattr(r, distance) for r in rows]).statistic)


def _spread(rows: Sequence[NetworkRow]) -> float:
    distances = [r.frechet_held_out for r in rows]
    return max(distances) / min(distances)


if __name__ == "__main__":
    measure.start()
