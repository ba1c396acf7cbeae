"""The ledger: what the paper says, what was expected, what came out, and the verdict, as tables.

`python notebooks/lab/make_ledger.py` prints the table of all claims. With --write, as `make ledger` calls it, it enters
what the lab notebooks measured last in `data/results/`, with the table, counts the claims in README, and writes
each chapter's verdict on its own claims.
"""

import argparse
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import records as recorded
from claims import (
    STATUSES,
    claims,
    failed,
    held_to,
    interval,
    is_older,
    ledger_folder,
    load_records,
    reads,
    save_record,
    waiting,
    why_narrower,
)
from records import Measurement, Record
from sbgm.files import write_bytes

HEAD = """# The ledger

What the paper claims, what was expected, and what came out, ± twice the standard error. Written by `make ledger` from
the records beside it, to which each row links; the notebooks in `notebooks/lab/` show how each was made. A day
under *expected* is that on which the measure and its bounds were declared, under *measured* that of the measurement.
*Measured before* marks a number that is older than its bounds. ± is the scatter of samples, and of trainings only
where a row names several networks: where it says "one training", ± says nothing of the next. What earlier ledgers said
is in [HISTORY.md](HISTORY.md).

- *reproduced*: the paper's statement, at the paper's settings or in closed form;
- *reproduced in part*: narrower than the paper says it;
- *not reproduced*: the statement fails here;
- *inconclusive*: an interval reaches across its bound, or a control of our own measure failed;
- *reported*: the paper gives no number, ours is arithmetic or one machine's timing, or nothing was expected;
- *waits for a GPU*: nothing that decides has been measured yet;
- *waits to be measured again*: the number is older than its bounds.

A bound counts as met only where the whole interval, ± two standard errors, lies within it. The verdict follows from
bounds and record by a fixed rule, at the top of `notebooks/lab/claims.toml`.
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

    The committed record stands where a script measured it, since a notebook measures a small case of it again; and
    where a notebook found the same numbers, unless the record is older than its bounds.
    """
    records = load_records(recorded.results_folder())
    for claim_id, entered in load_records(ledger_folder()).items():
        committed = records.get(claim_id)
        if committed is not None:
            is_same = agree(committed, entered) and not is_older(committed)
            if "command" in committed.facts or is_same:
                continue
        records[claim_id] = entered
    return {claim_id: records[claim_id] for claim_id in claims() if claim_id in records}


def agree(record: Record, other: Record) -> bool:
    """Whether two records hold the same numbers to the same bounds, but for what processors round differently."""
    if [m.label for m in record.measurements] != [m.label for m in other.measurements]:
        return False
    if held_to(record) != held_to(other):
        return False
    pairs = zip(record.measurements, other.measurements, strict=True)
    return all(math.isclose(a.value, b.value, rel_tol=1e-3, abs_tol=1e-9) for a, b in pairs)


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
    """The ledger as a Markdown table: the claim, what was expected, what came out, the verdict, and why not whole."""
    lines = [
        "| | the paper says | expected (day) | measured (day) | verdict | why not whole |",
        "|---|---|---|---|---|---|",
    ]
    for claim_id, record in records.items():
        claim = claims()[claim_id]
        paper = f"{_sentence(claim.claim)[:-1]} ({claim.place.strip('()')})."
        expected = f"{_sentence(claim.expect)[:-1]} ({claim.declared})"
        link = f"[{claim_id}]({claim_id}.json)"
        lines.append(_row([link, paper, expected, measured(record), f"**{reads(record)}**", reasons(record)]))
    return "\n".join(lines)


def verdict(records: dict[str, Record], lab: str) -> str:
    """What a chapter says of its claims at its end: a list with a sentence for each status.

    Args:
        records: of the chapter's claims.
        lab: the lab notebook, relative to the chapter.
    """
    lines = [f"The paper's statements; the [lab notebook]({lab}) has the bounds, the numbers and the reasons:", ""]
    for status in STATUSES:
        statements = [_statement(record) for record in records.values() if reads(record) == status]
        if statements:
            lines.append(f"- **{_sentence(status)[:-1]}**: {'; '.join(statements)}.")
    return "\n".join(lines)


