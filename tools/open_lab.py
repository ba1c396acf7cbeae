"""Open JupyterLab at chapter 0, in a working copy of the notebooks: `make lab`, or `python tools/open_lab.py [FLAGS]`.

The copy is work/, which git ignores, so that `git pull` never meets what you wrote in it. Each start copies the
notebooks that are not there yet, and brings those up to date in which you have changed no cell (running is no change).
Copied alike are the glossary and troubleshooting, which chapters link to (JupyterLab shows nothing outside work/), and
the lab's scripts, which its notebooks import.
One that you have changed stays as it is; where the original has changed too, the new one is put beside it, such as
02_score_matching.new.ipynb, and a line says so. FLAGS are JupyterLab's.
"""

import hashlib
import itertools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jupyterlab import labapp

from notebooks import NOTEBOOKS, all_notebooks, companions
from sbgm.files import write_bytes, write_json

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "work"
COPIED = ".copied.json"  # in the copy: the fingerprints of each notebook as it was copied
SETTINGS = Path(__file__).resolve().parent / "jupyter"  # defaults of JupyterLab's settings: it asks about no news


def refresh(originals: Path, copy: Path) -> list[Path]:
    """Bring a working copy up to date without touching what was changed in it.

    Args:
        originals: the folder of the notebooks and of what they need, see `companions`.
        copy: the folder of the copies, made if it is missing; they lie in it as in `originals`.

    Returns:
        The files changed both in the copy and among the originals, by their place; the copy's are left, and the new
        ones lie beside them, with ".new" in their names.
    """
    copy.mkdir(parents=True, exist_ok=True)
    record = copy / COPIED
    copied = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    left = []
    for original in [*all_notebooks(originals), *companions(originals)]:
        own, new = original.relative_to(originals), fingerprints(original)
        for n in itertools.count():  # a new one that was changed in its turn stays, too
            place = own.with_stem(own.stem + n * ".new")
            mine, old = copy / place, copied.get(place.as_posix(), {})
            if mine.exists() and new["file"] == old.get("file"):
                break
            if not mine.exists() or fingerprints(mine)["cells"] in (old.get("cells"), new["cells"]):
                mine.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(mine, original.read_bytes())
                copied[place.as_posix()] = new
                break
            left.append(place)
    write_json(record, copied)
    return left


def fingerprints(path: Path) -> dict[str, str]:
    """The sha256 of a notebook's file, and that of what its cells say, whatever their outputs."""
    content = path.read_bytes()
    try:
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(content)["cells"]]
    except (ValueError, KeyError):  # not a notebook any more: whatever it is, it stays
        cells = content.decode(errors="replace")
    named = {"file": content, "cells": json.dumps(cells).encode()}
    return {name: hashlib.sha256(value).hexdigest() for name, value in named.items()}


def main(flags: Sequence[str]) -> int:
    """Refresh the copy and run JupyterLab on it; return its exit status."""
    for place in refresh(NOTEBOOKS, WORK):
        said = f"work/{place} stays as you changed it; the new one is beside it, with .new in its name."
        print(said, flush=True)  # before the server, which goes on
    configured = os.environ.get("JUPYTER_CONFIG_PATH")
    os.environ["JUPYTER_CONFIG_PATH"] = f"{SETTINGS}{os.pathsep}{configured}" if configured else str(SETTINGS)
    # The address is the one that a browser opens and that is printed: a file to run would be opened, and not printed.
    first = all_notebooks(NOTEBOOKS)[0].relative_to(NOTEBOOKS).as_posix()
    return labapp.main([f"--ServerApp.root_dir={WORK}", f"--LabApp.default_url=/lab/tree/{first}", *flags])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
