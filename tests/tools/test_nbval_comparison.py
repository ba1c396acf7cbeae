"""What `pytest --nbval` lets pass and what it doesn't, proven on small notebooks in a project of their own."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from comparison import same_to_last_digit

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


WITH_PROGRESS_BAR = """\
from tqdm.auto import tqdm
for _ in tqdm(range(3)):
    print("step")
"""

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
            cell.outputs = [new_output("execute_result", {"text/plain": stored}, execution_count=count)]
        elif stored is not None:
            cell.outputs = [new_output("stream", name="stdout", text=stored)]
        notebook.cells.append(cell)
    notebook.metadata["kernelspec"] = {"name": "no-such-kernel", "display_name": "None", "language": "python"}
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks" / "00_cases.ipynb")
    return folder


@pytest.fixture(scope="module", params=[(".", "notebooks/"), ("notebooks", ".")], ids=["from the root", "from inside"])
def passed(request, project, tmp_path_factory) -> list[bool]:
    """Whether nbval passed each cell, in order, when started in one folder or the other."""
    folder, argument = request.param
    report = tmp_path_factory.mktemp("report") / "report.xml"
    command = [sys.executable, "-m", "pytest", "--nbval", argument, "--junitxml", str(report)]
    answer = subprocess.run(command, cwd=project / folder, capture_output=True, text=True)
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert len(cases) == len(CELLS), answer.stdout
    return [case.find("failure") is None and case.find("error") is None for case in cases]


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_is_compared_to_the_last_digit(passed, case):
    assert passed[list(CELLS).index(case)] is CELLS[case][2]
