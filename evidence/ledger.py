"""The ledger: what the paper claims, what we expected before we measured, what came out, and the word that follows.

A claim is a folder, `claims/ID/`: `claim.toml` says where the claim stands, what it says, how it is measured and what
is expected; `measure.py` measures it, by `python evidence ID`, and ends in `record`; `record.json` holds what came out,
and `record.safetensors` or `record.csv` what it rests on. What chapters load of these ships instead, as
`data/results/ID.…`, and `claim.toml` names it. What several claims share lies beside the folders; no claim imports
another. `page.py` writes the table of all claims, README.md beside this file.

The rules:

1. A claim's measure and bounds are committed before it is measured; its record holds that commit, the hash of the
   bounds, the day and the seed. A command draws what its record says: while the bounds stand, the record's seed is the
   seed. Who changes a measure or a bound after a number has been seen says so in `HISTORY.md`, and measures again. A
   changed bound changes the hash, so the claim waits to be measured again, on a new seed. A changed measure takes a
   changed label, so that it waits as well. A record keeps the bounds of those that it replaces, and the page lists what
   became milder or harsher. Of a tree without its history the hash tells what the commit would.
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
"""

import contextlib
import csv
import dataclasses
import datetime
import functools
import hashlib
import json
import math
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas
import torch
from torch import Tensor

from sbgm.files import file_hash, load_tensors, save_tensors, shipped_folder, write_bytes, write_json
from sbgm.images import weights
from sbgm.images.devices import hardware
from sbgm.measure.estimates import Estimate, Share

CLAIMS = Path(__file__).parent / "claims"
LETTERS = {
    "S": "scores",
    "M": "manifolds",
    "L": "low density, Langevin dynamics",
    "N": "noise conditional networks",
    "I": "images",
    "F": "freedom of choice",
}
"""What the first letter of an id says, in the paper's order: § 2, 3.1, 3.2 and 4.3, 4.2, 5 and 6."""
BASE_SEED = 20261129
WAITS = "waits to be measured again"
WEIGHTS = "weights of "  # a record's facts hold the sha256 of each shipped network's file under this and its name
Facts = Mapping[str, Any]
NONE: Facts = MappingProxyType({})
Value = float | Estimate | Share


# --- numbers in words -------------------------------------------------------------------------------------------------

SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: float, digits: int = 3) -> str:
    """A number in so many digits, or a whole one below a million in full: "0.0177", "7,590", "3.5·10¹¹"."""
    rounded = value if float(value).is_integer() else float(f"{value:.{digits}g}")
    text, _, power = f"{rounded:,g}".partition("e")
    if power:
        text += f"·10{str(int(power)).translate(SUPERSCRIPTS)}"
    return text.replace("-", "−")


def with_error(value: float, half_width: float) -> str:
    """A number and what it is uncertain by, "12.5 ± 1.6": ± in one digit, or in two that begin with a 1."""
    power = math.floor(math.log10(half_width))
    decimals = (1 if half_width < 2 * 10**power else 0) - power
    places = max(0, decimals)
    text = f"{round(value, decimals):z,.{places}f} ± {round(half_width, decimals):,.{places}f}"
    return text.replace("-", "−")


def interval(low: float, high: float) -> str:
    """An interval in words: "0.499 to 0.519", "at least 5"."""
    if math.isinf(high):
        return f"at least {number(low, 6)}"
    if math.isinf(low):
        return f"at most {number(high, 6)}"
    return number(low, 6) if low == high else f"{number(low, 6)} to {number(high, 6)}"


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

    def in_words(self, form: str | None, unit: float) -> str:
        """The interval in words, or its end, in units such as 100 of percent; the forms are those of `filled`."""
        if form is None:
            return interval(unit * self.low, unit * self.high)
        ends = [end for end in (self.low, self.high) if math.isfinite(end)]
        return number(unit * (ends[0] if len(ends) == 1 else (self.high - self.low) / 2), 6)

    def factor_in_words(self) -> str:
        """The interval of 10^number, in words."""
        return interval(*(float(f"{10**end:.3g}") for end in (self.low, self.high)))


