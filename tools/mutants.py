"""Small faults put into the package one at a time, and whether the tests notice them.

`python tools/mutants.py` draws N faults from the syntax trees of FILES, tries each in a copy of the repository, two at
a time with `--jobs 2`, and enters in tests/mutants.csv what came of it. A fault that has an outcome there is not tried
again, so a run that was stopped goes on where it stood: `--anew` forgets all outcomes first, `--survivors` those of the
faults that survived. What is written by hand in the table's last column, why a survivor is no fault, stays.

A first run without a fault, some minutes, notes what each test calls. A fault is then tried on the test files that call
its function, those tests first that do so, the quickest at the front, until one fails or runs past its limit.
"""

from __future__ import annotations

import argparse
import ast
import csv
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple

import pytest

from sbgm.files import written_whole

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "mutants.csv"
N, SEED = 150, 0
FILES = ("sbgm/distributions.py", "sbgm/losses.py", "sbgm/noise.py", "sbgm/samplers.py")
TESTS = (
    *("test_distributions.py", "test_dtypes.py", "test_refusals.py", "test_checked.py"),
    *("test_losses.py", "test_noise.py", "test_masks.py", "test_samplers*.py"),
)
LEAST_SECONDS = 60  # a test may take ten times what it took without the fault, and these
CALLS = Path("calls.jsonl")  # in a copy without a fault: what each test calls
PLAN = Path("plan.json")  # in a copy with a fault: each test's place in the queue, and its limit in seconds

SWAPS = {  # operator -> what may stand in its place
    **{ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.Pow: [ast.Mult]},
    **{ast.FloorDiv: [ast.Div], ast.Mod: [ast.Mult], ast.And: [ast.Or], ast.Or: [ast.And]},
    **{ast.Lt: [ast.LtE, ast.Gt], ast.LtE: [ast.Lt, ast.GtE], ast.Gt: [ast.GtE, ast.Lt], ast.GtE: [ast.Gt, ast.LtE]},
    **{ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is]},
    **{ast.In: [ast.NotIn], ast.NotIn: [ast.In]},
}
NAMES = {"min": "max", "max": "min", "amin": "amax", "amax": "amin"}


