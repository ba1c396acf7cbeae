"""The command line, `python -m sbgm`: measure recorded claims, and print or write the ledger."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from sbgm import claims

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- ledger -->", "<!-- /ledger -->"


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sbgm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    evaluate = commands.add_parser("evaluate", help="measure a recorded claim, resumably, and write its record")
    evaluate.add_argument("--claim", required=True, choices=["M2"], help="the claim's id")
    evaluate.add_argument("--iterations", type=int, default=6_000, help="training iterations of each run (6000)")
    evaluate.add_argument("--folder", type=Path, help="where the runs are kept and resumed from (runs/ID)")

    ledger = commands.add_parser("ledger", help="print the ledger of claims")
    ledger.add_argument(
        "--write", action="store_true", help="enter the last runs in data/results/ and rewrite README.md's table"
    )

    options = parser.parse_args(arguments)
    try:
        if options.command == "evaluate":
            return evaluate_claim(options.claim, options.folder or ROOT / "runs" / options.claim, options.iterations)
        return print_ledger(write=options.write)
    except (OSError, ValueError, ArithmeticError, AssertionError) as error:
        print(f"sbgm: {error}", file=sys.stderr)
        return 1


def evaluate_claim(claim_id: str, folder: Path, n_iterations: int) -> int:
    """Measure a recorded claim and print its record; on Ctrl-C say how to go on."""
    from sbgm.experiments.recorded import RECORDED

    try:
        record = RECORDED[claim_id](folder, n_iterations)
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on from the last checkpoint in {folder}.", file=sys.stderr)
        return 130
    print(record.details())
    return 0


def print_ledger(*, write: bool, readme: Path = ROOT / "README.md") -> int:
    """Print the ledger of the last runs and the committed records; with `write`, commit it to both its places."""
    records = claims.current_records()
    if write:
        text = readme.read_text(encoding="utf-8")
        if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
            raise ValueError(f"{readme} must hold the markers {START} and {END} once each, in this order")
        for record in records.values():
            claims.save_record(record, claims.results_folder())
        table = f"{START}\n\n{claims.ledger_table(records)}\n\n{END}"
        text = re.sub(f"{START}.*?{END}", lambda match: table, text, flags=re.DOTALL)
        partial = readme.with_name(f".{readme.name}.tmp")
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(readme)
    print(claims.ledger_table(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