@dataclasses.dataclass(frozen=True)
class Claim:
    """One assertion of the paper, as its `claim.toml` states it.

    Attributes:
        id, section, claim: its name, where the paper makes it, and what the paper says.
        chapter: the number of the chapter that teaches it.
        measure, expect: how it is measured, and what is expected, in words with the numbers of the bounds.
        found: what came out, a sentence with the labels of the record's measurements in braces, see `filled`.
        missed: a clause on which number missed or straddles its bound, shown where one does; as `found`.
        mark, narrow: in what the measurement is narrower than the statement: a mark that the page explains, and words.
        reported: why it is "reported" where nothing fails, if it is.
        waits: why it "waits for a GPU" until a number with a bound has been measured, if it does.
        known: whether an earlier number was known when a bound was set: a pilot's, or an older measurement's.
        identity: whether it is one, which only a fault of the code could miss; the page then says "checked".
        beside: the id of the claim in whose row the page tells it, if it has none of its own.
        main: whether it is one of some twenty that carry the paper, which the page tells first.
        images: whether it is settled on images, or with a network for images.
        ships: the files of its record that chapters load, which lie in `results_folder()`, such as "I8.safetensors".
        bounds: what each number is held to, by its label.
    """

    id: str
    chapter: int
    section: str
    claim: str
    measure: str
    expect: str
    found: str
    missed: str = ""
    mark: str = ""
    narrow: str = ""
    reported: str = ""
    waits: str = ""
    known: bool = False
    identity: bool = False
    beside: str = ""
    main: bool = False
    images: bool = False
    ships: Sequence[str] = ()
    bounds: Mapping[str, Bound] = dataclasses.field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where the paper says it: "§ 4.3", "Fig. 3c"."""
        return f"§ {self.section}" if self.section[0].isdigit() else self.section


@functools.cache
def claims() -> Mapping[str, Claim]:
    """Every claim that has a folder, by id, in the order of LETTERS and of the numbers."""
    stated = [_stated(file) for file in CLAIMS.glob("*/claim.toml")]
    stated.sort(key=lambda claim: (list(LETTERS).index(claim.id[0]), int(claim.id[1:])))
    return {claim.id: claim for claim in stated}


def _stated(file: Path) -> Claim:
    fields = tomllib.loads(file.read_text(encoding="utf-8"))
    fields["bounds"] = {label: Bound(**bound) for label, bound in fields.get("bounds", {}).items()}
    fields["expect"] = filled(fields["expect"], fields["bounds"])
    return Claim(file.parent.name, **fields)


def bounds_hash(claim: Claim) -> str:
    """Eight digits that change with each label and each end of a claim's bounds, not with what is a control."""
    lines = sorted(f"{label}: {float(bound.low)} to {float(bound.high)}" for label, bound in claim.bounds.items())
    return hashlib.sha256("\n".join([claim.id, *lines]).encode()).hexdigest()[:8]


# --- measurements -----------------------------------------------------------------------------------------------------


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

    kind: str
    label: str
    value: float
    low: float = -math.inf
    high: float = math.inf
    se: float | None = None
    yardstick: bool = False

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

    def in_words(self, form: str | None = None, unit: float = 1) -> str:
        """The number with ±, or about it, in units such as 100 of percent; the forms are those of `filled`."""
        if form is None and self.se:
            return with_error(unit * self.value, unit * self.half_width)
        return number(unit * self.value, 3 if form is None else 2)

    def factor_in_words(self) -> str:
        """10^number, and between which factors it lies: "4.7 (3.4 to 6.6)"."""
        sides = (0, -self.half_width, self.half_width)
        return "{} ({} to {})".format(*(number(10 ** (self.value + side), 2) for side in sides))

    def __str__(self) -> str:
        text = f"{self.label}: {self.in_words()}"
        return text if self.kind == "reported" else f"{text}   {self.kind} {interval(self.low, self.high)}"


def declared(claim_id: str, label: str, value: Value, *, se: float | None = None) -> Measurement:
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
    value: Value,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    se: float | None = None,
) -> Measurement:
    """A number and an interval set afterwards, so that a change of what we found is noticed; see `declared`."""
    return _measurement("guard", label, value, se, Bound(low, high))


def reported(label: str, value: Value, *, se: float | None = None) -> Measurement:
    """A number that nothing was expected of; see `declared`."""
    return _measurement("reported", label, value, se, Bound())


