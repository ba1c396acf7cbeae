"""A process for a student's code: walls by bubblewrap, limits by the kernel, and a clock that ends it.

bubblewrap (`bwrap`, Linux) gives the process mounts, processes, network and user of its own, none of the grader's
rights, and an end with the grader's. It sees Python, the system's programs and libraries, and of this project what a
chapter imports, all read-only: neither the answers and mistakes of the checks, nor a submission, nor anyone's files.
"""

import contextlib
import dataclasses
import functools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle

from sbgm.files import shipped_folder
from sbgm_course import exercise

TOOLS = Path(__file__).resolve().parents[1]
ROOT = TOOLS.parent
CHECKS = Path(exercise.__file__).resolve().parent
PACKAGE = CHECKS.parent / "sbgm"
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache")
SCRATCH = 64 * 2**20  # bytes of /tmp, and of /dev/shm
START = 120  # seconds, in which a process has to have started
GRACE = 30  # seconds, beyond those after which the student's process stops a cell itself
LARGEST_OBJECT = 2**20  # bytes of a message's JSON
LARGEST = 64 * 2**20  # bytes of its tensors
LOST = (
    "a notebook can read and change your files, see your other processes, use the network, and leave processes behind; "
    "use a machine or an account that holds nothing else"
)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on a student's processes. What several of them take together is at most their number times each one's.

    Attributes:
        seconds: by the clock on the wall, for one cell and for one call of a function.
        in_all: seconds by the clock on the wall, for all notebooks of a student.
        memory: bytes of one process, beyond its libraries.
        processes: how many there may be, threads included.
        file: bytes of one file.
    """

    seconds: int = 120
    in_all: int = 3_600
    memory: int = 4 * 2**30
    processes: int = 32
    file: int = 16 * 2**20


class Gone(BaseException):
    """The student's process ended, was too late, or sent what is no message; the text says which. No check goes on."""

    def __init__(self, text: str, *, late: bool = False) -> None:
        super().__init__(text)
        self.late = late


class Student:
    """A student's process, as the grader sees it.

    Args:
        process: it.
        line: the pipe to it.
        limits: on it; of these the clock is kept here.
        until: `time.monotonic()` at which it is ended, whatever it does.
    """

    def __init__(self, process: subprocess.Popen, line: Connection, limits: Limits, until: float) -> None:
        self._process = process
        self._line = line
        self._limits = limits
        self._until = until
        self._late = False
        self._gone: Gone | None = None

    def exchange(self, message: object, grace: float | None = None) -> tuple[Any, bytes]:
        """Send a message, any object; return the next one that comes, which is only data: what JSON holds, and bytes.

        Args:
            message: to send.
            grace: seconds beyond those of a cell, GRACE unless told otherwise.

        Raises:
            Gone: no message came in time, or none that can be read.
        """
        if self._gone:
            raise self._gone
        wait = self._limits.seconds + (GRACE if grace is None else grace)
        clock = threading.Timer(max(0, min(wait, self._until - time.monotonic())), self._stop)
        clock.start()
        try:
            self._line.send_bytes(cloudpickle.dumps(message))
            text = self._line.recv_bytes(LARGEST_OBJECT)
            blob = self._line.recv_bytes(LARGEST)
            return json.loads(text), blob
        except (EOFError, OSError, ValueError, RecursionError) as error:
            self.end()
            reason = f"its process sent what can't be read: {error}"
            if self._late:
                seconds = f"{self._limits.seconds} seconds, or than {self._limits.in_all} in all"
                reason = f"it took longer than {seconds}, and was ended"
            elif isinstance(error, EOFError | ConnectionError):
                reason = "its process ended: did it exit, or run out of memory?"
            self._gone = Gone(reason, late=self._late)
            raise self._gone from error
        finally:
            clock.cancel()

    def _stop(self) -> None:
        self._late = True
        self.end()

    def end(self) -> None:
        """End the process and, under bubblewrap, all that it started: that ends with its first process."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter of macOS, for one that has ended
            os.killpg(self._process.pid, signal.SIGKILL)


@contextlib.contextmanager
def student_process(limits: Limits, *, isolated: bool, until: float) -> Iterator[Student]:
    """Start a student's process, and end it when the block is left.

    Args:
        limits: on it and on what it starts; without bubblewrap only those on time.
        isolated: whether it runs under bubblewrap; see `refusal`.
        until: `time.monotonic()` at which it is ended, whatever it does.
    """
    command = [sys.executable, "-m", "grading.student"]
    if isolated:
        command = walled(command, limits)
        scratch = contextlib.nullcontext("/tmp")  # its own
    else:
        scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    line, its_end = Pipe()
    with scratch as home, line:
        with its_end:
            process = subprocess.Popen(
                command,
                stdin=its_end.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=home,
                env=variables(home),
                start_new_session=True,
            )
        student = Student(process, line, limits, until)
        try:
            yield student
        finally:
            student.end()
            process.wait()


def variables(home: str) -> dict[str, str]:
    """The environment of a student's process; none of the grader's own."""
    return {
        "PATH": os.defpath,
        "HOME": home,
        "TMPDIR": home,
        "USER": "student",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # as in Jupyter: a figure is closed with its cell
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (CHECKS.parent, TOOLS))),
    }


@functools.cache
def refusal() -> str:
    """Say why bubblewrap can't isolate processes here, found by trying; "" if it can."""
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (on Debian and Ubuntu: apt install bubblewrap; it needs Linux)"
    command = walled([sys.executable, "-c", "import grading.student"], Limits())
    trial = subprocess.run(command, env=variables("/tmp"), capture_output=True, text=True, timeout=300)
    if trial.returncode == 0:
        return ""
    last = trial.stderr.strip().splitlines()[-1:] or [f"exit status {trial.returncode}"]
    return f"the system refuses it ({last[0]})"


