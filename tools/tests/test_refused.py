"""A figure that is drawn by a function which its check has refused says so in its title."""

import ast
import re

import pytest

import notebooks as tool
import sbgm_course as checks
from notebooks import read

CHAPTERS = {int(path.stem[:2]): path for path in tool.NOTEBOOKS.glob("[0-9]*.ipynb")}
# an answer that gives numbers, and no figure
UNDRAWN = {"score_of_ddpm"}
DRAWN = [name for name in checks.exercises() if name not in UNDRAWN]


def sources(chapter: int) -> list[str]:
    return [cell.source for cell in read(CHAPTERS[chapter]).cells if cell.cell_type == "code"]


def told(source: str) -> set[str]:
    """The names that a cell passes to `checks.refused`, to an explorer or as a collection called `drawn_by`."""
    names = set()
    for node in ast.walk(ast.parse(re.sub(r"^%.*$", "", source, flags=re.MULTILINE))):
        is_call = isinstance(node, ast.Call) and re.search(r"refused$|_explorer$", ast.unparse(node.func))
        is_named = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "drawn_by"
        if is_call or is_named:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_of_each_function_would_say_that_it_was_refused(name):
    assert name in set().union(*map(told, sources(checks.exercises()[name].chapter)))
