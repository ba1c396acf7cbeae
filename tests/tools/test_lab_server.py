"""What `make lab` opens, asked of its own server without a browser; and what a student opens of a release."""

import base64
import json
import re
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import notebooks as tool
import open_lab
from browser.lab import printed_address

TOOLS = Path(open_lab.__file__).parent
# `make lab` on another folder than the reader's own work/
MAKE_LAB = """
import pathlib, sys, open_lab
open_lab.WORK = pathlib.Path(sys.argv.pop(1))
sys.exit(open_lab.main(sys.argv[1:]))
"""
FIRST = tool.all_notebooks()[0].name


def of_make_lab(folder: Path) -> list[str]:
    folder.mkdir()
    (folder / "glossary.md").write_text("my own words")
    return [sys.executable, "-c", MAKE_LAB, str(folder)]


def of_a_release(folder: Path) -> list[str]:
    tool.main(["release", str(folder), "--source", ""])
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    return [*command, f"--LabApp.default_url=/lab/tree/{FIRST}"]


@pytest.mark.parametrize(
    ("started", "says"), [(of_make_lab, "work/glossary.md stays as you changed it"), (of_a_release, "")]
)
def test_chapter_0_its_pictures_and_its_links_are_served(started: Callable, says: str, tmp_path):
    with printed_address(started(tmp_path / "chapters"), tmp_path, PYTHONPATH=str(TOOLS)) as address:
        parts = urllib.parse.urlsplit(address)
        first = parts.path.removeprefix("/lab/tree/")
        assert first == FIRST

        def ask(path: str) -> bytes:
            """What the server answers at a path; an error unless with status 200."""
            there = parts._replace(path=urllib.parse.quote(path)).geturl()
            with urllib.request.urlopen(there, timeout=500) as answer:
                assert answer.status == 200
                return answer.read()

        ask(parts.path)
        chapter = json.loads(ask(f"/api/contents/{first}"))
        assert chapter["type"] == "notebook"
        outputs = [output.get("data", {}) for cell in chapter["content"]["cells"] for output in cell.get("outputs", [])]
        film, *figures = [data["image/png"] for data in outputs if "image/png" in data]
        assert figures
        assert b"acTL" in base64.b64decode(film)  # it moves
        page = ask(f"/nbconvert/html/{first}").decode()
        assert all(re.sub(r"\s", "", picture)[:1000] in re.sub(r"\s", "", page) for picture in (film, *figures))
        tags = BeautifulSoup(page, "html.parser")

        def named_in(attribute: str) -> set[str]:
            """The addresses in the page; those elsewhere in the world are left out."""
            found = {tag[attribute] for tag in tags.find_all(**{attribute: True})}
            return {urllib.parse.urldefrag(x).url for x in found if not urllib.parse.urlsplit(x).scheme} - {""}

        links = named_in("href")
        assert {path.stem[:2] for path in map(Path, links) if path.suffix == ".ipynb"} >= {"01", "10"}
        for picture in named_in("src"):
            assert ask(urllib.parse.urljoin(f"/files/{first}", picture))
        for link in links:
            assert json.loads(ask(urllib.parse.urljoin(f"/api/contents/{first}", link)))["type"] in ("notebook", "file")
    assert says in (tmp_path / "log").read_text().rpartition("token=")[2]  # last, below the server's own lines