def _measurement(kind: str, label: str, value: Value, se: float | None, bound: Bound) -> Measurement:
    if isinstance(value, Estimate | Share):
        se = value.se
        value = value.value
    numbers = {"value": value, "low": bound.low, "high": bound.high, "se": se}
    floats = {name: float(x) for name, x in numbers.items() if x is not None}  # as records hold them
    return Measurement(kind, label, yardstick=bound.control, **floats)


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


NAMED = re.compile("{(end of |about )?(.+?)( in %)?}")


def filled(words: str, numbers: Mapping[str, Bound] | Mapping[str, Measurement]) -> str:
    """Words with numbers in place of their labels in braces: a claim's bounds, or a record's measurements.

        {LABEL}         a bound: "at least 5", "0.78 to 0.8"; or a measurement: "12.5 ± 1.6"
        {end of LABEL}  the one end of a bound, or what it allows on either side of its middle: "0.02"
        {about LABEL}   a measurement in two digits, without ±
        {LABEL in %}    "at most 5 %", "0.4 ± 0.4 %"; also behind the other forms

    A number whose label says log₁₀ is told as the factor that it stands for: "at least 5", "4.7 (3.4 to 6.6)".

    Raises:
        KeyError: no number has this label.
    """

    def told(named: re.Match[str]) -> str:
        form, label, percent = named.groups()
        if "log₁₀" in label:
            return numbers[label].factor_in_words()
        if percent:
            return f"{numbers[label].in_words(form, 100)} %"
        return numbers[label].in_words(form, 1)

    return NAMED.sub(told, words)


# --- records ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Record:
    """A claim with its measurements and its word.

    Attributes:
        id: the claim's.
        status: the word that its measurements bear, such as "reproduced in part"; see `reads`.
        measurements: in the order of the file.
        narrower: in what the measurement is narrower than the paper's statement.
        data, note: what was measured on, and a sentence for the reader.
        day: on which it was measured, such as "2026-11-29".
        commit: in which its bounds were declared.
        bounds: the hash of its bounds as they were declared, see `bounds_hash`.
        seed: that it was drawn from, see `seed`.
        before: the bounds of the records that it replaced, where they were others: for each its day and, by label, the
            ends, as `claim.toml` has them.
        facts: the processor ("hardware"), torch's version, the hashes of the networks that it was measured with, the
            command, how it was measured, and if it rests on a file, that "file" and its "sha256".
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
    before: tuple[Facts, ...] = ()

    def of_kind(self, kind: str) -> list[Measurement]:
        """Its measurements that are "expected", "guard" or "reported", in their order."""
        return [m for m in self.measurements if m.kind == kind]

    @property
    def numbers(self) -> dict[str, Measurement]:
        """Its measurements by label."""
        return {m.label: m for m in self.measurements}

    def measurement(self, label: str) -> Measurement:
        """The one of this label; a KeyError where there is none."""
        return self.numbers[label]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors in the file beside the record, by name."""
        return load_tensors(attached_file(self))[0]

    @property
    def table(self) -> pandas.DataFrame:
        """The table in the file beside the record, as it was written."""
        with attached_file(self).open(encoding="utf-8", newline="") as file:
            rows = pandas.DataFrame(csv.DictReader(file))
        return rows.apply(_as_numbers)


def _as_numbers(column: pandas.Series) -> pandas.Series:
    """A column of words as whole numbers, or as decimals to the last bit, which no `read_csv` of all versions gives."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return column.map(kind)
    return column


def reads(record: Record) -> str:
    """The word of a claim as its reader finds it: the record's, or WAITS where it was held to other bounds than now."""
    return record.status if record.bounds == bounds_hash(claims()[record.id]) else WAITS


def changes(record: Record) -> set[str]:
    """What became of a claim's bounds after a number was known: "milder", "harsher" or "changed"; none of them if none.

    A wider interval is milder, a narrower one harsher; any other, and a label that is gone, changed. A new label, where
    none is gone, is harsher.
    """
    now = {label: (bound.low, bound.high) for label, bound in claims()[record.id].bounds.items()}
    words = set()
    for earlier in record.before:
        bounds = {label: Bound(**ends) for label, ends in earlier["bounds"].items()}
        held = {label: (bound.low, bound.high) for label, bound in bounds.items()}
        if held.keys() < now.keys():
            words.add("harsher")
        for label, (low, high) in held.items():
            if label not in now:
                words.add("changed")
            elif now[label] != (low, high):
                words.add(_change((low, high), now[label]))
    return words


