"""The ledger: what the paper asserts, and how this project settled each claim.

A lab notebook measures a claim and enters it by `settle`. Each number is `expected`, if the interval it should lie in
was written down before the first measurement, a `guard` of what we found, or `reported`. The status follows from those
that were expected; nobody chooses it. What a run enters goes to `runs/ledger/`, which git ignores; `python -m sbgm
ledger --write` turns it into the committed records of `data/results/`, the table there, and the table at the end of
each chapter. A claim that costs more than a cell may is measured by `sbgm evaluate`, whose script, `ID.py` in this
folder, enters it in `data/results/`; its lab notebook confirms it on a small case by `settle_again`.
"""

import argparse
import dataclasses
import inspect
import json
import math
import os
import re
import sys
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

import sbgm.cli
from sbgm.checked import Number, checked, one_of
from sbgm.cli.options import add_device_argument
from sbgm.data import require_checkout, runs_folder
from sbgm.files import file_hash, load_tensors, save_tensors, write_bytes, write_json
from sbgm.measure import records
from sbgm.measure.estimates import Estimated
from sbgm.measure.records import WEIGHTS, attached_file, check_weights
from sbgm.precision import Machine, find_device, hardware
from sbgm.weights import weights_file

DECLARED = "2026-11-27"
"""When it was declared, for every bound, what it tests."""
Facts = dict[str, str | int | float]
HEAD = f"""# The ledger

What the paper claims, what was expected before measuring, and what came out, with twice the standard error. Written by
`python -m sbgm ledger --write` from the records beside it, which hold every measurement; `notebooks/lab/` shows how
each was made.

- *reproduced*: the paper's statement, at the paper's settings or in closed form;
- *reproduced in part*: narrower than the paper says it; the row says in what;
- *not reproduced*: the statement fails here;
- *inconclusive*: an interval reaches across its bound, or a control of our own measure failed;
- *reported*: the paper gives no number, or ours is arithmetic;
- *waits for a GPU*: with the hours.

A bound counts as met only where the whole interval, ± two standard errors, lies within it. Bounds were written down
before the number that they decide about. What a bound tests, the paper's statement or our way to measure, was declared
for all of them on {DECLARED}: after the measurement for those that had been measured, before it for the others.
"""
CLOSING = "## What the paper says, and what you saw"
"""The first line of the Markdown cell at a chapter's end whose rest `sbgm ledger --write` writes."""
ENTERS = re.compile(r"\bsettle(?:_again)?\(\s*\"(\w+)\"")
STATUSES = (
    "reproduced",
    "reproduced in part",
    "not reproduced",
    "inconclusive",
    "reported",
    "waits for a GPU",
)
GRANTED = STATUSES[4:]
KINDS = ("expected", "guard", "reported")


# --- claims, measurements and records --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Bound:
    """The interval [low, high] that a number is held to; see the rule at the top of `claims.toml`.

    Attributes:
        low, high: the interval.
        control: whether the bound is on known images, or on how much was measured, and so tests our way to measure; any
            other bound tests the paper's statement.
    """

    low: float = -math.inf
    high: float = math.inf
    control: bool = False


@dataclasses.dataclass(frozen=True)
class Claim:
    """One assertion of the paper, as `claims.toml` lists it.

    Attributes:
        id, section, claim: its name, where the paper makes it, and what the paper says.
        measure, expect: how it is measured, and what was expected before measuring, in words.
        found: what came out, a sentence with the labels of the record's measurements in braces.
        granted: why its word is "reported" or "waits for a GPU", if it is.
        images: whether it is settled on images, or with a network for images.
        bounds: every number that was expected, by its label. What each bound tests was declared on 2026-11-27, after
            its measurement.
        anew: the same for a measurement that was declared before it was made, and replaces the record.
        plan, known: how that measurement is made, and which numbers had been seen when its bounds were set.
        pilot: the earlier measurement that a bound repeats, if it does.
        changed: what became of the measure or a bound after a number had been seen, with the date.
    """

    id: str
    section: str
    claim: str
    measure: str
    expect: str
    found: str
    granted: str = ""
    images: bool = False
    bounds: Mapping[str, Bound] = dataclasses.field(default_factory=dict)
    anew: Mapping[str, Bound] = dataclasses.field(default_factory=dict)
    plan: str = ""
    known: str = ""
    pilot: str = ""
    changed: str = ""

    @property
    def place(self) -> str:
        """Where the paper makes it, such as "§ 4.3, Fig. 3c"."""
        return f"§ {self.section}" if self.section[0].isdigit() else self.section


