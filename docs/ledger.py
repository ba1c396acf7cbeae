"""The ledger's page: every claim with every measurement of its committed record."""

from __future__ import annotations

import re
from pathlib import Path

from chapters import called, place

from sbgm.lab.claims import Claim, Settled, claims, load_records, results_folder

HEAD = """# The ledger

What the paper claims, what was expected before measuring, and what came out. A number such as 0.509 ± 0.008 gives twice
the standard error. The last column of a table is the interval that a test holds the number to. Made from the records in
`data/results/` when this site was built.
"""


def page(settling: dict[str, Path]) -> str:
    """The page as Markdown.

    Args:
        settling: the notebook that enters each claim, by id.
    """
    records = load_records(results_folder())
    lines = [HEAD]
    for claim_id, claim in claims().items():
        link = f"[{claim_id}](#claim-{claim_id.lower()})"
        lines.append(f"- {link}: {escaped(claim.claim)} {badge(status_of(records.get(claim_id)))}")
    for claim_id, claim in claims().items():
        lines += ["", *entry(claim, records.get(claim_id), settling.get(claim_id))]
    return "\n".join(lines) + "\n"


def entry(claim: Claim, record: Settled | None, chapter: Path | None) -> list[str]:
    """One claim: what it says, how it is measured, and all that was found."""
    where = f"§ {escaped(claim.section)}" if claim.section[:1].isdigit() else escaped(claim.section)
    if chapter is not None:
        where += f" · [{called(chapter)}]({place(chapter)})"
    lines = [f"(claim-{claim.id.lower()})=", f"## {claim.id}: {escaped(claim.claim)}", ""]
    lines += [f"{badge(status_of(record))} {where}", ""]
    lines += [f"**Measure:** {escaped(claim.measure)}.", "", f"**Expected:** {escaped(claim.expect)}.", ""]
    if record is None:
        return lines
    lines += ["| measured | value | held to |", "|---|---|---|"]
    for check in record.checks:
        value, _, interval = str(check).removeprefix(f"{check.label}: ").partition("   expected ")
        lines.append(f"| {escaped(check.label)} | {escaped(value)} | {escaped(interval)} |")
    lines += [f"\n{escaped(words)}" for words in (record.note, record.data and f"Data: {record.data}") if words]
    if record.facts:
        lines += ["", "<details><summary>How it was recorded</summary>", ""]
        lines += [f"- {escaped(name)}: {escaped(str(fact))}" for name, fact in record.facts.items()]
        lines += ["", "</details>"]
    return lines


def status_of(record: Settled | None) -> str:
    """A record's status."""
    return "not measured yet" if record is None else record.status


def badge(status: str) -> str:
    """A status as a coloured word."""
    return f'<span class="status {status.replace(" ", "-")}">{status}</span>'


def escaped(words: str) -> str:
    """Words that Markdown shows as they are."""
    return re.sub(r"([\\`*_{}\[\]<>|$#~])", r"\\\1", words)
