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
import sys
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "mutants.csv"
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


class CheapestFirst:
    """A plugin of pytest that runs tests in the order of how long they last took, and measures that."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the cheapest first."""
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how long a test took."""
        self.seconds[report.nodeid] = max(report.duration, self.seconds.get(report.nodeid, 0.0))


def passes(file: str, seconds: Path) -> bool:
    """Run a file's tests in a process of their own, which has all loaded but the package and the tests."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        plugin = CheapestFirst(json.loads(seconds.read_text()) if seconds.exists() else {})
        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests_of(file)], [plugin])
        if status == 0:
            seconds.write_text(json.dumps(plugin.seconds))
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.INTERNAL_ERROR):
        raise RuntimeError(f"pytest could not run the tests of {file}: {status}")
    return status == 0


def tests_of(file: str) -> list[str]:
    """The test files of a file's target, in the working folder."""
    patterns = next(tests for target, tests in TARGETS.items() if fnmatch(file, target))
    return sorted(str(path) for pattern in patterns for path in Path().glob(pattern))


def prepare(folder: Path, files: set[str]) -> None:
    """Copy the repository, load what its tests load, forget the package and the tests, and see that the tests pass."""
    for path in ROOT.iterdir():
        if path.name in ("sbgm", "tests", "tools"):
            shutil.copytree(path, folder / path.name)
        elif path.is_file():
            shutil.copy2(path, folder)
        elif not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    os.chdir(folder)
    tempfile.tempdir = str(folder)  # what the tests leave behind goes with it
    sys.path[:] = [str(folder), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *{t for file in files for t in tests_of(file)}])
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]
    for file in {target: file for file in files for target in TARGETS if fnmatch(file, target)}.values():
        if not passes(file, folder / "seconds.json"):
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
                outcome = "survived" if passes(key[0], Path("seconds.json")) else "caught"
                path.write_bytes(original)
                print(f"{i:3d} {outcome:8s}", " | ".join(key), flush=True)
            table.append((*key, outcome, why))
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(table)
    caught = sum(row[4] == "caught" for row in table)
    print(f"{caught} of {len(table) - 1} caught, {caught / (len(table) - 1):.1%}")


if __name__ == "__main__":
    main("--survivors" in sys.argv[1:])
