"""What the paper asserts, how this project settles each claim, and the scripts that measure what takes long.

A lab notebook measures a claim and enters it by `settle`, or confirms a recorded one by `settle_again`. A claim that
costs more than a cell may is measured by the script `ID.py` beside this file. Each number is `expected`, if the
interval that it should lie in was written down before the first measurement, a `guard` of what we found, or `reported`.
The word follows from those that were expected; nobody chooses it. What notebooks enter goes to `runs/ledger/`, which
git ignores, and `make ledger` turns it into the committed records of `data/results/`.
"""

import argparse
import dataclasses
import functools
import inspect
import math
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from sbgm.apps.options import Parser, add_options, call, flag_of, in_flags
from sbgm.files import file_hash, save_tensors, write_bytes
from sbgm.guard import checked, one_of
from sbgm.images.data import runs_folder
from sbgm.images.devices import hardware
from sbgm.images.weights import weights_file
from sbgm.measure import records
from sbgm.measure.estimates import Estimate, Share
from sbgm.measure.records import (
    WEIGHTS,
    Facts,
    Measurement,
    Record,
    attached_file,
    check_weights,
    interval,
    load_record,
    record_of,
    save_record,
)

__all__ = ["attached_file", "check_weights", "interval", "load_record"]  # for the notebooks

STATUSES = (
    "reproduced",
    "reproduced in part",
    "not reproduced",
    "inconclusive",
    "reported",
    "waits for a GPU",
)
GRANTED = STATUSES[4:]


# --- claims and measurements ------------------------------------------------------------------------------------------


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


@functools.cache
def claims() -> Mapping[str, Claim]:
    """Every claim of the ledger by id, in the paper's order."""
    tables = tomllib.loads((Path(__file__).parent / "claims.toml").read_text(encoding="utf-8"))
    for fields in tables.values():
        for name in fields.keys() & {"bounds", "anew"}:
            fields[name] = {label: Bound(**bound) for label, bound in fields[name].items()}
    return MappingProxyType({claim_id: Claim(claim_id, **fields) for claim_id, fields in tables.items()})


