"""What a student sees of a wrong answer: one line, and nothing of the check, whose source holds the solution."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from answers import all_answers
from sbgm import checks

EXERCISES = checks.exercises()
SET_UP = f"""%xmode Verbose
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import torch
from answers import all_answers
from sbgm import checks
answers, exercises = all_answers(), checks.exercises()
def interrupted(*arguments): raise KeyboardInterrupt
def wrong(name): return next(iter(answers[name].wrong.values()))
"""
ONE_LINE = {
    "wrong": "exercises[{name!r}](wrong({name!r}))",
    "shape": "exercises[{name!r}](lambda *arguments: torch.ones(1, 2, 3, 4, 5))",
    "no number": "exercises[{name!r}](lambda *arguments: 'a word')",
    "too large a number": "exercises[{name!r}](lambda *arguments: 10**400)",
    "sparse": "exercises[{name!r}](lambda *arguments: torch.ones(2, 3).to_sparse())",
    "error of two lines": "exercises[{name!r}](lambda *arguments: int('one\\n', base='two\\nthree'))",
    "after an error": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    exercises[{name!r}](wrong({name!r}))",
    "shown again": "%tb",
}
SEVERAL_LINES = {
    "cause": f"try:\n    {ONE_LINE['sparse']}\nexcept checks.WrongAnswer as e:\n    raise ValueError('mine') from e",
    "context": f"try:\n    {ONE_LINE['wrong']}\nexcept checks.WrongAnswer:\n    raise ValueError('mine')",
    "interrupted": "exercises[{name!r}](interrupted)",
}


def in_kernel(cells: list[str], *, errors: bool = False) -> list[NotebookNode]:
    """The cells, with what Jupyter, which shows errors as IPython does, shows below each."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", allow_errors=errors, timeout=120).execute()
    return notebook.cells


@pytest.fixture(scope="module")
def shown() -> dict[tuple[str, str], str]:
    """The traceback, without colours, for each exercise and each way to err."""
    ways = (ONE_LINE | SEVERAL_LINES).items()
    sources = {(name, how): cell.format(name=name) for name in EXERCISES for how, cell in ways}
    cells = in_kernel([SET_UP, *sources.values()], errors=True)[1:]
    texts = ("\n".join(line for o in cell.outputs for line in o.get("traceback", [])) for cell in cells)
    return dict(zip(sources, (re.sub(r"\x1b\[[\d;]*m", "", text).strip() for text in texts), strict=True))


@pytest.mark.parametrize("name", EXERCISES)
def test_a_wrong_answer_is_one_line(shown, name):
    for how in ONE_LINE:
        assert re.fullmatch("WrongAnswer: .+", shown[name, how]), how
    with pytest.raises(checks.WrongAnswer) as here:
        EXERCISES[name](next(iter(all_answers()[name].wrong.values())))
    assert shown[name, "wrong"] == f"WrongAnswer: {here.value}"


@pytest.mark.parametrize("name", EXERCISES)
def test_no_traceback_leads_through_a_check(shown, name):
    source = [line.strip() for line in inspect.getsource(EXERCISES[name]).splitlines()[1:] if len(line.strip()) > 20]
    assert len(source) > 3
    for how in SEVERAL_LINES:
        text = shown[name, how]
        assert re.search(r"^(ValueError: mine|KeyboardInterrupt:)", text, re.MULTILINE), how
        assert not re.search(r"chapter_\d\d|comparison\.py|calls\.py", text), how
        assert not [line for line in source if line in text], how


def test_a_script_shows_nothing_of_the_check():
    script = "from sbgm import checks\nchecks.dsm_target(lambda x, x_noisy, sigma: x_noisy - x)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "WrongAnswer: off by a factor σ²" in run.stderr.splitlines()[-1]
    assert "chapter_02" not in run.stderr


ABOVE = """from sbgm import checks
@checks.gaussian_score
def gaussian_score(x, mean, std):
    {}"""
USED = "print(gaussian_score(1.0, 0.0, 2.0))"


def test_cell_by_cell_the_name_is_the_students_own_function():
    """A stub, a wrong and a right function, a wrong one under a magic, and the call of earlier notebooks."""
    cells = [ABOVE.format("raise NotImplementedError  # yours"), USED, ABOVE.format("return x"), USED]
    cells += [ABOVE.format("return -(x - mean) / std**2"), USED, "%%time\n" + ABOVE.format("return 1 + x - x"), USED]
    cells += [ABOVE.partition("\n@")[0], "def gaussian_score(x, mean, std):\n    return -(x - mean) / std**2"]
    done = in_kernel([*cells, "checks.gaussian_score(gaussian_score)"])  # raises if a cell does
    outputs = [{o.get("name"): o.get("text", "") for o in cell.outputs} for cell in done]
    assert outputs[0] == {"stdout": "gaussian_score: not attempted yet; sbgm's is lent to the cells below\n"}
    assert re.fullmatch("WrongAnswer: .+\n", outputs[2]["stderr"])
    assert outputs[4] == {"stdout": "gaussian_score: correct\n"}
    assert re.fullmatch("WrongAnswer: .+\n", outputs[6]["stderr"])
    assert [float(output["stdout"]) for output in outputs[1:8:2]] == [-0.25, 1, -0.25, 1]
    assert done[-1].outputs[0].data["text/plain"] == "gaussian_score: correct"
