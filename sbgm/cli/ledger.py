"""Print the ledger of the last runs and the committed records."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from sbgm.data import require_checkout
from sbgm.files import written_whole
from sbgm.lab import claims

HEAD = """# The ledger

What the paper claims, what was expected before measuring, and what came out, with twice the standard error. Written by
`python -m sbgm ledger --write` from the records beside it, which hold every measurement; `notebooks/lab/` shows how
each was made.

- *reproduced*: the paper's statement, at the paper's settings or in closed form;
- *reproduced in part*: narrower than the paper says it; the row says in what;
- *not reproduced*: the statement fails here;
- *inconclusive*: our own yardstick failed, or the interval straddles a bound;
- *reported*: the paper gives no number, or ours is arithmetic;
- *waits for a GPU*: with the hours.

A bound counts as met only where the whole interval, ± two standard errors, lies within it.
"""
VERDICT = re.compile(r"^> \*\*(\w+): .*$", re.MULTILINE)  # as `claims.verdict` writes it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--write",
        action="store_true",
        help="enter the last runs in data/results/ with the table of all, counted in README.md, and in the chapters",
    )


def run(options: argparse.Namespace, readme: Path | None = None) -> int:
    """Print the ledger; with `write`, enter it beside its records, in README and in the chapters."""
    records = claims.current_records()
    if options.write:
        readme = readme or require_checkout("--write enters records in the repository") / "README.md"
        chapters = {path: with_verdicts(path, records) for path in sorted(readme.parent.glob("notebooks/*.ipynb"))}
        text = with_section(readme, "ledger", claims.count_line(records))
        for record in records.values():
            claims.save_record(record, claims.results_folder())
        for path, chapter in {readme: text, **chapters}.items():
            _write(path, chapter)
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


def with_verdicts(chapter: Path, records: dict[str, claims.Settled]) -> str:
    """A chapter's file, each claim's line as its record has it; its link leads to the lab notebook."""

    def line(found: re.Match[str]) -> str:
        return claims.verdict(records[found[1]], f"lab/{chapter.name[:2]}_lab.ipynb")

    notebook = json.loads(chapter.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = VERDICT.sub(line, "".join(cell["source"])).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _write(path: Path, text: str) -> None:
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