def walled(command: list[str], limits: Limits) -> list[str]:
    """The command that starts another under bubblewrap, and within limits that the kernel holds for each process."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    libraries = pages * os.sysconf("SC_PAGE_SIZE")  # the grader has the same; for CUDA they take 4 GiB of addresses
    bounds = {
        "core": 0,
        "cpu": limits.in_all,
        "data": limits.memory,
        "as": limits.memory + libraries,  # shared memory, too
        "fsize": limits.file,
        "nofile": 128,
        "nproc": limits.processes,
    }
    own = [f"--{name}={value}" for name, value in bounds.items()]
    # Where the machine's memory runs out, the system ends the process with the highest number first.
    command = ["/usr/bin/choom", "-n", "1000", "--", "/usr/bin/prlimit", *own, "--", *command]
    bubblewrap = [shutil.which("bwrap") or "bwrap", "--die-with-parent"]
    apart = ["--new-session", "--chdir", "/tmp", "--cap-drop", "ALL", *in_sight()]
    if os.getuid() == 0:
        # The kernel limits no number of root's processes, so the student's are those of a user whom no one else is,
        # which setpriv makes of them with two rights that it then loses. That user can't reach bubblewrap's process.
        user = str(2**30 + secrets.randbelow(2**29))
        command = ["/usr/bin/setpriv", "--reuid", user, "--regid", user, "--clear-groups", *command]
        apart += [f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts", "cgroup-try")]
        return [*bubblewrap, *apart, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--", *command]
    # An ordinary user's processes could reach the first one, which is bubblewrap's, and have it outlive the grader.
    # They do not see that of a second bubblewrap around the first, with which all of them end.
    outer = [*bubblewrap, "--unshare-user", "--unshare-pid", "--dev-bind", "/", "/", "--"]
    return [*outer, *bubblewrap, "--unshare-all", *apart, "--", *command]


def in_sight() -> list[str]:
    """The words that tell bubblewrap what a student's process sees; what comes later is put on top."""
    words = ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/dev/shm"):
        words += ["--perms", "1777", "--size", str(SCRATCH), "--tmpfs", folder]
    words += shown(map(Path, SYSTEM))
    words += [*entered([TOOLS]), "--perms", "0755", "--tmpfs", str(ROOT)]  # the rest may lie below it
    for prefix in (sys.base_prefix, sys.prefix):
        words += shown(Path(prefix, name) for name in ("bin", "lib", "pyvenv.cfg"))
    words += shown(Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages"))
    words += shown([PACKAGE, *(shipped_folder() / name for name in ("mnist_small", "weights", "results"))])
    words += entered([CHECKS])
    words += ["--perms", "0755", "--tmpfs", str(CHECKS)]  # not its chapters, nor what Python keeps of them compiled
    words += shown(path for path in CHECKS.glob("*.py*") if not path.name.startswith("chapter_"))
    words += shown([TOOLS / "grading" / "student.py"])
    for folder in (CHECKS, ROOT, "/dev", "/"):
        words += ["--remount-ro", str(folder)]
    return words


def shown(paths: Iterable[Path]) -> list[str]:
    """The words that put those of the paths in sight that there are, read-only."""
    paths = [path for path in paths if path.exists()]
    words = entered(paths)
    for path in paths:
        words += ["--ro-bind", str(path), str(path)]
    return words


def entered(paths: Iterable[Path]) -> list[str]:
    """The words that let anyone enter the folders above paths."""
    words = []
    for folder in sorted({parent for path in paths for parent in path.parents} - {Path("/")}):
        words += ["--perms", "0755", "--dir", str(folder)]
    return words
