"""Write the chapters' figures for slides: python docs/figures.py [FOLDER] [NOTEBOOK ...]

Executes a copy of each notebook, of every chapter unless some are named, as many at a time as there are processors.
Each figure, and each slider as it starts, comes to FOLDER (build/figures unless told otherwise) as PNG and as SVG, each
moving picture as an animated PNG that fills a slide of 1280 × 720 pixels; the one that ships, in chapter 0, stays as it
is. Its frames side by side are an image to begin with, and have no SVG. captions.md says what each shows, and how to
credit it.
"""

import argparse
import functools
import io
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "notebooks" / "lab"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from chapters import ROOT, Page
from IPython import get_ipython
from matplotlib.figure import Figure
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from sbgm import plots
from sbgm.widgets import FigureExplorer, LiveTraining

# Before the notebook's own first cell.
BEGIN = f"import sys\nsys.path.append({str(Path(__file__).resolve().parent)!r})\nimport figures\nfigures.enlarge()"

HEAD = """# Figures of sbgm

Text and figures are under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/): use them as you like, change them,
and credit "the sbgm authors" with the chapter's name. Images of a data set that are seen in some of them keep its own
terms, which data/README.md of the project states.
"""


def enlarge() -> None:
    """In a notebook's kernel: keep figures and sliders in both formats, and let a frame fill the slide."""
    shell = get_ipython()
    shell.run_line_magic("matplotlib", "inline")
    shell.run_line_magic("config", 'InlineBackend.figure_formats = ["png", "svg"]')
    shell.run_line_magic("config", 'InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "dpi": 300}')
    for kind, mime in (("png", "image/png"), ("svg", "image/svg+xml")):
        formatter = shell.display_formatter.formatters[mime]
        formatter.for_type(FigureExplorer, functools.partial(saved, kind=kind))
        formatter.for_type(LiveTraining, lambda explorer: None)  # which shows nothing before it has begun
    plots.moving_picture = functools.partial(filling, drawn=plots.moving_picture)


def saved(explorer: FigureExplorer, kind: str) -> bytes | str:
    """A slider's figure as PNG or as SVG."""
    file = io.BytesIO()
    explorer.figure.savefig(file, format=kind, dpi=300)
    return file.getvalue() if kind == "png" else file.getvalue().decode()


def filling(
    frames: Iterable[Figure], *, drawn: Callable[..., plots.MovingPicture], **options: object
) -> plots.MovingPicture:
    """`plots.moving_picture` in as many pixels an inch as a slide has room for."""
    first = next(frames := iter(frames))
    width, height = first.get_size_inches()
    return drawn(itertools.chain([first], frames), **options, dpi=round(min(1280 / width, 720 / height)))


def figures(path: Path, folder: Path) -> list[str]:
    """Write a notebook's figures into a folder, and return their captions as lines of Markdown.

    A notebook that raises is named on stderr, and has no line.
    """
    content = nbformat.read(path, as_version=4)
    content.cells.insert(0, nbformat.v4.new_code_cell(BEGIN))
    quiet = ["--log-level=ERROR", "--InteractiveShell.colors=NoColor"]
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(content, timeout=600, kernel_name="python3", extra_arguments=quiet, resources=where)
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        print(f"{path.stem}: {error}", file=sys.stderr)
        return []
    del content.cells[0]
    notebook = Page(path, content)
    lines = [f"## {notebook.title}", ""]
    for figure in notebook.figures():
        files = {f"{figure.anchor}.png": figure.png}
        for output in content.cells[figure.cell].outputs:
            if vector := output.get("data", {}).get("image/svg+xml"):
                files[f"{figure.anchor}.svg"] = vector.encode()
        for name, picture in files.items():
            (folder / name).write_bytes(picture)
        lines += [f"**{', '.join(files)}**: {' '.join(figure.caption.split()) or figure.alt}", ""]
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "figures", help="where they go")
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK", help="chapters, or others; all chapters")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    paths = [p.resolve() for p in options.notebooks] or sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        captions = list(pool.map(figures, paths, [options.folder] * len(paths)))
    text = "\n".join([HEAD, *itertools.chain(*captions)])
    (options.folder / "captions.md").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "LICENSE-CC-BY-4.0", options.folder)
    print(f"The figures and captions.md are in {options.folder}")
    return 0 if all(captions) else 1


if __name__ == "__main__":
    sys.exit(main())
