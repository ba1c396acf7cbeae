"""The package as a whole: what it exports, costs to import, says of itself and shows; and the rule of the house."""

import ast
import doctest
import pathlib
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import sbgm
from imports import imported, top_level

# --- package ---------------------------------------------------------------------------------------------------------

SOURCE = pathlib.Path(sbgm.__file__).parent
ROOMS = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}


def test_every_exported_name_can_be_imported_in_one_line():
    for name in sbgm.__all__:
        exec(f"from sbgm import {name}", {})


def test_import_sbgm_loads_no_plotting_learning_or_widget_library_and_a_script_no_room():
    """What makes imports slow, and what a script on a server may lack; `make bench` measures the seconds."""
    heavy = {"matplotlib", "sklearn", "skimage", "torchvision", "ipywidgets", "IPython", "pandas", "scipy"}
    used = "from sbgm import MLP, annealed_langevin, ncsn_loss, paper_mixture"
    code = f"import sys, sbgm; print(*sys.modules)\n{used}; print(*sys.modules)"
    at_first, in_script = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert set(at_first.split()) & {*heavy, "torch_fidelity"} == set()
    assert set(in_script.split()) & {f"sbgm.{room}" for room in ROOMS} == set()


def test_the_library_moves_nothing_to_a_gpu_unasked():
    """Of printing, global state and docstrings ruff takes care."""
    assert [path for path in SOURCE.rglob("*.py") if ".cuda(" in path.read_text(encoding="utf-8")] == []


# --- docstring examples ----------------------------------------------------------------------------------------------

DOCUMENTED = sorted(SOURCE.glob("[!_]*.py"))
BEGIN = {"torch": torch, "sbgm": sbgm}  # `import torch, sbgm`, as the reference's pages say
EXCUSED = {
    "data.Notice": "is a warning",
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


DOCSTRINGS = {name: (*given, path) for path in DOCUMENTED for name, given in documented(path).items()}
EXAMPLES = [name for name, (words, _, _) in DOCSTRINGS.items() if ">>>" in words]


def test_every_public_name_has_an_example():
    public = {f"{path.stem}.{name}" for path in DOCUMENTED for name in import_module(f"sbgm.{path.stem}").__all__}
    assert (public & DOCSTRINGS.keys()) - set(EXAMPLES) == EXCUSED.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where it may write files
    words, line, path = DOCSTRINGS[name]
    example = doctest.DocTestParser().get_doctest(words, BEGIN.copy(), name, str(path), line - 1)
    said: list[str] = []
    outcome = doctest.DocTestRunner().run(example, out=said.append)
    assert outcome.failed == 0, "".join(said)


# --- house -----------------------------------------------------------------------------------------------------------

LIBRARY = sorted(SOURCE.glob("*.py"))
SPINE = ("distributions", "noise", "losses", "samplers", "networks")


def statements(paths):
    """How many statements files have, docstrings not counted."""
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    texts = [node for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return sum(isinstance(node, ast.stmt) for node in nodes) - sum(isinstance(t.value.value, str) for t in texts)


def test_these_are_the_rooms():
    assert sorted(ROOMS) == ["cli", "course", "measure", "train", "widgets"]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_the_library_imports_no_room(path):
    if path.stem != "__main__":  # which is the way into cli
        assert not [name for name in imported(path) if name.split(".")[:1] == ["sbgm"] and name.split(".")[1] in ROOMS]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_the_library_needs_no_tables_processes_or_widgets_and_draws_in_one_file(path):
    tops = top_level(imported(path))
    assert not tops & {"pandas", "accelerate", "ipywidgets", "IPython"}
    assert path.stem == "plots" or "matplotlib" not in tops


def test_measure_imports_neither_train_nor_course_nor_widgets():
    for path in (SOURCE / "measure").glob("*.py"):
        assert not [name for name in imported(path) if name.startswith(("sbgm.train", "sbgm.course", "sbgm.widgets"))]


def test_the_library_can_be_read_in_an_evening():
    assert len(LIBRARY) <= 20
    assert statements(SOURCE / f"{name}.py" for name in SPINE) <= 700
