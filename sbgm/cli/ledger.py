"""Print the ledger of the last runs and the committed records."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from sbgm.data import require_checkout
from sbgm.files import written_whole
from sbgm.lab import claims

START, END = "<!-- ledger -->", "<!-- /ledger -->"
HEAD = """# The ledger

What the paper claims, what was expected before measuring, and what came out, with twice the standard error. Written by
`python -m sbgm ledger --write` from the records beside it, which hold every measurement.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--write",
        action="store_true",
        help="enter the last runs in data/results/ with the table of all, counted in README.md",
    )


def run(options: argparse.Namespace, readme: Path | None = None) -> int:
    """Print the ledger; with `write`, enter it beside its records, and how many claims have which status in README."""
    records = claims.current_records()
    if options.write:
        readme = readme or require_checkout("--write enters records in the repository") / "README.md"
        text = readme.read_text(encoding="utf-8")
        if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
            raise ValueError(f"{readme} must hold the markers {START} and {END} once each, in this order")
        for record in records.values():
            claims.save_record(record, claims.results_folder())
        line = f"{START}\n{claims.count_line(records)}\n{END}"
        table = claims.results_folder() / "README.md"
        _write(readme, re.sub(f"{START}.*?{END}", line, text, flags=re.DOTALL))
        _write(table, f"{HEAD}\n{claims.ledger_table(records)}\n")
    print(claims.ledger_table(records))
    return 0


def _write(path: Path, text: str) -> None:
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
