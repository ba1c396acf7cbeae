"""A JupyterLab of the test's own: on this machine only, and blind to the user's settings."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from open_lab import SETTINGS
from processes import free_port

START_SECONDS = 500
FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
    "SBGM_LEDGER": "ledger",
}
FLAGS = (
    "--no-browser",
    "--allow-root",  # in a container one is root
    "--ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


class Lab:
    """A JupyterLab that runs.

    Attributes:
        notebooks: the folder that it shows.
    """

    def __init__(self, folder: Path, port: int, token: str) -> None:
        self.notebooks = folder / "notebooks"
        self._runtime, self._address, self._token = folder / "runtime", f"http://127.0.0.1:{port}", token

    def url(self, path: str) -> str:
        """The address of a path on the server, with the token that opens it."""
        return f"{self._address}{path}?token={self._token}"

    def ask(self, path: str, method: str = "GET") -> object:
        """The server's JSON answer, or None where it has no content."""
        with urllib.request.urlopen(urllib.request.Request(self.url(path), method=method), timeout=500) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def run_in_kernel(self, kernel_id: str, code: str) -> str:
        """Run code in a kernel of the server, from outside the browser; return what it prints."""
        connection = self._runtime / f"kernel-{kernel_id}.json"
        command = [sys.executable, "-m", "jupyter", "run", f"--existing={connection}"]
        return subprocess.run(command, input=code, capture_output=True, text=True, check=True, timeout=500).stdout


@contextlib.contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """A JupyterLab on folder/notebooks, on a free port of this machine; everything it writes goes into `folder`.

    Raises:
        RuntimeError: it does not start; the message holds its log.
    """
    (folder / "notebooks").mkdir(parents=True)
    port, token = free_port(), secrets.token_hex(16)
    lab = Lab(folder, port, token)
    environment = os.environ | {name: str(folder / place) for name, place in FOLDERS.items()}
    environment |= {"JUPYTER_TOKEN": token, "JUPYTER_CONFIG_PATH": str(SETTINGS)}
    command = [sys.executable, "-m", "jupyterlab", *FLAGS, f"--port={port}", f"--ServerApp.root_dir={lab.notebooks}"]
    log = folder / "server.log"
    with log.open("w") as file:
        server = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        _wait_for(lab, server, log)
        yield lab
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(lab: Lab, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, TimeoutError, ConnectionError):
            lab.ask("/api/status")
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
