"""Build the site offline from the committed notebooks, records and docstrings: python docs/build.py [FOLDER]

The pages come to FOLDER/html (build/site/html unless told otherwise). Beside them FOLDER/source holds what Sphinx read:
the pages of this folder, the chapters, and the pages that are made of records.
"""

import argparse
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

import digits
import formulas
from chapters import ROOT, Page, overview, pages_in

HERE = ROOT / "docs"
BELOW = {  # the pages that stand below a page in the sidebar, in the order of reading
    "index": "results chapters playground instructors using formulas api/index evidence/README notebooks/glossary "
    "notebooks/reading notebooks/troubleshooting",
    "results": "limits",
    "chapters": "notebooks/[0-9]* notebooks/one_hour",
    "instructors": "term_project",
    "using": "own_images gpu authors_code data/README data/weights/README data/results/SPEED",
    "evidence/README": "evidence/HISTORY",
}
TOCTREE = """

```{{toctree}}
:glob:
:hidden:

{}
```
"""
COPIED = (
    "notebooks/*.md",
    "data/README.md",
    "data/weights/README.md",
    "data/results/*.md",
    "data/results/*.png",
    "data/results/stills/*.png",
    "data/results/*.json",
    "evidence/*.md",
    "evidence/claims/*/record.json",
    "examples/*.py",
)


def main() -> int:
    """Stage the sources and run Sphinx on them; a warning is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "site", help="where to build")
    options = parser.parse_args()

    folder = options.folder.resolve()
    for name in ("source", "doctrees", "html", "jupyter_execute"):  # nothing stays of a page whose source is gone
        shutil.rmtree(folder / name, ignore_errors=True)
    series = pages_in(ROOT / "notebooks")
    stage(folder / "source", series)
    arguments = ["-b", "html", "-c", HERE, "-d", folder / "doctrees", "-W", "--keep-going", "-q"]
    status = build_main([*map(str, arguments), str(folder / "source"), str(folder / "html")])
    write(folder / "html", {"digits.html": digits.page_of_the_site().encode()})
    for notebook in series:
        write(folder / "html", {f"files/{notebook.place}": notebook.file.read_bytes()})
    if status == 0:
        print(f"The site is at {folder / 'html' / 'index.html'}")
    return status


def stage(source: Path, series: list[Page]) -> None:
    """Write all that Sphinx reads into one folder, in the repository's layout."""
    written = [*HERE.glob("*.md"), HERE / "api" / "index.rst"]
    pages = {path.relative_to(HERE).as_posix(): path.read_text("utf-8").replace("](../", "](") for path in written}
    pages |= {notebook.place: notebook.staged() for notebook in series}
    pages |= {"chapters.md": overview(series), "formulas.md": formulas.page(series)}
    content = {name: text.encode() for name, text in pages.items()}
    files = [path for pattern in COPIED for path in ROOT.glob(pattern)]
    content |= {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in files}
    for name, below in BELOW.items():
        content[f"{name}.md"] += TOCTREE.format("\n".join(f"/{page}" for page in below.split())).encode()
    write(source, content)


def write(folder: Path, content: dict[str, bytes]) -> None:
    """Write files by their places in a folder."""
    for name, value in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(value)


if __name__ == "__main__":
    sys.exit(main())
