"""The ledger's page, README.md beside this file, and the count of claims in the project's README.md.

`make ledger` runs this file with --write, and writes both.

The page's tables have four columns: `claim` with `section`; `expect`; `found`; and the word, with a clause on what
`missed` or straddles its bound, and what is narrower: a `mark`, which HEAD explains, and `narrow`. `expect` names what
tests the paper's statement, and of the controls what the reader needs; `measure` tells the rest. ± stands where it
comes near a bound. What a bound or a record holds is not typed, but named in braces; `ledger.filled` has the forms. The
tables and the list have at most 1,500 words, a cell at most 45.

`main = true` marks some twenty claims that carry the paper, which stand first, and each that is not reproduced. What is
"reported" or waits stands in a list below the tables, and below it FOOT.
"""

import argparse
import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas

import ledger
from ledger import LETTERS, WAITS, Claim, Record, reported
from sbgm.files import write_bytes

ROOT = Path(__file__).parents[1]
AGAIN = Path(__file__).with_name("second_training.csv")
HEAD = """# The ledger

What the paper claims, what we expected before we measured, what came out, and the word that follows by a fixed rule
(`ledger.py`). An id links to the record: every number, the bounds, the commit that declared them, the day and the
machine. Labs show how each was measured, [HISTORY.md](HISTORY.md) tells earlier ledgers.

- ● *reproduced*: the paper's statement, at the paper's settings or in closed form;
- ◐ *in part*: reproduced, in a narrower setting than the paper's;
- ○ *not reproduced*: the statement fails here;
- ○ *inconclusive*: an interval straddles its bound, or a control failed.

± is twice the standard error, (a to b) a ratio's interval; a bound is met only by the whole interval. Over a few
trained networks it is that of their mean, by Student's distribution: one more network may lie outside. Over samples of
one network it says nothing of other trainings. Far from a bound it is left out; the record has it, and the controls.

‡ half the paper's width, a twenty-fifth of its training, on MNIST; *again*: a second training,
on which no word rests.\\
† in the plane, where the paper means images.\\
◊ a quarter of the paper's width, a twentieth of its training, on CIFAR-10.
"""
FOOT = """
‡ Trained in six parts; 96 % of its weights stood still for 4,124 of 31,229 steps.

Milder by new bounds on known numbers: L7, N3, F1, I4, I8 ([HISTORY.md](HISTORY.md)).
"""
DECIDED = {
    "reproduced": "● **reproduced**",
    "reproduced in part": "◐ **in part**",
    "not reproduced": "○ **not reproduced**",
    "inconclusive": "○ **inconclusive**",
}
"""The words in the tables; a claim that reads otherwise stands in the list below them."""
STATUSES = (*DECIDED, "reported", "waits for a GPU", WAITS)
COUNTED = {
    "reproduced": "reproduced in full",
    "waits for a GPU": "waiting for a GPU",
    WAITS: "waiting to be measured again",
}
"""What README's count says in place of a word."""
TABLE_HEAD = ("| claim | expected | measured | word |", "|---|---|---|---|")
ENTERS = re.compile(r"\bsettle(?:_again)?\(\s*\"(\w+)\"")


def main() -> None:
    """Print the ledger; with --write, enter it beside its records and in README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="enter it in the repository")
    records = ledger.load_records()
    if parser.parse_args().write:
        write(records, ROOT)
    print(ledger_page(records), end="")


def write(records: Mapping[str, Record], root: Path) -> None:
    """Write the page beside the claims' folders, and count the claims in README.

    Args:
        records: of all claims.
        root: the folder of README.md.
    """
    readme = with_section(root / "README.md", "ledger", count_line(records))
    write_bytes(ledger.claims_folder().parent / "README.md", ledger_page(records).encode())
    write_bytes(root / "README.md", readme.encode())


def ledger_page(records: Mapping[str, Record]) -> str:
    """The ledger in Markdown: the claims that matter most by chapter, the others, and those that decide nothing yet."""
    decided = {claim_id for claim_id, record in records.items() if ledger.reads(record) in DECIDED}
    lines = [HEAD, "## What carries the paper", ""]
    unexplained = dict(LETTERS)
    others = []
    for heading, ids in chapters().items():
        main_ids = [i for i in ids if i in decided and ledger.claims()[i].main]
        others += [i for i in ids if i in decided and not ledger.claims()[i].main]
        letters = [letter for letter in unexplained if letter in {i[0] for i in main_ids}]
        explained = "; ".join(f"{letter}: {unexplained.pop(letter)}" for letter in letters)
        if main_ids:
            lines += [f"### Chapter {heading}{explained and f' ({explained})'}", ""]
            lines += [*TABLE_HEAD, *(row(records[i]) for i in main_ids), ""]
    lines += ["## The other claims", "", *TABLE_HEAD, *(row(records[i]) for i in others), ""]
    lines += ["## Reported, or waiting", ""]
    lines += [f"- {undecided_line(claim, records.get(i))}" for i, claim in ledger.claims().items() if i not in decided]
    return "\n".join([*lines, FOOT])


def chapters() -> dict[str, list[str]]:
    """The ids of the claims of each chapter that has some, by the chapter's heading."""
    by_heading = {}
    for number, ids in itertools.groupby(sorted(ledger.claims(), key=_chapter), _chapter):
        (path,) = ROOT.glob(f"notebooks/{number:02d}_*.ipynb")
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        by_heading[first.partition("\n")[0].removeprefix("# ")] = list(ids)
    return by_heading