def claims() -> dict[str, Claim]:
    """Every claim of the ledger by id, in the paper's order."""
    found = tomllib.loads((Path(__file__).parent / "claims.toml").read_text(encoding="utf-8"))
    for fields in found.values():
        for table in fields.keys() & {"bounds", "anew"}:
            fields[table] = {label: Bound(**bound) for label, bound in fields[table].items()}
    return {claim_id: Claim(claim_id, **fields) for claim_id, fields in found.items()}


@checked
@dataclasses.dataclass(frozen=True)
class Measurement:
    """One measured number, with its standard error if it has one, and the interval [low, high] that it is held to.

    Attributes:
        kind: "expected", "guard" or "reported": see the functions of these names.
        label, value, se: what was measured; se is None for a number without sampling error.
        low, high: the interval; infinite on both sides for what is only reported.
        yardstick: whether missing the interval says that our way to measure failed, not the paper's statement: it is a
            `Bound.control`.
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
        return _short(self.value) + ("" if self.se is None else f" ± {_short(self._half_width)}")

    def __str__(self) -> str:
        held = {"expected": "expected ", "guard": "guarded: "}.get(self.kind)
        return f"{self.label}: {self.number}" + (f"   {held}{interval(self.low, self.high)}" if held else "")


def expected(
    label: str,
    value: float | Estimated,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    se: float | None = None,
) -> Measurement:
    """A number and the interval that it was expected in before the first measurement; see `Measurement`.

    Args:
        label, low, high: see `Measurement`.
        value: the number, or an estimate, which brings its standard error.
        se: the standard error of a plain number, if it has one.
    """
    return _measured("expected", label, value, se, low, high)


def declared(claim_id: str, label: str, value: float | Estimated, *, se: float | None = None) -> Measurement:
    """A number, and the bound that `claims.toml` declares for it; see `expected`.

    Raises:
        KeyError: it declares none of this label.
    """
    claim = claims()[claim_id]
    bound = {**claim.bounds, **claim.anew}[label]
    return _measured("expected", label, value, se, bound.low, bound.high, bound.control)


def guard(
    label: str,
    value: float | Estimated,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    se: float | None = None,
) -> Measurement:
    """A number and an interval set afterwards, so that a change of what we found is noticed; see `expected`."""
    return _measured("guard", label, value, se, low, high)


def reported(label: str, value: float | Estimated, *, se: float | None = None) -> Measurement:
    """A number that nothing was expected of; see `expected`."""
    return _measured("reported", label, value, se)


def _measured(
    kind: str,
    label: str,
    value: float | Estimated,
    se: float | None,
    low: float = -math.inf,
    high: float = math.inf,
    yardstick: bool = False,
) -> Measurement:
    if not isinstance(value, float | int | Tensor):
        value, se = value.value, value.se
    return Measurement(kind, label, value, low, high, se, yardstick)


def interval(low: float, high: float) -> str:
    """An interval in words: "0.499 to 0.519", "at least 5", "any"."""
    if math.isinf(high):
        return "any" if math.isinf(low) else f"at least {low:g}"
    if math.isinf(low) or low == high:
        return f"{'at most ' if low < high else ''}{high:g}"
    return f"{low:g} to {high:g}"


def _short(value: float) -> str:
    """Three significant digits; whole numbers below a million in full."""
    rounded = value if value.is_integer() else float(f"{value:.3g}")
    return f"{rounded:.0f}" if abs(rounded) < 1e6 and rounded.is_integer() else f"{value:.3g}"


@dataclasses.dataclass(frozen=True)
class Settled:
    """A claim with its measurements and status; its repr, such as `L3 reproduced`, is all that notebooks compare.

    `facts` belong to recorded claims, which cost more than a cell may: how and on what `python -m sbgm evaluate`
    measured them, the file that holds what they rest on ("file") and its "sha256".
    """

    id: str
    status: str
    measurements: tuple[Measurement, ...]
    narrower: str = ""
    data: str = ""
    note: str = ""
    facts: Facts = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.id} {self.status}"

    def of_kind(self, *kinds: str) -> list[Measurement]:
        """Its measurements that are "expected", "guard" or "reported", in their order."""
        return [m for m in self.measurements if m.kind in kinds]

    def why(self) -> str:
        """Why its word is not "reproduced": in what it is narrower, or the number that decides; "" where it is."""
        failed = (m for m in self.of_kind("expected") if not m.met)
        decides = max(failed, key=lambda m: m.missed and not m.yardstick, default=None)
        if decides is None:
            return self.narrower if self.status == "reproduced in part" else claims()[self.id].granted
        held = f"“{decides.label}” is {decides.number}, where {interval(decides.low, decides.high)} was expected"
        return held if decides.missed else f"{held}, and two standard errors reach across the bound"

    def measurement(self, label: str) -> Measurement:
        """The one of this label.

        Raises:
            KeyError: there is none.
        """
        return {m.label: m for m in self.measurements}[label]

    def details(self) -> str:
        """The claim, what was measured with twice its standard error, and what was expected, as text."""
        claim = claims()[self.id]
        lines = [f"{self.id} (§ {claim.section}) {claim.claim}: {self.status}"]
        lines += [f"  {m}" for m in self.measurements]
        narrower = self.narrower and f"in part: {self.narrower}"
        lines += [f"  {text}" for text in (narrower, self.data and f"data: {self.data}", self.note) if text]
        return "\n".join(lines + [f"  {name}: {fact}" for name, fact in self.facts.items()])


def word(measurements: Sequence[Measurement], *, narrower: str = "", granted: str | None = None) -> str:
    """The status that the expected measurements bear, the first that fits.

    1. *not reproduced*: one misses its interval, all of its value ± 2 se;
    2. *inconclusive*: one straddles a bound, or misses that of a control;
    3. what is granted in words: *reported* or *waits for a GPU*; *reported* also where nothing was expected;
    4. *reproduced in part*, if the measurement is narrower than the statement;
    5. *reproduced*.
    """
    expected = [m for m in measurements if m.kind == "expected"]
    if any(m.missed and not m.yardstick for m in expected):
        return "not reproduced"
    if not all(m.met for m in expected):
        return "inconclusive"
    if granted is not None or not expected:
        return granted or "reported"
    return "reproduced in part" if narrower else "reproduced"


# --- entering a claim ------------------------------------------------------------------------------------------------


ClaimId = Annotated[str, one_of(claims())]
Granted = Annotated[str, one_of(GRANTED)]
Table = Any  # a pandas.DataFrame; pandas is loaded where there is one


def _settled(
    claim_id: str, measurements: Sequence[Measurement], status: str | None, narrower: str, **words: Any
) -> Settled:
    """The claim with the status that its measurements bear.

    Raises:
        AssertionError: a guard does not hold; the message shows it.
    """
    if not measurements:
        raise ValueError("measurements must hold at least one measurement, got none")
    if moved := [m for m in measurements if m.kind == "guard" and not m.holds]:
        raise AssertionError(f"{claim_id}: what we found has changed\n" + "\n".join(map(str, moved)))
    status = word(measurements, narrower=narrower, granted=status)
    return Settled(claim_id, status, tuple(measurements), narrower, **words)


@checked
def settle(
    claim_id: ClaimId,
    measurements: Sequence[Measurement],
    *,
    narrower: str = "",
    status: Granted | None = None,
    data: str = "",
    note: str = "",
) -> Settled:
    """Enter a claim in the ledger, with the status that its measurements bear; see `word`.

    Args:
        claim_id: such as "L3".
        measurements: by `expected`, `guard` and `reported`; a record's file has them in this order.
        narrower: in what the measurement is narrower than the paper's statement, such as "half the paper's width".
        status: "reported" or "waits for a GPU", where one of them says more.
        data: what was measured on, where that can differ from run to run.
        note: one sentence for the ledger's reader.

    Returns:
        The entry, whose repr is `L3 reproduced`.

    Raises:
        AssertionError: a guard does not hold; the message shows it.
    """
    return save_record(_settled(claim_id, measurements, status, narrower, data=data, note=note), run_folder())


@checked
def settle_again(claim_id: ClaimId, guards: Sequence[Measurement] = ()) -> Settled:
    """Enter a recorded claim in the ledger as it is recorded, if its guards and those added hold.

    Args:
        claim_id: such as "I1".
        guards: what was measured anew, such as on a small case.

    Raises:
        FileNotFoundError: there is no record.
        ValueError: it was measured with other networks than those that ship.
        AssertionError: a guard does not hold, or the record's status is not what its measurements bear.
    """
    record = check_weights(load_record(claim_id))
    granted = record.status if record.status in GRANTED else None
    known, words = [*record.measurements, *guards], {"data": record.data, "note": record.note}
    again = _settled(record.id, known, granted, record.narrower, **words)
    if again.status != record.status:
        raise AssertionError(f"{record.id} is recorded as {record.status!r}, but its numbers bear {again.status!r}")
    return save_record(again, run_folder())


class NotReproducedError(AssertionError):
    """A recorded claim that did not come out as expected, and was not recorded."""

    def __init__(self, settled: Settled) -> None:
        super().__init__(f"{settled} and was not recorded; --accept records it\n{settled.details()}")


def attach(
    stem: str, content: dict[str, Tensor] | Table, facts: Facts, *, networks: Sequence[str], command: str
) -> Facts:
    """Write what a record rests on to `results_folder()`, as STEM.safetensors or STEM.csv; return the record's facts.

    To those that are given they add the networks' hashes, the machine, the command, and the file with its hash.
    """
    folder = records.results_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        save_tensors(file := folder / f"{stem}.safetensors", content)
    else:
        file = folder / f"{stem}.csv"
        write_bytes(file, content.to_csv(index=False, lineterminator="\n").encode())
    known = {**facts, **weights_facts(*networks), "hardware": hardware(), "torch": torch.__version__}
    return known | {"command": command, "file": file.name, "sha256": file_hash(file)}


# --- scripts: claims that cost more than a cell may -------------------------------------------------------------------


class Found(NamedTuple):
    """What a script measured, besides the arguments that it was called with.

    Attributes:
        measurements: by `declared`, `expected`, `guard` and `reported`; as a record has them.
        content: what they rest on: tensors, such as the samples as they would be shown, uint8, for ID.safetensors; or a
            table, for ID.csv.
        data: what was measured on.
        note: one sentence for the ledger's reader.
        narrower: in what the measurement is narrower than the paper's statement, such as "half the paper's width".
        networks: shipped ones, if any, whose hashes the record keeps; see `check_weights`.
        facts: how it was measured, as far as the arguments do not say.
        status: "reported" or "waits for a GPU", where one of them says more.
    """

    measurements: Sequence[Measurement]
    content: dict[str, Tensor] | Table
    data: str
    note: str
    narrower: str = ""
    networks: Sequence[str] = ()
    facts: Mapping[str, Any] = MappingProxyType({})
    status: str | None = None


class Command:
    """The options of a function's command, from its signature.

    A parameter without a default is given in its place; one called `machine`, where to compute, is --device and
    --compile. The function's docstring has a line under "Args:" for each.

    Args:
        function: function(folder, **settings) -> what is printed.
        what: the command, after `sbgm evaluate`, such as "--curve".
        folder: in `runs/`, what the measurement is kept in and resumed from unless told otherwise.
    """

    def __init__(self, function: Callable[..., Any], what: str, folder: str) -> None:
        self.function, self.what, self.folder = function, what, folder
        self.__doc__ = inspect.getdoc(function)
        _, *self.settings = inspect.signature(function).parameters.values()

    def parser(self) -> argparse.ArgumentParser:
        """The options of the command."""
        parser = sbgm.cli.Parser(prog=f"sbgm evaluate {self.what}", description=self.__doc__.partition("\n\n")[0])
        meanings = dict(re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", self.__doc__, re.MULTILINE))
        kinds = typing.get_type_hints(self.function)
        for p in self.settings:
            if p.name == "machine":
                add_device_argument(parser)
                parser.add_argument("--compile", action="store_true", help="fuse the layers: minutes, then faster")
                continue
            kind = next(kind for kind in (*typing.get_args(kinds[p.name]), kinds[p.name]) if kind is not type(None))
            name = p.name if p.default is p.empty else f"--{p.name.replace('_', '-')}"
            meaning = " ".join(meanings[p.name].split())
            meaning += "" if p.default in (None, p.empty) else f" ({p.default})"
            parser.add_argument(name, type=kind, default=p.default, help=meaning)
        home = runs_folder() / self.folder
        parser.add_argument("--folder", type=Path, default=home, help=f"of what is kept, to go on from ({home})")
        return parser

    def given(self, options: argparse.Namespace) -> dict[str, Any]:
        """The function's settings, as the command's options say."""
        given = {p.name: getattr(options, p.name) for p in self.settings if p.name != "machine"}
        if len(given) < len(self.settings):
            given["machine"] = Machine(find_device(options.device), options.compile)
        return given

    def run(self, options: argparse.Namespace) -> None:
        """Call the function as the command's options say, and print what it returns."""
        print(self.function(options.folder, **self.given(options)))


