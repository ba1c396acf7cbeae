"""The browser: found on this machine, started without a screen, and cut off from the network."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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


class BrowserMissingError(Exception):
    """There is no browser to test with; the message says what is missing."""


def find_chromium() -> str:
    """The path of the Chromium that $SBGM_CHROMIUM names, else of the first of NAMES on PATH.

    Raises:
        BrowserMissingError: there is none.
    """
    chosen = os.environ.get("SBGM_CHROMIUM")
    for name in [chosen] if chosen else NAMES:
        if path := shutil.which(name):
            return path
    if chosen:
        raise BrowserMissingError(f"SBGM_CHROMIUM must be a program, got {chosen!r}")
    raise BrowserMissingError(f"needs a browser: none of {', '.join(NAMES)} is on PATH, and SBGM_CHROMIUM is not set")


@contextlib.contextmanager
def running_chromium() -> Iterator[Browser]:
    """A browser that closes at the end.

    Raises:
        BrowserMissingError: playwright or a Chromium is missing, or it does not start.
    """
    if importlib.util.find_spec("playwright") is None:
        raise BrowserMissingError("needs playwright: python -m pip install -e '.[test]'")
    from playwright.sync_api import Error, sync_playwright

    path = find_chromium()
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            raise BrowserMissingError(f"{path} does not start: {str(error).splitlines()[0]}") from error
        yield browser
        browser.close()
