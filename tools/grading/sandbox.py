"""A process for a student's code: walls by bubblewrap, limits by the kernel, and a clock that ends it.

bubblewrap (`bwrap`, Linux) gives the process mounts, processes, network and user of its own, none of the grader's
rights, and an end with the grader's. It sees Python, the system's programs and libraries, and of this project what a
chapter imports, all read-only: neither the answers and mistakes of the checks, nor a submission, nor anyone's files.
"""

import contextlib
import dataclasses
import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from grading.messages import MessageError, receive, send
from sbgm.checks import exercise
from sbgm.images.data import shipped_folder

TOOLS = Path(__file__).resolve().parents[1]
CHECKS = Path(exercise.__file__).resolve().parent
PACKAGE = CHECKS.parent
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache")
SCRATCH_FOLDERS = ("/tmp", "/dev/shm")
SCRATCH = 64 * 2**20  # bytes of each
GRACE = 30  # seconds, beyond those after which the student's process stops a cell itself
START = 120  # seconds, in which a process has to have started
LOST = (
    "a notebook can read and change your files, see your other processes, use the network, and leave processes behind; "
    "use a machine or an account that holds nothing else"
)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on a student's processes. What several of them take together is at most their number times each one's.

    Attributes:
        seconds: by the clock on the wall, for one cell and for one call of a function.
        minutes: by the clock on the wall, for all notebooks of a student.
        memory: bytes of one process, beyond its libraries.
        processes: how many there may be, threads included.
        file: bytes of one file.
    """

    seconds: int = 120
    minutes: float = 60
    memory: int = 4 * 2**30
    processes: int = 32
    file: int = 16 * 2**20

    def of_one_process(self) -> dict[str, int]:
        """The limits that the kernel holds for each process, as prlimit calls them."""
        return {
            "core": 0,
            "cpu": int(60 * self.minutes),
            "data": self.memory,
            "as": self.memory + _addresses(),  # shared memory, too; the libraries are those of the grader
            "fsize": self.file,
            "nofile": 128,
            "nproc": self.processes,
        }


def _addresses() -> int:
    """The bytes of addresses of this process, most of which libraries take: for CUDA 4 GiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Gone(BaseException):
    """The student's process ended, was too late, or sent what is no message; the text says which. No check goes on."""

    def __init__(self, text: str, *, late: bool) -> None:
        super().__init__(text)
        self.late = late


class Sandbox:
    """A student's process, to send messages to and to receive them from; a context that ends it.

    Args:
        limits: on it and on what it starts; without bubblewrap only those on time.
        isolated: whether it runs under bubblewrap; see `refusal`.
        until: `time.monotonic()` at which it is ended, whatever it does.
    """

    def __init__(self, limits: Limits, *, isolated: bool, until: float) -> None:
        self._limits = limits
        self._until = until
        self._late = False
        self._seconds = START  # that the next exchange may take
        self._stack = contextlib.ExitStack()
        command = [sys.executable, "-m", "grading.student"]
        if isolated:
            command = walled(command, limits)
            home = "/tmp"  # its own
        else:
            home = self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        (asks, self._sink), (self._source, says) = Pipe(duplex=False), Pipe(duplex=False)
        with asks, says:
            self._process = subprocess.Popen(
                command,
                stdin=asks.fileno(),
                stdout=says.fileno(),
                stderr=subprocess.DEVNULL,
                cwd=home,
                env=_variables(home),
                start_new_session=True,
            )

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._process.wait()
        self._sink.close()
        self._source.close()
        self._stack.close()

    def exchange(self, fields: dict[str, object] | None = None, blob: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Send a message, if one is given, and receive the next; raise Gone, after the limit on time at the latest."""
        left = min(self._seconds + GRACE, self._until - time.monotonic())
        self._seconds = self._limits.seconds
        clock = threading.Timer(max(left, 0), self._stop)
        clock.start()
        try:
            if fields is not None:
                send(self._sink, fields, blob)
            return receive(self._source)
        except MessageError as error:
            raise Gone(f"its process sent what can't be read: {error}", late=self._late) from error
        except (EOFError, OSError):
            if self._late:
                raise Gone(f"it took longer than {self._allowed()}, and was ended", late=True) from None
            raise Gone("its process ended: did it exit, or run out of memory?", late=False) from None
        finally:
            clock.cancel()

    def _allowed(self) -> str:
        if time.monotonic() >= self._until:
            return f"{self._limits.minutes:g} minutes in all"
        return f"{self._limits.seconds} seconds"

    def _stop(self) -> None:
        self._late = True
        self._end()

    def _end(self) -> None:
        """End the process and, under bubblewrap, all that it started: that ends with its first process."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter of macOS, for one that has ended
            os.killpg(self._process.pid, signal.SIGKILL)


def _variables(home: str) -> dict[str, str]:
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
        "PYTHONPATH": os.pathsep.join(map(str, (PACKAGE.parent, TOOLS))),
    }


