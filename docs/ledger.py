"""The ledger's page: every claim with every measurement of its committed record."""

import re

from chapters import Page

from claims import Claim, claims, load_records, reads
from make_ledger import measured, reasons
from records import Record, interval, results_folder

HEAD = """# The ledger

What the paper claims, what was expected, and what came out, each with its day. A number such as 0.509 ± 0.008 gives
twice the standard error. The last column of a table is the interval that the number is held to; where it says so,
it was set afterwards and guards the finding. Made from the records in `data/results/` when this site was built.

```{toctree}
:glob:
:hidden:

notebooks/lab/*
```
"""


def page(series: list[Page]) -> str:
    """The page as Markdown."""
    entered = {claim_id: notebook for notebook in series for claim_id in notebook.settled()}
    records = load_records(results_folder())
    listing = []
    entries = []
    for claim in claims().values():
        record = records.get(claim.id)
        status = "not measured yet" if record is None else reads(record)
        badge = f'<span class="status {status.replace(" ", "-")}">{status}</span>'
        listing.append(f"- [{claim.id}](#claim-{claim.id.lower()}): {escaped(claim.claim)} {badge}")
        entries += asked(claim, badge, entered.get(claim.id))
        if record is not None:
            entries += outcome(record)
        entries.append("")
    return "\n".join([HEAD, *listing, "", *entries])


def asked(claim: Claim, badge: str, notebook: Page | None) -> list[str]:
    """What one claim says, where, how it is measured, and what was expected."""
    link = f" · [{notebook.called}]({notebook.place})" if notebook else ""
    lines = [f"(claim-{claim.id.lower()})=", f"## {claim.id}: {escaped(claim.claim)}", ""]
    lines += [f"{badge} {escaped(claim.place)}{link}", "", f"**Measure:** {escaped(claim.measure)}.", ""]
    return [*lines, f"**Expected** (declared on {claim.declared}): {escaped(claim.expect)}.", ""]


def outcome(record: Record) -> list[str]:
    """What came out in a sentence, and all of it in a table; how it was recorded, folded."""
    lines = [f"{escaped(measured(record))}\n"]
    if reasons(record):
        lines.append(f"Why not whole: {escaped(reasons(record))}.\n")
    lines += ["| measured | value | held to |", "|---|---|---|"]
    for measurement in record.measurements:
        held = "" if measurement.kind == "reported" else interval(measurement.low, measurement.high)
        if measurement.kind == "guard":
            held += " (set afterwards)"
        numbers = " | ".join(escaped(words).replace("-", "−") for words in (measurement.number, held))
        lines.append(f"| {escaped(measurement.label)} | {numbers} |")
    if record.note:
        lines.append(f"\n{escaped(record.note)}")
    if record.data:
        lines.append(f"\nData: {escaped(record.data)}")
    if record.facts:
        facts = [f"- {escaped(name)}: {escaped(str(fact))}" for name, fact in record.facts.items()]
        lines += ["", "<details><summary>How it was recorded</summary>", "", *facts, "", "</details>"]
    return lines


def escaped(words: str) -> str:
    """Words that Markdown shows as they are."""
    return re.sub(r"([\\`*_{}\[\]<>|$#~])", r"\\\1", words)
