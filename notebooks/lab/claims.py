"""What the paper asserts, how this project settles each claim, and the scripts that measure what takes long.

A lab notebook measures a claim and enters it by `settle`, or confirms a recorded one by `settle_again`. A claim that
costs more than a cell may is measured by the script `ID.py` beside this file. Each number is `declared`, if
`claims.toml` holds it to a bound, a `guard` of what we found, or `reported`. The word follows from those that were
declared; nobody chooses it. What notebooks enter goes to `runs/ledger/`, which git ignores, and `make ledger` turns it
into the committed records of `data/results/`.
"""

import argparse
import dataclasses
import datetime
import functools
import hashlib
import inspect
import math
import os
import re
import shlex
import sys
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import pandas
import torch
from torch import Tensor

import records
from records import (
    WEIGHTS,
    Facts,
    Measurement,
    Record,
    attached_file,
    check_weights,
    interval,
    load_record,
    record_of,
)
from sbgm.apps.options import Parser, add_options, flag_of, in_flags
from sbgm.files import file_hash, runs_folder, save_tensors, write_bytes, write_json
from sbgm.guard import checked, count_from, one_of
from sbgm.images import weights
from sbgm.images.devices import hardware
from sbgm.measure.estimates import Estimate, Share

__all__ = ["attached_file", "check_weights", "interval", "load_record"]  # for the notebooks

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


# --- claims -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Bound:
    """The interval [low, high] that a number is held to; see the rule at the top of `claims.toml`.

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

    def __str__(self) -> str:
        return f"{interval(self.low, self.high)}{' as a control' if self.control else ''}"


@dataclasses.dataclass(frozen=True)
class Claim:
    """One assertion of the paper, as `claims.toml` lists it.

    Attributes:
        id, section, claim: its name, where the paper makes it, and what the paper says.
        declared: the day since which its measure and its bounds stand.
        measure, expect: how it is measured, and what is expected, in words with the numbers of the bounds.
        found: what came out, a sentence with the labels of the record's measurements in braces.
        missed: where it is "not reproduced": a clause on what exactly missed, for the chapter's verdict; as `found`.
        reported: why it is "reported" where nothing fails, if it is.
        waits: why it "waits for a GPU" until a number with a bound has been measured, if it does.
        images: whether it is settled on images, or with a network for images.
        bounds: what each number is held to, by its label.
    """

    id: str
    section: str
    claim: str
    declared: datetime.date
    measure: str
    expect: str
    found: str
    missed: str = ""
    reported: str = ""
    waits: str = ""
    images: bool = False
    bounds: Mapping[str, Bound] = dataclasses.field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where the paper makes it, such as "§ 4.3, Fig. 3c"."""
        return f"§ {self.section}" if self.section[0].isdigit() else self.section


@functools.cache
def _file() -> tuple[Mapping[str, Claim], int, Sequence[str]]:
    """What `claims.toml` holds: every claim by id, in the paper's order, the base seed, and `first_bounds`."""
    tables = tomllib.loads((Path(__file__).parent / "claims.toml").read_text(encoding="utf-8"))
    base_seed = tables.pop("base_seed")
    first_bounds = tables.pop("first_bounds")
    by_id = {}
    for claim_id, fields in tables.items():
        bounds = {label: Bound(**bound) for label, bound in fields.pop("bounds", {}).items()}
        fields["expect"] = with_bounds(fields["expect"], bounds)
        fields["missed"] = with_bounds(fields.get("missed", ""), bounds, ENDS)  # other braces hold measured numbers
        by_id[claim_id] = Claim(claim_id, bounds=bounds, **fields)
    return MappingProxyType(by_id), base_seed, first_bounds


BRACES = r"{(10\^)?(end of )?(.+?)( in %| in words)?}"
ENDS = r"{(10\^)?(end of )(.+?)( in %| in words)?}"
NAMES = {"0": "no", "2": "two", "4": "four", "1e-06": "10⁻⁶"}
"""Numbers as a sentence has them."""


def with_bounds(words: str, bounds: Mapping[str, Bound], braces: str = BRACES) -> str:
    """Words with the numbers of bounds in place of what names them in braces.

    `{LABEL}` is the interval, such as "0.49 to 0.51", `{end of LABEL}` its one end, or what it allows on either side of
    its middle. `{10^…}` is the factor where the bound is on log₁₀, `{… in %}` and `{… in words}` say how the number is
    written. A * in LABEL stands for any text: all bounds whose labels match must be alike.

    Raises:
        ValueError: no bound has such a label, or those that have it differ.
    """
    return re.sub(braces, lambda named: _number(*named.groups(), bounds), words)


