"""The ledger: what the paper claims, what we expected before we measured, what came out, and the word that follows.

A claim is a folder, `claims/ID/`: `claim.toml` says where the claim stands, what it says, how it is measured and what
is expected; `record.json` holds what came out, and `record.safetensors` or `record.csv` what it rests on. What chapters
load of these ships instead, as `data/results/ID.…`, and `claim.toml` names it. A lab notebook measures a claim and
enters it by `settle`, or confirms a recorded one by `settle_again`; what notebooks enter goes to `runs/ledger/`, which
git ignores. A claim that takes longer than a cell may has a `measure.py`, which ends in `record`:
`python evidence/measure.py ID`. What several claims share lies beside the folders; no claim imports another.

`make ledger` runs this file with --write: it takes what notebooks entered into the claims' folders, writes README.md
beside this file, and counts the claims in the project's README.md.

The rules:

1. A claim's measure and bounds are committed before it is measured; its record holds that commit, the hash of the
   bounds, the day and the seed. A command draws what its record says: while the bounds stand, the record's seed is the
   seed. Who changes a measure or a bound after a number has been seen says so in `HISTORY.md`, and measures again. A
   changed bound changes the hash, so the claim waits to be measured again, on a new seed. A changed measure takes a
   changed label, so that it waits as well. Of a tree without its history the hash tells what the commit would.
2. A bound on what the paper's sentence says tests the paper's statement. Where it is missed, the claim is "not
   reproduced".
3. A `control` is a bound on anything else: on known images or fields that the measure must tell apart, on how much was
   measured, on what our own theory predicts, or on what we compare with beside the paper. Where it is missed, the
   measure says nothing, and the claim is "inconclusive". A bound is declared as the one or the other with its ends. To
   mark one as a control later changes no number: mark it in `claim.toml`, and in the record (`"yardstick": true`), and
   let HISTORY.md say why, and whether it was met.
4. `reported` says why a claim that misses nothing is "reported", `waits` why it "waits for a GPU" until a bounded
   number has been measured. Nothing else is granted.
5. A bound comes from the paper's words, from a closed form, or from a control. Where the paper says "better", "only
   near" or "fluctuates" and gives no number, it is a factor of five, 0.699 on the scale of log₁₀, written down on
   2026-11-24. How near is near enough (within 0.02, a rank correlation of 0.8, a factor of 1.5) is ours to say; what
   was known when it was said stands in `HISTORY.md`. Of few networks ± is by Student's distribution, which allows for
   how few they are.

The page's tables have four columns: `claim` with `section`; `expect`; `found`; and the word, with a clause on what
`missed` or straddles its bound, and what is narrower: `narrow`, or the record's words where that is not stated. Words
that many rows have are marked there and stand in a footnote, MARKS. `expect` names what tests the paper's statement,
and of the controls what the reader needs; `measure` tells the rest. ± stands where it comes near a bound. The tables
and the list have at most 1,500 words, a cell at most 45. What a bound or a record holds is not typed, but named:

    in `expect`           {LABEL}                 a bound's interval: "at least 5", "0.78 to 0.80"
    in `expect`, `missed` {end of LABEL}          its one end, or what it allows on either side of its middle
                          {10^…}                  the factor, of a bound on log₁₀
                          {… in %}                "at most 5 %"
                          {LAB*EL}                bounds that are alike: * is any text
    in `found`, `missed`  {LABEL}                 a number as it was measured: "12.5 ± 1.6", "4·10⁻¹²"
                          {10^LABEL}, {10^-LABEL} the factor, of a number on log₁₀, or 1 over it: "4.7 (3.4 to 6.6)"
                          {LABEL in %}            "0.4 ± 0.4 %"
                          {LABEL in 2 digits}     without ±; also {LABEL in % in 2 digits}
                          {largest of LAB*EL}     the largest size of several numbers

`main = true` marks some twenty claims that carry the paper, which stand first, and each that is not reproduced. What is
"reported" or waits stands in a list below the tables, and below it FOOT.
"""

import argparse
import dataclasses
import datetime
import functools
import hashlib
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import pandas
import torch
from torch import Tensor

from drawing import Machine
from sbgm.files import file_hash, load_tensors, runs_folder, save_tensors, shipped_folder, write_bytes, write_json
from sbgm.guard import Number, checked, one_of
from sbgm.images import weights
from sbgm.images.devices import hardware
from sbgm.measure.estimates import Estimate, Share

CLAIMS = Path(__file__).parent / "claims"
BASE_SEED = 20261129
WAITS = "waits to be measured again"
STATUSES = (
    "reproduced",
    "reproduced in part",
    "not reproduced",
    "inconclusive",
    "reported",
    "waits for a GPU",
    WAITS,
)
WEIGHTS = "weights of "  # a record's facts hold the sha256 of each shipped network's file under this and its name
Facts = Mapping[str, Any]
NONE: Facts = MappingProxyType({})


# --- claims -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Bound:
    """The interval [low, high] that a number is held to; see the rules above.

    Attributes:
        low, high: the interval.
        control: whether the bound tests our way to measure, or a prediction of our own; any other bound tests the
            paper's statement.
        only: under which condition it is measured, such as "at the paper's width", if not always.
    """

    low: float = -math.inf
    high: float = math.inf
    control: bool = False
    only: str = dataclasses.field(default="", compare=False)