class Script(Command):
    """The measurement of a claim, `ID.py` in this folder: `sbgm evaluate --claim ID`, or `python notebooks/lab/ID.py`.

    A second measurement of a claim lies in a file of its own, such as `I5_grid.py`, whose name the command has.

    From the signature of the function that measures come the options of the command, the command that the record holds,
    and the settings among its facts.

    Args:
        claim_id: such as "I1".
        function: measure(folder, **settings) -> Found. A setting that is a path is this machine's, and not recorded.
        folder: as for `Command`.
    """

    def __init__(self, claim_id: str, function: Callable[..., Found], folder: str) -> None:
        self.id, self.name = claim_id, Path(inspect.getfile(inspect.unwrap(function))).stem
        super().__init__(function, f"--claim {self.name}", folder)

    def __call__(self, folder: Path | None = None, *, accept: bool = False, **settings: Any) -> Settled:
        """Measure, and write the record, unless the claim is not reproduced or inconclusive.

        Args:
            folder: where the measurement is kept, and resumed from.
            accept: record a claim that is not reproduced, or inconclusive, as just that.
            settings: of the function.

        Raises:
            NotReproducedError: it is, and that was not accepted; the message shows why, and nothing is recorded.
        """
        folder = runs_folder() / self.folder if folder is None else folder
        asked = {p.name: settings.get(p.name, p.default) for p in self.settings} | settings
        found = self.function(folder, **asked)
        machine = asked.pop("machine", None)
        asked = {name: value for name, value in asked.items() if value is not None and not isinstance(value, Path)}
        words = [self.name, *(f"--{name.replace('_', '-')} {value}" for name, value in asked.items())]
        command = " ".join(["python -m sbgm evaluate --claim", *words, *(machine.flags if machine else ())])
        settled = _settled(self.id, found.measurements, found.status, found.narrower, data=found.data, note=found.note)
        if settled.status in ("not reproduced", "inconclusive") and not accept:
            raise NotReproducedError(settled)
        facts = attach(self.id, found.content, asked | dict(found.facts), networks=found.networks, command=command)
        return save_record(dataclasses.replace(settled, facts=facts), records.results_folder())

    def parser(self) -> argparse.ArgumentParser:
        """The options of the command."""
        parser = super().parser()
        parser.add_argument("--accept", action="store_true", help='record a claim that fails, as "not reproduced"')
        return parser

    def run(self, options: argparse.Namespace) -> None:
        """Measure as the command's options say, and print the record."""
        print(self(options.folder, accept=options.accept, **self.given(options)).details())

    def start(self) -> int:
        """Do what `python notebooks/lab/NAME.py …` says, as `sbgm evaluate --claim NAME …` does."""
        return sbgm.cli.main(["evaluate", "--claim", self.name, *sys.argv[1:]])


