"""Measure a recorded claim and write its record to data/results/; a run that was stopped goes on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sbgm.experiments import recorded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--claim", required=True, choices=list(recorded.HOMES), help="the claim's id")
    parser.add_argument("--iterations", type=int, help="training iterations of each run, where the claim trains")
    parser.add_argument("--folder", type=Path, help="where the runs are kept and resumed from (runs/ID)")


def run(options: argparse.Namespace) -> int:
    """Measure the claim and print its record; on Ctrl-C say how to go on."""
    folder = options.folder or Path(__file__).resolve().parents[2] / "runs" / options.claim
    settings = {} if options.iterations is None else {"n_iterations": options.iterations}
    try:
        record = recorded.evaluate(options.claim, folder, **settings)
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on from the last checkpoint in {folder}.", file=sys.stderr)
        return 130
    print(record.details())
    return 0
