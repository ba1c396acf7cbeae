"""Build, check and run the notebooks.

    python tools/notebooks.py build [NOTEBOOK…]          execute in place, normalise; nothing changes on failure
    python tools/notebooks.py check [NOTEBOOK…]          name every fault, without executing
    python tools/notebooks.py run FOLDER [NOTEBOOK…]     execute copies into FOLDER

Without NOTEBOOK, all of notebooks/. A notebook is executed in a fresh kernel of this Python,
in its own folder. Two builds on one machine are byte-identical.
"""

import argparse
import copy
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from sbgm.files import write_bytes

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEPT_MIME_TYPES = ("text/plain", "text/markdown", "image/png")
UNSTAMPED = {"bbox_inches": "tight", "metadata": {"Software": None}}  # figures do not carry Matplotlib's version
CELL_SECONDS = 1_200.0  # that a cell may take: chapter 7 trains for two minutes, and longer on a busy core
IGNORED_TAG = "nbval-ignore-output"
FOLDED_TAG = "hide-input"  # the output is seen first: the site folds the code by the tag, JupyterLab by other metadata
ANSWER_TAG = "hide-output"  # the output answers a guess: cleared in a student's copy, folded on the site by the tag

COLOURS = re.compile(r"\x1b\[[\d;]*m")
# A tqdm bar, whatever its description: it is watched live, and neither stored nor compared.
PROGRESS_BAR = re.compile(r"[^\n]*\[\d+:\d\d[<,][^\n]*\]\s*")
# Text that another machine, or the next run, would print differently.
MACHINE_DEPENDENT = {
    "a memory address": re.compile(r"\b0x[0-9a-fA-F]{6,}"),
    # "2.4 s.e.", "2 s(x, σ)" and "s = 3" are none
    "a timing": re.compile(
        r"(?<![\w.])(\d*\.)?\d+ ?(ns|µs|us|ms|s|sec|seconds|min|minutes|it/s|s/it)(?![\w(/]|\.\w| ?=)"
    ),
    "a path of this machine": re.compile(r"(?<![\w/.])/(home|root|tmp|Users|work|var)/|\b[A-Z]:\\"),
}
NOT_RUN_OR_RAISING = re.compile(r"nbval[-_]skip|(nbval[-_])?raises[-_]exception", re.IGNORECASE)


class NotebookError(Exception):
    """A notebook that can't be built; the message says what is wrong."""


# --- files -----------------------------------------------------------------------------------------------------------


def all_notebooks(folder: Path | None = None) -> list[Path]:
    """Every notebook in a folder, by default notebooks/, and in folders below it, without Jupyter's checkpoints."""
    paths = (folder or NOTEBOOKS).rglob("*.ipynb")
    return sorted(path for path in paths if ".ipynb_checkpoints" not in path.parts)


def pages(folder: Path | None = None) -> list[Path]:
    """The pages that chapters link to and go where they go: a folder's Markdown files, by default notebooks/."""
    return sorted((folder or NOTEBOOKS).glob("*.md"))


def read(path: Path) -> NotebookNode:
    """Read a notebook of any version 4 format."""
    return nbformat.read(path, as_version=4)


def as_text(notebook: NotebookNode) -> str:
    """The notebook as its file holds it."""
    return nbformat.writes(notebook) + "\n"


def write(notebook: NotebookNode, path: Path) -> None:
    """Write `notebook` to `path` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, as_text(notebook).encode())


# --- the form in which a notebook is committed -----------------------------------------------------------------------


def normalised(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return a copy in the committed form: fixed cell ids, no timing, no widget state, text and PNG outputs only.

    Args:
        notebook: any.
        name: its file's stem, e.g. "04_annealed_langevin_dynamics".
    """
    chapter = re.sub(r"[^A-Za-z0-9-]", "-", name.split("_")[0])[:32]
    result = copy.deepcopy(notebook)
    result.update(nbformat=4, nbformat_minor=5, metadata=nbformat.from_dict(METADATA))
    for index, cell in enumerate(result.cells):
        cell.id = f"{chapter}-{index:03d}"
        tags = tags_of(cell)
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if FOLDED_TAG in tags:
            cell.metadata.jupyter = nbformat.from_dict({"source_hidden": True})
        if cell.cell_type == "code":
            cell.outputs = stored_outputs(cell.outputs)
    return result


def tags_of(cell: dict) -> list[str]:
    """A cell's tags."""
    return cell["metadata"].get("tags", [])


def clear_answers(notebook: dict) -> None:
    """Clear, in place, the outputs of the cells that answer a guess, so that a student sees them after running them."""
    for cell in notebook["cells"]:
        if ANSWER_TAG in tags_of(cell):
            cell.update(outputs=[], execution_count=None)


def stored_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Return what is kept of a cell's outputs: text and PNG, each run of prints in one piece, no progress bars."""
    kept: list[NotebookNode] = []
    for output in copy.deepcopy(outputs):
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text  # how prints are cut into messages depends on timing
        elif "data" not in output:
            kept.append(output)
        elif not PROGRESS_BAR.fullmatch(output.data.get("text/plain", "")):
            output.data = {kind: output.data[kind] for kind in KEPT_MIME_TYPES if kind in output.data}
            output.metadata = {kind: value for kind, value in output.metadata.items() if kind == "image/png"}
            kept.append(output)
    return [nbformat.from_dict(output) for output in kept]


