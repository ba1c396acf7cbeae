"""Build, check and run the notebooks.

    python tools/notebooks.py build [NOTEBOOK…]          execute in place, normalise; nothing changes on failure
    python tools/notebooks.py check [NOTEBOOK…]          name every fault, without executing
    python tools/notebooks.py run FOLDER [NOTEBOOK…]     execute copies into FOLDER
    python tools/notebooks.py new SCRIPT.py NOTEBOOK     make a notebook from a jupytext percent script

Without NOTEBOOK, all of notebooks/ and of the folders below. A notebook is executed in a fresh kernel of this Python,
in its own folder.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from normal_form import as_text, content_faults, faults, normalised, read

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
COLOURS = re.compile(r"\x1b\[[\d;]*m")


def found(folder: Path | None = None) -> list[Path]:
    """Every notebook in a folder, by default notebooks/, and in folders below it, without Jupyter's checkpoints."""
    paths = (folder or NOTEBOOKS).rglob("*.ipynb")
    return sorted(path for path in paths if ".ipynb_checkpoints" not in path.parts)


def place(path: Path) -> Path:
    """Where a notebook lies below notebooks/; for one from elsewhere its name."""
    return path.resolve().relative_to(NOTEBOOKS) if path.resolve().is_relative_to(NOTEBOOKS) else Path(path.name)


class NotebookError(Exception):
    """A notebook that can't be built; the message says what is wrong."""


def execute(notebook: NotebookNode, folder: Path, timeout: float) -> None:
    """Execute `notebook` in place, in a fresh kernel whose working folder is `folder`.

    Args:
        timeout: the longest that one cell may take, in seconds.

    Raises:
        NotebookError: a cell raised or ran out of time; the message shows the cell.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=timeout,
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],  # the kernel's own log; a cell's warnings are outputs
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(COLOURS.sub("", str(error))) from error


def build(path: Path, timeout: float) -> None:
    """Execute the notebook at `path` and replace it by its normalised self; leave it as it was on failure."""
    notebook = read(path)
    execute(notebook, path.parent, timeout)
    notebook = normalised(notebook, path.stem)
    found = content_faults(notebook)
    if found:
        raise NotebookError("\n".join(found))
    write(notebook, path)


def check(path: Path) -> None:
    """Raise NotebookError naming every fault of the notebook at `path`."""
    found = faults(path)
    if found:
        raise NotebookError("\n".join(found))


def run(path: Path, folder: Path, timeout: float) -> None:
    """Execute a copy of the notebook at `path` and write it to its place in `folder`, as far as it came."""
    notebook = read(path)
    try:
        execute(notebook, path.parent, timeout)
    finally:
        write(normalised(notebook, path.stem), folder / place(path))


def new(script: Path, path: Path) -> None:
    """Write the jupytext percent `script` as an unexecuted notebook at `path`."""
    import jupytext  # `make lab`, which opens notebooks and writes none, does without it

    write(normalised(jupytext.read(script, fmt="py:percent"), path.stem), path)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write `notebook` to `path` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(as_text(notebook), encoding="utf-8", newline="\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def for_each(paths: list[Path], work: Callable[[Path], None]) -> bool:
    """Do `work` on every path, with a line each, and go on after a failure; return whether all went well."""
    n_failed = 0
    for path in paths:
        print(f"{path.stem:<36}", end="", flush=True)
        start = time.perf_counter()
        try:
            work(path)
            outcome = "ok"
        except NotebookError as error:
            n_failed += 1
            outcome = f"FAILED\n{error}"
        print(f"{time.perf_counter() - start:7.1f} s  {outcome}", flush=True)
    return n_failed == 0


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("build", "check", "run"):
        command = commands.add_parser(name)
        if name == "run":
            command.add_argument("folder", type=Path)
        if name != "check":
            command.add_argument("--timeout", type=float, default=300.0, help="seconds that a cell may take (300)")
        command.add_argument("notebooks", type=Path, nargs="*", metavar="NOTEBOOK")
    command = commands.add_parser("new")
    command.add_argument("script", type=Path)
    command.add_argument("notebook", type=Path)
    options = parser.parse_args(arguments)

    if options.command == "new":
        new(options.script, options.notebook)
        return 0
    paths = options.notebooks or found()
    if options.command == "build":
        all_well = for_each(paths, lambda path: build(path, options.timeout))
    elif options.command == "run":
        all_well = for_each(paths, lambda path: run(path, options.folder, options.timeout))
    else:
        all_well = for_each(paths, check)
    return 0 if all_well else 1


if __name__ == "__main__":
    sys.exit(main())