def claim(claim_id: str, *, folder: str = "") -> Callable[[Callable[..., Found]], Script]:
    """Make a `Script` of a function that measures a claim; with a folder where several keep what they draw."""
    return lambda function: Script(claim_id, function, folder or claim_id)


# --- records on the disk ---------------------------------------------------------------------------------------------


def run_folder() -> Path:
    """Where `settle` enters claims: $SBGM_LEDGER if set, else `ledger/` in `data.runs_folder()`."""
    return Path(os.environ.get("SBGM_LEDGER") or runs_folder() / "ledger")


def save_record(settled: Settled, folder: Path) -> Settled:
    """Write a claim's record as `folder/ID.json`, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    record = dataclasses.asdict(settled)
    said = {field.name: field.default for field in dataclasses.fields(Measurement)}  # JSON has no infinity
    record["measurements"] = [{k: x for k, x in m.items() if x != said[k]} for m in record["measurements"]]
    write_json(folder / f"{settled.id}.json", record)
    return settled


def load_records(folder: Path) -> dict[str, Settled]:
    """The records in a folder by claim id, in the paper's order."""
    paths = {claim_id: folder / f"{claim_id}.json" for claim_id in claims()}
    return {claim_id: _read(path) for claim_id, path in paths.items() if path.exists()}


