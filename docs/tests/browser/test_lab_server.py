"""What `make lab` opens, asked of its own server without a browser."""

import json
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import notebooks as tool
import open_lab

from .lab import printed_address

# `make lab` on another folder than the reader's own work/
MAKE_LAB = """
import pathlib, sys, open_lab
open_lab.WORK = pathlib.Path(sys.argv.pop(1))
sys.exit(open_lab.main(sys.argv[1:]))
"""


def test_chapter_0_and_its_pictures_are_served_and_what_stays_is_said(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "glossary.md").write_text("my own words")
    command = [sys.executable, "-c", MAKE_LAB, str(tmp_path / "work")]
    first = tool.all_notebooks()[0].name
    with printed_address(command, tmp_path, PYTHONPATH=str(Path(open_lab.__file__).parent)) as address:
        parts = urllib.parse.urlsplit(address)
        assert parts.path == f"/lab/tree/{first}"

        def ask(path: str) -> bytes:
            with urllib.request.urlopen(parts._replace(path=path).geturl(), timeout=500) as answer:
                return answer.read()

        ask(parts.path)
        assert "image/png" in str(json.loads(ask(f"/api/contents/{first}"))["content"])
        ask("/api/contents/glossary.md")
    said = (tmp_path / "log").read_text().rpartition("token=")[2]  # last, below the server's own lines
    assert "[W " not in said  # opening a notebook that has run elsewhere is a warning of the server's
    assert "press Ctrl-C twice" in said
    assert "work/glossary.md stays as you changed it" in said
