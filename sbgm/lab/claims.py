"""The ledger: what the paper asserts, and how this project settled each claim.

A chapter measures a claim, compares it with what was expected beforehand, and enters it by `settle`. What a run enters
goes to `runs/ledger/`, which git ignores; `python -m sbgm ledger --write` turns it into the committed records of
`data/results/` and the table there. A claim that costs more than a cell may is measured by `python -m sbgm evaluate`,
which enters it in `data/results/` by `enter`; its chapter confirms it on a small case by `settle_again`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from torch import Tensor

from sbgm.checked import Number, checked, one_of
from sbgm.data import runs_folder, shipped_folder
from sbgm.files import file_hash, save_tensors, write_json
from sbgm.lab.runs import hardware
from sbgm.weights import weights_file

__all__ = [
    "Check",
    "Claim",
    "NotReproducedError",
    "PublishedRow",
    "Settled",
    "as_found",
    "attach",
    "attached_file",
    "check",
    "check_weights",
    "claims",
    "command",
    "count_line",
    "current_records",
    "enter",
    "interval",
    "ledger_table",
    "load_record",
    "load_records",
    "published_table",
    "results_folder",
    "run_folder",
    "save_record",
    "settle",
    "settle_again",
    "weights_facts",
]

MOST_SHOWN = 4
WEIGHTS = "weights of "  # a record's facts hold the sha256 of each network's file under this and its name
Facts = dict[str, str | int | float]
STATUSES = ("reproduced", "not reproduced", "reported", "waits for a GPU")


# --- claims, measurements and records --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Claim:
    """One assertion of the paper, as `claims.toml` lists it: where it stands, what it says, how it is measured, and
    what was expected before measuring."""

    id: str
    section: str
    claim: str
    measure: str
    expect: str


def claims() -> dict[str, Claim]:
    """Every claim of the ledger by id, in the paper's order."""
    return {claim_id: Claim(claim_id, **fields) for claim_id, fields in _toml("claims").items()}


def _toml(stem: str) -> dict[str, Any]:
    """The content of a TOML file beside this one."""
    return tomllib.loads((Path(__file__).parent / f"{stem}.toml").read_text(encoding="utf-8"))


@checked
@dataclasses.dataclass(frozen=True)
class Check:
    """One measured number beside the interval [low, high] that it was expected in, and its standard error if it has
    one."""

    label: str
    value: Number
    low: Number = -math.inf
    high: Number = math.inf
    se: Number | None = None

    @property
    def holds(self) -> bool:
        """Whether the value lies in its interval (a NaN never does)."""
        return self.low <= self.value <= self.high

    @property
    def measured(self) -> str:
        """The label and the value, with twice its standard error, to three digits."""
        return f"{self.label}: {_short(self.value)}" + ("" if self.se is None else f" ± {_short(2 * self.se)}")

    def __str__(self) -> str:
        return f"{self.measured}   expected {interval(self.low, self.high)}"


def check(
    label: str, value: float, *, low: float = -math.inf, high: float = math.inf, se: float | None = None
) -> Check:
    """One measured number and the interval it must lie in; see `Check`."""
    return Check(label, value, low, high, se)


def interval(low: float, high: float) -> str:
    """An interval in words: "0.499 to 0.519", "at least 5", "any"."""
    if math.isinf(high):
        return "any" if math.isinf(low) else f"at least {low:g}"
    return f"at most {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"


def _short(value: float) -> str:
    """Three significant digits; whole numbers below a million in full."""
    return f"{value:.0f}" if abs(value) < 1e6 and value.is_integer() else f"{value:.3g}"


@dataclasses.dataclass(frozen=True)
class Settled:
    """A claim with its measurements and status; its repr, such as `L3 reproduced`, is all that notebooks compare.

    `facts` belong to recorded claims, which cost more than a cell may: how and on what `python -m sbgm evaluate`
    measured them, the file that holds what they rest on ("file") and its "sha256".
    """

    id: str
    status: str
    checks: tuple[Check, ...]
    data: str = ""
    note: str = ""
    facts: Facts = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.id} {self.status}"

    def details(self) -> str:
        """The claim, what was measured with twice its standard error, and what was expected, as text."""
        claim = claims()[self.id]
        lines = [f"{self.id} (§ {claim.section}) {claim.claim}: {self.status}"]
        lines += [f"  {check}" for check in self.checks]
        lines += [f"  {text}" for text in (self.data and f"data: {self.data}", self.note) if text]
        return "\n".join(lines + [f"  {name}: {fact}" for name, fact in self.facts.items()])


class Recorded(Protocol):
    """A record that names the file and the networks that it rests on: a `Settled`, or a curve of samplers."""

    id: str
    facts: Facts


# --- entering a claim ------------------------------------------------------------------------------------------------


def _some(checks: Sequence[Check], name: str, given: Mapping[str, Any]) -> tuple[Check, ...]:
    if not checks:
        raise ValueError(f"{name} must hold at least one measurement, got none")
    return tuple(checks)


