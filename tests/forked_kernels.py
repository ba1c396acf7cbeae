"""Kernels that are forked from a process which has imported the libraries that a chapter imports.

Otherwise each of the chapters' kernels spends some five seconds on it, most of them on torch.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from jupyter_client.provisioning import local_provisioner

# Libraries that do the same wherever they are imported: tqdm and ipywidgets look whether they are in a notebook.
PRELOADED = (
    "torch._dynamo",
    "scipy.stats",
    "sklearn.linear_model",
    "pandas",
    "matplotlib.pyplot",
    "ipykernel.kernelapp",
)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(PRELOADED))
TESTS = Path(__file__).resolve().parent
INLINE = "module://matplotlib_inline.backend_inline"


@contextlib.contextmanager
def forked_kernels() -> Iterator[None]:
    """Have Jupyter fork the kernels that it starts meanwhile."""
    with mock.patch.object(local_provisioner, "launch_kernel", ForkedKernel):
        yield


class ForkedKernel:
    """A kernel's process, as Jupyter wants to see it: a `subprocess.Popen` without pipes.

    Args:
        command: that would start the kernel; its last word is the connection file.
        cwd: the kernel's folder.
        env: its environment.
    """

    stdin = stdout = stderr = None

    def __init__(self, command: list[str], *, cwd: str, env: dict[str, str], **others: object) -> None:
        self._process = FORKS.Process(target=_be_kernel, args=(command[-1], cwd, env))
        self._process.start()
        self.pid = self._process.pid
        while os.getpgid(self.pid) != self.pid:  # Jupyter signals the group: not that of pytest
            time.sleep(0.01)

    def poll(self) -> int | None:
        """The exit status, once there is one."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status, once there is one or after `timeout` seconds."""
        self._process.join(timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the process to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End the process."""
        self._process.kill()


def _be_kernel(connection_file: str, cwd: str, env: dict[str, str]) -> None:
    """Become what `python -m ipykernel_launcher -f FILE` is: of pytest's own paths and streams nothing is left."""
    import matplotlib
    from ipykernel.kernelapp import launch_new_instance

    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    sys.path[:] = [path for path in sys.path if Path(path) not in (TESTS, TESTS.parent / "tools")]
    matplotlib.rcParams["backend"] = INLINE  # ipykernel sets a variable, which matplotlib has read when imported
    launch_new_instance(["-f", connection_file, f"--IPKernelApp.parent_handle={os.getppid()}"])  # ends with its parent