def _change(old: tuple[float, float], new: tuple[float, float]) -> str:
    """What an interval has become."""
    if new[0] <= old[0] and old[1] <= new[1]:
        return "milder"
    return "harsher" if old[0] <= new[0] and new[1] <= old[1] else "changed"


def outcome(record: Record) -> str:
    """What came out, in sentences with the record's numbers."""
    return filled(claims()[record.id].found, record.numbers)


def details(record: Record) -> str:
    """The claim, what was measured with twice its standard error, and what was expected, as text.

    The machine and the hashes are left out: they are in the record's file.
    """
    claim = claims()[record.id]
    lines = [f"{record.id} ({claim.place}) {claim.claim}: {record.status}", f"  expected: {claim.expect}"]
    lines += [f"  {m}" for m in record.measurements]
    words = {"narrower: ": record.narrower, "data: ": record.data, "": record.note}
    lines += [f"  {name}{text}" for name, text in words.items() if text]
    left_out = (WEIGHTS, "hardware", "torch", "sha256")
    lines += [f"  {name}: {fact}" for name, fact in record.facts.items() if not name.startswith(left_out)]
    return "\n".join(lines)


def show(record: Record) -> None:
    """Print the details of a record."""
    print(details(record))


# --- where records lie ------------------------------------------------------------------------------------------------


def claims_folder() -> Path:
    """Where the committed records are: `claims/` beside this file, a folder for each."""
    return CLAIMS


def results_folder() -> Path:
    """Where what chapters load of the records is: `results/` in `files.shipped_folder()`."""
    return shipped_folder() / "results"


def record_file(claim_id: str, suffix: str = ".json") -> Path:
    """Where a claim's record lies, or what it rests on."""
    name = f"{claim_id}{suffix}"
    if name in claims()[claim_id].ships:
        return results_folder() / name
    return claims_folder() / claim_id / f"record{suffix}"


def load_record(claim_id: str) -> Record:
    """Read a claim's committed record, and check that the networks that it was measured with are those that ship.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a network that it was measured with is not the one that ships now.
    """
    return check_weights(read_record(record_file(claim_id)))


def read_record(file: Path) -> Record:
    """The record that a JSON file holds, whatever its networks."""
    fields = json.loads(file.read_text(encoding="utf-8"))
    fields["measurements"] = tuple(Measurement(**m) for m in fields["measurements"])
    fields["before"] = tuple(fields.get("before", ()))
    return Record(**fields)


def load_records() -> dict[str, Record]:
    """The records, by claim id, in the paper's order, whatever their networks."""
    files = {claim_id: record_file(claim_id) for claim_id in claims()}
    return {claim_id: read_record(file) for claim_id, file in files.items() if file.exists()}


def save_record(record: Record) -> Record:
    """Write a claim's record, and return it."""
    file = record_file(record.id)
    file.parent.mkdir(parents=True, exist_ok=True)
    defaults = {field.name: field.default for field in dataclasses.fields(Measurement)}  # JSON has no infinity
    content = vars(record) | {"facts": dict(record.facts)}
    if not record.before:
        del content["before"]
    content["measurements"] = [
        {name: value for name, value in vars(m).items() if value != defaults[name]} for m in record.measurements
    ]
    write_json(file, content)
    return record


