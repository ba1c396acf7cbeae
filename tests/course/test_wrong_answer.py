"""What a student sees of a wrong answer: one line, and nothing of the check, whose source holds the solution."""

import inspect
import os
import re
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import sbgm_course as checks
from answers import mistakes_of

# judged by its numbers, also by its gradients, by the law of its draws, and by the score that it returns
EXERCISES = {name: checks.exercises()[name] for name in ("gaussian_score", "sliced_loss", "inpaint_step", "guided")}
SET_UP = """%xmode Verbose
import torch
from answers import mistakes_of
import sbgm_course as checks
exercises = checks.exercises()
def interrupted(*arguments): raise KeyboardInterrupt
def wrong(name): return mistakes_of(exercises[name])[0][1]
"""
ONE_LINE = {
    "wrong": "exercises[{name!r}].try_answer(wrong({name!r}))",
    "shape": "exercises[{name!r}].try_answer(lambda *arguments: torch.ones(1, 2, 3, 4, 5))",
    "no number": "exercises[{name!r}].try_answer(lambda *arguments: 'a word')",
    "sparse": "exercises[{name!r}].try_answer(lambda *arguments: torch.ones(2, 3).to_sparse())",
    "error of two lines": "exercises[{name!r}].try_answer(lambda *arguments: int('one\\n', base='two\\nthree'))",
    "shown again": "%tb",
}
SEVERAL_LINES = {
    "cause": f"try:\n    {ONE_LINE['sparse']}\nexcept checks.WrongAnswer as e:\n    raise ValueError('mine') from e",
    "context": f"try:\n    {ONE_LINE['wrong']}\nexcept checks.WrongAnswer:\n    raise ValueError('mine')",
    "interrupted": "exercises[{name!r}](interrupted)",
}


@pytest.fixture(scope="module")
def shown() -> dict[tuple[str, str], str]:
    """The traceback, without colours, that Jupyter shows for each exercise and each way to err."""
    ways = (ONE_LINE | SEVERAL_LINES).items()
    sources = {(name, how): cell.format(name=name) for name in EXERCISES for how, cell in ways}
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in [SET_UP, *sources.values()]])
    path = f"{Path(__file__).parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"  # of answers
    client = NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=120)
    client.execute(env=os.environ | {"PYTHONPATH": path})
    texts = ("\n".join(line for o in cell.outputs for line in o.get("traceback", [])) for cell in notebook.cells[1:])
    return dict(zip(sources, (re.sub(r"\x1b\[[\d;]*m", "", text).strip() for text in texts), strict=True))


@pytest.mark.parametrize("name", EXERCISES)
def test_a_wrong_answer_is_one_line(shown, name):
    for how in ONE_LINE:
        assert re.fullmatch("WrongAnswer: .+", shown[name, how]), how
    with pytest.raises(checks.WrongAnswer) as here:
        EXERCISES[name].try_answer(mistakes_of(EXERCISES[name])[0][1])
    assert shown[name, "wrong"] == f"WrongAnswer: {here.value}"


@pytest.mark.parametrize("name", EXERCISES)
def test_no_traceback_leads_through_a_check(shown, name):
    source = [line.strip() for line in inspect.getsource(EXERCISES[name].right).splitlines()[1:]]
    source = [line for line in source if len(line) > 20 and not line.startswith('"')]
    for how in SEVERAL_LINES:
        text = shown[name, how]
        assert re.search(r"^(ValueError: mine|KeyboardInterrupt:)", text, re.MULTILINE), how
        assert not re.search(r"chapter_\d\d|calls\.py", text), how
        assert not [line for line in source if line in text], how