def interval(low: float, high: float) -> str:
    """An interval in words: "0.499 to 0.519", "at least 5", "any"."""
    if math.isinf(high):
        return "any" if math.isinf(low) else f"at least {low:g}"
    if low == high:
        return f"{high:g}"
    return f"at most {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"


@dataclasses.dataclass(frozen=True)
class Claim:
    """One assertion of the paper, as its `claim.toml` states it.

    Attributes:
        id, section, claim: its name, where the paper makes it, and what the paper says.
        measure, expect: how it is measured, and what is expected, in words with the numbers of the bounds.
        found: what came out, a sentence with the labels of the record's measurements in braces.
        missed: a clause on which number missed or straddles its bound, shown where one does; as `found`.
        narrow: in what the measurement is narrower, for the page, in place of the record's words, if there are any.
        reported: why it is "reported" where nothing fails, if it is.
        waits: why it "waits for a GPU" until a number with a bound has been measured, if it does.
        main: whether it is one of some twenty that carry the paper, which the ledger tells first.
        images: whether it is settled on images, or with a network for images.
        ships: the files of its record that chapters load, which lie in `results_folder()`, such as "I8.safetensors".
        bounds: what each number is held to, by its label.
    """

    id: str
    section: str
    claim: str
    measure: str
    expect: str
    found: str
    missed: str = ""
    narrow: str = ""
    reported: str = ""
    waits: str = ""
    main: bool = False
    images: bool = False
    ships: Sequence[str] = ()
    bounds: Mapping[str, Bound] = dataclasses.field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where the paper says it: "§ 4.3", "Fig. 3c"."""
        return f"§ {self.section}" if self.section[0].isdigit() else self.section

    @property
    def sentence(self) -> str:
        """What the paper says and where: "Annealing recovers the weights (Fig. 3c)."."""
        return f"{_capital(self.claim)} ({self.place})."


@functools.cache
def claims() -> Mapping[str, Claim]:
    """Every claim that has a folder, by id, in the order of LETTERS and of the numbers."""
    return MappingProxyType({claim_id: _stated(claim_id) for claim_id in sorted(_ids(), key=_turn)})


def _ids() -> list[str]:
    return [file.parent.name for file in CLAIMS.glob("*/claim.toml")]


def _turn(claim_id: str) -> tuple[int, int]:
    return list(LETTERS).index(claim_id[0]), int(claim_id[1:])


def _stated(claim_id: str) -> Claim:
    """The claim that a folder states, with the numbers of its bounds in its words."""
    fields = tomllib.loads((CLAIMS / claim_id / "claim.toml").read_text(encoding="utf-8"))
    bounds = {label: Bound(**bound) for label, bound in fields.pop("bounds", {}).items()}
    fields["expect"] = with_bounds(fields["expect"], bounds)
    fields["missed"] = with_bounds(fields.get("missed", ""), bounds, ENDS)  # other braces hold measured numbers
    return Claim(claim_id, bounds=bounds, **fields)


LETTERS = {
    "S": "scores",
    "M": "manifolds",
    "L": "low density, Langevin dynamics",
    "N": "noise conditional networks",
    "I": "images",
    "F": "freedom of choice",
}
"""What the first letter of an id says, in the paper's order: § 2, 3.1, 3.2 and 4.3, 4.2, 5 and 6."""
BRACES = r"{(10\^)?(end of )?(.+?)( in %)?}"
ENDS = r"{(10\^)?(end of )(.+?)( in %)?}"


def with_bounds(words: str, bounds: Mapping[str, Bound], braces: str = BRACES) -> str:
    """Words with the numbers of bounds in place of what names them in braces; the forms are above.

    Raises:
        ValueError: no bound has such a label, or those that have it differ.
    """
    return re.sub(braces, lambda named: _bound_in_words(*named.groups(), bounds), words)


def _bound_in_words(power: str, end: str, label: str, percent: str, bounds: Mapping[str, Bound]) -> str:
    intervals = {(bound.low, bound.high) for name, bound in bounds.items() if fnmatchcase(name, label)}
    if len(intervals) != 1:
        raise ValueError(f"words in claim.toml must name one bound, or bounds that are alike, got {label!r}")
    low, high = intervals.pop()
    if end:
        sides = {side for side in (low, high) if math.isfinite(side)}
        low = high = sides.pop() if len(sides) == 1 else (high - low) / 2
    if power:
        low, high = (float(f"{10**side:.3g}") for side in (low, high))
    if percent:
        return f"{interval(100 * low, 100 * high)} %"
    return interval(low, high).replace("-", "−").replace("1e−06", "10⁻⁶")


def bounds_hash(claim: Claim) -> str:
    """Eight digits that change with each label and each end of a claim's bounds, not with what is a control."""
    lines = sorted(f"{label}: {float(bound.low)} to {float(bound.high)}" for label, bound in claim.bounds.items())
    return hashlib.sha256("\n".join([claim.id, *lines]).encode()).hexdigest()[:8]


# --- measurements -----------------------------------------------------------------------------------------------------


