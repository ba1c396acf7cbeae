"""The rule of the house: flat files are the library, folders are rooms; rooms import the library, never the reverse."""

import ast
import pathlib
import subprocess
import sys

import pytest

SBGM = pathlib.Path(__file__).parent.parent / "sbgm"
LIBRARY = sorted(SBGM.glob("*.py"))
ROOMS = {path.name for path in SBGM.iterdir() if (path / "__init__.py").is_file()}
SPINE = ("distributions", "noise", "losses", "samplers", "networks")


def imported(path):
    """The full names of all that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{name.name}" for name in node.names)


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
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & {"pandas", "accelerate", "ipywidgets", "IPython"}
    assert path.stem == "plots" or "matplotlib" not in tops


def test_measure_imports_neither_train_nor_course_nor_widgets():
    for path in (SBGM / "measure").glob("*.py"):
        assert not [name for name in imported(path) if name.startswith(("sbgm.train", "sbgm.course", "sbgm.widgets"))]


def test_the_library_can_be_read_in_an_evening():
    assert len(LIBRARY) <= 20
    assert statements(SBGM / f"{name}.py" for name in SPINE) <= 700


def test_a_script_of_the_library_loads_no_room():
    code = (
        "import sys; from sbgm import ConditionalMLP, annealed_langevin, ncsn_loss, paper_mixture;"
        "print(sorted(n for n in sys.modules if n.startswith('sbgm.')))"
    )
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert not [room for room in ROOMS if f"'sbgm.{room}" in loaded]