def expected(
    label: str,
    value: float | Estimate | Share,
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
    return Measurement("expected", label, *_value_and_bounds(value, se, low, high))


def declared(claim_id: str, label: str, value: float | Estimate | Share, *, se: float | None = None) -> Measurement:
    """A number, and the bound that `claims.toml` declares for it; see `expected`.

    Raises:
        KeyError: it declares none of this label.
    """
    claim = claims()[claim_id]
    bound = {**claim.bounds, **claim.anew}[label]
    return Measurement("expected", label, *_value_and_bounds(value, se, bound.low, bound.high), bound.control)


def guard(
    label: str,
    value: float | Estimate | Share,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    se: float | None = None,
) -> Measurement:
    """A number and an interval set afterwards, so that a change of what we found is noticed; see `expected`."""
    return Measurement("guard", label, *_value_and_bounds(value, se, low, high))


def reported(label: str, value: float | Estimate | Share, *, se: float | None = None) -> Measurement:
    """A number that nothing was expected of; see `expected`."""
    return Measurement("reported", label, *_value_and_bounds(value, se, -math.inf, math.inf))


def _value_and_bounds(
    value: float | Estimate | Share, se: float | None, low: float, high: float
) -> tuple[float, float, float, float | None]:
    if isinstance(value, float | int | Tensor):
        return value, low, high, se
    return value.value, low, high, value.se


def word(measurements: Sequence[Measurement], *, narrower: str = "", granted: str | None = None) -> str:
    """The status that the expected measurements bear, the first that fits.

    1. *not reproduced*: one misses its interval, all of its value ± 2 se;
    2. *inconclusive*: one straddles a bound, or misses that of a control;
    3. what is granted in words: *reported* or *waits for a GPU*; *reported* also where nothing was expected;
    4. *reproduced in part*, if the measurement is narrower than the statement;
    5. *reproduced*.
    """
    deciding = [m for m in measurements if m.kind == "expected"]
    if any(m.missed and not m.yardstick for m in deciding):
        return "not reproduced"
    if not all(m.met for m in deciding):
        return "inconclusive"
    if granted is not None or not deciding:
        return granted or "reported"
    return "reproduced in part" if narrower else "reproduced"


def why(record: Record) -> str:
    """Why a record's word is not "reproduced": in what it is narrower, or the number that decides; "" where it is."""
    failed = [m for m in record.of_kind("expected") if not m.met]
    if not failed:
        return record.narrower if record.status == "reproduced in part" else claims()[record.id].granted
    decides = max(failed, key=lambda m: m.missed and not m.yardstick)
    held = f"“{decides.label}” is {decides.number}, where {interval(decides.low, decides.high)} was expected"
    return held if decides.missed else f"{held}, and two standard errors reach across the bound"


def details(record: Record) -> str:
    """The claim, what was measured with twice its standard error, and what was expected, as text."""
    claim = claims()[record.id]
    lines = [f"{record.id} (§ {claim.section}) {claim.claim}: {record.status}"]
    lines += [f"  {m}" for m in record.measurements]
    if record.narrower:
        lines.append(f"  in part: {record.narrower}")
    if record.data:
        lines.append(f"  data: {record.data}")
    if record.note:
        lines.append(f"  {record.note}")
    return "\n".join(lines + [f"  {name}: {fact}" for name, fact in record.facts.items()])


def show(record: Record) -> None:
    """Print what a record says, except for the machine and the hashes."""
    left_out = (WEIGHTS, "hardware", "torch", "sha256")
    facts = {name: fact for name, fact in record.facts.items() if not name.startswith(left_out)}
    print(details(dataclasses.replace(record, facts=facts)))


# --- entering a claim ------------------------------------------------------------------------------------------------


ClaimId = Annotated[str, one_of(claims())]
Granted = Annotated[str, one_of(GRANTED)]
Table = Any  # a pandas.DataFrame; pandas is loaded where there is one


def _settled(claim_id: str, measurements: Sequence[Measurement], status: str | None, **words: str) -> Record:
    """The record of a claim with the status that its measurements bear.

    Raises:
        AssertionError: a guard does not hold; the message shows it.
    """
    if not measurements:
        raise ValueError("measurements must hold at least one measurement, got none")
    moved = [m for m in measurements if m.kind == "guard" and not m.holds]
    if moved:
        raise AssertionError(f"{claim_id}: what we found has changed\n" + "\n".join(map(str, moved)))
    status = word(measurements, narrower=words["narrower"], granted=status)
    return Record(claim_id, status, tuple(measurements), **words)


@checked
def settle(
    claim_id: ClaimId,
    measurements: Sequence[Measurement],
    *,
    narrower: str = "",
    status: Granted | None = None,
    data: str = "",
    note: str = "",
) -> Record:
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
    record = _settled(claim_id, measurements, status, narrower=narrower, data=data, note=note)
    return save_record(record, ledger_folder())


@checked
def settle_again(claim_id: ClaimId, guards: Sequence[Measurement] = ()) -> Record:
    """Enter a recorded claim in the ledger as it is recorded, if its guards and those added hold.

    Args:
        claim_id: such as "I1".
        guards: what was measured anew, such as on a small case.

    Raises:
        FileNotFoundError: there is no record.
        ValueError: it was measured with other networks than those that ship.
        AssertionError: a guard does not hold, or the record's status is not what its measurements bear.
    """
    record = load_record(claim_id)
    granted = record.status if record.status in GRANTED else None
    words = {"narrower": record.narrower, "data": record.data, "note": record.note}
    again = _settled(claim_id, [*record.measurements, *guards], granted, **words)
    if again.status != record.status:
        raise AssertionError(f"{claim_id} is recorded as {record.status!r}, but its numbers bear {again.status!r}")
    return save_record(again, ledger_folder())


def ledger_folder() -> Path:
    """Where `settle` enters claims: $SBGM_LEDGER if set, else `ledger/` in `data.runs_folder()`."""
    return Path(os.environ.get("SBGM_LEDGER") or runs_folder() / "ledger")


def load_records(folder: Path) -> dict[str, Record]:
    """The records in a folder by claim id, in the paper's order, whatever networks they were measured with."""
    there = [claim_id for claim_id in claims() if (folder / f"{claim_id}.json").exists()]
    return {claim_id: record_of(records.content_of(claim_id, folder)) for claim_id in there}


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


Measure = Callable[..., Found]
"""measure(folder, **settings), the function of a script; `folder` keeps what is done, for a run that was stopped."""


class NotReproducedError(AssertionError):
    """A recorded claim that did not come out as expected, and was not recorded."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"{record} and was not recorded; --accept records it\n{details(record)}")


def measure_claim(claim_id: str, measure: Measure, folder: Path, *, accept: bool = False, **settings: Any) -> Record:
    """Measure a claim, and write its record, unless the claim is not reproduced or inconclusive.

    Args:
        claim_id: such as "I1".
        measure: the function of its script.
        folder: where the measurement is kept, and resumed from.
        accept: record a claim that is not reproduced, or inconclusive, as just that.
        settings: of the function.

    Raises:
        NotReproducedError: it is, and that was not accepted; the message shows why, and nothing is recorded.
    """
    found = measure(folder, **settings)
    words = {"narrower": found.narrower, "data": found.data, "note": found.note}
    record = _settled(claim_id, found.measurements, found.status, **words)
    if record.status in ("not reproduced", "inconclusive") and not accept:
        raise NotReproducedError(record)
    _, *parameters = inspect.signature(measure).parameters.values()
    asked = {p.name: settings.get(p.name, p.default) for p in parameters}
    command = command_line(f"{claim_id}.py", asked)
    asked.pop("machine", None)
    told = {name: value for name, value in asked.items() if recorded(value)}
    facts = attach(claim_id, found.content, told | dict(found.facts), networks=found.networks, command=command)
    return save_record(dataclasses.replace(record, facts=facts), records.results_folder())


def recorded(value: object) -> bool:
    """Whether a setting stands in the record: a path is this machine's, and what is left open is none."""
    return value is not None and value is not False and not isinstance(value, Path)


def command_line(script: str, settings: Mapping[str, Any]) -> str:
    """The command that measures with these settings once more; `machine` is one of them where the script has it."""
    words = ["python", f"notebooks/lab/{script}"]
    for name, value in settings.items():
        if name == "machine":
            words += value.flags
        elif value is True:
            words.append(flag_of(name))
        elif recorded(value):
            words.append(f"{flag_of(name)} {value}")
    return " ".join(words)


def attach(
    stem: str, content: dict[str, Tensor] | Table, facts: Facts, *, networks: Sequence[str], command: str
) -> Facts:
    """Write what a record rests on to `results_folder()`, as STEM.safetensors or STEM.csv; return the record's facts.

    To those that are given they add the networks' hashes, the machine, the command, and the file with its hash.
    """
    folder = records.results_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        file = folder / f"{stem}.safetensors"
        save_tensors(file, content)
    else:
        file = folder / f"{stem}.csv"
        write_bytes(file, content.to_csv(index=False, lineterminator="\n").encode())
    machine = {"hardware": hardware(), "torch": torch.__version__}
    attached = {"command": command, "file": file.name, "sha256": file_hash(file)}
    return facts | weights_facts(*networks) | machine | attached


def weights_facts(*names: str) -> dict[str, str]:
    """The facts by which a record names the networks that it was measured with: the sha256 of each one's file.

    Args:
        names: of shipped networks, such as "mnist_ncsn", or files of weights.
    """
    return {f"{WEIGHTS}{file.stem}": file_hash(file) for file in map(weights_file, names)}


def parser_of(measure: Callable[..., Any], folder: str) -> Parser:
    """The options of a script: those of its function, --folder, and --threads."""
    parser = Parser(description=inspect.getdoc(measure), formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, measure, leave_out=("folder",))
    home = runs_folder() / folder
    parser.add_argument("--folder", type=Path, default=home, help=f"of what is kept, to go on from ({home})")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (1, as of all records)")
    return parser


def run(claim_id: str, measure: Measure, folder: str = "", words: Sequence[str] | None = None) -> int:
    """Do what `python notebooks/lab/ID.py …` says: measure a claim, write its record, and print it.

    Args:
        claim_id, measure: see `measure_claim`.
        folder: in `runs/`, what the measurement is kept in and resumed from unless told otherwise.
        words: the command line's; None takes the program's own.
    """
    parser = parser_of(measure, folder or claim_id)
    parser.add_argument("--accept", action="store_true", help='record a claim that fails, as "not reproduced"')

    def record(options: argparse.Namespace) -> None:
        function = functools.partial(measure_claim, claim_id, measure, accept=options.accept)
        print(details(call(measure, options, instead=function, folder=options.folder)))

    return do(parser, record, words)


def do(parser: Parser, work: Callable[[argparse.Namespace], None], words: Sequence[str] | None) -> int:
    """Do a script's work as its command line says; what is wrong is one line, and the exit status 1."""
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    try:
        work(options)
    except (OSError, ValueError, ArithmeticError, AssertionError, ImportError) as error:
        print(f"{parser.prog}: {in_flags(str(error), parser)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on from what is in {options.folder}.", file=sys.stderr)
        return 130
    return 0
