"""What was measured and recorded in `data/results/`, read and checked.

In this order: a claim's record; the map over T and ε; and the curve of samplers.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Annotated, Any

import pandas
import torch
from torch import Tensor

from sbgm.files import file_hash, load_tensors, shipped_folder
from sbgm.guard import Number, checked, one_of
from sbgm.images.weights import weights_file

WEIGHTS = "weights of "  # a record's facts hold the sha256 of each network's file under this and its name
CURVE = "sampler_curve_"  # what the names of records of curves begin with
KINDS = ("expected", "guard", "reported")
N_SHEET = 16
"""Samples of each cell and each point that are kept to be looked at."""
Facts = dict[str, Any]


# --- a claim's record -------------------------------------------------------------------------------------------------


@checked
@dataclasses.dataclass(frozen=True)
class Measurement:
    """One measured number, with its standard error if it has one, and the interval [low, high] that it is held to.

    Attributes:
        kind: "expected", if the interval was written down before the first measurement; "guard", if it was set
            afterwards, so that a change is noticed; or "reported", without an interval.
        label, value, se: what was measured; se is None for a number without sampling error.
        low, high: the interval; infinite on both sides for what is only reported.
        yardstick: whether missing the interval says that our way to measure failed, not the paper's statement.
    """

    kind: Annotated[str, one_of(KINDS)]
    label: str
    value: Number
    low: Number = -math.inf
    high: Number = math.inf
    se: Number | None = None
    yardstick: bool = False

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "se"):  # as records hold them
            number = getattr(self, name)
            object.__setattr__(self, name, None if number is None else float(number))

    @property
    def holds(self) -> bool:
        """Whether the value lies in its interval (a NaN never does)."""
        return self.low <= self.value <= self.high

    @property
    def met(self) -> bool:
        """Whether all of value ± 2 se lies in the interval."""
        return self.low <= self.value - self._half_width and self.value + self._half_width <= self.high

    @property
    def missed(self) -> bool:
        """Whether none of value ± 2 se lies in the interval; one that is neither met nor missed straddles a bound."""
        return not (self.value + self._half_width >= self.low and self.value - self._half_width <= self.high)

    @property
    def _half_width(self) -> float:
        return 2 * (self.se or 0.0)

    @property
    def number(self) -> str:
        """The value, with twice its standard error, to three digits."""
        text = _short(self.value)
        return text if self.se is None else f"{text} ± {_short(self._half_width)}"

    def __str__(self) -> str:
        text = f"{self.label}: {self.number}"
        if self.kind == "reported":
            return text
        held = "expected" if self.kind == "expected" else "guarded:"
        return f"{text}   {held} {interval(self.low, self.high)}"


def interval(low: float, high: float) -> str:
    """An interval in words: "0.499 to 0.519", "at least 5", "any"."""
    if math.isinf(high):
        return "any" if math.isinf(low) else f"at least {low:g}"
    if low == high:
        return f"{high:g}"
    return f"at most {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"


def _short(value: float) -> str:
    """Three significant digits; whole numbers below a million in full."""
    rounded = value if value.is_integer() else float(f"{value:.3g}")
    return f"{rounded:.0f}" if abs(rounded) < 1e6 and rounded.is_integer() else f"{value:.3g}"


@dataclasses.dataclass(frozen=True)
class Record:
    """A claim with its measurements and its word; its repr, such as `L3 reproduced`, is all that notebooks compare.

    Attributes:
        id: the claim's.
        status: the word, such as "reproduced in part".
        measurements: in the order of the file.
        narrower: in what the measurement is narrower than the paper's statement.
        data, note: what was measured on, and a sentence for the reader.
        day: on which it was measured, such as "2026-11-29".
        facts: the processor ("hardware"), torch's version, and the hashes of the networks that it was measured with; of
            what cost more than a cell may, also how it was measured, the file that holds what it rests on ("file") and
            its "sha256".
    """

    id: str
    status: str
    measurements: tuple[Measurement, ...]
    narrower: str = ""
    data: str = ""
    note: str = ""
    day: str = ""
    facts: Facts = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.id} {self.status}"

    def of_kind(self, *kinds: str) -> list[Measurement]:
        """Its measurements that are "expected", "guard" or "reported", in their order."""
        return [m for m in self.measurements if m.kind in kinds]

    def measurement(self, label: str) -> Measurement:
        """The one of this label.

        Raises:
            KeyError: there is none.
        """
        return {m.label: m for m in self.measurements}[label]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors in the file beside the record, by name; {} where that file is a table."""
        file = attached_file(self)
        return load_tensors(file)[0] if file.suffix == ".safetensors" else {}


