"""The ledger: what the paper asserts, and how this project settled each claim.

A chapter measures a claim, compares it with what was expected beforehand, and enters it by `settle`. What a run enters
goes to `runs/ledger/`, which git ignores; `python -m sbgm ledger --write` turns it into the committed records of
`data/results/` and the table there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path

from sbgm.data import runs_folder, shipped_folder
from sbgm.files import written_whole
from sbgm.weights import weights_file

MOST_SHOWN = 4
WEIGHTS = "weights of "  # a record's facts hold the sha256 of each network's file under this and its name
STATUSES = ("reproduced", "not reproduced", "reported", "waits for a GPU")


@dataclasses.dataclass(frozen=True)
class Claim:
    """One assertion of the paper, as `claims.toml` lists it: where it stands, what it says, how it is measured, and
    what was expected before measuring."""

    id: str
    section: str
    claim: str
    measure: str
    expect: str


@dataclasses.dataclass(frozen=True)
class Check:
    """One measured number beside the interval [low, high] that it was expected in, and its standard error if it has
    one."""

    label: str
    value: float
    low: float = -math.inf
    high: float = math.inf
    se: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the value lies in its interval (a NaN never does)."""
        return self.low <= self.value <= self.high

    def __str__(self) -> str:
        spread = "" if self.se is None else f" ± {_short(2 * self.se)}"
        return f"{self.label}: {_short(self.value)}{spread}   expected {interval(self.low, self.high)}"


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
    facts: dict[str, str | int | float] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.id} {self.status}"

    def details(self) -> str:
        """The claim, what was measured with twice its standard error, and what was expected, as text."""
        lines = [f"{self.id} (§ {claims()[self.id].section}) {claims()[self.id].claim}: {self.status}"]
        lines += [f"  {check}" for check in self.checks]
        lines += [f"  {text}" for text in (self.data and f"data: {self.data}", self.note) if text]
        return "\n".join(lines + [f"  {name}: {fact}" for name, fact in self.facts.items()])


def check(
    label: str, value: float, *, low: float = -math.inf, high: float = math.inf, se: float | None = None
) -> Check:
    """One measured number and the interval it must lie in; see `Check`."""
    return Check(label, float(value), float(low), float(high), None if se is None else float(se))


def settle(
    claim_id: str, checks: Sequence[Check], *, status: str = "reproduced", data: str = "", note: str = ""
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
        ValueError: the claim or the status is unknown, or nothing was checked.
    """
    if claim_id not in claims():
        raise ValueError(f"claim_id must be one of {', '.join(claims())}, got {claim_id!r}")
    if status not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {status!r}")
    if not checks:
        raise ValueError("checks must hold at least one measurement, got none")
    if failed := [c for c in checks if not c.holds]:
        raise AssertionError(f"{claim_id} failed\n" + "\n".join(str(c) for c in failed))
    settled = Settled(claim_id, status, tuple(checks), data, note)
    save_record(settled, run_folder())
    return settled


def claims() -> dict[str, Claim]:
    """Every claim of the ledger by id, in the paper's order."""
    table = tomllib.loads((Path(__file__).parent / "claims.toml").read_text(encoding="utf-8"))
    return {claim_id: Claim(claim_id, **fields) for claim_id, fields in table.items()}


def run_folder() -> Path:
    """Where `settle` enters claims: $SBGM_LEDGER if set, else `ledger/` in `data.runs_folder()`."""
    return Path(os.environ.get("SBGM_LEDGER") or runs_folder() / "ledger")


def results_folder() -> Path:
    """Where the committed records are: `results/` in `data.shipped_folder()`."""
    return shipped_folder() / "results"


def save_record(settled: Settled, folder: Path) -> None:
    """Write a claim's record as `folder/ID.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    record = dataclasses.asdict(settled)
    for c in record["checks"]:  # JSON has no infinity
        c["low"], c["high"] = _finite(c["low"]), _finite(c["high"])
    path = folder / f"{settled.id}.json"
    with written_whole(path) as partial:
        partial.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_records(folder: Path) -> dict[str, Settled]:
    """The records in a folder by claim id, in the paper's order."""
    records = {}
    for claim_id in claims():
        path = folder / f"{claim_id}.json"
        if path.exists():
            fields = json.loads(path.read_text(encoding="utf-8"))
            fields["checks"] = tuple(
                Check(
                    c["label"],
                    c["value"],
                    -math.inf if c["low"] is None else c["low"],
                    math.inf if c["high"] is None else c["high"],
                    c["se"],
                )
                for c in fields["checks"]
            )
            records[claim_id] = Settled(**fields)
    return records


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


def attached_file(record: Settled, folder: Path | None = None) -> Path:
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
    files = [weights_file(name) for name in names]
    return {f"{WEIGHTS}{file.stem}": file_hash(file) for file in files}


def check_weights(record: Settled) -> Settled:
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


def file_hash(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
        claim = claims()[claim_id]
        measured = "; ".join(
            f"{c.label}: {_short(c.value)}" + ("" if c.se is None else f" ± {_short(2 * c.se)}")
            for c in record.checks[:MOST_SHOWN]
        )
        if (n_more := len(record.checks) - MOST_SHOWN) > 0:
            measured += f"; and {n_more} more"
        cells = [claim_id, claim.section, claim.claim, claim.expect, measured, record.status]
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines)


def count_line(records: dict[str, Settled]) -> str:
    """How many claims the ledger has of each status, such as "5 claims: 4 reproduced, 1 waits for a GPU"."""
    counts = {status: sum(record.status == status for record in records.values()) for status in STATUSES}
    words = [f"{n} {status.replace('waits', 'wait') if n > 1 else status}" for status, n in counts.items() if n]
    return f"{len(records)} claims: {', '.join(words)}"


def interval(low: float, high: float) -> str:
    """An interval in words: "0.499 to 0.519", "at least 5", "any"."""
    if math.isinf(low) and math.isinf(high):
        return "any"
    if math.isinf(high):
        return f"at least {low:g}"
    return f"at most {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"


def _short(value: float) -> str:
    """Three significant digits; whole numbers below a million in full."""
    return f"{value:.0f}" if abs(value) < 1e6 and value.is_integer() else f"{value:.3g}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
