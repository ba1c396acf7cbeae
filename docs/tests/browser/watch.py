"""What a page says and asks for behind the reader's back: its errors, and its requests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

PHONE = {"width": 375, "height": 812}
TYPESET = "() => !window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"
LOCAL_SCHEMES = ("data", "blob", "file")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Watch:
    """Listens to every page of a browser context, from now on.

    Attributes:
        errors: uncaught exceptions, and what was written to the console as an error.
        failed: requests without an answer, or answered by a status of 400 or more. One that the browser itself gave
            up does not count: it does so when it leaves a page whose last picture or icon is still on its way.
        outside: addresses asked for that are not on this machine.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.begin_anew()
        context.on("weberror", lambda error: self.errors.append(f"uncaught: {error.error}"))
        context.on("console", self._hear)
        context.on("request", lambda request: self._see(request.url))
        context.on("requestfailed", self._fail)
        context.on("response", self._judge)
        context.on("page", lambda page: page.on("websocket", lambda socket: self._see(socket.url)))

    def begin_anew(self) -> None:
        """Forget what was heard so far, as of another page."""
        self.errors: list[str] = []
        self.failed: list[str] = []
        self.outside: list[str] = []

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def _see(self, url: str) -> None:
        if not is_local(url):
            self.outside.append(url)

    def _fail(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":
            self.failed.append(f"{request.url}: {request.failure}")

    def _judge(self, response: Response) -> None:
        if response.status >= 400:
            self.failed.append(f"{response.url}: status {response.status}")


def is_local(url: str) -> bool:
    """Whether a request for this URL stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in LOCAL_SCHEMES or parts.hostname in LOOPBACK


@contextlib.contextmanager
def watched_page(browser: Browser, **options: object) -> Iterator[Page]:
    """A page of its own, in a context with these options; at the end nothing may have gone wrong on it."""
    with browser.new_context(**options) as context:
        watch = Watch(context)
        yield context.new_page()
        assert (watch.errors, watch.failed, watch.outside) == ([], [], [])
