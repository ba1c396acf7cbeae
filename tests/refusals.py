"""The table of all that public functions refuse: which function, which argument, the error, and the bad values.

`python tests/refusals.py --write` calls each function with each bad value (tests/arguments.py) and writes
tests/refusals.csv, whose diff is the record of every message that changed; tests/test_refusals.py replays it.
"""

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from arguments import FUNCTIONS, Spy, bad, call, good, refused

TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("function", "argument", "exception", "message", "values")
SEPARATOR = " | "
Errors = dict[tuple[str, str], tuple[str, str]]  # {(argument, label of a value): (exception, message)}


def label(value: object) -> str:
    """A short name of a value, the same in every process."""
    if isinstance(value, Tensor):
        numbers = value.flatten().tolist()
        shown = [str(number) if isinstance(number, bool) else f"{number:g}" for number in numbers[:4]]
        shown += ["…"] if len(numbers) > 4 else []
        return f"{value.dtype}".removeprefix("torch.") + f"{list(value.shape)} {', '.join(shown)}".rstrip()
    text = " ".join(re.sub(r" at 0x\w+", "", repr(value)).split())
    return text if len(text) < 60 else f"{text[:20]}…"


def error_of(name: str, parameter: str, value: object) -> tuple[str, str]:
    """Type and message of the error that a bad value raises, with {value} or its like for what it shows of the value.

    ("", what is wrong) unless the error names the parameter, and comes before any call and any random number.
    """
    arguments = good(name) | {parameter: value}
    generator = arguments.get("generator")
    state = generator.get_state() if isinstance(generator, torch.Generator) else None
    try:
        call(name, arguments)
        return "", "is taken"
    except Exception as error:
        kind, message = type(error).__name__, str(error)
    if kind not in ("TypeError", "ValueError") or not re.search(rf"\b{parameter}\b", message):
        return "", f"is refused without its name, or as no bad value: {kind}: {message}"
    if any(spy.calls for spy in arguments.values() if isinstance(spy, Spy)):
        return "", f"is refused after a call: {message}"
    if state is not None and not torch.equal(generator.get_state(), state):
        return "", f"is refused after random numbers were drawn: {message}"
    for field, shown in shown_of(value):
        message = re.sub(rf"got {re.escape(shown)}(?=$|;)", f"got {{{field}}}", message)
    return kind, message


def shown_of(value: object) -> Iterator[tuple[str, str]]:
    """What messages show of a value."""
    if isinstance(value, Tensor):
        yield from (("shape", f"shape {tuple(value.shape)}"), ("shape", f"{tuple(value.shape)}"))
        yield "dtype", f"{value.dtype}"
    yield from (("value", repr(value)), ("type", type(value).__name__))


def measured(name: str) -> Errors:
    """What a function says to each bad value."""
    return {(p, label(value)): error_of(name, p, value) for p in refused(name) for value in bad(name, p)}


def recorded() -> dict[str, Errors]:
    """What the table says, by function."""
    errors = defaultdict(dict)
    with TABLE.open(newline="", encoding="utf-8") as file:
        for function, argument, exception, message, values in list(csv.reader(file))[1:]:
            errors[function] |= {(argument, value): (exception, message) for value in values.split(SEPARATOR)}
    return errors


def write() -> None:
    """Write the table: a row for each message, with all the values that it refuses."""
    rows = defaultdict(list)
    for name in FUNCTIONS:
        for (argument, value), (exception, message) in measured(name).items():
            if not exception:
                sys.exit(f"{name}: {argument} = {value} {message}")
            rows[name, argument, exception, message].append(value)
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        table = [(*row, SEPARATOR.join(values)) for row, values in sorted(rows.items())]
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *table])


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("python tests/refusals.py --write writes tests/refusals.csv anew")
    write()