def _chapter(claim_id: str) -> int:
    return ledger.claims()[claim_id].chapter


def entered(lab: Path) -> list[str]:
    """The claims that a lab notebook enters, by id."""
    cells = json.loads(lab.read_text(encoding="utf-8"))["cells"]
    return [claim for cell in cells if cell["cell_type"] == "code" for claim in ENTERS.findall("".join(cell["source"]))]


def row(record: Record) -> str:
    """A line of a Markdown table: what the paper says, what was expected, what came out, and the word."""
    claim = ledger.claims()[record.id]
    cells = [linked(claim), f"{_capital(claim.expect)}.", found(record), word_and_why(record)]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def found(record: Record) -> str:
    """What came out, and for some claims what came out of the second training, see `second_training.py`."""
    again = ledger.claims()[record.id].again
    if not again:
        return ledger.outcome(record)
    table = pandas.read_csv(AGAIN).query("claim == @record.id").drop(columns="claim")
    numbers = {m["label"]: reported(**m) for m in table.to_dict("records")}
    return f"{ledger.outcome(record)} *Again* {ledger.filled(again, numbers)}."


def word_and_why(record: Record) -> str:
    """The word, and why it is not "reproduced": the numbers that miss their bounds, and what is narrower."""
    claim = ledger.claims()[record.id]
    unmet = [str(m) for m in record.of_kind("expected") if not m.met]
    why = [ledger.filled(claim.missed, record.numbers)] if unmet and claim.missed else unmet
    mark, narrow = (claim.mark, claim.narrow) if record.narrower else ("", "")
    reason = "; ".join(filter(None, [*why, narrow]))
    return f"{DECIDED[ledger.reads(record)]}{mark}{reason and f': {reason}'}"


def undecided_line(claim: Claim, record: Record | None) -> str:
    """What the ledger says of a claim that decides nothing yet: the statement, the word, why, and what came out."""
    if record is None:
        return f"{claim.id} {statement(claim)} *Declared, and not measured yet.*"
    status = ledger.reads(record)
    if status == WAITS:
        return f"{linked(claim)} *{_capital(WAITS)}*: its bounds have changed since {record.day}."
    why = claim.waits if status == "waits for a GPU" else claim.reported
    return f"{linked(claim)} *{_capital(status)}*: {why}. {ledger.outcome(record)}"


def linked(claim: Claim) -> str:
    """What the paper says and where, with a link to the record."""
    name = f"{claim.id}.json"
    file = f"../data/results/{name}" if name in claim.ships else f"claims/{claim.id}/record.json"
    return f"[{claim.id}]({file}) {statement(claim)}"


def statement(claim: Claim) -> str:
    """What the paper says and where: "Annealing recovers the weights (Fig. 3c)."."""
    return f"{_capital(claim.claim)} ({claim.place})."


def _capital(words: str) -> str:
    first = words[0].upper() if words[0].isascii() else words[0]  # λ(σ) is no sentence's beginning, but a formula
    return first + words[1:]


def count_line(records: Mapping[str, Record]) -> str:
    """How many claims have each status: a sentence on those that are not about images, and one on those that are."""
    sentences = [f"We tested {len(records)} statements."]
    for where, images in (("not about images", False), ("about images", True)):
        group = [record for record in records.values() if ledger.claims()[record.id].images is images]
        statuses = Counter(map(ledger.reads, group))
        counts = [f"{statuses[word]} {COUNTED.get(word, word)}" for word in STATUSES if statuses[word]]
        found = " and ".join(", ".join(counts).rsplit(", ", 1))
        sentences.append(f"Of the {len(group)} {where}, we found {found}.")
    return " ".join(sentences)


def with_section(page: Path, name: str, content: str) -> str:
    """Return a page's text with other content between its markers, <!-- name --> and <!-- /name -->."""
    start = f"<!-- {name} -->"
    end = f"<!-- /{name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not closed:
        raise ValueError(f"{page} must hold the markers {start} and {end}, in this order")
    return f"{before}{start}\n{content}\n{end}{after}"


if __name__ == "__main__":
    main()