@checked
@dataclasses.dataclass(frozen=True)
class Measurement:
    """One measured number, with its standard error if it has one, and the interval [low, high] that it is held to.

    Attributes:
        kind: "expected", if the interval was declared before the measurement; "guard", if it was set afterwards, so
            that a change is noticed; or "reported", without an interval.
        label, value, se: what was measured; se is None for a number without sampling error.
        low, high: the interval; infinite on both sides for what is only reported.
        yardstick: whether its bound is a control: a miss says that our way to measure failed, not the statement.
    """

    kind: Annotated[str, one_of(("expected", "guard", "reported"))]
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
        return self.low <= self.value - self.half_width and self.value + self.half_width <= self.high

    @property
    def missed(self) -> bool:
        """Whether none of value ± 2 se lies in the interval; one that is neither met nor missed straddles a bound."""
        return not (self.value + self.half_width >= self.low and self.value - self.half_width <= self.high)

    @property
    def half_width(self) -> float:
        """Twice the standard error."""
        return 2 * (self.se or 0.0)

    def __str__(self) -> str:
        text = f"{self.label}: {_short(self.value)}"
        if self.se is not None:
            text += f" ± {_short(self.half_width)}"
        if self.kind == "reported":
            return text
        return f"{text}   {'expected' if self.kind == 'expected' else 'guarded:'} {interval(self.low, self.high)}"


def _short(value: float) -> str:
    """Three significant digits; whole numbers below a million in full."""
    rounded = value if value.is_integer() else float(f"{value:.3g}")
    return f"{rounded:.0f}" if abs(rounded) < 1e6 and rounded.is_integer() else f"{value:.3g}"


def declared(claim_id: str, label: str, value: float | Estimate | Share, *, se: float | None = None) -> Measurement:
    """A number, and the bound that `claim.toml` declares for it.

    Args:
        claim_id: such as "L3".
        label: of the bound, and of the number in the record.
        value: the number, or an estimate, which brings its standard error.
        se: the standard error of a plain number, if it has one.

    Raises:
        KeyError: no bound of this label is declared.
    """
    return _measurement("expected", label, value, se, claims()[claim_id].bounds[label])


def guard(
    label: str,
    value: float | Estimate | Share,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    se: float | None = None,
) -> Measurement:
    """A number and an interval set afterwards, so that a change of what we found is noticed; see `declared`."""
    return _measurement("guard", label, value, se, Bound(low, high))


def reported(label: str, value: float | Estimate | Share, *, se: float | None = None) -> Measurement:
    """A number that nothing was expected of; see `declared`."""
    return _measurement("reported", label, value, se, Bound())


def _measurement(kind: str, label: str, value: float | Estimate | Share, se: float | None, bound: Bound) -> Measurement:
    if isinstance(value, Estimate | Share):
        se = value.se
        value = value.value
    return Measurement(kind, label, value, bound.low, bound.high, se, bound.control)


def word(claim: Claim, measurements: Sequence[Measurement], narrower: str = "") -> str:
    """The status that a claim's measurements bear, the first that fits.

    1. *not reproduced*: one misses its bound, all of its value ± 2 se;
    2. *inconclusive*: one straddles a bound, or misses that of a control;
    3. *waits for a GPU*: the claim does, and no number with a bound was measured;
    4. *reported*: the claim is, or no number has a bound;
    5. *reproduced in part*: the measurement is narrower than the statement;
    6. *reproduced*.
    """
    deciding = [m for m in measurements if m.kind == "expected"]
    if any(m.missed and not m.yardstick for m in deciding):
        return "not reproduced"
    if not all(m.met for m in deciding):
        return "inconclusive"
    if claim.waits and not deciding:
        return "waits for a GPU"
    if claim.reported or not deciding:
        return "reported"
    return "reproduced in part" if narrower else "reproduced"


# --- records ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Record:
    """A claim with its measurements and its word; its repr, such as `L3 reproduced`, is all that notebooks compare.

    Attributes:
        id: the claim's.
        status: the word that its measurements bear, such as "reproduced in part"; see `reads`.
        measurements: in the order of the file.
        narrower: in what the measurement is narrower than the paper's statement.
        data, note: what was measured on, and a sentence for the reader.
        day: on which it was measured, such as "2026-11-29".
        commit: in which its bounds were declared; "" where it was measured without git.
        bounds: the hash of its bounds as they were declared, see `bounds_hash`.
        seed: that it was drawn from, see `seed`.
        facts: the processor ("hardware"), torch's version, and the hashes of the networks that it was measured with; of
            what cost more than a cell may, also how it was measured, the command, the file that holds what it rests on
            ("file") and its "sha256".
    """

    id: str
    status: str
    measurements: tuple[Measurement, ...]
    narrower: str = ""
    data: str = ""
    note: str = ""
    day: str = ""
    commit: str = ""
    bounds: str = ""
    seed: int = 0
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


def reads(record: Record) -> str:
    """The word of a claim as its reader finds it: the record's, or WAITS where it was held to other bounds than now."""
    return record.status if record.bounds == bounds_hash(claims()[record.id]) else WAITS