def _number(power: str | None, end: str | None, label: str, form: str | None, bounds: Mapping[str, Bound]) -> str:
    intervals = {(bound.low, bound.high) for name, bound in bounds.items() if fnmatchcase(name, label)}
    if len(intervals) != 1:
        raise ValueError(f"words in claims.toml must name one bound, or bounds that are alike, got {label!r}")
    low, high = intervals.pop()
    if end:
        sides = {side for side in (low, high) if math.isfinite(side)}
        low = high = sides.pop() if len(sides) == 1 else (high - low) / 2
    if power:
        low, high = (float(f"{10**side:.3g}") for side in (low, high))
    if form == " in %":
        return f"{interval(100 * low, 100 * high)} %"
    text = interval(low, high)
    if " to " in text and not power:
        decimals = max(len(side.partition(".")[2]) for side in text.split(" to "))
        text = f"{low:.{decimals}f} to {high:.{decimals}f}"  # 0.78 to 0.80
    if form == " in words":
        text = " ".join(NAMES.get(word, word) for word in text.split())
    return text.replace("-", "−")


def claims() -> Mapping[str, Claim]:
    """Every claim of the ledger by id, in the paper's order."""
    return _file()[0]


ClaimId = Annotated[str, one_of(claims())]


@checked
def seed(claim_id: ClaimId) -> int:
    """The seed of a claim's measurement, by the base seed in `claims.toml`, the claim's id, and its bounds.

    Whoever changes a bound measures on numbers that nobody has seen. Bounds that still are `first_bounds` add nothing
    to the id, since their records were drawn so. Seeds of parts, such as one a network, are
    `derived_generator(seed("L8"), part)`.
    """
    _, base_seed, first_bounds = _file()
    words = f"{base_seed} {claim_id}"
    bounds = bounds_hash(claims()[claim_id])
    if bounds not in first_bounds:
        words += f" {bounds}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4])


def bounds_hash(claim: Claim) -> str:
    """Eight digits that change with each label and each end of a claim's bounds, not with what is a control."""
    lines = sorted(f"{label}: {float(bound.low)} to {float(bound.high)}" for label, bound in claim.bounds.items())
    return hashlib.sha256("\n".join([claim.id, *lines]).encode()).hexdigest()[:8]


# --- measurements -----------------------------------------------------------------------------------------------------


def declared(claim_id: str, label: str, value: float | Estimate | Share, *, se: float | None = None) -> Measurement:
    """A number, and the bound that `claims.toml` declares for it.

    Args:
        claim_id: such as "L3".
        label: of the bound, and of the number in the record.
        value: the number, or an estimate, which brings its standard error.
        se: the standard error of a plain number, if it has one.

    Raises:
        KeyError: no bound of this label is declared.
    """
    bound = claims()[claim_id].bounds[label]
    return _measurement("expected", label, value, se, bound)


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


def failed(record: Record) -> list[Measurement]:
    """Its numbers that do not meet their bounds."""
    return [m for m in record.of_kind("expected") if not m.met]


def why_narrower(record: Record) -> list[str]:
    """Why a record's word is not "reproduced" though no bound fails: what is narrower, and what the claim says."""
    claim = claims()[record.id]
    reasons = {"waits for a GPU": claim.waits, "reported": claim.reported}
    return [words for words in (record.narrower, reasons.get(record.status, "")) if words]


def is_older(record: Record) -> bool:
    """Whether a record was measured before its claim's measure and bounds were declared."""
    return datetime.date.fromisoformat(record.day) < claims()[record.id].declared


def reads(record: Record) -> str:
    """The word of a claim as its reader finds it: the record's, or WAITS where the claim was declared anew since.

    Raises:
        ValueError: the record was held to other bounds than the claim's, which were not declared since.
    """
    if is_older(record):
        return WAITS
    claim = claims()[record.id]
    held = held_to(record)
    for label in [*held, *claim.bounds]:
        bound = claim.bounds.get(label)
        if held.get(label) != bound and (label in held or not claim.bounds[label].only):
            raise ValueError(
                f"{record.id}.bounds must be those of its record of {record.day}, where “{label}” is held to "
                f"{held.get(label, 'nothing')}, unless they were declared since, got {bound or 'nothing'}, declared on "
                f"{claim.declared}: set `declared` to the day of the change, say so in HISTORY.md, and measure again"
            )
    return record.status


