"""What was measured and recorded in `data/results/`, as chapters and sliders show it.

A record is made by the lab notebooks and scripts in `notebooks/lab/`; here it is only read. In this order: any record;
the map over T and ε; and the curve of samplers.
"""

from __future__ import annotations

import dataclasses
import json
import math
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sbgm.data import shipped_folder
from sbgm.files import file_hash, load_tensors
from sbgm.measure.estimates import Estimate
from sbgm.weights import weights_file

__all__ = [
    "Cell",
    "ConfirmedPoint",
    "MeasuredPoint",
    "Record",
    "SamplerCurve",
    "StepMap",
    "attached_file",
    "check_weights",
    "load_curve",
    "load_record",
    "load_step_map",
    "results_folder",
]

WEIGHTS = "weights of "  # a record's facts hold the sha256 of each network's file under this and its name
CURVE = "sampler_curve_"  # what the names of records of curves begin with
N_SHEET = 16
"""Samples of each cell and each point that are kept to be looked at."""


# --- any record -------------------------------------------------------------------------------------------------------


class Record(NamedTuple):
    """A record, and what it rests on.

    Attributes:
        id: the claim's, or the file's stem.
        facts: how and on what it was measured.
        numbers: what was measured, by label, with its standard error (0 where there is none).
        tensors: of the file that it rests on, by name; none of a table.
        content: all that its JSON file holds.
    """

    id: str
    facts: dict[str, Any]
    numbers: dict[str, Estimate]
    tensors: dict[str, Tensor]
    content: dict[str, Any]


def results_folder() -> Path:
    """Where the committed records are: `results/` in `data.shipped_folder()`."""
    return shipped_folder() / "results"


def load_record(name: str) -> Record:
    """Read a record of `data/results/`, and what it rests on.

    Args:
        name: of the claim, such as "I10", or the file's stem.

    Raises:
        FileNotFoundError: there is none.
        ValueError: its file is not the one that was recorded, or a network that it was measured with is not the one
            that ships now.
    """
    path = results_folder() / f"{name}.json"
    if not path.is_file():
        curve = name.startswith(CURVE)
        how = f"--curve {name.removeprefix(CURVE)}" if curve else f"--claim {name}"
        raise FileNotFoundError(f"{path} is missing; python -m sbgm evaluate {how} measures it")
    content = json.loads(path.read_text(encoding="utf-8"))
    found = {m["label"]: Estimate(m["value"], m.get("se", 0.0)) for m in content.get("measurements", ())}
    record = check_weights(Record(name, content["facts"], found, {}, content))
    if "file" not in record.facts:
        return record
    file = attached_file(record)
    return record._replace(tensors=load_tensors(file)[0]) if file.suffix == ".safetensors" else record


def attached_file(record: Any, folder: Path | None = None) -> Path:
    """The file that a recorded claim rests on, beside its record.

    Raises:
        ValueError: the record names no file, or the file is missing or not the one that was recorded.
    """
    if not {"file", "sha256"} <= record.facts.keys():
        raise ValueError(f"the record of {record.id} names no file")
    path = (results_folder() if folder is None else folder) / str(record.facts["file"])
    if not path.is_file() or file_hash(path) != record.facts["sha256"]:
        raise ValueError(f"{path} is missing or not the file that {record.id} was recorded with (its sha256 differs)")
    return path


def check_weights(record: Any) -> Any:
    """Return a recorded claim if the networks that it was measured with, if any, are those that ship now.

    Raises:
        ValueError: a network's shipped file is missing or another; the message says how to measure anew.
    """
    named = {key.removeprefix(WEIGHTS): fact for key, fact in record.facts.items() if key.startswith(WEIGHTS)}
    for name, recorded in named.items():
        path = weights_file(name)
        if not path.is_file() or file_hash(path) != recorded:
            raise ValueError(
                f"{path} is missing or not the network that {record.id} was measured with (its sha256 differs); "
                f"measure it anew: {record.facts.get('command', 'python -m sbgm evaluate --claim ' + record.id)}"
            )
    return record