def results_folder() -> Path:
    """Where the committed records are: `results/` in `files.shipped_folder()`."""
    return shipped_folder() / "results"


def load_record(name: str) -> Record:
    """Read a claim's record, and check that the networks that it was measured with are those that ship.

    Args:
        name: of the claim, such as "I10".

    Raises:
        FileNotFoundError: there is none.
        ValueError: a network that it was measured with is not the one that ships now.
    """
    return check_weights(record_of(content_of(name)))


def record_of(content: dict[str, Any]) -> Record:
    """The record that a JSON file holds."""
    fields: dict[str, Any] = dict(content)
    fields["measurements"] = tuple(Measurement(**number) for number in content["measurements"])
    return Record(**fields)


def content_of(name: str, folder: Path | None = None) -> dict[str, Any]:
    """Read a record's JSON file.

    Raises:
        FileNotFoundError: there is none.
    """
    path = (folder or results_folder()) / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {_command(name)} measures it")
    return json.loads(path.read_text(encoding="utf-8"))


def _command(name: str) -> str:
    """The command that measures a claim or a curve."""
    script = f"curve.py {name.removeprefix(CURVE)}" if name.startswith(CURVE) else f"{name}.py"
    return f"python notebooks/lab/{script}"


def attached_file(record: Record, folder: Path | None = None) -> Path:
    """The file that a record rests on, beside it.

    Raises:
        ValueError: the record names no file, or the file is missing or not the one that was recorded.
    """
    if not {"file", "sha256"} <= record.facts.keys():
        raise ValueError(f"the record of {record.id} names no file")
    path = (folder or results_folder()) / record.facts["file"]
    if not path.is_file() or file_hash(path) != record.facts["sha256"]:
        raise ValueError(f"{path} is missing or not the file that {record.id} was recorded with (its sha256 differs)")
    return path


def check_weights(record: Record) -> Record:
    """Return a record if the networks that it was measured with, if any, are those that ship now.

    Raises:
        ValueError: a network's shipped file is missing or another; the message says how to measure anew.
    """
    for key, recorded in record.facts.items():
        if not key.startswith(WEIGHTS):
            continue
        path = weights_file(key.removeprefix(WEIGHTS))
        if not path.is_file() or file_hash(path) != recorded:
            raise ValueError(
                f"{path} is missing or not the network that {record.id} was measured with (its sha256 differs); "
                f"{_command(record.id)} measures it anew"
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
    - `predicted`: variance of the noise on the samples divided by σ_L², by `theory.annealed_variance` of a point.
    - `measured`, `measured_se`: this ratio on the samples, where real images never change, and its standard error.

    Attributes:
        cells: the table, indexed by `n_steps` and `step_size`.
        sheets: (len(cells), N_SHEET, C, H, W) uint8, samples of each cell, in the order of the table.
    """

    cells: pandas.DataFrame
    sheets: Tensor

    @classmethod
    def of(cls, rows: Any, sheets: Tensor) -> StepMap:
        """The map of rows, each with its sheet: T, ε and the columns of `cells`, in this order or by their names."""
        table = pandas.DataFrame(rows, columns=PLACE + MEASURED, dtype=float).astype({"n_steps": int})
        return cls(table.set_index(PLACE), sheets)

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

    points: pandas.DataFrame
    facts: dict[str, str | int | float]
    sheets: dict[str, Tensor]
    confirmed: pandas.DataFrame

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
    content = content_of(f"{CURVE}{network}")
    record = check_weights(Record(f"{CURVE}{network}", "", (), facts=content["facts"]))
    points, confirmed = (pandas.DataFrame(content[table]) for table in ("points", "confirmed"))
    return SamplerCurve(points, record.facts, record.tensors, confirmed)
