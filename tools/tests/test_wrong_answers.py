"""A mistake that a check names breaks nothing: no cell below it ends in an error.

(Below an answer that raises, or that is of another form or not finite, the cells use ours, as below an untouched stub.)
In one kernel a chapter, the cells from an exercise down to the next are run with one answer after the other. `make
test-all` tries one mistake an exercise; `make test-slow` tries them all, and the folded solutions, of which nothing is
said.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

import notebooks as tool
import sbgm_course as checks
from answers import mistakes_of
from notebooks import read, tags_of
from release import FENCE

CHAPTERS = [path for path in tool.all_notebooks() if any("exercise" in tags_of(cell) for cell in read(path).cells)]
SET_UP = """
import itertools
from answers import mistakes_of
import sbgm_course as checks
from sbgm import plots

def few_frames(figures, draw=plots.moving_picture, **options):
    return draw(itertools.islice(figures, 2), **options)

plots.moving_picture = few_frames  # all are drawn by the same lines
"""


@dataclasses.dataclass
class Part:
    """An exercise and the cells down to the next one; those above the first exercise have none.

    Attributes:
        name: of the function to write.
        solution: the folded one, with the check above it.
        cells: to run below it.
    """

    name: str = ""
    solution: str = ""
    cells: list[str] = dataclasses.field(default_factory=list)


def parts_of(chapter: Path) -> list[Part]:
    cells = read(chapter).cells
    parts = [Part()]
    for cell, below in zip(cells, [*cells[1:], None], strict=True):
        if "exercise" in tags_of(cell):
            name = re.search(r"^@checks\.(\w+)", cell.source)[1]
            (solution,) = FENCE.findall(below.source)
            parts.append(Part(name, f"@checks.{name}\n{solution}"))
        elif cell.cell_type == "code":
            parts[-1].cells.append(cell.source)
    return parts


SOLUTION = "the solution"
Choose = Callable[[int, list[str]], list[str]]  # of the answers to an exercise, by a number


def one_in_turn(number: int, answers: list[str]) -> list[str]:
    mistakes = [answer for answer in answers if answer != SOLUTION]
    return [mistakes[number % len(mistakes)]]


def every_one(number: int, answers: list[str]) -> list[str]:
    return answers


def answers_to(part: Part) -> dict[str, str]:
    """The cells that answer an exercise, by what they answer."""
    if not part.name:
        return {}
    name = f"checks.{part.name}"
    mistakes = {
        f"{number}. {sentence}": f"{part.name} = {name}(mistakes_of({name})[{number}][1])"
        for number, (sentence, _) in enumerate(mistakes_of(checks.exercises()[part.name]))
    }
    return mistakes | {SOLUTION: part.solution}


def cells_of(chapter: Path, choose: Choose) -> Iterator[NotebookNode]:
    """The cells to run; each knows of the answer that it runs with."""
    yield new_code_cell(SET_UP, metadata={"answer": ""})
    for number, part in enumerate(parts_of(chapter), start=CHAPTERS.index(chapter)):
        answers = answers_to(part)
        for how in choose(number, [*answers]) if answers else [""]:
            for source in [answers.get(how, ""), *part.cells]:
                yield new_code_cell(source, metadata={"answer": f"{part.name}: {how}"})


def faults_below(chapter: Path, choose: Choose, folder: Path) -> list[str]:
    """Errors, and lines that are said of a solution, each after the answer that led to it."""
    notebook = read(chapter)
    notebook.cells = [*cells_of(chapter, choose)]
    place = {"metadata": {"path": str(tool.NOTEBOOKS)}}
    client = NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=600, resources=place)
    path = f"{tool.ROOT / 'tests'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"  # of answers
    client.execute(env=os.environ | {"SBGM_FRESH": str(folder), "PYTHONPATH": path})
    faults = []
    for cell in notebook.cells:
        for output in cell.outputs:
            if output.output_type == "error":
                faults.append((cell.metadata.answer, cell.source[:60], f"{output.ename}: {output.evalue}"))
            for line in output.get("text", "").splitlines() if output.get("name") == "stderr" else []:
                if cell.metadata.answer.endswith(SOLUTION):
                    faults.append((cell.metadata.answer, cell.source[:60], line))
    return faults


@pytest.mark.parametrize("choose", [one_in_turn, pytest.param(every_one, marks=pytest.mark.slow)])
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_no_cell_below_a_wrong_answer_ends_in_an_error(chapter, choose, tmp_path):
    assert faults_below(chapter, choose, tmp_path) == []