# --- the map over T and ε (I5) ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Cell:
    """One T and ε of the map, and what was measured there.

    Attributes:
        n_steps: T, steps a level.
        step_size: ε, in the paper's convention x + (ε/2) s + √ε z.
        distance, se: Fréchet distance of the samples to real images.
        predicted: variance of the noise on the samples over σ_L², by `theory.noise_ratio`.
        measured, measured_se: the same, of the samples, by `noise_on_constant_pixels`.
    """

    n_steps: int
    step_size: float
    distance: float
    se: float
    predicted: float
    measured: float
    measured_se: float

    @property
    def place(self) -> tuple[int, float]:
        """(T, ε)."""
        return self.n_steps, self.step_size

    @property
    def estimate(self) -> Estimate:
        """The distance with its standard error."""
        return Estimate(self.distance, self.se)


@dataclasses.dataclass(frozen=True)
class StepMap:
    """The cells of one network's map.

    Attributes:
        cells: in any order.
        sheets: (len(cells), N_SHEET, C, H, W) uint8, samples of each.
    """

    cells: tuple[Cell, ...]
    sheets: Tensor

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.sheets) or not self.cells:
            raise ValueError(f"sheets must be one a cell, got {len(self.sheets)} for {len(self.cells)} cells")

    def at(self, n_steps: int, step_size: float) -> Cell:
        """The cell at T and ε.

        Raises:
            KeyError: it was not measured.
        """
        return self.cells[self._index(n_steps, step_size)]

    def sheet(self, n_steps: int, step_size: float) -> Tensor:
        """Samples at T and ε, in [0, 1]: (N_SHEET, C, H, W)."""
        return self.sheets[self._index(n_steps, step_size)].float() / 255

    def n_steps(self) -> list[int]:
        """The T of the map, rising."""
        return sorted({cell.n_steps for cell in self.cells})

    def step_sizes(self) -> list[float]:
        """The ε of the map, rising."""
        return sorted({cell.step_size for cell in self.cells})

    def grid(self, name: str) -> Tensor:
        """A number of every cell as a table, T by ε, NaN where there is none: (len(n_steps()), len(step_sizes()))."""
        import pandas

        cells = pandas.DataFrame(list(self.cells))
        return torch.tensor(cells.pivot(index="n_steps", columns="step_size", values=name).to_numpy("float64"))

    def within(self, n_steps: Sequence[int], step_sizes: Sequence[float]) -> StepMap:
        """The part of the map with T and ε among these."""
        kept = [i for i, c in enumerate(self.cells) if c.n_steps in n_steps and c.step_size in step_sizes]
        return StepMap(tuple(self.cells[i] for i in kept), self.sheets[kept])

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The map as two tensors, to be saved: `name`, a row a cell, and `name_sheets`."""
        rows = torch.tensor([dataclasses.astuple(cell) for cell in self.cells], dtype=torch.float64)
        return {name: rows, f"{name}_sheets": self.sheets}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], name: str) -> StepMap:
        """The map that `tensors` turned into two tensors of this name."""
        cells = (Cell(round(row[0]), *row[1:]) for row in tensors[name].tolist())
        return cls(tuple(cells), tensors[f"{name}_sheets"])

    def _index(self, n_steps: int, step_size: float) -> int:
        places = [cell.place for cell in self.cells]
        if (n_steps, step_size) not in places:
            raise KeyError(f"the map has no cell at T = {n_steps}, ε = {step_size:g}")
        return places.index((n_steps, step_size))


def load_step_map(images: str) -> StepMap:
    """The map that the record of I5 holds of a network.

    Args:
        images: that the network was trained on, "digits" or "mnist".

    Raises:
        FileNotFoundError, ValueError: as `load_record`.
    """
    return StepMap.from_tensors(load_record("I5").tensors, images)


# --- the curve of samplers (chapter 10) -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class MeasuredPoint:
    """The measurements of an entry's samples.

    Attributes:
        label, evaluations: the entry's.
        distance, se: Fréchet distance to MNIST's test images in the features of `mnist_classifier`.
        sure: the share of samples that this classifier is at least 90 % sure of.
        judge, judge_se: the distance in the features of `mnist_judge`; NaN in a record that does not have it.
    """

    label: str
    evaluations: int
    distance: float
    se: float
    sure: float
    judge: float = dataclasses.field(default=math.nan, kw_only=True)
    judge_se: float = dataclasses.field(default=math.nan, kw_only=True)

    @property
    def name(self) -> str:
        """The label and the evaluations, by which the record keeps its samples."""
        return f"{self.label}, {self.evaluations}"


@dataclasses.dataclass(frozen=True)
class ConfirmedPoint(MeasuredPoint):
    """A point measured once more, on other samples: the best of many is flattered by its choice.

    Attributes:
        n_samples: drawn anew.
        smallest_class, largest_class: the shares of samples that the classifier puts in its rarest and commonest class.
    """

    n_samples: int
    smallest_class: float
    largest_class: float


@dataclasses.dataclass(frozen=True)
class SamplerCurve:
    """The points of all curves, how they were measured, and some samples of each.

    Attributes:
        points: in the order in which they were measured.
        facts: of the measurement; the hashes of network and classifier among them.
        sheets: (16, 1, 28, 28) uint8 by "label, evaluations".
        confirmed: `fast()` and `surest()` from other noise.
    """

    points: tuple[MeasuredPoint, ...]
    facts: dict[str, str | int | float]
    sheets: dict[str, Tensor]
    confirmed: tuple[ConfirmedPoint, ...] = ()

    @property
    def id(self) -> str:
        """The name of its record."""
        return Path(str(self.facts["file"])).stem

    def __str__(self) -> str:
        """The whole curve as a table: a row a label, with its distances ± 2 s.e. by evaluations."""
        lines = [f"Fréchet distance ± 2 s.e., {self.facts['n_samples']:,} samples, by evaluations"]
        for label in self.labels():
            values = (f"{p.evaluations}: {p.distance:.3g} ± {2 * p.se:.2g}" for p in self.curve(label))
            lines.append(f"{label:<32}" + "  ".join(f"{value:<20}" for value in values).rstrip())
        lines += [
            f"anew, {p.n_samples:,} samples of {p.label}, {p.evaluations}: {p.distance:.3g} ± {2 * p.se:.2g}, "
            f"sure of {p.sure:.1%}, classes {p.smallest_class:.1%} to {p.largest_class:.1%}"
            for p in self.confirmed
        ]
        return "\n".join(lines)

    def labels(self) -> list[str]:
        """The curves' labels, in order."""
        return list(dict.fromkeys(point.label for point in self.points))

    def curve(self, label: str) -> list[MeasuredPoint]:
        """The points of one curve, by rising cost."""
        return sorted((p for p in self.points if p.label == label), key=lambda p: p.evaluations)

    def sheet(self, point: MeasuredPoint) -> Tensor:
        """Some of a point's samples in [0, 1]: (16, 1, 28, 28)."""
        return self.sheets[point.name].float() / 255

    def algorithm_1(self) -> MeasuredPoint:
        """The best that Algorithm 1 does with all of its evaluations, 1,000 or a ladder's multiple just below."""
        points = [p for p in self.points if p.label.startswith("Algorithm 1")]
        most = max(p.evaluations for p in points)
        return min((p for p in points if p.evaluations > 0.9 * most), key=operator.attrgetter("distance"))

    def fast(self) -> MeasuredPoint:
        """The nearest of the other samplers with at most a tenth of Algorithm 1's evaluations."""
        return min(self._cheaper(), key=operator.attrgetter("distance"))

    def surest(self) -> MeasuredPoint:
        """The one of these that the classifier is sure of most often."""
        return max(self._cheaper(), key=operator.attrgetter("sure"))

    def _cheaper(self) -> list[MeasuredPoint]:
        limit = self.algorithm_1().evaluations / 10
        return [p for p in self.points if not p.label.startswith("Algorithm 1") and p.evaluations <= limit]


def load_curve(network: str = "mnist_ncsn") -> SamplerCurve:
    """The recorded curve of a network.

    Raises:
        FileNotFoundError, ValueError: as `load_record`.
    """
    record = load_record(f"{CURVE}{network}")
    points, confirmed = (
        tuple(kind(**point) for point in record.content[name])
        for kind, name in ((MeasuredPoint, "points"), (ConfirmedPoint, "confirmed"))
    )
    return SamplerCurve(points, record.facts, record.tensors, confirmed)
