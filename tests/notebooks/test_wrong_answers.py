"""A wrong answer breaks nothing: whatever a student's function does, no cell below it ends in an error.

In one kernel a chapter, the cells from an exercise down to the next are run with one wrong answer after the other.
`make test-all` tries one answer an exercise, in turn one that raises, one of another shape, one that diverges, one that
is not finite, and a mistake that the check names; `make test-slow` tries them all, with every mistake.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

import notebooks as tool
import sbgm_course as checks
from answers import wrong_answers
from notebooks import read, tags_of

CHAPTERS = {int(path.stem[:2]): path for path in tool.NOTEBOOKS.glob("*.ipynb")}
SET_UP = f"""
import itertools, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from answers import wrong_answers
import sbgm_course as checks
from sbgm import plots

def wrong(name, how):
    return wrong_answers(checks.exercises()[name])[how]

def few_frames(figures, draw=plots.moving_picture, **options):
    return draw(itertools.islice(figures, 2), **options)

plots.moving_picture = few_frames  # all are drawn by the same lines
"""
Choose = Callable[[int, list[str]], list[str]]  # of the answers to an exercise, which has a number in its chapter


def in_turn(number: int, answers: list[str]) -> list[str]:
    return [answers[number % 5]]


def every_one(number: int, answers: list[str]) -> list[str]:
    return answers


def sources_of(chapter: int, choose: Choose) -> Iterator[tuple[str, str]]:
    """The cells to run, each after the words that say where it stands."""
    before = ("", "", [])
    parts = [before]  # each: the exercise, its cells
    for index, cell in enumerate(read(CHAPTERS[chapter]).cells):
        if cell.cell_type != "code":
            continue
        if "exercise" in tags_of(cell):
            name = re.search(r"^@checks\.(\w+)", cell.source)[1]
            parts.append((name, f"cell {index}", []))
        else:
            parts[-1][2].append((f"cell {index}", cell.source))
    for number, (name, at, cells) in enumerate(parts, start=chapter):
        hows = choose(number, [*wrong_answers(checks.exercises()[name])]) if name else [""]
        for how in hows:
            if name:
                yield f"{at}, {name}: {how}", f"{name} = checks.{name}(wrong({name!r}, {how!r}))"
            yield from ((f"{place} below {name}: {how}", source) for place, source in cells)


def errors_below(chapter: int, choose: Choose) -> list[str]:
    """What the cells end in that end in an error, each after the words that say where it stands."""
    places, sources = zip(("set-up", SET_UP), *sources_of(chapter, choose), strict=True)
    notebook = read(CHAPTERS[chapter])
    notebook.cells = [new_code_cell(source) for source in sources]
    folder = {"metadata": {"path": str(tool.NOTEBOOKS)}}
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=600, resources=folder).execute()
    return [
        f"{place}: {output.ename}: {output.evalue}"
        for place, cell in zip(places, notebook.cells, strict=True)
        for output in cell.outputs
        if output.output_type == "error"
    ]


@pytest.mark.parametrize("choose", [in_turn, pytest.param(every_one, marks=pytest.mark.slow)])
@pytest.mark.parametrize("chapter", range(1, 11))
def test_no_cell_below_a_wrong_answer_ends_in_an_error(chapter, choose):
    assert errors_below(chapter, choose) == []
