"""Distance against network evaluations for every sampler: drawn batch by batch, resumably, and kept as a record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from sbgm import claims
from sbgm.experiments.classifier import load_classifier
from sbgm.experiments.recorded.curve_entries import draw_entry, entries
from sbgm.experiments.recorded.recording import digit_distance
from sbgm.experiments.recorded.samples import CPU, Machine
from sbgm.files import load_tensors, save_tensors, written_whole
from sbgm.hardware import hardware
from sbgm.metrics import confident_share, in_batches, quantise, shown
from sbgm.metrics.reference import some_images
from sbgm.weights import load_network, weights_file

N_SHEET = 16
"""Samples of each entry that the record keeps."""
N_FITTED = 1_000
"""Training digits that a fitted start is fitted to."""


@dataclasses.dataclass(frozen=True)
class MeasuredPoint:
    """What was measured of an entry's samples.

    Attributes:
        label, evaluations: the entry's.
        distance, se: Fréchet distance to MNIST's test images in the features of the shipped classifier.
        sure: the share of samples that the classifier is at least 90 % sure of.
    """

    label: str
    evaluations: int
    distance: float
    se: float
    sure: float


@dataclasses.dataclass(frozen=True)
class SamplerCurve:
    """The points of all curves, how they were measured, and some samples of each.

    Attributes:
        points: in the order of `entries`.
        facts: of the measurement; the hashes of network and classifier among them.
        sheets: (N_SHEET, 1, 28, 28) uint8 by "label, evaluations".
    """

    points: tuple[MeasuredPoint, ...]
    facts: dict[str, str | int | float]
    sheets: dict[str, Tensor]

    def __str__(self) -> str:
        """The whole curve as a table: a row a label, with its distances ± 2 s.e. by evaluations."""
        lines = [f"Fréchet distance ± 2 s.e., {self.facts['n_samples']:,} samples, by evaluations"]
        for label in self.labels():
            values = (f"{p.evaluations}: {p.distance:.3g} ± {2 * p.se:.2g}" for p in self.curve(label))
            lines.append(f"{label:<32}" + "  ".join(f"{value:<20}" for value in values).rstrip())
        return "\n".join(lines)

    def labels(self) -> list[str]:
        """The curves' labels, in order."""
        return list(dict.fromkeys(point.label for point in self.points))

    def curve(self, label: str) -> list[MeasuredPoint]:
        """The points of one curve, by rising cost."""
        return sorted((p for p in self.points if p.label == label), key=lambda p: p.evaluations)

    def sheet(self, point: MeasuredPoint) -> Tensor:
        """Some of a point's samples in [0, 1]: (N_SHEET, 1, 28, 28)."""
        return self.sheets[_name(point)].float() / 255

    def algorithm_1(self) -> MeasuredPoint:
        """The best that Algorithm 1 does with all of its evaluations, 1,000 or a ladder's multiple just below."""
        return min((p for p in self.points if p.label.startswith("Algorithm 1") and p.evaluations > 900), key=_distance)

    def fast(self, n_fewer: int = 10) -> MeasuredPoint:
        """The best of the other samplers with at most 1/n_fewer of Algorithm 1's evaluations."""
        limit = self.algorithm_1().evaluations / n_fewer
        others = (p for p in self.points if not p.label.startswith("Algorithm 1") and p.evaluations <= limit)
        return min(others, key=_distance)


def measure_curve(
    folder: Path,
    network: str = "mnist_ncsn",
    n_samples: int = 1_000,
    batch_size: int = 50,
    seed: int = 0,
    machine: Machine = CPU,
) -> SamplerCurve:
    """Draw the samples of all `entries`, measure their distances, and write the record of a network.

    The samples are kept batch by batch in `folder`, in a folder that the hash of the weights names; a run that was
    stopped goes on from there, and one that asks for more samples with those already drawn.

    Args:
        folder: where samples are kept.
        network: the name of a shipped network on MNIST, or a file of weights.
        n_samples: of each entry; more than 128, the number of features.
        batch_size: chains side by side.
        seed: of all of it; entries with the same start begin alike.
        machine: where and how the network runs.

    Raises:
        DataNotFoundError: MNIST is not at hand.
        ValueError: there are too few samples for a distance.
    """
    if n_samples <= 128:
        raise ValueError(f"n_samples must be more than 128, the number of features, got {n_samples}")
    model = machine.prepared(load_network(network))
    file, wanted = weights_file(network), entries(model.sigmas)
    kept = Path(folder) / f"{file.stem}-{claims.file_hash(file)[:12]}-curve-batch{batch_size}-seed{seed}"
    digits, classifier, points, sheets = some_images("mnist_small", "train", N_FITTED), load_classifier(), [], {}
    with tqdm(total=n_samples * sum(entry.evaluations for entry in wanted), unit="evaluation", unit_scale=True) as bar:
        for entry in wanted:
            batches = []
            for batch in draw_entry(entry, model, digits, kept / entry.key, n_samples, batch_size, seed):
                batches.append(batch)
                bar.update(len(batch) * entry.evaluations)
            samples = torch.cat(batches)[:n_samples]
            distance = digit_distance(samples)
            sure = confident_share(in_batches(classifier, shown(samples))).value
            points.append(MeasuredPoint(entry.label, entry.evaluations, distance.value, distance.se, sure))
            sheets[_name(points[-1])] = quantise(samples[:N_SHEET])
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
    return save_curve(SamplerCurve(tuple(points), facts, sheets), file.stem)


def curve_file(network: str) -> Path:
    """Where the record of a network's curve is committed."""
    return claims.results_folder() / f"sampler_curve_{network}.json"


def save_curve(curve: SamplerCurve, network: str) -> SamplerCurve:
    """Write a network's record to `claims.results_folder()`, its samples in a file beside it; return what is kept."""
    path = curve_file(network)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheets = path.with_suffix(".safetensors")
    save_tensors(sheets, curve.sheets)
    facts = curve.facts | {"file": sheets.name, "sha256": claims.file_hash(sheets)}
    content = {"facts": facts, "points": [dataclasses.asdict(point) for point in curve.points]}
    with written_whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return dataclasses.replace(curve, facts=facts)


def load_curve(network: str = "mnist_ncsn") -> SamplerCurve:
    """The recorded curve of a network.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it was measured with other weights, or its samples are not those that were recorded; the message
            says how to measure anew.
    """
    path = curve_file(network)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; python -m sbgm evaluate --curve {network} measures it")
    content = json.loads(path.read_text(encoding="utf-8"))
    record = claims.Settled(path.stem, "reported", (), facts=content["facts"])
    sheets, _ = load_tensors(claims.attached_file(claims.check_weights(record)))
    points = tuple(MeasuredPoint(**point) for point in content["points"])
    return SamplerCurve(points, content["facts"], sheets)


def _name(point: MeasuredPoint) -> str:
    return f"{point.label}, {point.evaluations}"


def _distance(point: MeasuredPoint) -> float:
    return point.distance
