"""A process for a student's code: its own folder, little memory, no network and no other process in sight.

What the system offers is used: where `unshare` of util-linux works, the process has namespaces of its own, so that it
sees no network, can signal nothing outside, and all that it starts ends with it; where the grader is root, it runs as
the user nobody, who can write only in the process's own folder. `Isolation.describe()` says what was had.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Isolation", "Limits", "hide_memory", "isolation", "student_process"]

NOBODY = 65534
PR_SET_DUMPABLE = 4
# that nobody's Python is this one, and not another whose library happens to be readable
TRIAL = "import sys, sbgm.course.student; assert sys.base_prefix == {!r}"


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on what a student's process may use.

    Attributes:
        start_seconds: until the answers are defined, imports included.
        call_seconds: for one call of an answer.
        exercise_seconds: for all calls of one exercise.
        memory: bytes of memory of its own.
        file: bytes of any one file it writes.
    """

    start_seconds: float = 60.0
    call_seconds: float = 20.0
    exercise_seconds: float = 60.0
    memory: int = 2 * 2**30
    file: int = 2**24


@dataclasses.dataclass(frozen=True)
class Isolation:
    """A way to keep a process apart: the words put before its command, and what they give."""

    prefix: tuple[str, ...]
    namespaces: bool
    as_nobody: bool

    def describe(self) -> str:
        """Say in a sentence what keeps a student's process apart."""
        parts = ["process and time and memory limits of its own"]
        parts += ["no network, no other process in sight"] if self.namespaces else []
        parts += ["the user nobody, who can write nothing of yours"] if self.as_nobody else []
        missing = [] if self.namespaces else ["namespaces: it can reach the network and your other processes"]
        missing += [] if self.as_nobody else ["another user: it can write what you can, so use an account made for it"]
        return "; ".join(parts) + (f". Not had here: {'; '.join(missing)}." if missing else ".")


@functools.cache
def isolation() -> Isolation:
    """The strongest isolation that works on this machine, found by trying it on the very imports that are needed.

    Raises:
        OSError: this is Windows, which has no such limits.
    """
    if os.name != "posix":
        raise OSError("grading needs Linux or macOS: Windows can't limit what a process may use")
    orphaned = ("setpriv", "--pdeathsig", "KILL")  # ends with its grader, should that be killed
    unshare = ("--net", "--ipc", "--pid", "--fork", "--kill-child")
    namespaces = (*orphaned, "unshare", *unshare)
    # once more at the end, for whoever becomes another user loses it
    as_nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", *orphaned[1:])
    may_read = tuple(f"--{which}-caps=-all,+dac_read_search" for which in ("inh", "ambient"))
    if os.getuid() == 0:
        candidates = [
            Isolation((*namespaces, *as_nobody), True, True),
            Isolation((*namespaces, *as_nobody, *may_read), True, True),  # Python itself lies where only root reads
            Isolation(namespaces, True, False),
        ]
    else:
        candidates = [Isolation((*orphaned, "unshare", "--map-root-user", *unshare), True, False)]
    if shutil.which("unshare"):
        for candidate in candidates:
            trial = [*candidate.prefix, sys.executable, "-c", TRIAL.format(sys.base_prefix)]
            with tempfile.TemporaryDirectory() as folder:
                os.chmod(folder, 0o755)  # for nobody to enter
                if subprocess.run(trial, capture_output=True, cwd=folder, env=_environment(folder)).returncode == 0:
                    return candidate
    return Isolation((), False, False)


@contextlib.contextmanager
def student_process(limits: Limits) -> Iterator[subprocess.Popen]:
    """Start a student's process in a folder of its own, and end it, and all that it started, on leaving."""
    apart = isolation()
    with tempfile.TemporaryDirectory(prefix="sbgm-student-", ignore_cleanup_errors=True) as folder:
        if apart.as_nobody:
            os.chown(folder, NOBODY, NOBODY)
        process = subprocess.Popen(
            [*apart.prefix, sys.executable, "-m", "sbgm.course.student", str(limits.memory), str(limits.file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()


def hide_memory() -> None:
    """Keep other processes of this user from reading this one's memory, where its seeds are; does nothing off Linux."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _environment(folder: str) -> dict[str, str]:
    """The variables that a student's process gets: of the grader's own, only where programs are."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