def details(record: Record) -> str:
    """The claim, what was measured with twice its standard error, and what was expected, as text.

    The machine and the hashes are left out: they are in the record's file.
    """
    claim = claims()[record.id]
    lines = [f"{record.id} ({claim.place}) {claim.claim}: {record.status}", f"  expected: {claim.expect}"]
    lines += [f"  {m}" for m in record.measurements]
    if record.narrower:
        lines.append(f"  narrower: {record.narrower}")
    if record.data:
        lines.append(f"  data: {record.data}")
    if record.note:
        lines.append(f"  {record.note}")
    for name, fact in record.facts.items():
        if not name.startswith((WEIGHTS, "hardware", "torch", "sha256")):
            lines.append(f"  {name}: {fact}")
    return "\n".join(lines)


def show(record: Record) -> None:
    """Print the details of a record."""
    print(details(record))


def claims_folder() -> Path:
    """Where the committed records are: `claims/` beside this file, a folder for each."""
    return CLAIMS


def results_folder() -> Path:
    """Where what chapters load of the records is: `results/` in `files.shipped_folder()`."""
    return shipped_folder() / "results"


def record_file(claim_id: str, folder: Path | None = None, suffix: str = ".json") -> Path:
    """Where a claim's record lies in a folder of records, the committed ones by default, or what it rests on."""
    name = f"{claim_id}{suffix}"
    if folder is None and name in claims()[claim_id].ships:
        return results_folder() / name
    return (folder or claims_folder()) / claim_id / f"record{suffix}"


def ledger_folder() -> Path:
    """Where `settle` enters claims: $SBGM_LEDGER if set, else `ledger/` in `files.runs_folder()`."""
    return Path(os.environ.get("SBGM_LEDGER") or runs_folder() / "ledger")


def load_record(claim_id: str) -> Record:
    """Read a claim's committed record, and check that the networks that it was measured with are those that ship.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a network that it was measured with is not the one that ships now.
    """
    return check_weights(read_record(record_file(claim_id)))


def read_record(file: Path) -> Record:
    """The record that a JSON file holds.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; a script or a lab notebook in evidence/ measures it")
    fields = json.loads(file.read_text(encoding="utf-8"))
    fields["measurements"] = tuple(Measurement(**number) for number in fields["measurements"])
    return Record(**fields)


def load_records(folder: Path | None = None) -> dict[str, Record]:
    """The committed records, or those in a folder, by claim id, in the paper's order, whatever their networks."""
    files = {claim_id: record_file(claim_id, folder) for claim_id in claims()}
    return {claim_id: read_record(file) for claim_id, file in files.items() if file.exists()}


def seed(claim_id: str) -> int:
    """The seed of a claim's measurement: its record's while its bounds stand, else one by BASE_SEED, id and bounds.

    So a command draws what its record says, and whoever changes a bound measures on numbers that nobody has seen. Seeds
    of parts, such as one per network, are `derived_generator(seed("L8"), part)`.
    """
    bounds = bounds_hash(claims()[claim_id])
    before = held_to(claim_id, bounds)
    if before is not None:
        return before.seed
    return int.from_bytes(hashlib.sha256(f"{BASE_SEED} {claim_id} {bounds}".encode()).digest()[:4])


def held_to(claim_id: str, bounds: str) -> Record | None:
    """The committed record of a claim, if it was held to the bounds of this hash."""
    file = record_file(claim_id)
    before = read_record(file) if file.is_file() else None
    return before if before is not None and before.bounds == bounds else None


