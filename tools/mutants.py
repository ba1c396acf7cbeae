"""Small faults put into the package one at a time, and whether the tests notice them.

`python tools/mutants.py` draws N faults from the syntax trees of the files in TARGETS, tries each in a copy of the
repository, and writes tests/mutants.csv; with `--survivors` it tries again those that the table says survived. What is
written by hand in the table's last column, why a survivor is no fault, stays.
"""

from __future__ import annotations

import ast
import csv
import itertools
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "mutants.csv"
SECONDS = Path("seconds.json")  # how long each test took, in the copy
N, SEED, CPU_SECONDS = 150, 0, 300  # a loop without an end is caught after these
ALL = ("tests/test_dtypes.py", "tests/test_refusals.py")
TARGETS = {  # files -> tests
    "sbgm/losses.py": ("tests/**/test_losses.py", *ALL),
    "sbgm/noise.py": ("tests/**/test_noise.py", "tests/test_losses.py", *ALL),
    "sbgm/distributions.py": ("tests/test_distributions.py", "tests/properties/test_mixtures.py", *ALL),
    "sbgm/samplers*": ("tests/**/test_samplers*.py", "tests/properties/test_sampler_relations.py", *ALL),
}
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


def draw(folder: Path) -> list[tuple[str, str, str, str, str]]:
    """N faults at different places: (file, function, line before, line after, the file's new text)."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.glob("sbgm/**/*.py"))
    sources = {file: (folder / file).read_bytes() for file in files if any(fnmatch(file, target) for target in TARGETS)}
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
        faults.append((file, function, " ".join(before.split()), " ".join(after.split()), new))
    return sorted(faults)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """As a plugin of pytest, put the tests first that took the least time when they last passed."""
    seconds = json.loads(SECONDS.read_text()) if SECONDS.exists() else {}
    items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """As a plugin of pytest, note how long each test took if all passed."""
    seconds = json.loads(SECONDS.read_text()) if SECONDS.exists() else {}
    if exitstatus == 0:
        seconds |= {report.nodeid: report.duration for report in terminalreporter.getreports("passed")}
        SECONDS.write_text(json.dumps(seconds))


def passes(file: str) -> bool:
    """Run a file's tests in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "mutants", *tests_of(file)]
    limit = partial(resource.setrlimit, resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    status = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=limit).returncode
    if status in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.INTERNAL_ERROR):
        raise RuntimeError(f"pytest could not run the tests of {file}: {status}")
    return status == 0


def tests_of(file: str) -> list[str]:
    """The test files of a file's target, in the working folder."""
    patterns = next(tests for target, tests in TARGETS.items() if fnmatch(file, target))
    return sorted(str(path) for pattern in patterns for path in Path().glob(pattern))


def prepare(folder: Path, files: set[str]) -> None:
    """Copy the repository, work in the copy, and see that its tests pass."""
    for path in ROOT.iterdir():
        if path.name in ("sbgm", "tests", "tools"):
            shutil.copytree(path, folder / path.name)
        elif path.is_file():
            shutil.copy2(path, folder)
        elif not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    os.chdir(folder)  # what the tests leave behind goes with it
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{folder}{os.pathsep}{folder / 'tools'}",
        "TMPDIR": str(folder),
    }
    for file in {target: file for file in files for target in TARGETS if fnmatch(file, target)}.values():
        if not passes(file):
            raise RuntimeError(f"the tests of {file} fail without a fault")


def main(only_survivors: bool) -> None:
    """Try the faults and write the table."""
    rows = csv.reader(TABLE.read_text(encoding="utf-8").splitlines()) if TABLE.exists() else ()
    known = {tuple(row[:4]): row[4:] for row in rows}
    faults, table = draw(ROOT), [("file", "function", "before", "after", "outcome", "why")]
    with tempfile.TemporaryDirectory(prefix="sbgm-mutants-") as name:
        prepare(Path(name), {fault[0] for fault in faults})
        for i, (*key, text) in enumerate(faults, start=1):
            outcome, why = known.get(tuple(key), ("", ""))
            if not (only_survivors and outcome == "caught"):
                path, original = Path(key[0]), Path(key[0]).read_bytes()
                path.write_text(text, encoding="utf-8")
                os.utime(path, (0, i))  # a date of its own, so that no compiled file is taken for it
                outcome = "survived" if passes(key[0]) else "caught"
                path.write_bytes(original)
                print(f"{i:3d} {outcome:8s}", " | ".join(key), flush=True)
            table.append((*key, outcome, why))
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(table)
    caught = sum(row[4] == "caught" for row in table)
    print(f"{caught} of {len(table) - 1} caught, {caught / (len(table) - 1):.1%}")


if __name__ == "__main__":
    main("--survivors" in sys.argv[1:])
