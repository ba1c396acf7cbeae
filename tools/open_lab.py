"""Open JupyterLab at chapter 0, in a working copy of the notebooks: `make lab`, or `python tools/open_lab.py [FLAGS]`.

The copy is work/, which git ignores, so that `git pull` never meets what you wrote in it. Each start copies the
notebooks that are not there yet, and brings those up to date that you have not touched since. One that you have changed
stays as it is; where the original has changed too, a line says so. FLAGS are JupyterLab's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from jupyterlab import labapp

from notebooks import NOTEBOOKS, found

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "work"
COPIED = ".copied.json"  # in the copy: the sha256 of each notebook as it was copied
SETTINGS = Path(__file__).resolve().parent / "jupyter"  # defaults of JupyterLab's settings: it asks about no news


def refresh(originals: Path, copy: Path) -> list[Path]:
    """Bring a working copy up to date without touching what was changed in it.

    Args:
        originals: the folder of the notebooks.
        copy: the folder of the copies, made if it is missing; they lie in it as in `originals`.

    Returns:
        The notebooks changed both in the copy and among the originals, by their place; the copy's are left.
    """
    copy.mkdir(parents=True, exist_ok=True)
    record = copy / COPIED
    copied = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    left = []
    for original in found(originals):
        place = original.relative_to(originals)
        mine, new, old = copy / place, sha256(original), copied.get(place.as_posix())
        if not mine.exists() or sha256(mine) in (old, new):
            mine.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original, mine)
            copied[place.as_posix()] = new
        elif new != old:
            left.append(place)
    record.write_text(json.dumps(copied, indent=1) + "\n", encoding="utf-8")
    return left


def sha256(path: Path) -> str:
    """A file's sha256, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(flags: Sequence[str]) -> int:
    """Refresh the copy and run JupyterLab on it; return its exit status."""
    for place in refresh(NOTEBOOKS, WORK):
        print(f"work/{place} stays as you changed it. To have the new one, rename yours and start again.")
    paths = [str(SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, paths))
    first = WORK / found(NOTEBOOKS)[0].relative_to(NOTEBOOKS)
    return labapp.main([*flags, str(first)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