def save_record(record: Record, folder: Path | None = None) -> Record:
    """Write a claim's record among the committed ones, or in a folder of records, and return it."""
    file = record_file(record.id, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    defaults = {field.name: field.default for field in dataclasses.fields(Measurement)}  # JSON has no infinity
    content = {field.name: getattr(record, field.name) for field in dataclasses.fields(Record)}
    content["measurements"] = [
        {name: value for name, value in dataclasses.asdict(m).items() if value != defaults[name]}
        for m in record.measurements
    ]
    write_json(file, content | {"facts": dict(record.facts)})
    return record


def attached_file(record: Record, folder: Path | None = None) -> Path:
    """The file that a committed record rests on, or one in a folder of records.

    Raises:
        ValueError: the record names no file, or the file is missing or not the one that was recorded.
    """
    if not {"file", "sha256"} <= record.facts.keys():
        raise ValueError(f"the record of {record.id} names no file")
    return as_recorded(record_file(record.id, folder, Path(record.facts["file"]).suffix), record.facts)


def as_recorded(path: Path, facts: Facts) -> Path:
    """Return a path if the file there has the sha256 that the facts of a record name.

    Raises:
        ValueError: it is missing, or another.
    """
    if not path.is_file() or file_hash(path) != facts["sha256"]:
        raise ValueError(f"{path} is missing or not the file that was recorded (its sha256 differs)")
    return path


def check_weights(record: Record) -> Record:
    """Return a record if the networks that it was measured with, if any, are those that ship now.

    Raises:
        ValueError: a network's shipped file is missing or another; the message says how to measure anew.
    """
    for key, recorded in record.facts.items():
        if not key.startswith(WEIGHTS):
            continue
        path = weights.weights_file(key.removeprefix(WEIGHTS))
        if not path.is_file() or file_hash(path) != recorded:
            anew = f"; to measure it anew: {record.facts['command']}" if "command" in record.facts else ""
            raise ValueError(
                f"{path} is missing or not the network that {record.id} was measured with (its sha256 differs){anew}"
            )
    return record


def weights_facts(*names: str) -> dict[str, str]:
    """The facts by which a record names the networks that it was measured with: the sha256 of each one's file.

    Args:
        names: of shipped networks, such as "mnist_ncsn", or files of weights, which need not be here when it is read.
    """
    hashes = {}
    for file in map(weights.weights_file, names):
        ships = file.resolve().parent == weights.weights_folder().resolve()
        hashes[f"{WEIGHTS if ships else 'sha256 of '}{file.stem}"] = file_hash(file)
    return hashes


def machine_facts() -> dict[str, str]:
    """The processor, and torch's version."""
    return {"hardware": hardware(), "torch": torch.__version__}


# --- entering a claim -------------------------------------------------------------------------------------------------


def _settled(claim_id: str, measurements: Sequence[Measurement], **fields: Any) -> Record:
    """The record of a claim, measured today, with the status that its measurements bear.

    Raises:
        AssertionError: a guard does not hold; the message shows it.
    """
    if not measurements:
        raise ValueError("measurements must hold at least one measurement, got none")
    moved = [m for m in measurements if m.kind == "guard" and not m.holds]
    if moved:
        raise AssertionError(f"{claim_id}: what we found has changed\n" + "\n".join(map(str, moved)))
    status = word(claims()[claim_id], measurements, fields["narrower"])
    fields |= {"day": datetime.date.today().isoformat(), "bounds": bounds_hash(claims()[claim_id])}
    return Record(claim_id, status, tuple(measurements), seed=seed(claim_id), **fields)


def settle(
    claim_id: str,
    measurements: Sequence[Measurement],
    *,
    narrower: str = "",
    data: str = "",
    note: str = "",
    networks: Sequence[str] = (),
) -> Record:
    """Enter a claim that a notebook measured, with the status that its measurements bear; see `word`.

    Args:
        claim_id: such as "L3".
        measurements: by `declared`, `guard` and `reported`; a record's file has them in this order.
        narrower: in what the measurement is narrower than the paper's statement, such as "half the paper's width".
        data: what was measured on, where that can differ from run to run.
        note: one sentence for the ledger's reader.
        networks: shipped ones, if any, whose hashes the record keeps.

    Returns:
        The entry, whose repr is `L3 reproduced`.

    Raises:
        AssertionError: a guard does not hold; the message shows it.
        ValueError: the claim.toml has changes that are not committed.
    """
    commit = declaration(claim_id)
    facts = weights_facts(*networks) | machine_facts()
    entry = _settled(claim_id, measurements, narrower=narrower, data=data, note=note, commit=commit, facts=facts)
    return save_record(entry, ledger_folder())


def settle_again(claim_id: str, guards: Sequence[Measurement] = ()) -> Record:
    """Confirm a recorded claim: return its record with the guards that are added, if those and its own hold.

    Its status is then what the ledger reads: "waits to be measured again" where its bounds have changed since.

    Args:
        claim_id: such as "I1".
        guards: what was measured anew, such as on a small case.

    Raises:
        FileNotFoundError: there is no record.
        ValueError: it was measured with other networks than those that ship.
        AssertionError: a guard does not hold, or the record's status is not what its measurements bear.
    """
    record = load_record(claim_id)
    again = _settled(claim_id, [*record.measurements, *guards], narrower=record.narrower)
    if again.status != record.status:
        raise AssertionError(f"{claim_id} is recorded as {record.status!r}, but its numbers bear {again.status!r}")
    return dataclasses.replace(record, status=reads(record), measurements=again.measurements)


def record(
    claim_id: str,
    measurements: Sequence[Measurement],
    content: dict[str, Tensor] | pandas.DataFrame,
    *,
    data: str,
    note: str,
    narrower: str = "",
    networks: Sequence[str] = (),
    facts: Facts = NONE,
) -> Record:
    """Write the record of a claim that a script measured, whatever its word.

    Args:
        claim_id, measurements, data, note, narrower, networks: see `settle`.
        content: what the numbers rest on: tensors, such as the samples as they would be shown, uint8, for
            record.safetensors; or a table, for record.csv.
        facts: how it was measured.

    Raises:
        AssertionError: a guard does not hold; nothing is recorded.
        ValueError: the claim.toml has changes that are not committed.
    """
    commit = declaration(claim_id)
    entry = _settled(claim_id, measurements, narrower=narrower, data=data, note=note, commit=commit)
    suffix = ".safetensors" if isinstance(content, dict) else ".csv"
    all_facts = attach(record_file(claim_id, suffix=suffix), content, facts, networks=networks)
    return save_record(dataclasses.replace(entry, facts=all_facts))


def attach(
    file: Path, content: dict[str, Tensor] | pandas.DataFrame, facts: Facts, *, networks: Sequence[str]
) -> dict[str, Any]:
    """Write what a record rests on, tensors or a table, to a file; return the record's facts.

    To those that are given they add the networks' hashes, the machine, the command, and the file with its hash.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        save_tensors(file, content)
    else:
        write_bytes(file, content.to_csv(index=False, lineterminator="\n").encode())
    command = shlex.join(["python", f"evidence/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    attached = {"command": command, "file": file.name, "sha256": file_hash(file)}
    return {**facts, **weights_facts(*networks), **machine_facts(), **attached}


def declaration(claim_id: str) -> str:
    """The commit in which the bounds of a claim that is measured now were declared.

    It is the record's while its bounds stand, and else the last one that changed the claim.toml. So it is the same in a
    clone of one commit, and where there is no git.

    Raises:
        ValueError: the claim.toml has changes that are not committed, or there is neither git nor a record of these
            bounds.
    """

    def git(*words: str) -> str:
        command = ["git", "-C", str(CLAIMS / claim_id), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "claim.toml")
        last = git("log", "-1", "--format=%H", "--", "claim.toml")
    except (OSError, subprocess.CalledProcessError):
        changed = last = ""
    before = held_to(claim_id, bounds_hash(claims()[claim_id]))
    commit = before.commit if before is not None else last
    if changed or not commit:
        raise ValueError(f"claims/{claim_id}/claim.toml must be committed before it is measured: bounds come first")
    return commit


def script_options(
    doc: str | None,
    folder: str,
    *,
    claims: Sequence[str] = (),
    draws: bool = False,
    more: Mapping[str, Mapping[str, Any]] = NONE,
) -> dict[str, Any]:
    """The command line of a script that measures claims, as the arguments of its `measure`; its threads are set.

    Args:
        doc: the script's.
        folder: in `runs/`, what the measurement is kept in and resumed from unless told otherwise.
        claims: that it measures, by id; of one alone the id is the first word, as for measure.py.
        draws: whether a network draws on a device: --device and --compile, which make the `drawing.Machine`.
        more: options of its own, by flag, as `ArgumentParser.add_argument` takes them.

    Returns:
        The folder, the machine of a script that draws, and its own options, by name.

    Raises:
        ValueError: the claim.toml has changes that are not committed.
    """
    home = runs_folder() / folder
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if len(claims) == 1:
        parser.add_argument("claim", choices=claims)
    for flag, settings in more.items():
        parser.add_argument(flag, **settings)
    if draws:
        parser.add_argument("--device", help="where to compute, such as cpu or cuda:1 (the GPU if there is one)")
        parser.add_argument("--compile", action="store_true", help="fuse the layers: takes minutes, then saves time")
    parser.add_argument("--folder", type=Path, default=home, help=f"of finished work, to continue from ({home})")
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU (1, as for all records)")
    options = vars(parser.parse_args())
    options.pop("claim", None)
    for claim_id in claims:
        declaration(claim_id)  # refused before hours of work, not after
    torch.set_num_threads(options.pop("threads"))
    if draws:
        options["machine"] = Machine(options.pop("device"), options.pop("compile"))
    return options


# --- the page ---------------------------------------------------------------------------------------------------------

HEAD = """# The ledger

What the paper claims, what we expected before we measured, what came out, and the word that follows by a fixed rule, at
the top of `ledger.py`. An id links to the claim's record, which holds every number, the bounds, the
commit that declared them, the day and the machine. This folder shows how each was measured,
[HISTORY.md](HISTORY.md) what earlier ledgers said.

- ● *reproduced*: the paper's statement, at the paper's settings or in closed form;
- ◐ *in part*: reproduced, in a narrower setting than the paper's;
- ○ *not reproduced*: the statement fails here;
- ○ *inconclusive*: an interval reaches across its bound, or a control of our own measure failed.

± is twice the standard error; a bound is met only where the whole interval lies within it. Over a few trained networks
it is that of their mean, by Student's distribution: one more network may lie outside. Over samples of one network it
says nothing of other trainings. A number far from its bound stands without; the record has each ±, and the controls.

{notes}
"""
MARKS = {
    "‡": "half the paper's width, one training, on MNIST",
    "†": "in the plane, where the paper means images",
    "◊": "a quarter of the paper's width, a twentieth of its training, on CIFAR-10",
}
"""What is narrower in many rows stands above them once; FOOT says more of ‡."""
FOOT = """
‡ Made in six parts; 96 % of its weights stood still for 4,124 of 31,229 steps.

Milder by new bounds on known numbers: N3, F1, I4, I8 ([HISTORY.md](HISTORY.md)).
"""
ENTERS = re.compile(r"\bsettle(?:_again)?\(\s*\"(\w+)\"")
SHORT = {"reproduced in part": "in part"}
DISCS = {"reproduced": "● ", "reproduced in part": "◐ ", "not reproduced": "○ ", "inconclusive": "○ "}
COUNTED = {
    "reproduced": "reproduced in full",
    "waits for a GPU": "waiting for a GPU",
    WAITS: "waiting to be measured again",
}


def main() -> None:
    """Print the ledger; with --write, enter it beside its records and in README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="enter it in the repository")
    records = current_records()
    if parser.parse_args().write:
        write(records, Path(__file__).parents[1])
    print(ledger_page(records), end="")


