"""A browser, a JupyterLab, and the tests' site.

Without a browser these tests are skipped, or fail if SBGM_REQUIRE_BROWSER=1, as in CI.
"""

import functools
import importlib.util
import os
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from scratch_site import built_once

from .lab import running_lab

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # a request to elsewhere is seen, and fails
)


@pytest.fixture(scope="package")  # not session: while playwright runs, other tests can't start an event loop
def browser():
    """A headless Chromium, cut off from the network: the one that $SBGM_CHROMIUM names, else the first on PATH."""
    give_up = pytest.fail if os.environ.get("SBGM_REQUIRE_BROWSER") == "1" else pytest.skip
    names = [os.environ["SBGM_CHROMIUM"]] if os.environ.get("SBGM_CHROMIUM") else NAMES
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        give_up(f"needs a browser: SBGM_CHROMIUM, or else PATH, must name one, and there is no {', '.join(names)}")
    if importlib.util.find_spec("playwright") is None:
        give_up("needs playwright: python -m pip install -e '.[test]'")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            give_up(f"{path} does not start: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def lab(browser, tmp_path_factory):
    """A JupyterLab, started only where there is a browser to open it."""
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


class Site(NamedTuple):
    """The folder of a site, and its address on a server."""

    folder: Path
    address: str


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="package")
def site(browser, tmp_path_factory):
    """The tests' site, on a server of this machine."""
    folder = built_once(tmp_path_factory)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Site(folder, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
