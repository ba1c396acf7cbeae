"""A process for a student's code, with nothing in sight but Python, and little to spend.

On Linux bubblewrap (`bwrap`) gives it mounts, processes, network and user of its own, none of the grader's rights, and
an end with the grader's; `resource` limits what one process may use; and what all of them use together is looked at
ten times a second, since one account may not make a group of processes with a limit of its own (a cgroup).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import platform
import resource
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Limits", "Sandbox", "describe", "readable", "refusal"]

PACKAGE = Path(__file__).resolve().parents[1]
# what of the package an answer may use, and what the student's process itself is
IN_SIGHT = ("*.py", "*.pyi", "measure/*.py", "measure/*.pyi", "course/__init__.py", "course/checks.py*")
IN_SIGHT += tuple(f"course/{name}.py" for name in ("problems", "calls", "messages", "notebook", "student"))
SETPRIV = "/usr/bin/setpriv"
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", SETPRIV)
SCRATCH_FOLDERS, SCRATCH = ("/tmp", "/dev/shm"), 64 * 2**20  # bytes of each
MOST_TASKS = 64  # processes and threads
POLL_SECONDS = 0.1
MOST_BUSY, BUSY_LOOKS = 8, 5  # threads that want a processor, and how often in a row there may be more
# System calls that keep memory where no process' size shows it, reach the account's keys, or make namespaces: of each
# machine its mark, the number of `clone`, which may not make a user, and the numbers of those that are not had at all:
# shmget, socket, socketpair, msgget, add_key, request_key, keyctl, unshare, vmsplice, inotify_init1, fanotify_init,
# setns, memfd_create, io_uring_setup, clone3, memfd_secret, and the older inotify_init.
SYSTEM_CALLS = {
    "x86_64": (0xC000003E, 56, (29, 41, 53, 68, 248, 249, 250, 272, 278, 294, 300, 308, 319, 425, 435, 447, 253)),
    "aarch64": (0xC00000B7, 220, (194, 198, 199, 186, 217, 218, 219, 97, 75, 26, 262, 268, 279, 425, 435, 447)),
}
LOST = (
    "a notebook can read and change your files, see your other processes, use the network, and leave processes behind; "
    "use a machine or an account that holds nothing else"
)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on what a student's processes may use.

    Attributes:
        read_seconds: for the reading of one notebook.
        start_seconds: until the answers of one notebook are defined, imports included.
        call_seconds: for one call of an answer.
        exercise_seconds: for all calls of one exercise.
        student_seconds: for all of a student's notebooks.
        memory: bytes of memory, of all processes together.
        file: bytes of any one file.
    """

    read_seconds: float = 10.0
    start_seconds: float = 60.0
    call_seconds: float = 40.0
    exercise_seconds: float = 60.0
    student_seconds: float = 900.0
    memory: int = 2 * 2**30
    file: int = 2**24

    def of_one_process(self, isolated: bool) -> dict[str, int]:
        """The limits that the system holds for each process, by their names in `resource`.

        That on the number of processes counts those of a user: only one who is isolated has none but the student's.
        """
        return {
            "RLIMIT_CORE": 0,
            "RLIMIT_DATA": self.memory,
            "RLIMIT_AS": self.memory + 2 * 2**30,  # shared memory too; libraries take some 2 GiB of addresses
            "RLIMIT_FSIZE": self.file,
            "RLIMIT_NOFILE": 256,
            "RLIMIT_CPU": int(self.student_seconds),
        } | ({"RLIMIT_NPROC": MOST_TASKS} if isolated else {})


