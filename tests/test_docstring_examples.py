"""Every public function and class of the library shows an example, and each example prints what it says."""

import ast
import doctest
from importlib import import_module
from pathlib import Path

import pytest
import torch

import sbgm

LIBRARY = sorted(Path(sbgm.__file__).parent.glob("[!_]*.py"))
BEGIN = {"torch": torch, "sbgm": sbgm}  # `import torch, sbgm`, as the reference's pages say
EXCUSED = {
    "data.DataNotFoundError": "is raised where a data set is missing",
    "data.checkout": "depends on where the package lies",
    "data.data_folder": "depends on the machine",
    "data.require_checkout": "depends on where the package lies",
    "files.DiskFullError": "is raised where a disk is full",
    "files.fetch": "needs a server",
    "precision.compiled": "takes minutes, and a compiler",
}


def documented(path: Path) -> dict[str, tuple[str, int]]:
    """The docstring of each function, class and method of a file, and its first line, by the name of what it is of."""
    found = {}

    def visit(node: ast.AST, name: str) -> None:
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.FunctionDef | ast.ClassDef):
                found[f"{name}.{inner.name}"] = (ast.get_docstring(inner) or "", inner.body[0].lineno)
                visit(inner, f"{name}.{inner.name}")

    visit(ast.parse(path.read_text(encoding="utf-8")), path.stem)
    return found


DOCSTRINGS = {name: (*given, path) for path in LIBRARY for name, given in documented(path).items()}
EXAMPLES = [name for name, (words, _, _) in DOCSTRINGS.items() if ">>>" in words]


def test_every_public_name_has_an_example():
    public = {f"{path.stem}.{name}" for path in LIBRARY for name in import_module(f"sbgm.{path.stem}").__all__}
    assert (public & DOCSTRINGS.keys()) - set(EXAMPLES) == EXCUSED.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where it may write files
    words, line, path = DOCSTRINGS[name]
    example = doctest.DocTestParser().get_doctest(words, BEGIN.copy(), name, str(path), line - 1)
    said: list[str] = []
    outcome = doctest.DocTestRunner().run(example, out=said.append)
    assert outcome.failed == 0, "".join(said)
