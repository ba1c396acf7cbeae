"""No chapter reads a file outside the repository, $SBGM_DATA and caches, or calls another machine.

A hook in the kernel notes what is opened and connected to while a chapter runs. The quickest chapter is run by default,
all of them by `make test-slow`.
"""

import json
import sys
from pathlib import Path

import matplotlib
import pytest

import notebooks as tool
from notebooks import read

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = tool.all_notebooks()
QUICK = ("00",)
# Python and what it is built on, and what a process knows of its machine
SYSTEM = [sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev"]
CACHES = [matplotlib.get_cachedir(), matplotlib.get_configdir()]
HOOK = """
import os, sys
def note(event, arguments, opened=os.open, write=os.write, log={log!r}):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        kind, what = "open", os.path.realpath(os.fsdecode(arguments[0]))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        kind, what = "connect", str(arguments[1][0])
    else:
        return
    note.lines.add((kind, what))
note.lines = set()
def keep():
    import json
    with open({log!r}, "w") as file:
        json.dump(sorted(note.lines), file)
sys.addaudithook(note)
get_ipython().events.register("post_run_cell", lambda result: keep())
"""


def outside(log: Path) -> list[str]:
    """What was opened or connected to, and should not have been."""
    allowed = [Path(place).resolve() for place in [ROOT, *SYSTEM, *CACHES, log.parent]]

    def inside(kind: str, what: str) -> bool:
        if kind == "connect":
            return what in ("127.0.0.1", "::1", "localhost")
        return any(Path(what).is_relative_to(place) for place in allowed)

    return [f"{kind} {what}" for kind, what in json.loads(log.read_text()) if not inside(kind, what)]


@pytest.fixture
def audited(tmp_path, monkeypatch):
    """Kernels started here note what they open in the file returned."""
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    log = tmp_path / "opened.json"
    (startup / "00-audit.py").write_text(HOOK.format(log=str(log)))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("SBGM_DATA", raising=False)
    return log


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=() if p.stem[:2] in QUICK else pytest.mark.slow) for p in CHAPTERS],
)
def test_a_chapter_stays_inside(path, audited):
    tool.execute(read(path), path.parent, 600)
    assert outside(audited) == []


def test_the_hook_notes_what_lies_outside(audited, tmp_path):
    notebook = read(CHAPTERS[0])
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:1]
    notebook.cells[0].source = (
        "import socket\nfor path in ('/root/x', '/home/x', '../../elsewhere'):\n    try: open(path)\n"
        "    except OSError: pass\ntry: socket.create_connection(('192.0.2.1', 9), timeout=.01)\nexcept OSError: pass"
    )
    tool.execute(notebook, ROOT / "notebooks", 60)
    elsewhere = ROOT.parent / "elsewhere"
    assert set(outside(audited)) >= {"open /root/x", "open /home/x", f"open {elsewhere}", "connect 192.0.2.1"}