def _read(path: Path) -> Settled:
    fields = json.loads(path.read_text(encoding="utf-8"))
    return Settled(**fields | {"measurements": tuple(Measurement(**m) for m in fields["measurements"])})


def load_record(claim_id: str, folder: Path | None = None) -> Settled:
    """The committed record of one claim, from `records.results_folder()` unless told otherwise.

    Raises:
        FileNotFoundError: there is none.
    """
    folder = records.results_folder() if folder is None else folder
    known = load_records(folder)
    if claim_id not in known:
        raise FileNotFoundError(f"{folder} holds no record of {claim_id}; python -m sbgm evaluate makes recorded ones")
    return known[claim_id]


def record_tensors(claim_id: str) -> dict[str, Tensor]:
    """What the committed record of a claim rests on, refused unless its hash is the recorded one."""
    return load_tensors(attached_file(load_record(claim_id)))[0]


def weights_facts(*names: str) -> dict[str, str]:
    """The facts by which a record names the networks that it was measured with: the sha256 of each one's file.

    Args:
        names: of shipped networks, such as "mnist_ncsn", or files of weights.
    """
    return {f"{WEIGHTS}{file.stem}": file_hash(file) for file in map(weights_file, names)}


# --- the ledger ------------------------------------------------------------------------------------------------------