def _statement(record: Record) -> str:
    claim = claims()[record.id]
    statement = f"{claim.claim} ({record.id})"
    if reads(record) == "not reproduced" and claim.missed:
        statement += f": {filled(claim.missed, record)}"
    return statement


def _sentence(words: str) -> str:
    first = words[0].upper() if words[0].isascii() else words[0]
    return f"{first}{words[1:]}."


def outcome(record: Record) -> str:
    """What came out, in sentences with the record's numbers; of an older record that lacks them, those that decided."""
    template = claims()[record.id].found
    labels = {m.label for m in record.measurements}
    if is_older(record) and not labels >= set(re.findall(r"{(.+?)}", template)):
        decided = record.of_kind("expected") or record.measurements
        return "; ".join(f"{m.label}: {plain(m)}" for m in decided) + "."
    return filled(template, record)


def filled(template: str, record: Record) -> str:
    """Words with the record's numbers in place of their labels in braces."""
    numbers = {m.label: plain(m) for m in record.measurements}
    return re.sub(r"{(.+?)}", lambda label: numbers[label[1]], template)


def measured(record: Record) -> str:
    """What came out, and on which day; whether that was before the claim's measure and bounds were declared."""
    if is_older(record):
        return f"{outcome(record)} Measured before, on {record.day}."
    return f"{outcome(record)} ({record.day})"


def reasons(record: Record) -> str:
    """Why the verdict is not "reproduced": bounds that failed or wait, and what is narrower; "" where it is whole."""
    parts = []
    for m in failed(record):
        clearly = "not" if m.missed else "not clearly"
        parts.append(f"“{m.label}” is {plain(m)}, {clearly} {interval(m.low, m.high).replace('-', '−')}")
    unmeasured = [f"“{label}”" for label in waiting(record)]
    if unmeasured:
        parts.append(f"not yet measured: {', '.join(unmeasured)}")
    return "; ".join([*parts, *why_narrower(record)])


def plain(measurement: Measurement) -> str:
    """A number as a reader wants it: three digits, or as many as ± twice its standard error bears; no 2e-08."""
    if measurement.se:
        half_width = 2 * measurement.se
        at_most = max(3, -math.floor(math.log10(half_width)))  # more where ± would else be 0.000
        decimals = min(at_most, max(0, 1 - math.floor(math.log10(half_width / 2))))  # 91, 12.5, 0.20
        value = round(measurement.value, decimals) + 0.0  # -0.0 + 0.0 is 0.0
        text = f"{value:.{decimals}f} ± {half_width:.{decimals}f}"
    elif measurement.value and abs(measurement.value) < 1e-4:
        text = "less than 0.0001"
    else:
        text, _, power = Measurement("reported", "", measurement.value).number.partition("e+")
        if power:
            text += f"·10{power.lstrip('0').translate(SUPERSCRIPTS)}"
    return text.replace("-", "−")


SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def count_line(records: dict[str, Record]) -> str:
    """How many claims have each status, apart in one and two dimensions and on images."""
    parts = [f"{len(records)} claims, "]
    for where, images in (("in one and two dimensions", False), ("on images", True)):
        statuses = [reads(record) for record in records.values() if claims()[record.id].images is images]
        counts = {status: statuses.count(status) for status in STATUSES}
        words = ", ".join(f"{n} {COUNTED.get(status, status)}" for status, n in counts.items() if n)
        if statuses:
            parts.append(f"{len(statuses)} {where}: {words}")
    return parts[0] + "; ".join(parts[1:])


# --- pages that hold a part of it -------------------------------------------------------------------------------------


def with_section(page: Path, name: str, content: str) -> str:
    """Return a page's text with other content between its markers, <!-- name --> and <!-- /name -->."""
    start = f"<!-- {name} -->"
    end = f"<!-- /{name} -->"
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
    notebook = json.loads(chapter.read_text(encoding="utf-8"))
    lab = f"lab/{chapter.name[:2]}_lab.ipynb"
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