@functools.cache
def refusal() -> str:
    """Say why bubblewrap can't isolate processes here, found by trying; "" if it can."""
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (on Debian and Ubuntu: apt install bubblewrap; it needs Linux)"
    command = walled([sys.executable, "-c", "import grading.student"], Limits())
    trial = subprocess.run(command, env=_variables("/tmp"), capture_output=True, text=True, timeout=300)
    if trial.returncode == 0:
        return ""
    last = trial.stderr.strip().splitlines()[-1:] or [f"exit status {trial.returncode}"]
    return f"the system refuses it ({last[0]})"


def walled(command: list[str], limits: Limits) -> list[str]:
    """The command that starts another under bubblewrap, and within limits."""
    own = [f"--{name}={value}" for name, value in limits.of_one_process().items()]
    # Where the machine's memory runs out, the system ends the process with the highest number first.
    command = ["/usr/bin/choom", "-n", "1000", "--", "/usr/bin/prlimit", *own, "--", *command]
    bubblewrap = [shutil.which("bwrap") or "bwrap", "--die-with-parent"]
    apart = ["--new-session", "--chdir", "/tmp", "--cap-drop", "ALL"]
    if os.getuid() == 0:
        # The kernel limits no number of root's processes, so the student's are those of a user whom no one else is,
        # which setpriv makes of them with two rights that it then loses. That user can't reach bubblewrap's process.
        user = str(2**30 + secrets.randbelow(2**29))
        command = ["/usr/bin/setpriv", "--reuid", user, "--regid", user, "--clear-groups", *command]
        apart += [f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts", "cgroup-try")]
        apart += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        return [*bubblewrap, *apart, *_in_sight(), "--", *command]
    # An ordinary user's processes could reach the first one, which is bubblewrap's, and have it outlive the grader.
    # They do not see that of a second bubblewrap around the first, with which all of them end.
    outer = [*bubblewrap, "--unshare-user", "--unshare-pid", "--dev-bind", "/", "/", "--"]
    return [*outer, *bubblewrap, "--unshare-all", *apart, *_in_sight(), "--", *command]


def _in_sight() -> list[str]:
    """The words that tell bubblewrap what a student's process sees; what comes later is put on top."""
    words = ["--proc", "/proc", "--dev", "/dev"]
    for folder in SCRATCH_FOLDERS:
        words += ["--perms", "1777", "--size", str(SCRATCH), "--tmpfs", folder]
    python = [Path(place, name) for place in (sys.base_prefix, sys.prefix) for name in ("bin", "lib", "pyvenv.cfg")]
    packages = [Path(place) for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    words += _shown([Path(path) for path in SYSTEM])
    words += [*_entered([TOOLS]), "--perms", "0755", "--tmpfs", str(TOOLS.parent)]  # it may lie below these
    words += _shown([*python, *packages])
    words += _shown([PACKAGE, *(shipped_folder() / name for name in ("mnist_small", "weights", "results"))])
    words += ["--perms", "0755", "--tmpfs", str(CHECKS)]  # not its chapters, nor what Python keeps of them compiled
    words += _shown([path for path in CHECKS.glob("*.py*") if not path.name.startswith("chapter_")])
    words += _shown([TOOLS / "grading" / name for name in ("student.py", "messages.py")])
    for folder in (CHECKS, "/dev", "/"):
        words += ["--remount-ro", str(folder)]
    return words


def _shown(paths: list[Path]) -> list[str]:
    """The words that put those paths in sight that there are, read-only."""
    there = [path for path in paths if path.exists()]
    return _entered(there) + [word for path in there for word in ("--ro-bind", str(path), str(path))]


def _entered(paths: list[Path]) -> list[str]:
    """The words that let anyone enter the folders above paths."""
    folders = sorted({parent for path in paths for parent in path.parents} - {Path("/")})
    return [word for folder in folders for word in ("--perms", "0755", "--dir", str(folder))]
