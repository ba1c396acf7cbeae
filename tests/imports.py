"""What Python files import, by the rules that tests hold: who may import whom, and what must be declared."""

import ast
from collections.abc import Iterable
from pathlib import Path


def imported(*paths: Path) -> set[str]:
    """The full names of all that files import, wherever in them; in the package ruff lets none be relative."""
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    other = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return plain | {f"{node.module}.{alias.name}" for node in other for alias in node.names}


def top_level(names: Iterable[str]) -> set[str]:
    """The packages or files that full names are in."""
    return {name.partition(".")[0] for name in names}