def readable() -> list[Path]:
    """The files and folders of this machine that a student's process can read, besides its own."""
    prefixes = [Path(sys.prefix), Path(sys.base_prefix)]
    libraries = [prefix / name for prefix in prefixes for name in ("lib", "lib64", "pyvenv.cfg")]
    libraries += [Path(place) for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    found = [path for path in [*map(Path, SYSTEM), *libraries, Path(sys.executable)] if path.exists()]
    outermost = dict.fromkeys(path for path in found if not set(path.parents) & set(found))
    return [*outermost, *(path for pattern in IN_SIGHT for path in sorted(PACKAGE.glob(pattern)))]


def describe(limits: Limits, *, isolated: bool) -> str:
    """Say in a few sentences what keeps a student's processes apart, and what they may read and use."""
    used = (
        f"{limits.memory / 2**30:g} GiB of memory, {MOST_TASKS} processes and threads, {MOST_BUSY} of them busy, "
        f"files of {limits.file / 2**20:g} MiB, {limits.student_seconds:g} seconds in all"
    )
    if not isolated:
        return f"none but limits on time and memory, in each process by itself ({used}); {LOST}"
    others = [path for path in readable() if PACKAGE not in path.parents]
    return (
        "bubblewrap: users, processes, network, mounts and devices of its own, no capability. In sight are "
        f"{', '.join(map(str, others))}, and of {PACKAGE} the library, measure, and what calls an answer; /proc shows "
        f"its own processes. It writes to /tmp and /dev/shm, its own, {SCRATCH / 2**20:g} MiB each. "
        f"All of its processes together may use {used}"
    )


@functools.cache
def refusal() -> str:
    """Say why bubblewrap can't isolate processes here, found by trying; "" if it can."""
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (on Debian and Ubuntu: apt install bubblewrap; it needs Linux)"
    if platform.machine() not in SYSTEM_CALLS:
        return f"which system calls to forbid on a {platform.machine()} is not known here"
    with _isolated([sys.executable, "-c", "import sbgm.course.calls, sbgm.course.student"]) as options:
        trial = subprocess.run(**options, capture_output=True, text=True, timeout=300)
    lines = trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"]
    return f"the system refuses it ({lines[-1]})" if trial.returncode else ""


@contextlib.contextmanager
def _isolated(command: list[str]) -> Iterator[dict[str, Any]]:
    """Give the arguments with which `subprocess` starts a command under bubblewrap; the filter is open meanwhile."""
    others, own = ([path for path in readable() if (PACKAGE in path.parents) is ours] for ours in (False, True))
    folder = ("--perms", "1777", "--size", str(SCRATCH), "--tmpfs")
    scratch = [word for place in SCRATCH_FOLDERS for word in (*folder, place)]
    closed = [word for place in (PACKAGE, "/dev", "/proc", "/") for word in ("--remount-ro", str(place))]
    # Python may lie below /tmp, and the package among its libraries: what comes later is put on top
    seen = ["--proc", "/proc", "--dev", "/dev", *scratch, *_shown(others)]
    seen += ["--perms", "0755", "--tmpfs", str(PACKAGE), *_shown(own), *closed]
    apart = [f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts", "cgroup-try")]
    apart += ["--hostname", "student", "--new-session", "--die-with-parent", "--chdir", "/tmp", "--cap-drop", "ALL"]
    if os.getuid() == 0:  # a user whom no one else is: the system limits no number of root's processes
        user = str(2**30 + secrets.randbelow(2**29))
        apart += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]  # for setpriv, which leaves it none
        command = [SETPRIV, "--reuid", user, "--regid", user, "--clear-groups", *command]
    else:
        apart += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    with tempfile.TemporaryFile() as file:
        file.write(_filter())
        file.seek(0)
        bubblewrap = [shutil.which("bwrap"), *apart, *seen, "--seccomp", str(file.fileno()), "--"]
        yield {"args": [*bubblewrap, *command], "env": _variables("/tmp"), "pass_fds": [file.fileno()]}


def _shown(paths: list[Path]) -> list[str]:
    """The words that put paths in sight, in folders that anyone may enter."""
    folders = sorted({parent for path in paths for parent in path.parents} - {Path("/")})
    entered = [word for folder in folders for word in ("--perms", "0755", "--dir", str(folder))]
    return entered + [word for path in paths for word in ("--ro-bind", str(path), str(path))]


def _filter() -> bytes:
    """The program (BPF) by which the system answers that it does not have a system call."""
    machine, clone, absent = SYSTEM_CALLS[platform.machine()]
    load, equal, at_least, has_bits, leave = 0x20, 0x15, 0x35, 0x45, 0x06
    rules = [(load, 0, 0, 4), (equal, 1, 0, machine), (leave, 0, 0, 0x8000_0000), (load, 0, 0, 0)]  # killed elsewhere
    rules += [(equal, len(absent) + 4 - i, 0, number) for i, number in enumerate(absent)]
    rules += [(at_least, 4, 0, 0x4000_0000), (equal, 0, 2, clone)]  # from 2³⁰ on they are those of another interface
    rules += [(load, 0, 0, 16), (has_bits, 1, 0, 0x1000_0000), (leave, 0, 0, 0x7FFF_0000), (leave, 0, 0, 0x0005_0026)]
    return b"".join(struct.pack("HBBI", *rule) for rule in rules)


def _variables(home: str) -> dict[str, str]:
    """The environment of a student's process, and of bubblewrap, which it can look into; none of the grader's own."""
    return {
        "PATH": os.defpath,
        "HOME": home,
        "TMPDIR": home,
        "USER": "student",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(PACKAGE.parent),
    }


class Sandbox:
    """A student's process, from its start until `close`.

    Attributes:
        sink: the descriptor to write to; it does not block.
        source: the descriptor to read from.
        exceeded: which limit all its processes together exceeded, as a sentence; they were ended then. "" if none.
    """

    def __init__(self, limits: Limits, *, isolated: bool) -> None:
        self._limits, self.exceeded, self._stack = limits, "", contextlib.ExitStack()
        given = [f"{name}={value}" for name, value in limits.of_one_process(isolated).items()]
        command = [sys.executable, "-m", "sbgm.course.student", *given]
        if isolated:
            options = self._stack.enter_context(_isolated(command))
        else:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            options = {"args": command, "env": _variables(folder), "cwd": folder}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(**options, **pipes, bufsize=0, start_new_session=True)
        self.sink, self.source = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self.sink, False)
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """End the process and all that it started."""
        self._closed.set()
        self._watcher.join()
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()
        self._stack.close()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter of macOS, for one that has ended
            os.killpg(self._process.pid, signal.SIGKILL)  # bubblewrap's own two; its namespace ends with them

    def _watch(self) -> None:
        looks = 0
        while not self._closed.wait(POLL_SECONDS) and not self.exceeded:
            processes = _descendants(self._process.pid)
            looks = looks + 1 if _busy(processes) > MOST_BUSY else 0
            if looks == BUSY_LOOKS:
                self.exceeded = f"more than {MOST_BUSY} processes or threads were busy at a time"
            if not _fit(processes, self._limits.memory):
                self.exceeded = f"they took more than {self._limits.memory / 2**30:g} GiB of memory"
        if self.exceeded:
            self._kill()


