"""The examples: scripts of coursework size that run as they are, the first of them the page of chapter 6."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import notebooks as tool
from notebooks import read, tags_of

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PAGE = EXAMPLES / "ncsn_on_one_page.py"
NAMES = ("denoising_against_sliced", "moons", "ncsn_on_one_page")
STEPS = "15"  # of a training that a test has time for


def imported(path: Path) -> set[str]:
    """The packages that a script imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {name.split(".")[0] for name in names + [n.module for n in nodes if isinstance(n, ast.ImportFrom)]}


def test_these_are_the_examples():
    assert {path.stem for path in EXAMPLES.iterdir() if path.is_file()} == {*NAMES}


def test_the_page_is_one_page_and_needs_nothing_of_this_project():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 80
    assert imported(PAGE) == {"matplotlib", "sklearn", "sys", "torch"}


def test_the_page_is_what_chapter_6_goes_through():
    cells = read(tool.NOTEBOOKS / "06_noise_conditional_score_networks.ipynb").cells
    in_chapter = [cell.source for cell in cells if "page" in tags_of(cell)]
    text = PAGE.read_text(encoding="utf-8")
    before_main = text[text.index("import ") : text.index('if __name__ == "__main__"')]
    assert "\n\n\n".join(in_chapter) == before_main.strip()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_writes_its_picture_and_nothing_else(name, tmp_path):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "drawn.png", STEPS]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["drawn.png"]
    low, high = Image.open(tmp_path / "drawn.png").convert("L").getextrema()
    assert low < 50
    assert high > 200
