"""The exercises that no check settles: each has an answer, whose code runs and bears its numbers out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

import notebooks as tool
from notebooks import read

CHAPTERS = [path for path in tool.NOTEBOOKS.glob("*.ipynb") if path.stem[:2] != "00"]
FENCE = re.compile(r"^ *```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
by_chapter = pytest.mark.parametrize("path", sorted(CHAPTERS), ids=lambda path: path.stem)


def index_of(cells: list[NotebookNode], text: str) -> int:
    """The position of the only markdown cell with a line that begins with `text`."""
    (found,) = (
        i for i, c in enumerate(cells) if c.cell_type == "markdown" and re.search(f"^{text}", c.source, re.MULTILINE)
    )
    return found


@by_chapter
def test_every_exercise_of_the_list_has_an_answer(path):
    cells = read(path).cells
    exercises, answers = index_of(cells, "## Exercises"), index_of(cells, "<details><summary>Answers")
    posed = re.findall(r"^(\d)\. \*\*", cells[exercises].source.partition("## Exercises")[2], re.MULTILINE)
    assert len(posed) >= 2
    assert re.findall(r"^\*\*(\d)\.\*\* ", cells[answers].source, re.MULTILINE) == posed
    assert f"Answers to exercises 1 to {posed[-1]}</summary>" in cells[answers].source
    assert cells[answers].metadata["tags"] == ["solution"]
    assert exercises < answers < index_of(cells, "### Write it yourself")


@pytest.mark.slow
@by_chapter
def test_the_code_of_the_answers_runs(path: Path):
    """Where it stands, after the chapter's cells. It asserts the numbers that the answers state."""
    notebook = read(path)
    answers = index_of(notebook.cells, "<details><summary>Answers")
    blocks = FENCE.findall(notebook.cells[answers].source)
    assert blocks
    assert all("assert " in block for block in blocks)
    notebook.cells[answers:] = [new_code_cell(block) for block in blocks]
    tool.execute(notebook, path.parent, 600)
