"""The ledger: what the paper says, what was expected, what came out, and the word, as tables.

`python notebooks/lab/make_ledger.py` prints the table of all claims. With --write, as `make ledger` calls it, it enters
what the lab notebooks measured last in `data/results/`, with the table, counts the claims in README, and writes
each chapter's verdict on its own claims.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from claims import STATUSES, claims, ledger_folder, load_records, save_record, why
from sbgm.files import write_bytes
from sbgm.measure import records as recorded
from sbgm.measure.records import Record

DECLARED = "2026-11-27"
"""When it was declared, for every bound, what it tests."""
HEAD = f"""# The ledger

What the paper claims, what was expected before measuring, and what came out, with twice the standard error. Written by
`make ledger` from the records beside it, which hold every measurement; `notebooks/lab/` shows how each was made.

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
VERDICT = "## Verdict"
"""The first line of the Markdown cell at a chapter's end whose rest is written here."""
ENTERS = re.compile(r"\bsettle(?:_again)?\(\s*\"(\w+)\"")
COUNTED = {"reproduced": "reproduced whole", "reproduced in part": "in part", "waits for a GPU": "waiting for a GPU"}


def main() -> None:
    """Print the ledger; with --write, enter it beside its records, in README and in the chapters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="enter it in the repository")
    records = current_records()
    if parser.parse_args().write:
        write(records, Path(__file__).parents[2])
    print(ledger_table(records))


def current_records() -> dict[str, Record]:
    """The latest word on every claim: what notebooks entered, else the committed record.

    A recorded claim's committed record stands: a notebook re-measures a small case of it, which cannot replace it.
    """
    records = load_records(recorded.results_folder())
    for claim_id, record in load_records(ledger_folder()).items():
        if claim_id not in records or not records[claim_id].facts:
            records[claim_id] = record
    return {claim_id: records[claim_id] for claim_id in claims() if claim_id in records}


def write(records: dict[str, Record], root: Path) -> None:
    """Enter records in `results_folder()` with their table, count them in README, and write the chapters' verdicts.

    Args:
        records: see `current_records`.
        root: the folder of README.md and notebooks/.
    """
    pages = {root / "README.md": with_section(root / "README.md", "ledger", count_line(records))}
    for chapter in root.glob("notebooks/*.ipynb"):
        pages[chapter] = with_verdict(chapter, records)
    for record in records.values():
        save_record(record, recorded.results_folder())
    pages[recorded.results_folder() / "README.md"] = f"{HEAD}\n{ledger_table(records)}\n"
    for path, text in pages.items():
        write_bytes(path, text.encode())


# --- tables -----------------------------------------------------------------------------------------------------------


def ledger_table(records: dict[str, Record]) -> str:
    """The ledger as a Markdown table: what the paper says, what was expected and when, what came out, and the word."""
    lines = ["| id | § | the paper says | expected | measured here | word |", "|---|---|---|---|---|---|"]
    for claim_id, record in records.items():
        paper, expect, *rest = _sentences(record)
        lines.append(_row([claim_id, claims()[claim_id].section, paper, " ".join([expect, *notes(record)]), *rest]))
    return "\n".join(lines)


def verdict(records: dict[str, Record], lab: str) -> str:
    """What a chapter says of its claims at its end: a list with a sentence for each status.

    Args:
        records: of the chapter's claims.
        lab: the lab notebook, relative to the chapter.
    """
    lines = [f"The paper's statements; the [lab notebook]({lab}) has the bounds, the numbers and the reasons:", ""]
    for status in STATUSES:
        statements = [f"{claims()[i].claim} ({i})" for i, record in records.items() if record.status == status]
        if statements:
            lines.append(f"- **{_sentence(status)[:-1]}**: {'; '.join(statements)}.")
    return "\n".join(lines)


def _sentences(record: Record) -> list[str]:
    """What the paper says, what was expected, what came out, and the word with its reason."""
    claim, reason = claims()[record.id], why(record)
    word = f"**{_sentence(record.status)[:-1]}**"
    word += f": {reason}." if reason else "."
    return [_sentence(claim.claim), _sentence(claim.expect), outcome(record), word]


def _sentence(words: str) -> str:
    first = words[0].upper() if words[0].isascii() else words[0]
    return f"{first}{words[1:]}."


def outcome(record: Record) -> str:
    """What came out, in sentences with the record's numbers."""
    template = claims()[record.id].found
    return re.sub(r"{(.+?)}", lambda label: record.measurement(label[1]).number.replace("-", "−"), template)


def notes(record: Record) -> list[str]:
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


def count_line(records: dict[str, Record]) -> str:
    """How many claims have each status, apart in one and two dimensions and on images."""
    parts = [f"{len(records)} claims, "]
    for where, images in (("in one and two dimensions", False), ("on images", True)):
        statuses = [record.status for record in records.values() if claims()[record.id].images is images]
        counts = {status: statuses.count(status) for status in STATUSES}
        words = ", ".join(f"{n} {COUNTED.get(status, status)}" for status, n in counts.items() if n)
        if statuses:
            parts.append(f"{len(statuses)} {where}: {words}")
    return parts[0] + "; ".join(parts[1:])


# --- pages that hold a part of it -------------------------------------------------------------------------------------


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


def with_verdict(chapter: Path, records: dict[str, Record]) -> str:
    """A chapter's file, with the verdict on the claims of its lab notebook in the cell that begins with VERDICT.

    Raises:
        ValueError: there is such a cell, and no claim.
    """
    notebook, lab = json.loads(chapter.read_text(encoding="utf-8")), f"lab/{chapter.name[:2]}_lab.ipynb"
    ids = entered(chapter.parent / lab)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and "".join(cell["source"]).startswith(VERDICT):
            if not ids:
                raise ValueError(f"{chapter} has a cell {VERDICT!r}, but {lab} enters no claim")
            words = verdict({i: record for i, record in records.items() if i in ids}, lab)
            cell["source"] = f"{VERDICT}\n\n{words}".splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    main()
