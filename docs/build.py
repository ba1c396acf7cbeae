"""Build the site offline from the committed notebooks, records and docstrings: python docs/build.py [FOLDER]

The pages come to FOLDER/html (build/site/html unless told otherwise). Beside them FOLDER/source holds what Sphinx read:
the pages of this folder, the chapters, and the pages that are made of records, figures and docstrings.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import formulas
import gallery
import ledger
import reference
from chapters import ROOT, chapter_figures, imported_names, linked_files, notebooks, place, settling, staged
from chapters import page as chapters_page
from sphinx.cmd.build import build_main

HERE = Path(__file__).resolve().parent
COPIED = (
    "data/README.md",
    "data/weights/README.md",
    "data/results/SPEED.md",
    "data/results/ladder.png",
    "data/results/overview.png",
    "data/results/overview_images.png",
)


def main() -> int:
    """Stage the sources and run Sphinx on them; a warning is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "site", help="where to build")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks", help="another folder called notebooks")
    options = parser.parse_args()

    folder = options.folder.resolve()
    for name in ("source", "doctrees", "html", "jupyter_execute"):  # nothing stays of a page whose source is gone
        shutil.rmtree(folder / name, ignore_errors=True)
    stage(folder / "source", notebooks(options.notebooks.resolve()))
    arguments = ["-b", "html", "-c", HERE, "-d", folder / "doctrees", "-W", "--keep-going", "-q"]
    status = build_main([*map(str, arguments), str(folder / "source"), str(folder / "html")])
    if status == 0:
        print(f"The site is at {folder / 'html' / 'index.html'}")
    return status


def stage(source: Path, chapters: list[Path]) -> None:
    """Write all that Sphinx reads into one folder, in the repository's layout."""
    figures = {path: chapter_figures(path) for path in chapters}
    names = {name for group in formulas.load() for formula in group["formula"] for name in formula["names"]}
    texts = {place(path): staged(path, chapters) for path in chapters}
    texts |= {path.name: path.read_text(encoding="utf-8").replace("](../", "](") for path in HERE.glob("*.md")}
    texts |= {f"{name}.rst": page for name, page in reference.pages(imported_names(chapters) | names).items()}
    texts |= {
        "chapters.md": chapters_page(chapters),
        "formulas.md": formulas.page(chapters),
        "gallery.md": gallery.page(figures),
        "ledger.md": ledger.page(settling(chapters)),
    }
    content = {name: text.encode() for name, text in texts.items()}
    content |= {f"figures/{figure.anchor}.png": figure.png for found in figures.values() for figure in found}
    files = [ROOT / name for name in COPIED] + [file for path in chapters for file in linked_files(path)]
    content |= {str(file.relative_to(ROOT)): file.read_bytes() for file in files}

    for name, value in content.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(value)


if __name__ == "__main__":
    sys.exit(main())
