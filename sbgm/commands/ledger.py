"""Print the ledger of the last runs and the committed records."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from sbgm import claims
from sbgm.files import written_whole

README = Path(__file__).resolve().parents[2] / "README.md"
START, END = "<!-- ledger -->", "<!-- /ledger -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--write", action="store_true", help="enter the last runs in data/results/ and rewrite README.md's table"
    )


def run(options: argparse.Namespace) -> int:
    """Print the ledger, and write it where asked to."""
    return print_ledger(write=options.write)


def print_ledger(*, write: bool, readme: Path = README) -> int:
    """Print the ledger; with `write`, commit it to both its places."""
    records = claims.current_records()
    if write:
        text = readme.read_text(encoding="utf-8")
        if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
            raise ValueError(f"{readme} must hold the markers {START} and {END} once each, in this order")
        for record in records.values():
            claims.save_record(record, claims.results_folder())
        table = f"{START}\n\n{claims.ledger_table(records)}\n\n{END}"
        text = re.sub(f"{START}.*?{END}", lambda match: table, text, flags=re.DOTALL)
        with written_whole(readme) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    print(claims.ledger_table(records))
    return 0
