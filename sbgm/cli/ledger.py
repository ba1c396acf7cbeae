"""Print the ledger of the last runs and the committed records."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from sbgm.data import require_checkout
from sbgm.files import written_whole
from sbgm.lab import claims

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
        text = with_section(readme, "ledger", claims.count_line(records))
        for record in records.values():
            claims.save_record(record, claims.results_folder())
        _write(readme, text)
        _write(claims.results_folder() / "README.md", f"{HEAD}\n{claims.ledger_table(records)}\n")
    print(claims.ledger_table(records))
    return 0


def with_section(page: Path, name: str, content: str) -> str:
    """Return a page's text with other content between its markers, <!-- name --> and <!-- /name -->."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    parts = re.split(f"({start}|{end})", page.read_text(encoding="utf-8"))
    if parts[1::2] != [start, end]:
        raise ValueError(f"{page} must hold the markers {start} and {end} once each, in this order")
    return f"{parts[0]}{start}\n{content}\n{end}{parts[-1]}"


def _write(path: Path, text: str) -> None:
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