def held_to(record: Record) -> dict[str, Bound]:
    """The bounds that a record's numbers were held to, by label."""
    return {m.label: Bound(m.low, m.high, m.yardstick) for m in record.of_kind("expected")}


def waiting(record: Record) -> list[str]:
    """The bounds, by label, that an older record says nothing of, since they were declared after it was measured."""
    if not is_older(record):
        return []
    held = held_to(record)
    return [label for label, bound in claims()[record.id].bounds.items() if held.get(label) != bound]


def details(record: Record) -> str:
    """The claim, what was measured with twice its standard error, and what was expected, as text.

    The machine and the hashes are left out: they are in the record's file.
    """
    claim = claims()[record.id]
    lines = [f"{record.id} (§ {claim.section}) {claim.claim}: {record.status}"]
    lines.append(f"  expected ({claim.declared}): {claim.expect}")
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


# --- entering a claim ------------------------------------------------------------------------------------------------

Table = pandas.DataFrame


def _settled(claim_id: str, measurements: Sequence[Measurement], **fields: Any) -> Record:
    """The record of a claim with the status that its measurements bear.

    Raises:
        AssertionError: a guard does not hold; the message shows it.
    """
    if not measurements:
        raise ValueError("measurements must hold at least one measurement, got none")
    moved = [m for m in measurements if m.kind == "guard" and not m.holds]
    if moved:
        raise AssertionError(f"{claim_id}: what we found has changed\n" + "\n".join(map(str, moved)))
    status = word(claims()[claim_id], measurements, fields["narrower"])
    return Record(claim_id, status, tuple(measurements), **fields)


@checked
def settle(
    claim_id: ClaimId,
    measurements: Sequence[Measurement],
    *,
    narrower: str = "",
    data: str = "",
    note: str = "",
    networks: Sequence[str] = (),
) -> Record:
    """Enter a claim in the ledger, with the status that its measurements bear; see `word`.

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
    """
    facts = weights_facts(*networks) | machine_facts()
    record = _settled(claim_id, measurements, narrower=narrower, data=data, note=note, day=today(), facts=facts)
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
    fields = {name: getattr(record, name) for name in ("narrower", "data", "note", "day")}
    again = _settled(claim_id, [*record.measurements, *guards], **fields)
    if again.status != record.status:
        raise AssertionError(f"{claim_id} is recorded as {record.status!r}, but its numbers bear {again.status!r}")
    return save_record(again, ledger_folder())


def today() -> str:
    """The day, such as "2026-11-29"."""
    return datetime.date.today().isoformat()


def machine_facts() -> dict[str, str]:
    """The processor, and torch's version."""
    return {"hardware": hardware(), "torch": torch.__version__}


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


def save_record(record: Record, folder: Path) -> Record:
    """Write a claim's record as `folder/ID.json`, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    defaults = {field.name: field.default for field in dataclasses.fields(Measurement)}  # JSON has no infinity
    content = dataclasses.asdict(record)
    content["measurements"] = [
        {name: value for name, value in fields.items() if value != defaults[name]} for fields in content["measurements"]
    ]
    write_json(folder / f"{record.id}.json", content)
    return record


def ledger_folder() -> Path:
    """Where `settle` enters claims: $SBGM_LEDGER if set, else `ledger/` in `files.runs_folder()`."""
    return Path(os.environ.get("SBGM_LEDGER") or runs_folder() / "ledger")


def load_records(folder: Path) -> dict[str, Record]:
    """The records in a folder by claim id, in the paper's order, whatever networks they were measured with."""
    there = [claim_id for claim_id in claims() if (folder / f"{claim_id}.json").exists()]
    return {claim_id: record_of(records.content_of(claim_id, folder)) for claim_id in there}


# --- scripts: claims that cost more than a cell may -------------------------------------------------------------------


class Found(NamedTuple):
    """What a script measured, besides the arguments that it was called with.

    Attributes:
        measurements: by `declared`, `guard` and `reported`; as a record has them.
        content: what they rest on: tensors, such as the samples as they would be shown, uint8, for ID.safetensors; or a
            table, for ID.csv.
        data: what was measured on.
        note: one sentence for the ledger's reader.
        narrower: in what the measurement is narrower than the paper's statement, such as "half the paper's width".
        networks: shipped ones, if any, whose hashes the record keeps; see `check_weights`.
        facts: how it was measured, as far as the arguments do not say.
    """

    measurements: Sequence[Measurement]
    content: dict[str, Tensor] | Table
    data: str
    note: str
    narrower: str = ""
    networks: Sequence[str] = ()
    facts: Mapping[str, Any] = MappingProxyType({})


