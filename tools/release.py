"""Write the chapters for a graded course: without solutions, in a variant of a group's own.

    python tools/release.py FOLDER [--variant N] [--source URL]

A cell tagged "solution" is left out, and `variant=0` in an exercise's cell becomes the group's. Hand the folder out,
and grade with `python -m sbgm grade … --variant N`.

With --source each chapter begins with a cell that fetches the project from that git repository, where `sbgm` isn't
installed: then it runs on a hosted service (Colab, a JupyterHub) from nothing but the one file.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from normal_form import normalised, read
from notebooks import found, place, write

EXERCISE, SOLUTION = "exercise", "solution"
VARIANT = re.compile(r"\bvariant=0\b")


# A hosted kernel has started before the project is there: hence sys.path.
FETCH = """\
# On a hosted notebook this fetches the project and installs it, once. Where sbgm is installed it does nothing.
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("sbgm") is None:
    project = Path("sbgm-course").resolve()
    if not project.exists():
        subprocess.run(["git", "clone", "--quiet", "--depth=1", {source!r}, str(project)], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", f"{{project}}[fid,notebooks]"], check=True)
    sys.path.insert(0, str(project))"""


def released(notebook: NotebookNode, name: str, variant: int, source: str = "") -> NotebookNode:
    """A copy of a chapter without its solutions, its exercises in the group's variant.

    Args:
        notebook: the chapter.
        name: its file's stem.
        variant: the group's; 0 is the one that the chapters themselves have.
        source: git repository to fetch the project from where it isn't installed; none if empty.
    """
    result = normalised(notebook, name)
    result.cells = [cell for cell in result.cells if SOLUTION not in cell.metadata.get("tags", [])]
    for cell in result.cells:
        if cell.cell_type == "code" and EXERCISE in cell.metadata.get("tags", []) and variant != 0:
            own = VARIANT.sub(f"variant={variant}", cell.source)
            if own != cell.source:
                cell.source, cell.outputs = own, []  # the numbers it showed were another variant's
    if source:
        result.cells.insert(1, new_code_cell(FETCH.format(source=source)))
    return normalised(result, name)  # its cells numbered anew


def main(arguments: list[str] | None = None) -> int:
    """Write every chapter to a new folder; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variant", type=int, default=0, help="of the exercises that have several (0)")
    parser.add_argument("--source", default="", metavar="URL", help="git repository for hosted notebooks to fetch")
    options = parser.parse_args(arguments)
    if options.variant < 0:
        parser.error(f"--variant must not be negative, got {options.variant}")
    if options.folder.exists():
        parser.error(f"{options.folder} exists: nothing is overwritten; name another folder, or remove it")
    for path in found():
        write(released(read(path), path.stem, options.variant, options.source), options.folder / place(path))
    print(f"{options.folder}: {len(found(options.folder))} notebooks, variant {options.variant}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
