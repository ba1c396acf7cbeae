"""The numbers in the answers to open questions: a script computes them, and the answer states what it prints.

`tests/answers/open/04_3.py` belongs to exercise 4.3. A script stands on its own: what the chapter's cells define it
takes from `sbgm`.
"""

import re
import runpy

import pytest

import notebooks as tool
from release import SOLUTION_TAG

SCRIPTS = sorted((tool.ROOT / "tests" / "answers" / "open").glob("*.py"))
LONG = ("02_3", "05_5")  # scripts that train or draw for more than ten seconds, by their name
NUMBER = re.compile(r"[-−]?\d[\d,]*(?:\.\d+)?")
by_script = pytest.mark.parametrize(
    "path", [pytest.param(path, marks=[pytest.mark.slow] * (path.stem in LONG), id=path.stem) for path in SCRIPTS]
)


def answer_to(chapter: int, exercise: int) -> str:
    """The folded answer below an exercise."""
    (path,) = tool.NOTEBOOKS.glob(f"{chapter:02d}_*.ipynb")
    cells = tool.read(path).cells
    asked = next(i for i, cell in enumerate(cells) if cell.source.startswith(f"**Exercise {chapter}.{exercise} "))
    return next(cell.source for cell in cells[asked + 1 :] if SOLUTION_TAG in tool.tags_of(cell))


def numbers_in(text: str) -> set[str]:
    return {number.replace("−", "-").replace(",", "") for number in NUMBER.findall(text)}


@by_script
def test_an_answer_states_what_its_script_prints(path, capsys):
    chapter, exercise = map(int, path.stem.split("_"))
    runpy.run_path(str(path))
    printed = numbers_in(capsys.readouterr().out)
    assert printed, "the script prints no number"
    assert printed <= numbers_in(answer_to(chapter, exercise))
