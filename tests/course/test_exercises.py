"""The exercises as the chapters set them: stub, minutes, hint and solution."""

import ast
import inspect
import itertools
import re
from pathlib import Path

import pytest
from nbformat import NotebookNode

import sbgm_course as checks
from notebooks import read

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = {int(path.stem[:2]): path for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))}
EXERCISES = {name: e for name, e in checks.exercises().items() if e.chapter in CHAPTERS}
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def tagged(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def place(name: str) -> tuple[list[NotebookNode], int]:
    """The cells of an exercise's chapter, and the position of its stub among them."""
    cells = read(CHAPTERS[EXERCISES[name].chapter]).cells
    stubs = [i for i, cell in enumerate(cells) if tagged(cell, "exercise") and f"def {name}(" in cell.source]
    assert len(stubs) == 1, f"chapter {EXERCISES[name].chapter} has {len(stubs)} stubs of {name}"
    return cells, stubs[0]


def signature(source: str, name: str) -> list[str]:
    (function,) = (n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == name)
    return [a.arg for a in function.args.args]


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_has_stub_minutes_hint_and_solution(name):
    cells, i = place(name)
    statement = cells[i - 1].source
    stub = cells[i].source
    solution = cells[i + 1]
    assert re.fullmatch(rf"@checks\.{name}\ndef {name}\(.*\n    raise NotImplementedError  # yours", stub)
    assert list(inspect.signature(EXERCISES[name].right).parameters) == signature(stub, name)
    assert f"({EXERCISES[name].minutes} min)" in statement
    assert re.findall(r"\*\*Exercise ([\d.]+) ·", statement)[-1] == EXERCISES[name].number
    assert f"`{name}({', '.join(signature(stub, name))})`" in statement
    assert "<summary>Hint" in statement
    assert solution.cell_type == "markdown"
    assert tagged(solution, "solution")


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_right(name):
    """With nothing but the chapter's imports at hand."""
    cells, i = place(name)
    (code,) = FENCE.findall(cells[i + 1].source)
    assert signature(code, name) == signature(cells[i].source, name)
    namespace = {}
    for cell in cells:
        if cell.cell_type == "code" and not cell.source.startswith("%"):
            imports = [n for n in ast.parse(cell.source).body if isinstance(n, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(imports, []), "<imports>", "exec"), namespace)
    exec(code, namespace)
    assert EXERCISES[name].try_answer(namespace[name], seed=11).correct


def test_every_chapter_has_some_listed_in_the_order_of_its_lesson():
    stubs = [(e.chapter, place(name)[1]) for name, e in EXERCISES.items()]
    assert stubs == sorted(stubs)
    assert {chapter for chapter, _ in stubs} == CHAPTERS.keys() - {0, 7}


def test_the_hour_sets_four_of_them_with_the_same_solutions():
    cells = read(ROOT / "notebooks" / "one_hour.ipynb").cells
    numbers = []
    for stub, solution in itertools.pairwise(cells):
        if tagged(stub, "exercise"):
            name = re.search(r"def (\w+)", stub.source)[1]
            of_chapter, i = place(name)
            assert stub.source == of_chapter[i].source
            assert FENCE.findall(solution.source) == FENCE.findall(of_chapter[i + 1].source)
            numbers.append(EXERCISES[name].number)
    assert numbers == ["1.2", "3.1", "4.2", "6.1"]
