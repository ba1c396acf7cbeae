"""What `pytest --nbval` lets pass and what it doesn't, proven on small notebooks in a project of their own."""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from comparison import same_to_last_digit, share_of_changed_pixels

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("error .509", "error .510", True),
        ("error .509", "error .511", False),
        ("error .509", "score .509", False),
        ("error .509", "error .509 and .509", False),
        ("(-.001, 9.99)", "( .000, 10.00)", True),
        ("0.502", "0.5", False),
        ("9.99e-04", "1.00e-03", True),
        ("torch 2.13.0", "torch 2.13.1", False),
        ("0.51%, 0.51σ", "0.52%, 0.50σ", True),
        ("1,280 chains", "1,281 chains", False),
    ],
)
def test_same_to_last_digit(old, new, same):
    assert same_to_last_digit(old, new) is same
    assert same_to_last_digit(new, old) is same


def png(*changed: int, by: int = 17, size: tuple[int, int] = (100, 100)) -> str:
    """A black PNG in base64, a frame a number, in which that many pixels are a little blue."""
    frames = [Image.new("RGB", size) for _ in changed]
    for frame, n in zip(frames, changed, strict=True):
        frame.putdata([(0, 0, by)] * n + [(0, 0, 0)] * (size[0] * size[1] - n))
    file = io.BytesIO()
    frames[0].save(file, "png", save_all=len(frames) > 1, append_images=frames[1:])
    return base64.encodebytes(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("stored", "fresh", "share"),
    [
        (png(0), png(90), 0.009),
        (png(0), png(110), 0.011),
        (png(110), png(0), 0.011),
        (png(0), png(110, by=16), 0),
        (png(0), png(0, size=(100, 99)), 1),
        (png(10, 20, 30), png(10, 130, 30), 0.011),
        (png(10, 20, 30), png(10, 20), 1),
        (png(10, 20), png(10), 1),
        (png(0), "", 1),
    ],
)
def test_share_of_changed_pixels(stored, fresh, share):
    assert share_of_changed_pixels(stored, fresh) == share


WITH_PROGRESS_BAR = """\
from tqdm.auto import tqdm
for _ in tqdm(range(3)):
    print("step")
"""

BLACK = "from PIL import Image\nImage.new('RGB', (100, 100))"
BLACK_AS_TEXT = "<PIL.Image.Image image mode=RGB size=100x100>"

# One cell a case: its source, the text stored for it, and whether nbval must pass it.
CELLS = {
    "equal": ("print('error .509')", "error .509\n", True),
    "drift of one unit": ("print('error .510')", "error .509\n", True),
    "output missing": ("pass", "error .509\n", False),
    "output not stored": ("print('error .509')", None, False),
    "ignored": ("print('took 3 s')", "took 4 s\n", True),
    "ignored, but raises": ("raise ValueError('wrong')", None, False),
    "a warning": ("import warnings\nwarnings.warn('odd')", None, False),
    "a progress bar beside prints": (WITH_PROGRESS_BAR, "step\nstep\nstep\n", True),
    "value: drift of one unit": ("0.5101", "0.5100", True),
    "value: drift of two units": ("0.5102", "0.5100", False),
    "value: a stale picture, which only `make test-all` minds": (BLACK, BLACK_AS_TEXT, True),
    "this environment's kernel": (f"import sys\nprint(sys.executable == {sys.executable!r})", "True\n", True),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with this one's pytest set-up and one notebook that holds CELLS."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "tools", folder / "tools")
    notebook = new_notebook()
    for count, (case, (source, stored, _)) in enumerate(CELLS.items(), start=1):
        cell = new_code_cell(source, execution_count=count)
        if case.startswith("ignored"):
            cell.metadata["tags"] = ["nbval-ignore-output"]
        if case.startswith("value"):
            data = {"text/plain": stored}
            if source == BLACK:
                data["image/png"] = png(110)
            cell.outputs = [new_output("execute_result", data, execution_count=count)]
        elif stored is not None:
            cell.outputs = [new_output("stream", name="stdout", text=stored)]
        notebook.cells.append(cell)
    notebook.metadata["kernelspec"] = {"name": "no-such-kernel", "display_name": "None", "language": "python"}
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks" / "00_cases.ipynb")
    return folder


@pytest.mark.parametrize(("folder", "argument"), [(".", "notebooks/"), ("notebooks", ".")])
def test_a_cell_is_compared_to_the_last_digit(project, tmp_path, folder, argument):
    """From the root, and from inside."""
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "--nbval", argument, "--junitxml", str(report)]
    answer = subprocess.run(command, cwd=project / folder, capture_output=True, text=True)
    cases = list(ElementTree.parse(report).iter("testcase"))
    passed = [case.find("failure") is None and case.find("error") is None for case in cases]
    expected = {case: passes for case, (_, _, passes) in CELLS.items()}
    assert dict(zip(expected, passed, strict=True)) == expected, answer.stdout


def test_a_stale_figure_is_named_and_fails_where_asked(project):
    notebook = new_notebook()
    for count, n_changed in enumerate((90, 110), start=1):
        cell = new_code_cell(BLACK, execution_count=count, id=f"pictures-{n_changed}")
        data = {"image/png": png(n_changed), "text/plain": BLACK_AS_TEXT}
        cell.outputs = [new_output("execute_result", data, execution_count=count)]
        notebook.cells.append(cell)
    path = project / "pictures.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "pytest", "--nbval", path.name, "-n", "1"]
    environment = os.environ | {"SBGM_FIGURES": "fail"}
    answer = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)
    # where CI is set, pytest's summary repeats a failure's message in full
    section = answer.stdout.partition("Stale figures")[2].partition("short test summary")[0]
    assert re.findall(r"cell (pictures-\d+): 1\.1%", section) == ["pictures-110"]
    assert "1 failed, 1 passed" in answer.stdout
