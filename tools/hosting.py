"""Chapters on a hosted service (Colab, Binder, a JupyterHub): the cell that fetches the project, and its addresses."""

import copy
import tomllib
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

GITHUB = "https://github.com/"

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
    extras = "fid" if "google.colab" in sys.modules else "fid,notebooks"  # Colab has its own kernel
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", f"{{project}}[{{extras}}]"], check=True)
    sys.path.insert(0, str(project))"""


def repository(root: Path) -> str:
    """The project's public address, `Repository` in [project.urls] of its pyproject.toml; "" while it has none."""
    urls = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"].get("urls", {})
    return urls.get("Repository", "").rstrip("/").removesuffix(".git")


def in_colab(address: str) -> str:
    """The address at which Colab opens a notebook that lies at this one, on GitHub; "" for one that lies elsewhere."""
    return address.replace(GITHUB, "https://colab.research.google.com/github/", 1) if address.startswith(GITHUB) else ""


def hosted(notebook: NotebookNode, source: str, at: str = "") -> NotebookNode:
    """A copy of a notebook that runs where sbgm isn't installed: its first cell fetches the project.

    Args:
        notebook: a chapter.
        source: git repository to fetch from.
        at: the address where the copy will lie; where it is on GitHub, a link below the heading opens it in Colab.
    """
    result = copy.deepcopy(notebook)
    if link := in_colab(at):
        heading, _, text = result.cells[0].source.partition("\n")
        result.cells[0].source = f"{heading}\n\n[Open in Colab]({link})\n{text}"
    result.cells.insert(1, new_code_cell(FETCH.format(source=source), id="fetch"))
    return result
