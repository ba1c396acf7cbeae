"""The lessons' form: short, and a picture that moves in each."""

import base64
import io
import re

import pytest
from nbformat.v4 import new_code_cell
from PIL import Image

import notebooks as tool
from notebooks import SOLUTION_TAG, read, tags_of

LESSONS = sorted(tool.NOTEBOOKS.glob("*.ipynb"))
FENCE = re.compile(r"^ *```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
by_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
by_chapter = pytest.mark.parametrize("path", LESSONS[1:], ids=lambda path: path.stem)


@by_lesson
def test_a_lesson_moves(path):
    data = [output.get("data", {}) for cell in read(path).cells for output in cell.get("outputs", [])]
    pictures = [base64.b64decode(shown["image/png"]) for shown in data if "image/png" in shown]
    n_frames = [getattr(Image.open(io.BytesIO(picture)), "n_frames", 1) for picture in pictures]
    moving = [(n, picture) for n, picture in zip(n_frames, pictures, strict=True) if n > 1]
    assert moving
    assert min(n for n, _ in moving) >= 12
    assert max(len(picture) for _, picture in moving) <= 400_000


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
    assert len(numbers) >= 4
    assert numbers == sorted(set(numbers))  # one that is taken out leaves a gap: coursework names the others


@pytest.mark.slow
@by_chapter
def test_the_code_of_the_answers_runs(path):
    """Of questions that no check settles: each block runs where it stands, and asserts the numbers that it states."""
    notebook = read(path)
    cells = []
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        cells.append(cell)
        is_open = before is not None and before.cell_type == "markdown" and SOLUTION_TAG in tags_of(cell)
        cells += [new_code_cell(block) for block in FENCE.findall(cell.source) if is_open]
    notebook.cells = cells
    tool.execute(notebook, path.parent, 600)