def current_records() -> dict[str, Record]:
    """The latest word on every claim: what notebooks entered, else the committed record.

    The committed record stands where a script measured it, since a notebook measures a small case of it again; and
    where a notebook found the same numbers.
    """
    records = load_records()
    for claim_id, entered in load_records(ledger_folder()).items():
        committed = records.get(claim_id)
        if committed is None or not ("command" in committed.facts or agree(committed, entered)):
            records[claim_id] = entered
    return {claim_id: records[claim_id] for claim_id in claims() if claim_id in records}


def agree(record: Record, other: Record) -> bool:
    """Whether two records hold the same numbers to the same bounds, but for what processors round differently."""
    held, others = ([dataclasses.replace(m, value=0, se=None) for m in r.measurements] for r in (record, other))
    pairs = zip(record.measurements, other.measurements, strict=False)
    return held == others and all(math.isclose(a.value, b.value, rel_tol=1e-3, abs_tol=1e-9) for a, b in pairs)


def write(records: dict[str, Record], root: Path) -> None:
    """Enter records in their claims' folders, write the page beside these, and count them in README.

    Args:
        records: see `current_records`.
        root: the folder of README.md.
    """
    pages = {root / "README.md": with_section(root / "README.md", "ledger", count_line(records))}
    for record in records.values():
        save_record(record)
    pages[claims_folder().parent / "README.md"] = ledger_page(records)
    for path, text in pages.items():
        write_bytes(path, text.encode())


