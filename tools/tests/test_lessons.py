"""The lessons' form: short, and a picture that moves in each."""

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

import notebooks as tool
from notebooks import FOLDED_TAG, read, tags_of
from release import SOLUTION_TAG

LESSONS = sorted(tool.NOTEBOOKS.glob("*.ipynb"))
DERIVATION_TAG = "derivation"
# folds, formulas on lines of their own and in the text, code, links, tables
NOT_OPEN = r"<details>.*?</details>|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)|^\|[^\n]*$"
NUMBER = r"(?<![\w.])[−-]?\d[\d,.]*"
WORDS = 1_900  # that are open
NUMBERS = 0.035  # for each of them
LINES = 125  # of code that is seen
LONGEST = 25  # of a cell
A_MOVE = 400_000  # bytes
ALL_NOTEBOOKS = 14_000_000
by_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
WITH_EXERCISES = [path for path in LESSONS if path.stem not in ("00_start_here", "07_the_full_experiment", "one_hour")]
by_chapter = pytest.mark.parametrize("path", WITH_EXERCISES, ids=lambda path: path.stem)


def open_text(path: Path) -> str:
    """What a lesson says in prose that is not folded."""
    texts = (cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    return "\n".join(re.sub(NOT_OPEN, " ", text, flags=re.DOTALL | re.MULTILINE) for text in texts)


def pictures(path: Path) -> list[tuple[int, bytes]]:
    """The index of each cell that shows a picture, and the picture."""
    return [
        (i, base64.b64decode(output.data["image/png"]))
        for i, cell in enumerate(read(path).cells)
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


@by_lesson
def test_a_lesson_is_short(path):
    prose = open_text(path)
    n_words = len(prose.split())
    assert n_words <= WORDS
    if path.stem != "one_hour":  # which is so short that the numbers of its exercises are a twentieth of it
        assert len(re.findall(NUMBER, prose)) <= NUMBERS * n_words
    seen = [c.source for c in read(path).cells if c.cell_type == "code" and FOLDED_TAG not in tags_of(c)]
    n_lines = sorted(sum(bool(line.strip()) for line in source.splitlines()) for source in seen)
    assert sum(n_lines) <= LINES
    assert n_lines[-1] <= LONGEST
    for cell in read(path).cells:
        if DERIVATION_TAG in tags_of(cell):
            assert cell.source.startswith("<details><summary>")


@by_lesson
def test_a_lesson_moves(path):
    n_moving = 0
    for index, png in pictures(path):
        n_frames = getattr(Image.open(io.BytesIO(png)), "n_frames", 1)
        if n_frames > 1:
            n_moving += 1
            assert len(png) <= A_MOVE, f"cell {index} holds {len(png):,} bytes"
            assert n_frames >= 12
    assert n_moving > 0


@by_lesson
def test_every_picture_has_a_caption(path):
    cells = read(path).cells
    for index, _ in pictures(path):
        assert re.match(r"\*[^*\s]", cells[index + 1].source), f"cell {index + 1} must begin with a caption, in italics"


def test_all_notebooks_together_are_light():
    assert sum(path.stat().st_size for path in tool.all_notebooks()) <= ALL_NOTEBOOKS


@by_chapter
def test_an_exercise_stands_where_its_idea_does(path):
    cells = read(path).cells
    numbers = []
    for place, cell in enumerate(cells):
        if not cell.source.startswith("**Exercise "):
            continue
        head = rf"\*\*Exercise {int(path.stem[:2])}\.(\d+) · [^*]+\*\* [★☆]{{3}} \(\d+ min\)"
        numbered = re.match(head, cell.source)
        assert numbered, cell.source[:80]
        numbers.append(int(numbered[1]))
        after = [cell for cell in cells[place + 1 : place + 3] if SOLUTION_TAG in tags_of(cell)]
        assert len(after) == 1, f"exercise {numbered[1]} must be followed by its answer, tagged {SOLUTION_TAG!r}"
        assert after[0].source.startswith("<details><summary>")
    assert len(numbers) >= 2
    assert len(numbers) == len({*numbers})  # they stay where an exercise moves or goes: coursework names them
