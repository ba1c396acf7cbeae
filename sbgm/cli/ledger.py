"""Print the ledger of the last runs and the committed records."""

import argparse

from sbgm.cli.options import lab_script


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--write",
        action="store_true",
        help="enter the last runs in data/results/ with the table of all, counted in README.md, and in the chapters",
    )


def run(options: argparse.Namespace) -> int:
    """Print the ledger; with `write`, enter it beside its records, in README and in the chapters."""
    print(lab_script("claims", "the ledger is made in the repository").ledger(write=options.write))
    return 0
