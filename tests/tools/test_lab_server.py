"""What `make lab` opens, asked of its own server without a browser; and what a student opens of a release."""

import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import notebooks as tool
import open_lab
from browser.lab import FOLDERS
from processes import free_port

TOOLS = Path(open_lab.__file__).parent
FLAGS = ["--no-browser", "--ip=127.0.0.1", *["--allow-root"] * (os.getuid() == 0)]
START_SECONDS = 500
# `make lab` on another folder than the reader's own work/
MAKE_LAB = """
import pathlib, sys, open_lab
open_lab.WORK = pathlib.Path(sys.argv.pop(1))
sys.exit(open_lab.main(sys.argv[1:]))
"""
FIRST = tool.found()[0].name


def of_make_lab(folder: Path) -> list[str]:
    folder.mkdir()
    (folder / "glossary.md").write_text("my own words")
    return [sys.executable, "-c", MAKE_LAB, str(folder)]


def of_a_release(folder: Path) -> list[str]:
    tool.main(["release", str(folder), "--source", ""])
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    return [*command, f"--LabApp.default_url=/lab/tree/{FIRST}"]


@contextlib.contextmanager
def printed_address(command: list[str], folder: Path) -> Iterator[str]:
    """Start a JupyterLab that keeps to `folder`, and give the address that it prints, once it answers there.

    Raises:
        RuntimeError: it printed none in time; the message holds its log.
    """
    environment = os.environ | {name: str(folder / place) for name, place in FOLDERS.items()}
    environment["PYTHONPATH"] = str(TOOLS)
    log = folder / "log"
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as server:
        try:
            end, address = time.monotonic() + START_SECONDS, ""
            while not (address and answers(address)):
                if server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"no address was printed that answers, but {address!r}:\n{log.read_text()}")
                time.sleep(0.2)
                found = re.search(r"http://127\.0\.0\.1:\S+token=\S+\n", log.read_text())
                address = found[0].strip() if found else ""
            yield address
        finally:
            server.terminate()


def answers(address: str) -> bool:
    """Whether a server listens at an address yet, whatever it answers."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", urllib.parse.urlsplit(address).port)) == 0


@pytest.mark.parametrize(
    ("started", "says"), [(of_make_lab, "work/glossary.md stays as you changed it"), (of_a_release, "")]
)
def test_chapter_0_its_pictures_and_its_links_are_served(started: Callable, says: str, tmp_path):
    command = [*started(tmp_path / "chapters"), *FLAGS, f"--ServerApp.port={free_port()}"]
    with printed_address(command, tmp_path) as address:
        assert says in (tmp_path / "log").read_text()
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
