"""A figure that is drawn by a function which its check has refused says so in its title."""

import ast
import re

import matplotlib.pyplot as plt
import pytest

import notebooks as tool
import sbgm_course as checks
from notebooks import read, tags_of

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


def test_the_title_of_a_chapters_figure_says_that_a_wrong_answer_drew_it(monkeypatch, capsys):
    """Chapter 1 as far as the first figure by the student's function, which forgets that a variance is a square."""
    wrong = "@checks.gaussian_score\ndef gaussian_score(x, mean, std):\n    return -(x - mean) / std"
    titles = []
    monkeypatch.setattr(plt, "show", lambda: titles.append([ax.get_title(loc="left") for ax in plt.gcf().axes]))
    namespace = {}
    for cell in read(CHAPTERS[1]).cells:
        if cell.cell_type != "code":
            continue
        is_stub = "exercise" in tags_of(cell) and "def gaussian_score" in cell.source
        exec(wrong if is_stub else cell.source, namespace)
        plt.close("all")
        if "plots.refused(gaussian_score)" in cell.source:
            break
    assert "WrongAnswer" in capsys.readouterr().err
    assert titles[-1][:2] == ["one Gaussian\n(drawn by a refused gaussian_score)", "two humps"]
    assert not any("drawn by" in title for figure in titles[:-1] for title in figure)