def current_records() -> dict[str, Settled]:
    """The latest word on every claim: what runs entered, else the committed record.

    A recorded claim's committed record stands: a run re-measures a small case of it, which cannot replace it.
    """
    committed, entered = load_records(records.results_folder()), load_records(run_folder())
    merged = committed | {i: record for i, record in entered.items() if i not in committed or not committed[i].facts}
    return {claim_id: merged[claim_id] for claim_id in claims() if claim_id in merged}


def ledger_table(records: dict[str, Settled]) -> str:
    """The ledger as a Markdown table: what the paper says, what was expected and when, what came out, and the word."""
    lines = ["| id | § | the paper says | expected | measured here | word |", "|---|---|---|---|---|---|"]
    for claim_id, record in records.items():
        paper, expect, *rest = _sentences(record)
        lines.append(_row([claim_id, claims()[claim_id].section, paper, " ".join([expect, *notes(record)]), *rest]))
    return "\n".join(lines)


def closing_table(records: dict[str, Settled], lab: str) -> str:
    """The table at a chapter's end: what the paper says, what was expected, what came out, the word.

    Args:
        records: of the chapter's claims.
        lab: the lab notebook, relative to the chapter.
    """
    lines = [f"[The lab notebook]({lab}) shows how each number was measured.", ""]
    lines += ["| The paper says | We expected | We measured | The word |", "|---|---|---|---|"]
    for claim_id, record in records.items():
        claim, (paper, expect, *rest) = claims()[claim_id], _sentences(record)
        expect += " A pilot had come before." * bool(claim.pilot)
        if claim.changed:
            expect += f" Changed on {claim.changed[:10]}, after a number was seen."
        lines.append(_row([f"{paper} ({claim_id}, {claim.place.strip('()')})", expect, *rest]))
    return "\n".join(lines)


def _sentences(record: Settled) -> list[str]:
    """What the paper says, what was expected, what came out, and the word with its reason."""
    claim, why = claims()[record.id], record.why()
    word = f"**{_sentence(record.status)[:-1]}**" + (f": {why}." if why else ".")
    return [_sentence(claim.claim), _sentence(claim.expect), found(record), word]


