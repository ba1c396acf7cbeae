"""Put the faults of tests/mutants.csv into a copy of the package, one at a time: do the tests notice them?

`python tools/mutants.py` tries each fault that has no outcome yet, two at a time with `--jobs 2`, and enters what came
of it, so that a run that was stopped goes on where it stood. To try faults again, empty their outcomes in the table.
What its last column says is written by hand: why a fault that survived is none.
"""

import argparse
import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pandas

from sbgm.files import write_bytes

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "mutants.csv"
TESTS = "distributions dtypes refusals checked losses noise masks samplers*"  # their files' names, after test_
MINUTES = 30  # a fault whose tests take longer counts as noticed: without it they take a few

Fault = dict[str, str]  # a row of the table: file, function, before, after, outcome, why


def changed(fault: Fault) -> str:
    """The file's text with a statement of the function changed; in the table its white space is single spaces.

    Raises:
        LookupError: the function does not hold the statement (any more).
    """
    source = (ROOT / fault["file"]).read_text(encoding="utf-8")
    inner = ast.parse(source)
    for name in fault["function"].split("."):
        inner = next((node for node in ast.walk(inner) if getattr(node, "name", None) == name), ast.Pass(lineno=1))
    before = re.compile(r"\s+".join(map(re.escape, fault["before"].split())))
    starts = [0, *itertools.accumulate(map(len, source.splitlines(keepends=True)))]
    found = before.search(source, starts[inner.lineno - 1], starts[getattr(inner, "end_lineno", 0)])
    if found is None:
        raise LookupError(f"{fault['function']} of {fault['file']} holds no {fault['before']!r}: mend {TABLE}")
    return source[: found.start()] + fault["after"] + source[found.end() :]


def attempt(fault: Fault) -> Fault:
    """Run the tests that could notice a fault in a copy of the repository, and return the row with the outcome."""
    module = Path(fault["file"]).stem
    paths = (path for words in TESTS.split() for path in sorted((ROOT / "tests").glob(f"test_{words}.py")))
    tests = [str(path.relative_to(ROOT)) for path in paths]
    tests.sort(key=lambda test: module not in test)  # those of the function's own file first
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    with tempfile.TemporaryDirectory(prefix="sbgm-mutants-") as name:
        folder = Path(name) / "copy"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "build", "data", "notebooks", "runs", "work"))
        for linked in ("data", "notebooks"):
            (folder / linked).symlink_to(ROOT / linked)
        (folder / fault["file"]).write_text(changed(fault), encoding="utf-8")
        options = {"cwd": folder, "capture_output": True, "timeout": 60 * MINUTES}
        options["env"] = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder), "TMPDIR": name}
        try:
            status = subprocess.run(command, **options).returncode
        except subprocess.TimeoutExpired:
            status = 1
    if status > 2:  # 2: the fault keeps the tests from being collected
        raise RuntimeError(f"pytest could not run {command}: {status}")
    return fault | {"outcome": "caught" if status else "survived"}


def main() -> None:
    """Try the faults that have no outcome yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="faults that are tried at a time (default: 1)")
    jobs = parser.parse_args().jobs
    table = pandas.read_csv(TABLE, dtype=str, keep_default_na=False).to_dict("records")
    places = [i for i, fault in enumerate(table) if not fault["outcome"] and changed(fault)]
    with ThreadPool(jobs) as pool:
        for i, fault in zip(places, pool.imap(attempt, [table[i] for i in places]), strict=True):
            table[i] = fault
            write_bytes(TABLE, pandas.DataFrame(table).to_csv(index=False, lineterminator="\n").encode())
            print(f"{fault['outcome']:8s}", " | ".join([*fault.values()][:4]), flush=True)
    caught = sum(fault["outcome"] == "caught" for fault in table)
    print(f"{caught} of {len(table)} caught")


if __name__ == "__main__":
    main()