ClaimId = Annotated[str, one_of(claims())]
Checks = Annotated[Sequence[Check], _some]
Status = Annotated[str, one_of(STATUSES)]
Table = Any  # a pandas.DataFrame; pandas is loaded where there is one


@checked
def settle(
    claim_id: ClaimId, checks: Checks, *, status: Status = "reproduced", data: str = "", note: str = ""
) -> Settled:
    """Enter a claim in the ledger, if every check holds.

    Args:
        claim_id: such as "L3".
        checks: the measurements; for a claim that is *not reproduced*, intervals that guard our own finding.
        status: one of STATUSES.
        data: what was measured on, where that can differ from run to run.
        note: one sentence for the ledger's reader.

    Returns:
        The entry, whose repr is `L3 reproduced`.

    Raises:
        AssertionError: a check fails; the message shows it.
    """
    if failed := [c for c in checks if not c.holds]:
        raise AssertionError(f"{claim_id} failed\n" + "\n".join(map(str, failed)))
    return save_record(Settled(claim_id, status, checks, data, note), run_folder())


def settle_again(record: Settled, checks: Sequence[Check] = ()) -> Settled:
    """Enter a recorded claim in the ledger, with its status, data and note, if its own checks and those added hold.

    Args:
        record: the committed one, see `load_record`.
        checks: what was measured anew, such as on a small case.
    """
    added = [*record.checks, *checks]
    return settle(record.id, added, status=record.status, data=record.data, note=record.note)


class NotReproducedError(AssertionError):
    """A recorded claim that did not come out as expected; nothing is written until `enter()` records just that."""

    def __init__(self, claim_id: str, checks: Sequence[Check], enter: Callable[[], Settled]) -> None:
        super().__init__(f"{claim_id} failed and was not recorded\n" + "\n".join(map(str, checks)))
        self.enter = enter


@checked
def enter(
    claim_id: ClaimId,
    checks: Checks,
    content: dict[str, Tensor] | Table,
    *,
    status: Status = "reproduced",
    data: str,
    note: str,
    networks: Sequence[str],
    command: str,
    facts: Facts,
) -> Settled:
    """Write a recorded claim, ID.json, and what it rests on to `results_folder()`: the one way to record a claim.

    Args:
        claim_id, checks, status, data, note: as for `settle`.
        content: what it rests on: tensors, such as the samples as they would be shown, uint8, for ID.safetensors; or a
            table, for ID.csv.
        networks: shipped ones, if any, whose hashes the record keeps; see `check_weights`.
        command: measures it anew.
        facts: how it was measured; those of the machine are added.

    Raises:
        NotReproducedError: an expectation fails; the message shows all checks, and nothing is written.
    """

    def write(status: str, checks: Sequence[Check]) -> Settled:
        known = attach(claim_id, content, facts, networks=networks, command=command)
        return save_record(Settled(claim_id, status, tuple(checks), data, note, known), results_folder())

    if all(c.holds for c in checks):
        return write(status, checks)
    raise NotReproducedError(claim_id, checks, lambda: write("not reproduced", [as_found(c) for c in checks]))


def attach(
    stem: str, content: dict[str, Tensor] | Table, facts: Facts, *, networks: Sequence[str], command: str
) -> Facts:
    """Write what a record rests on to `results_folder()`, as STEM.safetensors or STEM.csv; return the record's facts.

    To those that are given they add the networks' hashes, the machine, the command, and the file with its hash.
    """
    folder = results_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        save_tensors(file := folder / f"{stem}.safetensors", content)
    else:
        content.to_csv(file := folder / f"{stem}.csv", index=False, lineterminator="\n")
    known = {**facts, **weights_facts(*networks), "hardware": hardware(), "torch": torch.__version__}
    return known | {"command": command, "file": file.name, "sha256": file_hash(file)}


def as_found(expected: Check) -> Check:
    """A check that guards what was found: as expected where that holds, else on the other side of the bound."""
    if expected.holds:
        return expected
    low, high = (expected.high, math.inf) if expected.value > expected.high else (-math.inf, expected.low)
    return dataclasses.replace(expected, low=low, high=high)


def command(claim_id: str, **options: object) -> str:
    """The command that measures a claim with these options."""
    words = [f"--{name.replace('_', '-')} {value}" for name, value in options.items()]
    return " ".join([f"python -m sbgm evaluate --claim {claim_id}", *words])


# --- records on the disk ---------------------------------------------------------------------------------------------


def run_folder() -> Path:
    """Where `settle` enters claims: $SBGM_LEDGER if set, else `ledger/` in `data.runs_folder()`."""
    return Path(os.environ.get("SBGM_LEDGER") or runs_folder() / "ledger")


def results_folder() -> Path:
    """Where the committed records are: `results/` in `data.shipped_folder()`."""
    return shipped_folder() / "results"


