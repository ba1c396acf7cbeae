"""The chapters as they are committed, and the tool that puts them into that form."""

import re
from pathlib import Path

import jupytext
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import notebooks as tool
from ledger import claims, load_records
from notebooks import faults, normalised, read
from page import reads

ROOT = Path(__file__).resolve().parents[2]
WORDS = {"In part": "reproduced in part", "Waits for a GPU": "waits for a GPU"}  # a chapter's, and the ledger's
CHAPTERS = tool.all_notebooks()
# one black pixel
TINY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def test_each_claim_is_told_as_recorded_at_its_chapters_end():
    records = load_records()
    for path in CHAPTERS:
        of_chapter = [i for i, claim in claims().items() if path.name.startswith(f"{claim.chapter:02d}_")]
        cells = [cell.source for cell in read(path).cells if cell.source.startswith("## What this chapter reproduced")]
        told = {}
        for words, text in re.findall(r"\*\*([A-Z][A-Za-z ]+)\*\*(.*?)(?=\*\*[A-Z]|\Z)", "".join(cells), re.DOTALL):
            status = WORDS.get(words, words.lower())
            told |= dict.fromkeys(re.findall(r"\b[SLMNIF]\d+\b", text), status)
        assert told == {claim: reads(records[claim]) for claim in of_chapter if claim in records}, path.name


# --- each fault, made on purpose -------------------------------------------------------------------------------------


def sound_notebook() -> NotebookNode:
    """A notebook as it is committed: text, a number, a picture."""
    figure = {"text/plain": "<Figure size 640x480 with 1 Axes>", "image/png": TINY_PNG}
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# A chapter"),
            new_code_cell(
                "%matplotlib inline\nx = 1\nprint('x =', x, '± 2.4 s.e.')",
                execution_count=1,
                outputs=[new_output("stream", name="stdout", text="x = 1 ± 2.4 s.e.\n")],
            ),
            new_code_cell("display(x)", execution_count=2, outputs=[new_output("display_data", figure)]),
        ]
    )
    return normalised(notebook, "00_sound")


def says(text, name="stdout"):
    """A mutation: the second cell has printed this."""
    return lambda n: n.cells[1].update(outputs=[new_output("stream", name=name, text=text)])


FAULTS = {  # what is done to a sound notebook, and what is said of it
    "not executed": (lambda n: n.cells[1].update(execution_count=None), "cell 2: was not executed"),
    "out of order": (lambda n: n.cells[1].update(execution_count=2), "cell 2: was executed out of order"),
    "stored error": (
        lambda n: n.cells[1].update(outputs=[new_output("error", ename="ValueError", evalue="wrong", traceback=[])]),
        "cell 2: holds an error",
    ),
    "stderr": (says("odd", name="stderr"), "cell 2: wrote to stderr"),
    "what can't be shown": (
        lambda n: n.cells[2].update(
            outputs=[new_output("display_data", {"text/plain": "<IPython.core.display.Math object>"})]
        ),
        "cell 3: shows what can't be stored",
    ),
    "address": (says("<function f at 0x7f3a5c0d1e50>"), "cell 2: prints a memory address"),
    "path": (says("read from /home/me/sbgm/data"), "cell 2: prints a path of this machine"),
    "skipped by nbval": (lambda n: n.cells[1].metadata.update(tags=["nbval-skip"]), "cell 2: asks nbval not to run it"),
    "allowed to raise": (
        lambda n: n.cells[1].update(source=f"{n.cells[1].source}\n# NBVAL_RAISES_EXCEPTION"),
        "cell 2: asks nbval not to run it, or to let it raise",
    ),
    "timing": (says("trained in 3.2 s"), "cell 2: prints a timing"),
}


def test_each_fault_is_named(tmp_path):
    path = tmp_path / "00_sound.ipynb"
    tool.write(sound_notebook(), path)
    assert faults(path) == []
    path.write_text(path.read_text() + "\n")
    assert faults(path) == ["is not in the form of a build"]
    for mutate, fault in FAULTS.values():
        notebook = sound_notebook()
        mutate(notebook)
        tool.write(notebook, path)
        assert [sentence for sentence in faults(path) if sentence.startswith(fault)], faults(path)
    notebook.cells[1].metadata["tags"] = ["nbval-ignore-output"]
    tool.write(notebook, path)
    assert faults(path) == []  # of a timing


# --- the tool --------------------------------------------------------------------------------------------------------


SCRIPT = """\
# %% [markdown]
# # A chapter

# %%
import random
import time
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import Markdown, display
from tqdm.auto import tqdm

for i in tqdm(range(3)):
    print("step", i, flush=True)
    time.sleep(.1)

# %%
draw = random.Random(0)
x = [draw.gauss() for _ in range(100)]
plt.plot(x)
plt.show()
display(ipywidgets.IntSlider(), Markdown("**bold**"))
print(f"mean {sum(x) / len(x):.3f}")
Path.cwd().name

# %% tags=["hide-input"]
draw.random() < 0.5
"""


def test_two_builds_are_byte_identical_and_keep_what_is_said_shown_and_tagged(tmp_path):
    path = tmp_path / "notebooks" / "04_tiny.ipynb"
    builds = []
    tool.write(jupytext.reads(SCRIPT, fmt="py:percent"), path)
    assert "cell 2: was not executed" in faults(path)
    for _ in range(2):
        assert tool.main(["build", str(path)]) == 0
        builds.append(path.read_bytes())
    assert builds[0] == builds[1]
    assert faults(path) == []
    assert list(path.parent.iterdir()) == [path]

    notebook = read(path)
    assert notebook.cells[3].metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    steps, figure = notebook.cells[1:3]
    assert steps.metadata == {}
    assert [output.text for output in steps.outputs] == ["step 0\nstep 1\nstep 2\n"]
    kinds = [sorted(output.get("data", {})) for output in figure.outputs]
    assert kinds == [["image/png", "text/plain"], ["text/plain"], ["text/markdown", "text/plain"], [], ["text/plain"]]
    assert figure.outputs[-1].data["text/plain"] == "'notebooks'"


@pytest.mark.parametrize(
    "source", ["raise ValueError('wrong')", "import warnings\nwarnings.warn('odd')"], ids=["an error", "a warning"]
)
def test_build_leaves_a_notebook_that_fails_as_it_was(source, tmp_path):
    path = tmp_path / "00_failing.ipynb"
    tool.write(normalised(new_notebook(cells=[new_code_cell(source)]), path.stem), path)
    before = path.read_bytes()
    with pytest.raises(tool.NotebookError, match=r"wrong|odd"):
        tool.build(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_run_goes_on_after_a_failure_and_leaves_the_originals(tmp_path):
    paths = [tmp_path / "00_failing.ipynb", tmp_path / "01_sound.ipynb"]
    for path, source in zip(paths, ("raise ValueError('wrong')", "print(1)"), strict=True):
        tool.write(normalised(new_notebook(cells=[new_code_cell(source)]), path.stem), path)
    before = [path.read_bytes() for path in paths]
    assert tool.main(["run", str(tmp_path / "out"), *map(str, paths)]) == 1
    assert [path.read_bytes() for path in paths] == before
    copies = [read(tmp_path / "out" / path.name).cells[0].outputs[0] for path in paths]
    assert copies[0].evalue == "wrong"
    assert copies[1].text == "1\n"