def attached_file(record: Record) -> Path:
    """The file that a committed record rests on, see `as_recorded`."""
    return as_recorded(record_file(record.id, suffix=Path(record.facts["file"]).suffix), record.facts)


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
        ValueError: a network's shipped file is missing or another.
    """
    for key, recorded in record.facts.items():
        if key.startswith(WEIGHTS):
            as_recorded(weights.weights_file(key.removeprefix(WEIGHTS)), {"sha256": recorded})
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


# --- recording a claim -----------------------------------------------------------------------------------------------


def standing(claim_id: str) -> Record | None:
    """The committed record of a claim, if there is one and its bounds stand."""
    file = record_file(claim_id)
    record = read_record(file) if file.is_file() else None
    return None if record is None or reads(record) == WAITS else record


def seed(claim_id: str) -> int:
    """The seed of a claim's measurement: its record's while its bounds stand, else one by BASE_SEED, id and bounds.

    So a command draws what its record says, and whoever changes a bound measures on numbers that nobody has seen. Seeds
    of parts, such as one per network, are `derived_generator(seed("L8"), part)`.
    """
    before = standing(claim_id)
    if before is not None:
        return before.seed
    words = f"{BASE_SEED} {claim_id} {bounds_hash(claims()[claim_id])}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4])


def declaration(claim_id: str) -> str:
    """The commit that declares a claim which is measured now.

    It is the record's while its bounds stand, since a changed measure takes a changed label, and else the last one that
    changed claim.toml or measure.py. So it is the same in a clone of one commit, and where there is no git.

    Raises:
        ValueError: one of the two has changes that are not committed, or there is neither git nor a record of these
            bounds.
    """

    def git(*words: str) -> str:
        command = ["git", "-C", str(CLAIMS / claim_id), *words, "--", "claim.toml", "measure.py"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain")
        last = git("log", "-1", "--format=%H")
    except (OSError, subprocess.CalledProcessError):
        changed = last = ""
    before = standing(claim_id)
    commit = last if before is None else before.commit
    if changed or not commit:
        raise ValueError(f"claims/{claim_id} must be committed before it is measured: measure and bounds come first")
    return commit


def record(
    claim_id: str,
    measurements: Sequence[Measurement],
    content: dict[str, Tensor] | pandas.DataFrame | None = None,
    *,
    data: str = "",
    note: str = "",
    narrower: str = "",
    networks: Sequence[str] = (),
    facts: Facts = NONE,
) -> Record:
    """Write the record of a claim that was measured, whatever its word.

    Args:
        claim_id: such as "L3".
        measurements: by `declared`, `guard` and `reported`; a record's file has them in this order.
        content: what the numbers rest on: tensors, such as the samples as they would be shown, uint8, for
            record.safetensors; or a table, for record.csv. None for what `measure.py` measures in seconds.
        data: what was measured on, where that can differ from run to run.
        note: one sentence for the ledger's reader.
        narrower: in what the measurement is narrower than the paper's statement, such as "half the paper's width".
        networks: shipped ones, if any, whose hashes the record keeps.
        facts: how it was measured.

    Raises:
        AssertionError: a guard does not hold; the message shows it, and nothing is recorded.
        ValueError: the claim has changes that are not committed.
    """
    commit = declaration(claim_id)
    moved = [m for m in measurements if m.kind == "guard" and not m.holds]
    if moved:
        raise AssertionError(f"{claim_id}: what we found has changed\n" + "\n".join(map(str, moved)))
    claim = claims()[claim_id]
    kept_in = record_file(claim_id, suffix=".csv" if isinstance(content, pandas.DataFrame) else ".safetensors")
    return save_record(
        Record(
            claim_id,
            word(claim, measurements, narrower),
            tuple(measurements),
            narrower,
            data,
            note,
            day=datetime.date.today().isoformat(),
            commit=commit,
            bounds=bounds_hash(claim),
            seed=seed(claim_id),
            facts=attach(kept_in, content, facts, networks=networks),
            before=_before(claim),
        )
    )


def _before(claim: Claim) -> tuple[Facts, ...]:
    """The bounds of the records before the one that is written now, see `Record.before`."""
    file = record_file(claim.id)
    if not file.is_file():
        return ()
    replaced = read_record(file)
    if replaced.bounds == bounds_hash(claim):
        return replaced.before
    held = {m.label: {"low": m.low, "high": m.high} for m in replaced.of_kind("expected")}
    finite = {label: {end: x for end, x in ends.items() if math.isfinite(x)} for label, ends in held.items()}
    return (*replaced.before, {"day": replaced.day, "bounds": finite})


def attach(
    file: Path, content: dict[str, Tensor] | pandas.DataFrame | None, facts: Facts, *, networks: Sequence[str]
) -> dict[str, Any]:
    """Write what a record rests on, tensors or a table, to a file; return the record's facts.

    To those that are given they add the networks' hashes, the machine, the command, and the file with its hash.
    """
    script = Path(sys.argv[0])  # a file, or the folder of `python evidence ID`
    command = shlex.join(["python", f"evidence/{script.name}" if script.suffix else "evidence", *sys.argv[1:]])
    known = {**facts, **weights_facts(*networks), **machine_facts(), "command": command}
    if content is None:
        return known
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        save_tensors(file, content)
    else:
        write_bytes(file, content.to_csv(index=False, lineterminator="\n").encode())
    return known | {"file": file.name, "sha256": file_hash(file)}
