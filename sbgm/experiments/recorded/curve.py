"""The record of a sampler curve: distance against network evaluations for every sampler, with samples of each."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from torch import Tensor

from sbgm import claims
from sbgm.files import load_tensors, save_tensors, written_whole


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
        points: in the order of `entries`.
        facts: of the measurement; the hashes of network and classifier among them.
        sheets: (16, 1, 28, 28) uint8 by "label, evaluations".
        confirmed: `fast()` and `surest()` from other noise.
    """

    points: tuple[MeasuredPoint, ...]
    facts: dict[str, str | int | float]
    sheets: dict[str, Tensor]
    confirmed: tuple[ConfirmedPoint, ...] = ()

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
        return self.sheets[sheet_name(point)].float() / 255

    def algorithm_1(self) -> MeasuredPoint:
        """The best that Algorithm 1 does with all of its evaluations, 1,000 or a ladder's multiple just below."""
        points = [p for p in self.points if p.label.startswith("Algorithm 1")]
        most = max(p.evaluations for p in points)
        return min((p for p in points if p.evaluations > 0.9 * most), key=_distance)

    def fast(self, n_fewer: int = 10) -> MeasuredPoint:
        """The nearest of the other samplers with at most 1/n_fewer of Algorithm 1's evaluations."""
        return min(self._cheaper(n_fewer), key=_distance)

    def surest(self, n_fewer: int = 10) -> MeasuredPoint:
        """The one of these that the classifier is sure of most often."""
        return max(self._cheaper(n_fewer), key=lambda p: p.sure)

    def _cheaper(self, n_fewer: int) -> list[MeasuredPoint]:
        limit = self.algorithm_1().evaluations / n_fewer
        return [p for p in self.points if not p.label.startswith("Algorithm 1") and p.evaluations <= limit]


def sheet_name(point: MeasuredPoint) -> str:
    """What a point's samples are kept by."""
    return f"{point.label}, {point.evaluations}"


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
    content = {"facts": facts} | {
        name: [dataclasses.asdict(point) for point in getattr(curve, name)] for name in ("points", "confirmed")
    }
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
    confirmed = tuple(ConfirmedPoint(**point) for point in content["confirmed"])
    return SamplerCurve(points, content["facts"], sheets, confirmed)


def _distance(point: MeasuredPoint) -> float:
    return point.distance