def nodes(node: ast.AST, function: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Every node that may be changed, with the function it is in: no annotation, decorator, or text."""
    yield node, function
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list") and not isinstance(node, ast.JoinedStr):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from nodes(child, function)


def variants(node: ast.AST) -> list[ast.AST]:
    """What may stand in a node's place."""
    match node:
        case ast.BinOp() | ast.BoolOp() | ast.AugAssign():
            return [_with(node, op=swap()) for swap in SWAPS.get(type(node.op), [])]
        case ast.Compare(ops=ops):
            swaps = [(i, swap()) for i, operator in enumerate(ops) for swap in SWAPS[type(operator)]]
            return [_with(node, ops=[*ops[:i], swap, *ops[i + 1 :]]) for i, swap in swaps]
        case ast.UnaryOp():  # not, −, ~
            return [node.operand]
        case ast.Constant(value=bool(value)):
            return [ast.Constant(not value)]
        case ast.Constant(value=int(n) | float(n)):
            return [ast.Constant(other) for other in dict.fromkeys((n + 1, n - 1, 2 * n, 0, 1)) if other != n]
        case ast.Name(id=name) if name in NAMES:
            return [ast.Name(NAMES[name])]
        case ast.Attribute(attr=name) if name in NAMES:
            return [_with(node, attr=NAMES[name])]
    return []


def _with(node: ast.AST, **fields: object) -> ast.AST:
    return type(node)(**{**dict(ast.iter_fields(node)), **fields})


class Fault(NamedTuple):
    """A line changed in a function of a file, the line as it was, and the file's text with the change."""

    file: str
    function: str
    before: str
    after: str
    text: str


def draw() -> list[Fault]:
    """N faults at different places, in the order of their files."""
    sources = {file: (ROOT / file).read_bytes() for file in FILES}
    found = [(file, function, node) for file, text in sources.items() for node, function in nodes(ast.parse(text))]
    places = [(file, function, node, sources[file]) for file, function, node in found if variants(node)]
    draws, faults = random.Random(SEED), []
    for file, function, node, source in draws.sample(places, N):
        starts = [0, *itertools.accumulate(map(len, source.splitlines(keepends=True)))]
        first, last = starts[node.lineno - 1], starts[node.end_lineno]
        start, end = first + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        text = ast.unparse(draws.choice(variants(node)))
        text = f"({text})" if isinstance(node, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp) else text
        before, after = source[first:last].decode(), (source[first:start] + text.encode() + source[end:last]).decode()
        new = source[:first].decode() + after + source[last:].decode()
        faults.append(Fault(file, function, " ".join(before.split()), " ".join(after.split()), new))
    return sorted(faults)


class Call(NamedTuple):
    """A test, the seconds it takes, and the functions of the package that it calls."""

    test: str
    seconds: float
    functions: list[str]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """As a plugin of pytest, end the process at a test's limit, or note what the test calls and how long it takes."""
    if PLAN.exists():
        signal.alarm(json.loads(PLAN.read_text()).get(item.nodeid, [0, LEAST_SECONDS])[1])
        return (yield)
    start, codes = time.monotonic(), set()
    sys.setprofile(lambda frame, event, _: codes.add(frame.f_code) if event == "call" else None)
    try:
        return (yield)
    finally:
        sys.setprofile(None)
        own = [code for code in codes if Path(code.co_filename).is_relative_to(Path("sbgm").resolve())]
        called = [f"{os.path.relpath(code.co_filename)} {code.co_qualname}".replace(".<locals>", "") for code in own]
        with CALLS.open("a") as file:
            print(json.dumps([item.nodeid, time.monotonic() - start, called]), file=file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """As a plugin of pytest, put the tests into the plan's order; one that is only there with the fault comes first."""
    plan = json.loads(PLAN.read_text()) if PLAN.exists() else {}
    items.sort(key=lambda item: plan.get(item.nodeid, [-1])[0])


def run(folder: Path, tests: list[str]) -> bool:
    """Whether test files pass in a copy of the repository, run in a process of their own with this file as a plugin."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "mutants", *tests]
    path = os.pathsep.join([str(folder), str(folder / "tools")])
    variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "TMPDIR": str(folder)}
    status = subprocess.run(command, cwd=folder, env=variables, capture_output=True).returncode
    if status in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.INTERNAL_ERROR):
        raise RuntimeError(f"pytest could not run {tests} in {folder}: {status}")
    return status == pytest.ExitCode.OK


@contextmanager
def copied() -> Iterator[Path]:
    """Copy the repository into a temporary folder, which takes with it what the tests leave behind."""
    left = shutil.ignore_patterns(".*", "build", "data", "notebooks", "runs", "work")
    with tempfile.TemporaryDirectory(prefix="sbgm-mutants-") as name:
        folder = shutil.copytree(ROOT, Path(name).resolve(), dirs_exist_ok=True, ignore=left)
        for linked in ("data", "notebooks"):
            (folder / linked).symlink_to(ROOT / linked)
        yield folder


def calls() -> list[Call]:
    """Run the tests without a fault, and return what each of them calls."""
    files = [path for tests in TESTS for path in (ROOT / "tests").glob(tests)]
    with copied() as folder:
        if not run(folder, sorted(str(path.relative_to(ROOT)) for path in files)):
            raise RuntimeError("the tests fail without a fault")
        return [Call(*json.loads(line)) for line in (folder / CALLS).read_text().splitlines()]


def attempt(calls: list[Call], fault: Fault) -> tuple[Fault, str]:
    """Try a fault on the tests that could notice it, and return it with its outcome."""
    callers = {call.test for call in calls if f"{fault.file} {fault.function}" in call.functions}
    queue = sorted(calls, key=lambda call: (call.test not in callers, call.seconds))
    plan = {call.test: (i, LEAST_SECONDS + round(10 * call.seconds)) for i, call in enumerate(queue)}
    with copied() as folder:
        (folder / fault.file).write_text(fault.text, encoding="utf-8")
        (folder / PLAN).write_text(json.dumps(plan))
        files = {test.split("::")[0] for test in callers or plan}
        return fault, "survived" if run(folder, sorted(files)) else "caught"


def read(again: tuple[str, ...]) -> dict[tuple[str, ...], list[str]]:
    """Read the table, without outcomes that are to be found again: file, function, before, after → outcome, why."""
    rows = csv.reader(TABLE.read_text(encoding="utf-8").splitlines()) if TABLE.exists() else ()
    return {tuple(key): ["" if outcome in again else outcome, why] for *key, outcome, why in rows}


def write(table: dict[Fault, list[str]]) -> None:
    """Write the table, the faults that are still to be tried with an empty outcome."""
    with written_whole(TABLE) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("file", "function", "before", "after", "outcome", "why"))
        rows.writerows((*fault[:4], *outcome) for fault, outcome in table.items())


def main() -> None:
    """Try the faults that have no outcome yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="faults that are tried at a time (default: 1)")
    again = {"action": "store_const", "dest": "again", "default": ()}
    parser.add_argument("--anew", const=("caught", "survived"), help="forget all outcomes first", **again)
    parser.add_argument("--survivors", const=("survived",), help="try again those that survived", **again)
    options = parser.parse_args()
    known = read(options.again)
    table = {fault: known.get(fault[:4], ["", ""]) for fault in draw()}
    write(table)
    to_try = [fault for fault, (outcome, _) in table.items() if not outcome]
    with ThreadPool(options.jobs) as pool:
        for fault, outcome in pool.imap_unordered(partial(attempt, calls()), to_try):
            table[fault][0] = outcome
            write(table)
            print(f"{outcome:8s}", " | ".join(fault[:4]), flush=True)
    caught = sum(outcome == "caught" for outcome, _ in table.values())
    print(f"{caught} of {len(table)} caught, {caught / len(table):.1%}")


if __name__ == "__main__":
    main()