# --- tables -----------------------------------------------------------------------------------------------------------


def ledger_page(records: Mapping[str, Record]) -> str:
    """The ledger in Markdown: the claims that matter most by chapter, the others, and those that decide nothing yet."""
    undecided = [i for i in claims() if i not in records or reads(records[i]) in ("reported", "waits for a GPU", WAITS)]
    decided = [(title, [i for i in ids if i in records and i not in undecided]) for title, ids in chapters()]
    notes = "\n".join(f"{mark} {meaning}.\\" for mark, meaning in MARKS.items()).removesuffix("\\")
    lines = [HEAD.format(notes=notes), "## What carries the paper"]
    unexplained = dict(LETTERS)
    for title, ids in decided:
        main = [i for i in ids if claims()[i].main]
        letters = [letter for letter in unexplained if letter in {i[0] for i in main}]
        explained = "; ".join(f"{letter}: {unexplained.pop(letter)}" for letter in letters)
        if main:
            heading = f"### Chapter {title}{explained and f' ({explained})'}"
            lines += ["", heading, "", *TABLE_HEAD, *(row(records[i]) for i in main)]
    others = [i for _, ids in decided for i in ids if not claims()[i].main]
    lines += ["", "## The other claims", "", *TABLE_HEAD, *(row(records[i]) for i in others), ""]
    listed = [f"- {undecided_line(i, records.get(i))}" for i in undecided]
    lines += ["## Reported, or waiting", "", *listed]
    return "\n".join([*lines, FOOT])


