"""What `make lab` opens, asked of its own server without a browser."""

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import open_lab
from browser.lab import FOLDERS
from processes import free_port

START_SECONDS = 500
# `make lab` on another folder than the reader's own work/
MAKE_LAB = """
import pathlib, sys, open_lab
open_lab.WORK = pathlib.Path(sys.argv.pop(1))
sys.exit(open_lab.main(sys.argv[1:]))
"""


def test_the_address_that_is_printed_opens_chapter_0_in_a_copy_and_its_film_is_served(tmp_path):
    environment = os.environ | {name: str(tmp_path / place) for name, place in FOLDERS.items()}
    environment["PYTHONPATH"] = str(Path(open_lab.__file__).parent)
    flags = ["--no-browser", "--ip=127.0.0.1", "--allow-root", f"--ServerApp.port={free_port()}"]
    command = [sys.executable, "-c", MAKE_LAB, str(tmp_path / "work"), *flags]
    log, found, end = tmp_path / "log", None, time.monotonic() + START_SECONDS
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as server:
        try:
            while not found:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
                found = re.search(r"http://127\.0\.0\.1:\S+token=\S+\n", log.read_text())
            address = urllib.parse.urlsplit(found[0].strip())
            place = address.path.removeprefix("/lab/tree/")
            assert place == "00_start_here.ipynb"
            for path in (address.path, f"/nbconvert/html/{place}", f"/api/contents/{place}"):
                with urllib.request.urlopen(address._replace(path=path).geturl(), timeout=500) as answer:
                    content = answer.read()
        finally:
            server.terminate()
    cells = json.loads(content)["content"]["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    film = next(data["image/png"] for data in outputs if "image/png" in data)
    assert b"acTL" in base64.b64decode(film)  # it moves
    assert (tmp_path / "work" / place).is_file()
