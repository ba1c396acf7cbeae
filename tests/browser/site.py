"""A site, served on this machine."""

import contextlib
import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple


class Site(NamedTuple):
    """A site that is served.

    Attributes:
        folder: of its pages.
        address: of that folder on the server.
    """

    folder: Path
    address: str

    def pages(self) -> list[str]:
        """The paths of all pages, from `folder`."""
        return sorted(page.relative_to(self.folder).as_posix() for page in self.folder.rglob("*.html"))


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def served_site(folder: Path) -> Iterator[Site]:
    """The pages of a folder, served on a free port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Site(folder, f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()
