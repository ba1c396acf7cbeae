"""The ledger's page, README.md beside this file, and the count of claims in docs/results.md: `make ledger`.

The page's tables have four columns: `claim` with `section`; `expect`; `found`; and the word, with a clause on what
`missed` or straddles its bound, and what is narrower: a `mark`, which HEAD explains, and `narrow`. `expect` names what
tests the paper's statement, and of the controls what the reader needs; `measure` tells the rest. ± stands where it
comes near a bound. What a bound or a record holds is not typed, but named in braces; `ledger.filled` has the forms. The
tables and the list have at most 1,350 words, a cell at most 45.

`main = true` marks some twenty claims that carry the paper, which stand first, and each that is not reproduced. A claim
that stands `beside` another is told in its row. What is "reported" or waits stands in a list below the tables.
"""

import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import ledger
from ledger import LETTERS, WAITS, Claim, Record
from sbgm.files import write_bytes

ROOT = Path(__file__).parents[1]
KNOWN = "°"
HEAD = """# The ledger

What the paper claims, what counts as reproduced, what came out, and the word that follows by a rule (`ledger.py`).
{known} An id links to the record: every number, the bounds, their commit, the day, the machine. `python evidence L5`
measures L5 again. [HISTORY.md](HISTORY.md) tells earlier ledgers.

{letters}

- ● *reproduced*: the paper's statement, at the paper's settings or in closed form;
- ● *checked*: an identity, which only a fault of the code could miss;
- ◐ *in part*: reproduced, in a narrower setting than the paper's;
- ✕ *not reproduced*: the statement fails here;
- ? *inconclusive*: an interval straddles its bound, or a control failed.

± is twice the standard error, (a to b) a ratio's interval; a bound is met only by the whole interval. Over a few
trained networks it is that of their mean, by Student's distribution: one more network may lie outside. Over samples of
one network it says nothing of other trainings. Far from a bound it is left out; the record has it, and the controls.

‡ half the paper's width, a twenty-fifth of its training, on MNIST, in six parts (96 % of the weights stood still for
4,124 of 31,229 steps); a second, clean training agrees in all but I5, where none was tried
(`second_training.csv` has its numbers; no word rests on them).\\
† in the plane, where the paper means images.\\
◊ a quarter of the paper's width, a twentieth of its training, on CIFAR-10.
"""
LETTERS_IN_WORDS = f"{'; '.join(f'{letter}: {meaning}' for letter, meaning in LETTERS.items())}."
ADMITTED = (
    "For {n} of {of} rows, marked °, an earlier number was known when a bound was set: a pilot's, an older "
    "measurement's or a referee's."
)
FOOT = """
Bounds that changed after a number was known. {changes}
"""
DECIDED = {
    "reproduced": "● **reproduced**",
    "reproduced in part": "◐ **in part**",
    "not reproduced": "✕ **not reproduced**",
    "inconclusive": "? **inconclusive**",
}
"""The words in the tables; a claim that reads otherwise stands in the list below them."""
STATUSES = ("reproduced", "checked", *list(DECIDED)[1:], "reported", "waits for a GPU", WAITS)
CHECKED = "● **checked**"
COUNTED = {
    "reproduced": "reproduced in full",
    "reported": "reported without a bound",
    "waits for a GPU": "waiting for a GPU",
    WAITS: "waiting to be measured again",
}
"""What the count of claims says in place of a word."""
TABLE_HEAD = ("| claim | expected | measured | word |", "|---|---|---|---|")


def main() -> None:
    """Write the page and the count, and print the page."""
    records = ledger.load_records()
    write(records, ROOT)
    print(ledger_page(records), end="")


def write(records: Mapping[str, Record], root: Path) -> None:
    """Write the page beside the claims' folders, and count the claims on the page of results.

    Args:
        records: of all claims.
        root: the folder that holds docs/results.md.
    """
    file = root / "docs" / "results.md"
    results = with_section(file, "ledger", count_line(records))
    write_bytes(ledger.claims_folder().parent / "README.md", ledger_page(records).encode())
    write_bytes(file, results.encode())


