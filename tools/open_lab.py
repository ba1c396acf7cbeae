"""Open JupyterLab at chapter 0, in a working copy of the notebooks: `make lab`, or `python tools/open_lab.py [FLAGS]`.

The copy is work/, which git ignores, so that `git pull` never meets what you wrote in it. Each start copies the
notebooks that are not there yet, and brings those up to date in which you have changed no cell (running is no change).
Outputs that answer a guess are not copied. Copied alike are the pages, such as the glossary, which chapters link to
(JupyterLab shows nothing outside work/).
One that you have changed stays as it is; where the original has changed too, the new one is put beside it, such as
02_NEW_score_matching.ipynb, and a line says so once JupyterLab has started. A copy whose original is gone goes, too, if
you have changed no cell of it; otherwise it stays, and a line says so. FLAGS are JupyterLab's.
"""

import hashlib
import itertools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import zmq
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelspec import get_kernel_dict
from jupyterlab import labapp
from tornado.ioloop import IOLoop

from notebooks import NOTEBOOKS, all_notebooks, clear_answers, pages
from sbgm.files import write_bytes, write_json

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "work"
COPIED = ".copied.json"  # in the copy: the fingerprints of each notebook as it was copied
SETTINGS = Path(__file__).resolve().parent / "jupyter"  # defaults of JupyterLab's settings: it asks about no news
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)  # what JSON of another form raises


def refresh(originals: Path, copy: Path) -> list[Path]:
    """Bring a working copy up to date without touching what was changed in it.

    Args:
        originals: the folder of the notebooks and of the pages that they link to.
        copy: the folder of the copies, made if it is missing; they lie in it as in `originals`.

    Returns:
        The files changed both in the copy and among the originals, by their place; the copy's are left, and the new
        ones lie beside them, with NEW in their names.
    """
    copy.mkdir(parents=True, exist_ok=True)
    record = copy / COPIED
    copied = read_record(record)
    left = []
    for original in [*all_notebooks(originals), *pages(originals)]:
        own = original.relative_to(originals)
        new = fingerprints(original)
        for n in itertools.count():  # a new one that was changed in its turn stays, too
            number, *title = own.stem.split("_", 1)
            place = own.with_stem("_".join([number, *n * ["NEW"], *title]))
            mine = copy / place
            old = copied.get(place.as_posix(), {})
            if mine.exists() and new["file"] == old.get("file"):
                break
            if not mine.exists() or fingerprints(mine)["cells"] in (old.get("cells"), new["cells"]):
                mine.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(mine, as_saved(original))
                copied[place.as_posix()] = new
                break
            left.append(place)
    if not record.is_dir():
        write_json(record, copied)
    return left


def retire(originals: Path, copy: Path) -> list[Path]:
    """Remove unchanged copies of what is no longer among the originals, such as a chapter that has another number now.

    Args:
        originals, copy: as `refresh` takes them.

    Returns:
        The copies that were changed and stay, by their place.
    """
    stay = []
    for place, noted in read_record(copy / COPIED).items():
        mine = copy / place
        if not mine.exists() or (originals / place.replace("_NEW", "")).exists():
            continue
        if fingerprints(mine)["cells"] == noted["cells"]:
            mine.unlink()
        else:
            stay.append(Path(place))
    return stay


def read_record(path: Path) -> dict[str, dict[str, str]]:
    """The fingerprints that `refresh` noted, by place; none where there is no record, or one that can't be read."""
    try:
        copied = json.loads(path.read_text(encoding="utf-8"))
        return {place: dict(noted) for place, noted in copied.items()}
    except (OSError, *UNREADABLE):
        return {}


def as_saved(path: Path) -> bytes:
    """A file's content; of a notebook, without outputs that answer a guess, and as JupyterLab would save it here.

    So opening it leaves nothing to save. JupyterLab writes three entries of a notebook's metadata when it opens it: the
    kernel's name for people, all that the kernel says of its language, and an empty state of widgets.
    """
    if path.suffix != ".ipynb":
        return path.read_bytes()
    notebook = json.loads(path.read_text(encoding="utf-8"))
    clear_answers(notebook)
    kernel = get_kernel_dict()
    notebook["metadata"] |= {
        "kernelspec": {name: kernel[name] for name in ("display_name", "language")} | {"name": "python3"},
        "language_info": IPythonKernel.language_info,
        "widgets": {
            "application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2, "version_minor": 0},
        },
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False).encode() + b"\n"


def fingerprints(path: Path) -> dict[str, str]:
    """The sha256 of a notebook's file, and that of what its cells say, whatever their outputs."""
    content = path.read_bytes()
    try:
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(content)["cells"]]
    except UNREADABLE:  # not a notebook any more: whatever it is, it stays
        cells = content.decode(errors="replace")
    named = {"file": content, "cells": json.dumps(cells).encode()}
    return {name: hashlib.sha256(value).hexdigest() for name, value in named.items()}


def main(flags: Sequence[str]) -> int:
    """Refresh the copy and run JupyterLab on it; return its exit status."""
    lines = ["JupyterLab is running. To stop it, press Ctrl-C twice here."]
    for place in refresh(NOTEBOOKS, WORK):
        lines.append(f"work/{place} stays as you changed it; the new one is beside it, with NEW in its name.")
    for place in retire(NOTEBOOKS, WORK):
        lines.append(f"work/{place} stays, since you changed it; the chapters have other names now.")
    # The server's loop begins after its own lines are printed, which the log level keeps to errors and the address. Its
    # warnings, such as that a notebook is not trusted, would push these lines away, and ask nothing of the reader.
    IOLoop.current().add_callback(print, *lines, sep="\n", flush=True)
    configured = os.environ.get("JUPYTER_CONFIG_PATH")
    os.environ["JUPYTER_CONFIG_PATH"] = f"{SETTINGS}{os.pathsep}{configured}" if configured else str(SETTINGS)
    # The address is the one that a browser opens and that is printed: a file to run would be opened, and not printed.
    first = all_notebooks(NOTEBOOKS)[0].relative_to(NOTEBOOKS).as_posix()
    shown = [f"--ServerApp.root_dir={WORK}", f"--LabApp.default_url=/lab/tree/{first}"]
    if zmq.has("curve"):
        shown.append("--KernelManager.transport_encryption=auto")
    return labapp.main(["--Application.log_level=ERROR", *shown, *flags])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
