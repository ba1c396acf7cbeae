"""What was measured and recorded in `data/results/`, as chapters and sliders show it.

A record is made by the lab notebooks and scripts in `notebooks/lab/`; here it is only read. In this order: any record;
the map over T and ε; and the curve of samplers.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from sbgm.data import shipped_folder
from sbgm.files import file_hash, load_tensors
from sbgm.measure.estimates import Estimate
from sbgm.weights import weights_file

if TYPE_CHECKING:
    import pandas

__all__ = [
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

PLACE = ["n_steps", "step_size"]
MEASURED = ["distance", "se", "predicted", "measured", "measured_se"]


@dataclasses.dataclass(frozen=True)
class StepMap:
    """How good one network's samples are at each T and ε of Algorithm 1: a table of distances and noise, and samples.

    The table has a row for each pair of T, `n_steps` a level, and ε, `step_size` in the paper's convention
    x + (ε/2) s + √ε z. `cells.loc[100, 2e-5].distance` is one of its numbers, `cells["distance"].unstack()` a grid of
    T by ε. Its columns:

    - `distance`, `se`: Fréchet distance of the samples to real images, and its standard error.
    - `predicted`: variance of the noise on the samples divided by σ_L², by `theory.noise_ratio`.
    - `measured`, `measured_se`: this ratio on the samples, where real images never change, and its standard error.

    Attributes:
        cells: the table, indexed by `n_steps` and `step_size`.
        sheets: (len(cells), N_SHEET, C, H, W) uint8, samples of each cell, in the order of the table.
    """

    cells: pandas.DataFrame
    sheets: Tensor

    @classmethod
    def of(cls, rows: Any, sheets: Tensor) -> StepMap:
        """The map of rows, each with its sheet: T, ε and the columns of `cells`, in this order or by their names.

        Raises:
            ValueError: sheets are not one a cell.
        """
        import pandas

        if len(rows) != len(sheets):
            raise ValueError(f"sheets must be one a cell, got {len(sheets)} for {len(rows)} cells")
        table = pandas.DataFrame(rows, columns=PLACE + MEASURED, dtype=float).astype({"n_steps": int})
        return cls(table.set_index(PLACE), sheets)

    def sheet(self, n_steps: int, step_size: float) -> Tensor:
        """Samples at T and ε, in [0, 1]: (N_SHEET, C, H, W).

        Raises:
            KeyError: they were not measured.
        """
        return self.sheets[self.cells.index.get_loc((n_steps, step_size))].float() / 255  # pyright: ignore[reportArgumentType] - one, since cells are unique

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The map as two tensors, to be saved: `name`, a row as `of` takes it for each cell, and `name_sheets`."""
        return {name: torch.tensor(self.cells.reset_index().to_numpy("float64")), f"{name}_sheets": self.sheets}


def load_step_map(images: str) -> StepMap:
    """The map that the record of I5 holds of a network.

    Args:
        images: that the network was trained on, "digits" or "mnist".

    Raises:
        FileNotFoundError, ValueError: as `load_record`.
    """
    tensors = load_record("I5").tensors
    return StepMap.of(tensors[images].numpy(), tensors[f"{images}_sheets"])


# --- the curve of samplers (chapter 10) -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SamplerCurve:
    """How near to the data samplers come with few and with many evaluations of one network, and some of the samples.

    Both tables have a row for each sampler and number of evaluations. Their columns:

    - `label`: the sampler's name. `evaluations`: of the network, for a sample; they rise from row to row of a label.
    - `distance`, `se`: Fréchet distance to MNIST's test images in the features of `mnist_classifier`, and its standard
      error. `judge`, `judge_se`: in those of `mnist_judge`, where the record has them.
    - `sure`: the share of samples that `mnist_classifier` is at least 90 % sure of.
    - of `confirmed` alone, `n_samples`: how many were drawn anew; `smallest_class`, `largest_class`: the shares of
      samples that the classifier puts in its rarest and commonest class.

    Attributes:
        points: the table of all samplers and costs.
        facts: of the measurement; the hashes of network and classifier among them.
        sheets: (16, 1, 28, 28) uint8 by "label, evaluations".
        confirmed: the nearest of `cheaper()`, and the one that the classifier is surest of, measured once more on
            samples from other noise: the best of many is flattered by its choice.
    """

    points: Any  # a pandas.DataFrame, whose columns no type checker knows
    facts: dict[str, str | int | float]
    sheets: dict[str, Tensor]
    confirmed: Any  # one too

    def __str__(self) -> str:
        """The whole curve as text: a line for each label, with its distances ± 2 s.e. by evaluations."""
        lines = [f"Fréchet distance ± 2 s.e., {self.facts['n_samples']:,} samples, by evaluations"]
        for label, points in self.points.groupby("label", sort=False):
            values = (f"{p.evaluations}: {p.distance:.3g} ± {2 * p.se:.2g}" for p in points.itertuples())
            lines.append(f"{label:<32}" + "  ".join(f"{value:<20}" for value in values).rstrip())
        lines += [
            f"anew, {p.n_samples:,} samples of {p.label}, {p.evaluations}: {p.distance:.3g} ± {2 * p.se:.2g}, "
            f"sure of {p.sure:.1%}, classes {p.smallest_class:.1%} to {p.largest_class:.1%}"
            for p in self.confirmed.itertuples()
        ]
        return "\n".join(lines)

    def sheet(self, point: Any) -> Tensor:
        """Some samples of a row of the tables, in [0, 1]: (16, 1, 28, 28)."""
        return self.sheets[f"{point.label}, {point.evaluations}"].float() / 255

    def algorithm_1(self) -> pandas.Series:
        """The best that Algorithm 1 does with all of its evaluations, 1,000 or a ladder's multiple just below."""
        points = self.points[self.points["label"].str.startswith("Algorithm 1")]
        dearest = points[points["evaluations"] > 0.9 * points["evaluations"].max()]
        return dearest.loc[dearest["distance"].idxmin()]

    def cheaper(self) -> pandas.DataFrame:
        """The other samplers with at most a tenth of Algorithm 1's evaluations, the nearest to the data first."""
        others = self.points[~self.points["label"].str.startswith("Algorithm 1")]
        return others[others["evaluations"] <= self.algorithm_1().evaluations / 10].sort_values("distance")


def load_curve(network: str = "mnist_ncsn") -> SamplerCurve:
    """The recorded curve of a network.

    Raises:
        FileNotFoundError, ValueError: as `load_record`.
    """
    import pandas

    record = load_record(f"{CURVE}{network}")
    points, confirmed = (pandas.DataFrame(record.content[name]) for name in ("points", "confirmed"))
    return SamplerCurve(points, record.facts, record.tensors, confirmed)