def _descendants(root: int) -> list[int]:
    """A process and all below it; few, since their number is limited."""
    found = [root]
    for process in found:  # it grows meanwhile
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{process}/task"):
                found += map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())
    return found


def _busy(processes: list[int]) -> int:
    """How many threads of processes run or wait for a processor, which other students' then have less of."""
    states = []
    for process in processes:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{process}/task"):
                states.append(Path(f"/proc/{process}/task/{thread}/stat").read_bytes().rpartition(b") ")[2][:1])
    return states.count(b"R")


def _fit(processes: list[int], memory: int) -> bool:
    """Whether processes take at most `memory` bytes together, with the files in their /tmp and /dev/shm.

    What several share counts once; the sizes that count it in each of them are quicker to read, and mostly suffice.
    """
    left = memory - max(map(_scratch, processes), default=0)
    return any(sum(map(size, processes)) <= left for size in (_resident, _proportional))


def _resident(process: int) -> int:
    """The bytes of a process in memory; 0 once it is gone."""
    with contextlib.suppress(OSError, IndexError):
        return resource.getpagesize() * int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return 0


def _proportional(process: int) -> int:
    """The bytes of a process in memory, its share of what it shares; all of that where the shares may not be read."""
    with contextlib.suppress(OSError, IndexError):
        return 1024 * int(Path(f"/proc/{process}/smaps_rollup").read_text().partition("\nPss:")[2].split()[0])
    return _resident(process)


def _scratch(process: int) -> int:
    """The bytes of the files in a process' /tmp and /dev/shm, a KiB more for each; 0 where these are the grader's."""
    with contextlib.suppress(OSError):
        ours = {os.stat(place).st_dev for place in SCRATCH_FOLDERS}
        folders = [f"/proc/{process}/root{place}" for place in SCRATCH_FOLDERS]
        used = [os.statvfs(folder) for folder in folders if os.stat(folder).st_dev not in ours]
        return sum((u.f_blocks - u.f_bfree) * u.f_frsize + (u.f_files - u.f_ffree) * 1024 for u in used)
    return 0
