"""Distance against network evaluations for every sampler: drawn batch by batch, resumably, and entered as a record."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from sbgm import claims
from sbgm.experiments.classifier import load_classifier
from sbgm.experiments.recorded.curve import ConfirmedPoint, MeasuredPoint, SamplerCurve, save_curve, sheet_name
from sbgm.experiments.recorded.curve_entries import Entry, draw_entry, entries
from sbgm.experiments.recorded.recording import digit_distance
from sbgm.experiments.recorded.samples import CPU, Machine
from sbgm.hardware import hardware
from sbgm.metrics import class_shares, confident_share, in_batches, quantise, shown
from sbgm.metrics.reference import some_images
from sbgm.weights import load_network, weights_file

N_SHEET = 16
"""Samples of each entry that the record keeps."""
N_FITTED = 1_000
"""Training digits that a fitted start is fitted to."""


def measure_curve(
    folder: Path,
    network: str = "mnist_ncsn",
    n_samples: int = 1_000,
    n_confirmed: int = 1_000,
    batch_size: int = 50,
    seed: int = 0,
    machine: Machine = CPU,
) -> SamplerCurve:
    """Draw the samples of all `entries`, measure their distances, and write the record of a network.

    Of the samplers with a tenth of Algorithm 1's evaluations or fewer, the nearest to the data and the one that the
    classifier is surest of are then measured again, on samples from other noise.

    The samples are kept batch by batch in `folder`, in a folder that the hash of the weights names; a run that was
    stopped goes on from there, and one that asks for more samples with those already drawn.

    Args:
        folder: where samples are kept.
        network: the name of a shipped network on MNIST, or a file of weights.
        n_samples: of each entry; more than 128, the number of features.
        n_confirmed: of each of the two; as many at least.
        batch_size: chains side by side.
        seed: of all of it, and the next one of the two; entries with the same start begin alike.
        machine: where and how the network runs.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        ValueError: there are too few samples for a distance.
    """
    for name, n in (("n_samples", n_samples), ("n_confirmed", n_confirmed)):
        if n <= 128:
            raise ValueError(f"{name} must be more than 128, the number of features, got {n}")
    model = machine.prepared(load_network(network))
    file, wanted, digits = weights_file(network), entries(model.sigmas), some_images("mnist_small", "train", N_FITTED)

    def samples(entry: Entry, n: int, seed: int, bar: tqdm) -> Tensor:
        kept = Path(folder) / f"{file.stem}-{claims.file_hash(file)[:12]}-curve-batch{batch_size}-seed{seed}"
        batches = []
        for batch in draw_entry(entry, model, digits, kept / entry.key, n, batch_size, seed):
            batches.append(batch)
            bar.update(len(batch) * entry.evaluations)
        return torch.cat(batches)[:n]

    points, sheets = [], {}
    with _bar(n_samples * sum(entry.evaluations for entry in wanted)) as bar:
        for entry in wanted:
            drawn = samples(entry, n_samples, seed, bar)
            points.append(_measured(entry, drawn))
            sheets[sheet_name(points[-1])] = quantise(drawn[:N_SHEET])
    facts = {
        "n_samples": n_samples,
        "batch_size": batch_size,
        "seed": seed,
        "reference": "10,000 MNIST test images",
        **claims.weights_facts(network, "mnist_classifier"),
        "hardware": hardware(),
        "torch": torch.__version__,
        "command": f"python -m sbgm evaluate --curve {network} --n-samples {n_samples}",
    }
    curve = SamplerCurve(tuple(points), facts, sheets)
    best = list(dict.fromkeys([curve.fast(), curve.surest()]))
    confirmed = []
    with _bar(n_confirmed * sum(point.evaluations for point in best)) as bar:
        for entry in (wanted[points.index(point)] for point in best):
            confirmed.append(_confirmed(entry, samples(entry, n_confirmed, seed + 1, bar)))
    return save_curve(dataclasses.replace(curve, confirmed=tuple(confirmed)), file.stem)


def _bar(n_evaluations: int) -> tqdm:
    return tqdm(total=n_evaluations, unit="evaluation", unit_scale=True)


def _measured(entry: Entry, samples: Tensor) -> MeasuredPoint:
    distance, sure = digit_distance(samples), confident_share(in_batches(load_classifier(), shown(samples)))
    return MeasuredPoint(entry.label, entry.evaluations, distance.value, distance.se, sure.value)


def _confirmed(entry: Entry, samples: Tensor) -> ConfirmedPoint:
    shares = [s.value for s in class_shares(in_batches(load_classifier(), shown(samples)))]
    measured = dataclasses.asdict(_measured(entry, samples))
    return ConfirmedPoint(**measured, n_samples=len(samples), smallest_class=min(shares), largest_class=max(shares))
