"""Write the chapters' figures for slides: python tools/figures.py [FOLDER] [NOTEBOOK ...]

Executes a copy of each notebook, of every chapter unless some are named. Each figure, and each slider as it starts,
comes to FOLDER (build/figures unless told otherwise) as PNG and as SVG, each moving picture as an animated PNG that
fills a slide of 1280 × 720 pixels. Its frames side by side are an image to begin with, and have no SVG. captions.md
says what each shows, and how to credit it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from nbformat.v4 import new_code_cell

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))

from chapters import ROOT, Notebook

import pictures
from notebooks import NOTEBOOKS, execute, for_each, place, read, write

# Before the notebook's own first cell: figures and sliders are kept in both formats, and a frame fills the slide.
BEGIN = """\
%matplotlib inline
%config InlineBackend.figure_formats = ["png", "svg"]
%config InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "dpi": 300}
import base64, io
import sbgm.plots, sbgm.widgets.base

def _frame(figure, dpi, drawn=sbgm.plots._drawn):
    width, height = figure.get_size_inches()
    return drawn(figure, min(1280 / width, 720 / height))

def _slider(self, begun=sbgm.widgets.base.FigureExplorer._repr_mimebundle_, **options):
    files = {name: io.BytesIO() for name in ("png", "svg")}
    for name, file in files.items():
        self._canvas.figure.savefig(file, format=name, dpi=300)
    pictures = {"image/png": base64.b64encode(files["png"].getvalue()).decode(),
                "image/svg+xml": files["svg"].getvalue().decode()}
    return begun(self, **options) | pictures

sbgm.plots._drawn, sbgm.widgets.base.FigureExplorer._repr_mimebundle_ = _frame, _slider"""

HEAD = """# Figures of sbgm

Text and figures are under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/): use them as you like, change them,
and credit "the sbgm authors" with the chapter's name. Images of a data set that are seen in some of them keep its own
terms, which data/README.md of the project states.
"""


def figures(path: Path, folder: Path, timeout: float) -> list[str]:
    """Write a notebook's figures into a folder, and return their captions as lines of Markdown.

    Raises:
        NotebookError: a cell raised or ran out of time.
    """
    notebook = read(path)
    notebook.cells.insert(0, new_code_cell(BEGIN))
    execute(notebook, path.parent, timeout)
    del notebook.cells[0]
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "notebooks" / place(path)
        write(notebook, copy)
        executed = Notebook(copy)
    lines = [f"## {executed.title}", ""]
    for figure in executed.figures():
        png = pictures.ladder(dpi=168).png if figure.png == pictures.LADDER.read_bytes() else figure.png
        files = {f"{figure.anchor}.png": png}
        for output in notebook.cells[figure.cell].outputs:
            if vector := output.get("data", {}).get("image/svg+xml"):
                files[f"{figure.anchor}.svg"] = vector.encode()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        lines += [f"**{', '.join(files)}**: {' '.join(figure.caption.split()) or figure.alt}", ""]
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "figures", help="where they go")
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK", help="chapters, or others; all chapters")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds that a cell may take (600)")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    lines = [HEAD]
    paths = options.notebooks or sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    well = for_each(paths, lambda path: lines.extend(figures(path, options.folder, options.timeout)))
    (options.folder / "captions.md").write_text("\n".join(lines), encoding="utf-8")
    shutil.copy(ROOT / "LICENSE-CC-BY-4.0", options.folder)
    print(f"The figures and captions.md are in {options.folder}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