def _sentence(words: str) -> str:
    return f"{words[0].upper() if words[0].isascii() else words[0]}{words[1:]}."


def found(record: Settled) -> str:
    """What came out, in sentences with the record's numbers."""
    template = claims()[record.id].found
    return re.sub(r"{(.+?)}", lambda label: record.measurement(label[1]).number.replace("-", "−"), template)


def notes(record: Settled) -> list[str]:
    """Sentences on what a claim's bounds rest on: a pilot, a change, when they were declared, what was known then."""
    claim, labels = claims()[record.id], {m.label for m in record.of_kind("expected")}
    new = claim.anew.keys() if claim.anew.keys() <= labels else set()
    said = {
        "A pilot gave": claim.pilot,
        "Changed on": claim.changed,
        "Declared after it was measured, on": DECLARED if labels - new else "",
        "Declared before it was measured, on": DECLARED if new else "",
        "Known when they were set:": claim.known if new else "",
    }
    return [f"{name} {words}." for name, words in said.items() if words]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def count_line(records: dict[str, Settled]) -> str:
    """How many claims have each status, apart in one and two dimensions and on images."""
    named = {"reproduced": "reproduced whole", "reproduced in part": "in part", "waits for a GPU": "waiting for a GPU"}
    parts = []
    for where, images in (("in one and two dimensions", False), ("on images", True)):
        statuses = [record.status for record in records.values() if claims()[record.id].images is images]
        counts = {status: statuses.count(status) for status in STATUSES}
        words = ", ".join(f"{n} {named.get(status, status)}" for status, n in counts.items() if n)
        parts += [f"{len(statuses)} {where}: {words}"] if statuses else []
    return f"{len(records)} claims, {'; '.join(parts)}"


def ledger(*, write: bool = False, readme: Path | None = None) -> str:
    """The ledger as a table; with `write`, enter it beside its records, in README and at the chapters' ends.

    Args:
        write: enter the last runs in `results_folder()`.
        readme: the file that counts the claims, with notebooks/ beside it; None is the repository's.
    """
    known = current_records()
    if write:
        readme = readme or require_checkout("--write enters records in the repository") / "README.md"
        chapters = {path: with_closing_table(path, known) for path in readme.parent.glob("notebooks/*.ipynb")}
        text = with_section(readme, "ledger", count_line(known))
        for record in known.values():
            save_record(record, records.results_folder())
        for path, content in {readme: text, **chapters}.items():
            write_bytes(path, content.encode())
        table = f"{HEAD}\n{ledger_table(known)}\n"
        write_bytes(records.results_folder() / "README.md", table.encode())
    return ledger_table(known)


def with_section(page: Path, name: str, content: str) -> str:
    """Return a page's text with other content between its markers, <!-- name --> and <!-- /name -->."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    parts = re.split(f"({start}|{end})", page.read_text(encoding="utf-8"))
    if parts[1::2] != [start, end]:
        raise ValueError(f"{page} must hold the markers {start} and {end} once each, in this order")
    return f"{parts[0]}{start}\n{content}\n{end}{parts[-1]}"


def entered(lab: Path) -> list[str]:
    """The claims that a lab notebook enters, by id."""
    cells = json.loads(lab.read_text(encoding="utf-8"))["cells"] if lab.exists() else []
    return [claim for cell in cells if cell["cell_type"] == "code" for claim in ENTERS.findall("".join(cell["source"]))]


def with_closing_table(chapter: Path, known: dict[str, Settled]) -> str:
    """A chapter's file, with the table of the claims that its lab notebook enters in the cell that begins with CLOSING.

    Raises:
        ValueError: there is such a cell, and no claim.
    """
    notebook, lab = json.loads(chapter.read_text(encoding="utf-8")), f"lab/{chapter.name[:2]}_lab.ipynb"
    ids = entered(chapter.parent / lab)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and "".join(cell["source"]).startswith(CLOSING):
            if not ids:
                raise ValueError(f"{chapter} has a cell {CLOSING!r}, but {lab} enters no claim")
            table = closing_table({i: record for i, record in known.items() if i in ids}, lab)
            cell["source"] = f"{CLOSING}\n\n{table}".splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
