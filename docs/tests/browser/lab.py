"""A JupyterLab of the test's own, on this machine only and blind to the user's settings, and a notebook open in it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from open_lab import SETTINGS
from processes import free_port

from .watch import Watch

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

START_SECONDS = 500
SECONDS = 500  # for what the page does: a quick matter, unless the machine is busy
FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "SBGM_LEDGER": "ledger",
}
FLAGS = ["--no-browser", "--ip=127.0.0.1"]
if os.getuid() == 0:  # as in a container
    FLAGS.append("--allow-root")
OFFLINE = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


# --- the server -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def printed_address(command: list[str], folder: Path, **environment: str) -> Iterator[str]:
    """Start a JupyterLab that keeps to `folder`, and give the address that it prints, once it answers there.

    Raises:
        RuntimeError: it printed none in time; the message holds its log.
    """
    command = [*command, *FLAGS, f"--ServerApp.port={free_port()}"]
    environment = os.environ | {name: str(folder / place) for name, place in FOLDERS.items()} | environment
    log = folder / "log"
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as server:
        try:
            end = time.monotonic() + START_SECONDS
            address = ""
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
        return client.connect_ex(("127.0.0.1", urlsplit(address).port)) == 0


class Lab:
    """A JupyterLab that runs.

    Args:
        notebooks: the folder that it shows.
        address: the one that it printed, with the token that opens it.
    """

    def __init__(self, notebooks: Path, address: str) -> None:
        self.notebooks = notebooks
        self._address = urlsplit(address)

    def url(self, path: str) -> str:
        """The address of a path on the server."""
        return self._address._replace(path=path).geturl()

    def ask(self, path: str, method: str = "GET") -> list[dict]:
        """The server's JSON answer, empty where it has no content."""
        with urllib.request.urlopen(urllib.request.Request(self.url(path), method=method), timeout=SECONDS) as answer:
            return json.loads(answer.read() or "[]")


@contextlib.contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """A JupyterLab on folder/notebooks, on a free port of this machine; everything it writes goes into `folder`."""
    (notebooks := folder / "notebooks").mkdir(parents=True)
    command = [sys.executable, "-m", "jupyterlab", *OFFLINE, f"--ServerApp.root_dir={notebooks}"]
    with printed_address(command, folder, JUPYTER_CONFIG_PATH=str(SETTINGS)) as address:
        yield Lab(notebooks, address)


# --- a notebook -------------------------------------------------------------------------------------------------------

ERROR = '[data-mime-type="application/vnd.jupyter.error"]'
# A cell that was not run has an empty prompt, one that waits or runs a star.
HAVE_RUN = "[...document.querySelectorAll('.jp-InputPrompt')].every(prompt => !/\\[[ *]\\]/.test(prompt.textContent))"


class OpenNotebook:
    """A notebook of the lab's folder, open in a page.

    Attributes:
        page: the browser's page.
        watch: what went wrong on it.
    """

    def __init__(self, name: str, lab: Lab, context: BrowserContext) -> None:
        self.watch = Watch(context)
        self._name = name
        self._lab = lab
        context.set_default_timeout(1e3 * SECONDS)
        self.page = context.new_page()
        self._open()

    def choose(self, menu: str, item: str) -> None:
        """Choose an item of a menu, by the beginning of its name."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.locator(".lm-Menu-item", has_text=re.compile(rf"^{item}")).first.click()

    def run_all(self) -> None:
        """Run All Cells, and wait until each has run; none may raise, which ends the run."""
        self.choose("Run", "Run All Cells")
        self.page.wait_for_function(f"() => document.querySelector('{ERROR}') || {HAVE_RUN}")
        assert self.page.locator(ERROR).all_inner_texts() == []

    def reopen(self) -> None:
        """Save, end the kernel and open the file again."""
        self.choose("File", "Save Notebook")
        self.page.wait_for_selector(".jp-mod-dirty", state="detached")
        self.end()
        self._open()

    def end(self) -> None:
        """End the kernel."""
        for session in self._sessions():
            self._lab.ask(f"/api/sessions/{session['id']}", method="DELETE")

    def _open(self) -> None:
        """Open the file, and wait until its kernel rests and the page hears it."""
        self.page.goto(self._lab.url(f"/lab/tree/{self._name}") + "&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        end = time.monotonic() + SECONDS
        while not any(k["connections"] and k["execution_state"] == "idle" for k in self._kernels()):
            assert time.monotonic() < end, f"the kernel of {self._name} is not ready: {self._kernels()}"
            self.page.wait_for_timeout(200)

    def _sessions(self) -> list[dict]:
        return [session for session in self._lab.ask("/api/sessions") if session["path"] == self._name]

    def _kernels(self) -> list[dict]:
        return [session["kernel"] for session in self._sessions()]


# --- the sliders ------------------------------------------------------------------------------------------------------


class Slider:
    """One slider over a list of values, with its number beside it.

    Attributes:
        name: its description.
        handle: what a key moves.
    """

    def __init__(self, box: Locator) -> None:
        self.name = box.locator(".widget-slider .widget-label").inner_text()
        self.handle = box.locator(".noUi-handle")
        self._number = box.locator("input")

    @property
    def place(self) -> int:
        """The position in the list, from 0."""
        return round(float(self.handle.get_attribute("aria-valuetext")))

    @property
    def label(self) -> str:
        """The value beside the track."""
        return self._number.input_value()

    def press(self, key: str) -> None:
        """Press a key on the handle."""
        self.handle.press(key)


class Explorer:
    """An explorer on a page, by what a reader sees and does; brought into view.

    Args:
        page: the browser's page.
        words: some of the text for screen readers, which tell it from others.

    Attributes:
        picture: its image.
        sliders: by name, from the top.
    """

    def __init__(self, page: Page, words: str) -> None:
        self._box = page.locator(".sbgm-explorer", has_text=words)
        self.picture = self._box.locator("img.sbgm-figure")
        self.scroll_into_view()
        boxes = self._box.locator(".sbgm-slider").all()
        self.sliders = {slider.name: slider for slider in map(Slider, boxes)}

    def pixels(self) -> np.ndarray:
        """The picture as it is on the screen, (height, width, 3)."""
        return np.asarray(Image.open(io.BytesIO(self.picture.screenshot())).convert("RGB"))

    def wait(self, readout: str, before: str) -> None:
        """Wait until this is the readout, and the picture's address is no longer `before`."""
        self._box.locator(".sbgm-readout").get_by_text(readout, exact=True).wait_for()
        self._box.locator(f'img.sbgm-figure:not([src="{before}"])').wait_for()

    def is_cut_off(self) -> bool:
        """Whether a part of the readout is out of sight."""
        readout = self._box.locator(".sbgm-readout")
        return readout.evaluate("it => it.scrollWidth > it.clientWidth || it.scrollHeight > it.clientHeight")

    def scroll_into_view(self) -> None:
        """Scroll until it stays: Lab lays cells out when they come into view, and moves those below."""
        last = None
        while last != (now := self._box.bounding_box()):
            last = now
            self._box.evaluate("box => box.scrollIntoView({block: 'center'})")
            self._box.page.wait_for_timeout(300)