@functools.cache
def chapters() -> Sequence[tuple[str, Sequence[str]]]:
    """The chapters whose lab notebooks enter claims, in their order: the heading of each, and its claims by id."""
    headings = []
    for path in sorted(Path(__file__).parents[1].glob("notebooks/[0-9]*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        enters = entered(lab_of(path))
        ids = [claim_id for claim_id in claims() if claim_id in enters]
        headings.append((first.partition("\n")[0].removeprefix("# "), ids))
    return headings


TABLE_HEAD = ("| claim | expected | measured | word |", "|---|---|---|---|")


def row(record: Record) -> str:
    """A line of a Markdown table: what the paper says, what was expected, what came out, and the word."""
    marks, _ = narrower(record)
    why = reasons(record)
    status = reads(record)
    word_of = f"{DISCS.get(status, '')}**{SHORT.get(status, status)}**{marks}{why and f': {why}'}"
    cells = [linked(record), f"{_capital(claims()[record.id].expect)}.", outcome(record), word_of]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def undecided_line(claim_id: str, record: Record | None) -> str:
    """What the ledger says of a claim that decides nothing yet: the statement, the word, why, and what came out."""
    if record is None:
        return f"{claim_id} {claims()[claim_id].sentence} *Declared, and not measured yet.*"
    status = reads(record)
    why = f"its bounds have changed since {record.day}" if status == WAITS else reasons(record)
    came_out = "" if status == WAITS else f" {outcome(record)}"
    return f"{linked(record)} *{_capital(status)}*: {why}.{came_out}"


def linked(record: Record) -> str:
    """What the paper says and where, with a link to the record."""
    ships = f"{record.id}.json" in claims()[record.id].ships
    file = f"../data/results/{record.id}.json" if ships else f"claims/{record.id}/record.json"
    return f"[{record.id}]({file}) {claims()[record.id].sentence}"


def _capital(words: str) -> str:
    first = words[0].upper() if words[0].isascii() else words[0]  # λ(σ) is no sentence's beginning, but a formula
    return first + words[1:]


def outcome(record: Record) -> str:
    """What came out, in sentences with the record's numbers."""
    return filled(claims()[record.id].found, record)


def reasons(record: Record) -> str:
    """Why the word is not "reproduced": bounds that are not met, and what is narrower; "" where it is."""
    claim = claims()[record.id]
    unmet = [m for m in record.of_kind("expected") if not m.met]
    if unmet and claim.missed:
        parts = [filled(claim.missed, record)]
    else:
        parts = [f"“{m.label}” is {plain(m.value, m.se)}, {_unmet(m)}" for m in unmet]
    parts.append(narrower(record)[1])
    parts.append({"waits for a GPU": claim.waits, "reported": claim.reported}.get(record.status, ""))
    return "; ".join(filter(None, parts))


def narrower(record: Record) -> tuple[str, str]:
    """In what a measurement is narrower than the paper's statement: the page's marks, and the words beside them."""
    words = record.narrower and (claims()[record.id].narrow or record.narrower)
    marks = [mark for mark, meaning in MARKS.items() if meaning in words]
    for mark in marks:
        words = words.replace(MARKS[mark], "")
    return "".join(marks), words.strip(",; ")


def _unmet(m: Measurement) -> str:
    return f"{'not' if m.missed else 'not clearly'} {interval(m.low, m.high)}".replace("-", "−")


def filled(template: str, record: Record) -> str:
    """Words with a record's numbers in place of what names them in braces; the forms are above.

    Raises:
        KeyError: there is no such number.
    """
    return re.sub(MEASURED, lambda named: _number_in_words(record, *named.groups()), template)


MEASURED = r"{(10\^-?|largest of )?(.+?)( in %)?(?: in (\d) digits?)?}"


def _number_in_words(record: Record, prefix: str | None, label: str, form: str | None, digits: str | None) -> str:
    if prefix == "largest of ":
        matching = [m for m in record.measurements if fnmatchcase(m.label, label)]
        m = max(matching, key=lambda m: abs(m.value))
        m = dataclasses.replace(m, value=abs(m.value))
    else:
        m = record.measurement(label)
    if prefix and prefix.startswith("10"):
        sign = -1 if prefix.endswith("-") else 1
        low, middle, high = sorted(10 ** (sign * (m.value + side)) for side in (-m.half_width, 0, m.half_width))
        return f"{significant(middle, 2)} ({significant(low, 2)} to {significant(high, 2)})"
    if form:
        m = dataclasses.replace(m, value=100 * m.value, se=m.se and 100 * m.se)
    number = significant(m.value, int(digits)) if digits else plain(m.value, m.se)
    return f"{number} %" if form else number


def plain(value: float, se: float | None = None) -> str:
    """A number as a reader wants it, "12.5 ± 1.6": at most three digits, and no more than ± bears.

    ± is twice the standard error, in one digit, or two that begin with a 1; where it would be 0, it is left out.
    """
    if not se:
        return significant(value, 3 if abs(value) > 1e-4 else 1)
    half_width = 2 * se
    power = math.floor(math.log10(half_width))
    decimals = (1 if half_width < 2 * 10**power else 0) - power
    if abs(value) > half_width:
        decimals = min(decimals, 2 - math.floor(math.log10(abs(value))))
    value = round(value, decimals) + 0.0  # -0.0 + 0.0 is 0.0
    half_width = round(half_width, decimals)
    decimals = max(0, decimals)
    text = f"{value:,.{decimals}f}".replace("-", "−")
    return f"{text} ± {half_width:,.{decimals}f}" if half_width else text


def significant(value: float, digits: int) -> str:
    """A number in so many digits, a whole number below a million in full, others far from 1 as "3·10¹¹"."""
    if not math.isfinite(value) or (value.is_integer() and abs(value) < 1e6):
        return f"{value:,.0f}".replace("-", "−")
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    power = int(exponent)
    if -4 <= power < 6:
        text = f"{float(f'{value:.{digits - 1}e}'):,.{max(0, digits - 1 - power)}f}"
    else:
        text = f"{mantissa}·10{str(power).translate(SUPERSCRIPTS)}"
    return text.replace("-", "−")


SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def count_line(records: dict[str, Record]) -> str:
    """How many claims have each status: a sentence on those that are not about images, and one on those that are."""
    sentences = [f"We tested {len(records)} statements."]
    for where, images in (("not about images", False), ("about images", True)):
        statuses = [reads(record) for record in records.values() if claims()[record.id].images is images]
        found = [status for status in STATUSES if status in statuses]
        counts = [f"{statuses.count(status)} {COUNTED.get(status, status)}" for status in found]
        if statuses:
            words = " and ".join(filter(None, (", ".join(counts[:-1]), counts[-1])))
            sentences.append(f"Of the {len(statuses)} {where}, we found {words}.")
    return " ".join(sentences)


# --- pages that hold a part of it -------------------------------------------------------------------------------------


def with_section(page: Path, name: str, content: str) -> str:
    """Return a page's text with other content between its markers, <!-- name --> and <!-- /name -->."""
    start = f"<!-- {name} -->"
    end = f"<!-- /{name} -->"
    parts = re.split(f"({start}|{end})", page.read_text(encoding="utf-8"))
    if parts[1::2] != [start, end]:
        raise ValueError(f"{page} must hold the markers {start} and {end} once each, in this order")
    return f"{parts[0]}{start}\n{content}\n{end}{parts[-1]}"


def lab_of(chapter: Path) -> Path:
    """The lab notebook of a chapter: evidence/NN_lab.ipynb, beside the folder of the chapters."""
    return chapter.parents[1] / "evidence" / f"{chapter.name[:2]}_lab.ipynb"


def entered(lab: Path) -> list[str]:
    """The claims that a lab notebook enters, by id."""
    cells = json.loads(lab.read_text(encoding="utf-8"))["cells"] if lab.exists() else []
    return [claim for cell in cells if cell["cell_type"] == "code" for claim in ENTERS.findall("".join(cell["source"]))]


if __name__ == "__main__":
    main()
