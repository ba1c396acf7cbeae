"""N4: whether the held-out objective ranks noise conditional networks as their samples do, on the digits."""

import hashlib
import itertools
import sys
from pathlib import Path
from typing import Annotated

import pandas
import torch
from torch import Tensor
from tqdm import tqdm

from claims import Found, Measurement, declared, reported, run
from recipes import DigitsTraining, sample_digits, train_digits
from sbgm.guard import Count
from sbgm.images.data import load_images
from sbgm.images.drawing import draw_batches
from sbgm.measure import frechet_distance, level_losses
from sbgm.networks import ImageMLP
from sbgm.training import n_parameters

N_SAMPLES = 400
N_LATE = 6  # checkpoints over the second half of one run


COLUMNS = ("iteration", "n_parameters", "held_out_loss", "frechet_held_out", "frechet_train")
"""How long a network was trained, its size, Eq. 6 with λ = σ² on the held-out digits, and the Fréchet distances in
pixels of N_SAMPLES samples to the held-out digits and to the training digits."""


def networks(n_steps: int) -> list[DigitsTraining]:
    """Settings that differ in width, depth and normalisation alone."""
    chosen = [*itertools.product((16, 32, 64, 128, 256), (1, 3), ("layer",)), (64, 3, "none"), (256, 3, "none")]
    return [DigitsTraining(width=w, n_blocks=n, norm=norm, n_steps=n_steps) for w, n, norm in chosen]


def late(n_steps: int) -> DigitsTraining:
    """The run whose late checkpoints are reported: as the paper trains, at a constant rate."""
    return DigitsTraining(learning_rate=1e-3, one_cycle=False, n_steps=n_steps)


def measure(
    folder: Path,
    iterations: Annotated[Count, "of each network, and of the run whose late checkpoints are reported"] = 3_000,
) -> Found:
    """Measure N4: train networks of many shapes on the digits at one budget, and rank them by loss and by samples.

    Each network's numbers are kept in `folder`; a run that was stopped goes on with the next network.
    """
    images = load_images("digits")
    held_out = load_images("digits", "test")
    steps = torch.linspace(iterations // 2, iterations, N_LATE).round().int().tolist()
    runs = [("network", s, [iterations]) for s in networks(iterations)] + [("late", late(iterations), steps)]

    def rows_of(indices: range, generator: torch.Generator) -> dict[str, Tensor]:
        _, settings, looks = runs[indices.start]
        network = settings.network()
        rows = []
        for step in train_digits(network, images, settings):
            if step.step in looks:
                numbers = measure_network(network, settings, images, held_out)
                rows.append((step.step, n_parameters(network), *numbers))
        columns = torch.tensor(rows, dtype=torch.float64).T
        return {name: column.clone() for name, column in zip(COLUMNS, columns, strict=True)}

    kept = Path(folder) / hashlib.sha256(repr((runs, N_SAMPLES)).encode()).hexdigest()[:12]
    bar = tqdm(draw_batches(rows_of, len(runs), seed=0, batch_size=1, folder=kept), "N4", len(runs), unit="network")
    parts = []
    for (kind, settings, _), found in zip(runs, bar, strict=True):
        shape = {"run": kind, "width": settings.width, "n_blocks": settings.n_blocks, "norm": settings.norm}
        parts.append(pandas.DataFrame(shape | {name: found[name].numpy() for name in COLUMNS}))
    table = pandas.concat(parts, ignore_index=True).astype({"iteration": int, "n_parameters": int})
    return Found(
        n4_measurements(table),
        table,
        data=f"digits, {len(images):,} for training, {len(held_out)} held out",
        note=f"Fréchet distances in pixels, {N_SAMPLES:,} samples each by Algorithm 1 with the paper's T and ε.",
        narrower="it tells networks that work from those that do not; among those that work the ranks agree less",
        facts={"batch_size": late(iterations).batch_size, "seed": late(iterations).seed},
    )


def n4_measurements(table: pandas.DataFrame) -> list[Measurement]:
    """The measurements of N4 on the networks; what is only reported has no interval.

    Args:
        table: a row a network: its "run", "network" or a "late" checkpoint, its width, n_blocks and norm, and COLUMNS.
    """
    rows, late_rows = (table[table["run"] == run] for run in ("network", "late"))
    return [
        declared("N4", "rank correlation, held-out loss and distance to held-out digits", _agreement(rows)),
        declared("N4", "networks", len(rows)),
        reported("rank correlation, distance to training digits", _agreement(rows, "frechet_train")),
        reported(f"the same among {len(late_rows)} late checkpoints of one run", _agreement(late_rows)),
        reported("largest over smallest distance, networks", _spread(rows)),
        reported("the same, late checkpoints", _spread(late_rows)),
    ]


def measure_network(
    network: ImageMLP, settings: DigitsTraining, images: Tensor, held_out: Tensor
) -> tuple[float, float, float]:
    """The held-out loss and the Fréchet distances of a trained network."""
    losses = level_losses(network, held_out, settings.sigmas, n_noise=4, generator=torch.Generator().manual_seed(1))
    samples = sample_digits(network, N_SAMPLES, generator=torch.Generator().manual_seed(2)).flatten(1)
    distances = (frechet_distance(samples, real.flatten(1)).value for real in (held_out, images))
    return float(losses.values.mean()), *distances


def read_table(path: Path) -> pandas.DataFrame:
    """The table of a record's file, as it was written."""
    exactly = dict.fromkeys(COLUMNS[2:], float)  # which not every version of pandas reads by itself
    return pandas.read_csv(path, converters=exactly, keep_default_na=False)


def _agreement(rows: pandas.DataFrame, distance: str = "frechet_held_out") -> float:
    """Spearman's rank correlation of held-out loss and distance."""
    return float(rows["held_out_loss"].corr(rows[distance], method="spearman"))


def _spread(rows: pandas.DataFrame) -> float:
    return float(rows["frechet_held_out"].max() / rows["frechet_held_out"].min())


if __name__ == "__main__":
    sys.exit(run("N4", measure))