def save_record(settled: Settled, folder: Path) -> Settled:
    """Write a claim's record as `folder/ID.json`, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    record = dataclasses.asdict(settled)
    for c in record["checks"]:  # JSON has no infinity
        c |= {bound: c[bound] if math.isfinite(c[bound]) else None for bound in ("low", "high")}
    write_json(folder / f"{settled.id}.json", record)
    return settled


def load_records(folder: Path) -> dict[str, Settled]:
    """The records in a folder by claim id, in the paper's order."""
    paths = {claim_id: folder / f"{claim_id}.json" for claim_id in claims()}
    return {claim_id: _read(path) for claim_id, path in paths.items() if path.exists()}


def _read(path: Path) -> Settled:
    fields = json.loads(path.read_text(encoding="utf-8"))
    bounded = [{name: value for name, value in c.items() if value is not None} for c in fields.pop("checks")]
    return Settled(**fields, checks=tuple(Check(**c) for c in bounded))


def load_record(claim_id: str, folder: Path | None = None) -> Settled:
    """The committed record of one claim, from `results_folder()` unless told otherwise.

    Raises:
        FileNotFoundError: there is none.
    """
    folder = results_folder() if folder is None else folder
    records = load_records(folder)
    if claim_id not in records:
        raise FileNotFoundError(f"{folder} holds no record of {claim_id}; python -m sbgm evaluate makes recorded ones")
    return records[claim_id]


def attached_file(record: Recorded, folder: Path | None = None) -> Path:
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


def weights_facts(*names: str) -> dict[str, str]:
    """The facts by which a record names the networks that it was measured with: the sha256 of each one's file.

    Args:
        names: of shipped networks, such as "mnist_ncsn", or files of weights.
    """
    return {f"{WEIGHTS}{file.stem}": file_hash(file) for file in map(weights_file, names)}


def check_weights(record: Recorded) -> Recorded:
    """Return a recorded claim if the networks that it was measured with are those that ship now.

    Raises:
        ValueError: the record names no network, or one whose shipped file is missing or another; the message says how
            to measure anew.
    """
    named = {key.removeprefix(WEIGHTS): fact for key, fact in record.facts.items() if key.startswith(WEIGHTS)}
    if not named:
        raise ValueError(f"the record of {record.id} names no network that it was measured with")
    for name, recorded in named.items():
        path = weights_file(name)
        if not path.is_file() or file_hash(path) != recorded:
            raise ValueError(
                f"{path} is missing or not the network that {record.id} was measured with (its sha256 differs); "
                f"measure it anew: {record.facts.get('command', 'python -m sbgm evaluate --claim ' + record.id)}"
            )
    return record


# --- the ledger ------------------------------------------------------------------------------------------------------


def current_records() -> dict[str, Settled]:
    """The latest word on every claim: what runs entered, else the committed record.

    A recorded claim's committed record stands: a run re-measures a small case of it, which cannot replace it.
    """
    committed, entered = load_records(results_folder()), load_records(run_folder())
    merged = committed | {i: record for i, record in entered.items() if i not in committed or not committed[i].facts}
    return {claim_id: merged[claim_id] for claim_id in claims() if claim_id in merged}


def ledger_table(records: dict[str, Settled]) -> str:
    """The ledger as a Markdown table: claim, section, what was measured with twice its standard error, and status.

    A row shows a claim's first four measurements; its record holds them all.
    """
    lines = ["| id | § | the paper's claim | expected | measured here | status |", "|---|---|---|---|---|---|"]
    for claim_id, record in records.items():
        claim, n_more = claims()[claim_id], len(record.checks) - MOST_SHOWN
        measured = [c.measured for c in record.checks[:MOST_SHOWN]] + ([f"and {n_more} more"] if n_more > 0 else [])
        cells = [claim_id, claim.section, claim.claim, claim.expect, "; ".join(measured), record.status]
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines)


def count_line(records: dict[str, Settled]) -> str:
    """How many claims the ledger has of each status, such as "5 claims: 4 reproduced, 1 waits for a GPU"."""
    counts = {status: sum(record.status == status for record in records.values()) for status in STATUSES}
    words = [f"{n} {status.replace('waits', 'wait') if n > 1 else status}" for status, n in counts.items() if n]
    return f"{len(records)} claims: {', '.join(words)}"


# --- the paper's own numbers ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class PublishedRow:
    """One row of the paper's Table 1.

    Attributes:
        model, reference: its name, and whom the paper cites for it.
        conditional: whether the model is told an image's class.
        score: Inception Score.
        score_spread: what stands after its ±, None where nothing does.
        fid: Fréchet Inception Distance, None where the table has a dash.
    """

    model: str
    reference: str
    conditional: bool
    score: float
    score_spread: float | None = None
    fid: float | None = None


def published_table() -> list[PublishedRow]:
    """The eleven rows of Table 1 in its order, unconditional models first; `table1.toml` says how they were checked."""
    table = _toml("table1")
    return [
        PublishedRow(conditional=kind == "conditional", **row)
        for kind in ("unconditional", "conditional")
        for row in table[kind]
    ]