def ledger_page(records: Mapping[str, Record]) -> str:
    """The ledger in Markdown: the claims that matter most by chapter, the others, and those that decide nothing yet."""
    rows = rows_of(records)
    lines = [HEAD.format(known=admitted(records), letters=LETTERS_IN_WORDS), "## What carries the paper", ""]
    others = []
    for chapter, ids in itertools.groupby(sorted(rows, key=_chapter), _chapter):
        main = {i: ledger.claims()[i].main for i in ids}
        others += [rows[i] for i in main if not main[i]]
        if any(main.values()):
            lines += [f"### Chapter {chapter}", "", *TABLE_HEAD, *(rows[i] for i in main if main[i]), ""]
    lines += ["## The other claims", "", *TABLE_HEAD, *others, ""]
    lines += ["## Reported, or waiting", ""]
    told = {i for i in records if is_decided(records[i])}
    lines += [f"- {undecided_line(claim, records.get(i))}" for i, claim in ledger.claims().items() if i not in told]
    return "\n".join([*lines, FOOT.format(changes=changed(records))])


def reads(record: Record) -> str:
    """The word of a claim, as the ledger reads it; "checked" where it is an identity that was reproduced."""
    status = ledger.reads(record)
    return "checked" if status == "reproduced" and ledger.claims()[record.id].identity else status


def is_decided(record: Record) -> bool:
    """Whether a claim's word is one of those in the tables."""
    return ledger.reads(record) in DECIDED


def rows_of(records: Mapping[str, Record]) -> dict[str, str]:
    """The tables' rows by the id of the claim that each is about, those beside it included."""
    ids = [i for i, claim in ledger.claims().items() if i in records and is_decided(records[i])]
    hosts = [i for i in ids if ledger.claims()[i].beside not in ids]
    return {host: row(records[host], *(records[i] for i in ids if ledger.claims()[i].beside == host)) for host in hosts}


def admitted(records: Mapping[str, Record]) -> str:
    """For how many claims an earlier number was known when a bound was set: a sentence."""
    known = [i for i in records if ledger.claims()[i].known]
    return ADMITTED.format(n=len(known), of=len(records))


def changed(records: Mapping[str, Record]) -> str:
    """The claims whose bounds became milder or harsher after a number was known, or changed otherwise: sentences."""
    by_word: dict[str, list[str]] = {}
    for claim_id, record in records.items():
        for word in ledger.changes(record):
            by_word.setdefault(word, []).append(claim_id)
    words = [word for word in ("milder", "harsher", "changed") if word in by_word]
    return " ".join(f"{word.capitalize()}: {', '.join(by_word[word])}." for word in words) or "None."


def _chapter(claim_id: str) -> int:
    return ledger.claims()[claim_id].chapter


def row(record: Record, *beside: Record) -> str:
    """A line of a Markdown table: what the paper says, what was expected, what came out, and the word.

    Args:
        record: of the claim that the row is about.
        beside: of those that are told in the same row.
    """
    of_row = [record, *beside]
    stated = [ledger.claims()[one.id] for one in of_row]
    words = list(dict.fromkeys(map(word_and_why, of_row)))
    if len(words) > 1:
        words = [f"{one.id} {word}" for one, word in zip(of_row, words, strict=True)]
    cells = [
        " ".join(map(linked, stated)),
        " ".join(f"{_capital(claim.expect)}.{KNOWN if claim.known else ''}" for claim in stated),
        " ".join(map(ledger.outcome, of_row)),
        "; ".join(words),
    ]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def word_and_why(record: Record) -> str:
    """The word, and why it is not "reproduced": the numbers that miss their bounds, and what is narrower."""
    claim = ledger.claims()[record.id]
    unmet = [str(m) for m in record.of_kind("expected") if not m.met]
    why = [ledger.filled(claim.missed, record.numbers)] if unmet and claim.missed else unmet
    mark, narrow = (claim.mark, claim.narrow) if record.narrower else ("", "")
    reason = "; ".join(filter(None, [*why, narrow]))
    word = CHECKED if reads(record) == "checked" else DECIDED[reads(record)]
    return f"{word}{mark}{reason and f': {reason}'}"


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
    sentences = [f"The ledger has {len(records)} statements of the paper."]
    for where, images in (("not about images", False), ("about images", True)):
        group = [record for record in records.values() if ledger.claims()[record.id].images is images]
        if not group:
            continue
        statuses = Counter(map(reads, group))
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