# --- what keeps a notebook from it -----------------------------------------------------------------------------------


def faults(path: Path) -> list[str]:
    """Return all that is wrong with the notebook at `path`, one sentence each; nothing is executed."""
    notebook = read(path)
    sentences = content_faults(notebook)
    if path.read_text(encoding="utf-8") != as_text(normalised(notebook, path.stem)):
        sentences.append("is not in the form of a build")
    return sentences


def content_faults(notebook: NotebookNode) -> list[str]:
    """Return what is wrong with a notebook's cells and outputs."""
    sentences = []
    n_code = 0
    for index, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            n_code += 1
            sentences += [f"cell {index}: {fault}" for fault in _cell_faults(cell, n_code)]
    return sentences


def _cell_faults(cell: NotebookNode, expected_count: int) -> Iterator[str]:
    marks = "\n".join([*tags_of(cell), *re.findall(r"^\s*#.*", cell.source, re.MULTILINE)])
    if cell.execution_count is None:  # as that of an empty cell is
        yield "was not executed"
    elif cell.execution_count != expected_count:
        yield f"was executed out of order: its count is {cell.execution_count}, not {expected_count}"
    if NOT_RUN_OR_RAISING.search(marks):
        yield "asks nbval not to run it, or to let it raise"
    for output in cell.outputs:
        yield from _output_faults(output, compared=IGNORED_TAG not in tags_of(cell))


def _output_faults(output: NotebookNode, *, compared: bool) -> Iterator[str]:
    data = output.get("data", {})
    text = output.get("text") or "\n".join(value for kind, value in data.items() if kind.startswith("text/"))
    is_a_name = {*data} == {"text/plain"} and text.startswith("<IPython.core.display.")
    if output.output_type == "error":
        yield f"holds an error: {output.ename}: {output.evalue}"
    elif output.get("name") == "stderr":
        yield f"wrote to stderr (a warning?): {text.strip()[:300]!r}"
    elif is_a_name or not (data or output.output_type == "stream"):
        yield f"shows what can't be stored ({text}); use text, Markdown or a figure"
    elif compared:
        matches = {kind: pattern.search(text) for kind, pattern in MACHINE_DEPENDENT.items()}
        yield from (f"prints {kind}: {match.group()!r}" for kind, match in matches.items() if match)


# --- the commands ----------------------------------------------------------------------------------------------------


def execute(notebook: NotebookNode, folder: Path, timeout: float = CELL_SECONDS) -> None:
    """Execute `notebook` in place, in a fresh kernel whose working folder is `folder`, and without a reader's runs.

    Args:
        timeout: the longest that one cell may take, in seconds.

    Raises:
        NotebookError: a cell raised or ran out of time; the message shows the cell.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=timeout,
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR", f"--InlineBackend.print_figure_kwargs={UNSTAMPED}"],
        resources={"metadata": {"path": str(folder)}},
    )
    with tempfile.TemporaryDirectory() as runs:
        try:
            client.execute(env=os.environ | {"SBGM_FRESH": runs})
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise NotebookError(COLOURS.sub("", str(error))) from error


def build(path: Path, timeout: float = CELL_SECONDS) -> None:
    """Execute the notebook at `path` and replace it by its normalised self; leave it as it was on failure."""
    notebook = read(path)
    execute(notebook, path.parent, timeout)
    notebook = normalised(notebook, path.stem)
    raise_if_any(content_faults(notebook))
    write(notebook, path)


def raise_if_any(found: list[str]) -> None:
    """Raise a NotebookError that names every fault, if there is one."""
    if found:
        raise NotebookError("\n".join(found))


def run(path: Path, folder: Path) -> None:
    """Execute a copy of the notebook at `path` and write it to `folder`, as far as it came."""
    notebook = read(path)
    try:
        execute(notebook, path.parent)
    finally:
        write(normalised(notebook, path.stem), folder / path.name)


def for_each(paths: list[Path], work: Callable[[Path], None]) -> int:
    """Do `work` on every path, with a line each, and go on after a failure; return the exit status."""
    n_failed = 0
    for path in paths:
        print(f"{path.stem:<36}", end="", flush=True)
        start = time.perf_counter()
        outcome = "ok"
        try:
            work(path)
        except (NotebookError, ValueError) as error:  # or no notebook
            n_failed += 1
            outcome = f"FAILED\n{error}"
        print(f"{time.perf_counter() - start:7.1f} s  {outcome}", flush=True)
    return 1 if n_failed else 0


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest="command", required=True)
    commands = {name: subparsers.add_parser(name) for name in ("build", "check", "run")}
    commands["run"].add_argument("folder", type=Path)
    for command in commands.values():
        command.add_argument("notebooks", type=Path, nargs="*", metavar="NOTEBOOK")
    options = parser.parse_args(arguments)
    works = {
        "build": build,
        "check": lambda path: raise_if_any(faults(path)),
        "run": lambda path: run(path, options.folder),
    }
    return for_each(options.notebooks or all_notebooks(), works[options.command])


if __name__ == "__main__":
    sys.exit(main())