Measure = Callable[..., Found]
"""measure(folder, **settings), the function of a script; `folder` keeps what is done, for a run that was stopped."""


def measure_claim(claim_id: str, measure: Measure, folder: Path, **settings: Any) -> Record:
    """Measure a claim, and write its record, whatever the verdict.

    Args:
        claim_id: such as "I1".
        measure: the function of its script.
        folder: where the measurement is kept, and resumed from.
        settings: of the function.

    Raises:
        AssertionError: a guard does not hold; nothing is recorded.
    """
    found = checked(measure)(folder, **settings)
    words = {"narrower": found.narrower, "data": found.data, "note": found.note, "day": today()}
    record = _settled(claim_id, found.measurements, **words)
    _, *parameters = inspect.signature(measure).parameters.values()
    asked = {p.name: settings.get(p.name, p.default) for p in parameters}
    command = command_line(f"{claim_id}.py", asked)
    asked.pop("machine", None)
    told = {name: value for name, value in asked.items() if recorded(value)}
    facts = attach(claim_id, found.content, told | dict(found.facts), networks=found.networks, command=command)
    return save_record(dataclasses.replace(record, facts=facts), records.results_folder())


def recorded(value: object) -> bool:
    """Whether a setting stands in the record: a path is this machine's, and what is left open is none."""
    values = value if isinstance(value, list) else [value]
    return value is not None and value is not False and not any(isinstance(one, Path) for one in values)


def command_line(script: str, settings: Mapping[str, Any]) -> str:
    """The command that measures with these settings once more; `machine` is one of them where the script has it."""
    words = ["python", f"notebooks/lab/{script}"]
    for name, value in settings.items():
        if name == "machine":
            words += value.flags
        elif value is True:
            words.append(flag_of(name))
        elif recorded(value):
            values = value if isinstance(value, list) else [value]
            words += [flag_of(name), *(shlex.quote(str(one)) for one in values)]
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
    attached = {"command": command, "file": file.name, "sha256": file_hash(file)}
    return facts | weights_facts(*networks) | machine_facts() | attached


def parser_of(measure: Callable[..., Any], folder: str) -> Parser:
    """The options of a script: those of its function, of its machine where it has one, --folder, and --threads."""
    parser = Parser(description=inspect.getdoc(measure), formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, measure, leave_out=("folder", "machine"))
    machine = typing.get_type_hints(measure).get("machine")
    if machine is not None:
        add_options(parser, machine)
    home = runs_folder() / folder
    parser.add_argument("--folder", type=Path, default=home, help=f"of what is kept, to go on from ({home})")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (1, as of all records)")
    return parser


def arguments_of(measure: Callable[..., Any], options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of a script's function, from the options of `parser_of` that were given."""
    arguments = dict(vars(options))
    del arguments["threads"]
    machine = typing.get_type_hints(measure).get("machine")
    if machine is not None:
        names = {field.name for field in dataclasses.fields(machine)} & arguments.keys()
        arguments["machine"] = machine(**{name: arguments.pop(name) for name in names})
    return arguments


def run(claim_id: str, measure: Measure, folder: str = "", words: Sequence[str] | None = None) -> int:
    """Do what `python notebooks/lab/ID.py …` says: measure a claim, write its record, and print it.

    Args:
        claim_id, measure: see `measure_claim`.
        folder: in `runs/`, what the measurement is kept in and resumed from unless told otherwise.
        words: the command line's; None takes the program's own.
    """

    def record(options: argparse.Namespace) -> None:
        show(measure_claim(claim_id, measure, **arguments_of(measure, options)))

    return do(parser_of(measure, folder or claim_id), record, words)


def do(parser: Parser, work: Callable[[argparse.Namespace], None], words: Sequence[str] | None) -> int:
    """Do a script's work as its command line says; what is wrong is one line, and the exit status 1."""
    options = parser.parse_args(words)
    try:
        count_from(1)(options.threads, "threads")
        torch.set_num_threads(options.threads)
        work(options)
    except (OSError, ValueError, ArithmeticError, AssertionError, ImportError) as error:
        print(f"{parser.prog}: {in_flags(str(error), parser)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on from what is in {options.folder}.", file=sys.stderr)
        return 130
    return 0
