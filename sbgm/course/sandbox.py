"""A process for a student's code, with nothing in sight but Python, and little to spend.

On Linux bubblewrap (`bwrap`) gives the process mounts, processes, network and user of its own, none of the grader's
rights, and an end with the grader's. `resource` limits what one process may use. What all of a student's processes use
together is looked at ten times a second; a group of processes with a limit of its own (a cgroup, version 2) holds their
memory as well, where the system lets the grader make one.
"""

import contextlib
import dataclasses
import functools
import json
import math
import os
import platform
import re
import secrets
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
# what of the package an answer may use, and what the student's process itself is
IN_SIGHT = ("*.py", "*.pyi", "measure/*.py", "measure/*.pyi", "course/__init__.py", "course/checks.py*")
IN_SIGHT += tuple(f"course/{name}.py" for name in ("problems", "calls", "messages", "notebook", "student"))
SETPRIV = "/usr/bin/setpriv"
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", SETPRIV)
SCRATCH_FOLDERS, SCRATCH = ("/tmp", "/dev/shm"), 64 * 2**20  # bytes of each
MOST_TASKS = 64  # processes and threads
POLL_SECONDS = 0.1
MOST_BUSY, BUSY_SECONDS = 2, 2.0  # threads that want a processor at a time, on average over more than these seconds
HELD = {"status": "VmRSS|VmSwap|VmPTE", "smaps_rollup": "Pss|SwapPss"}  # what a process' files call its memory
END_SECONDS = 30.0  # for the system to end what was killed
GROUPS = Path("/sys/fs/cgroup")
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# System calls that keep memory where no process' size shows it, reach other processes or the account's keys, leave the
# student's core or make namespaces, by their numbers on the two machines: an isolated process does not have them.
ABSENT = {
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "vmsplice": (278, 75), "socket": (41, 198), "socketpair": (53, 199),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "inotify_init": (253, 26),
    "inotify_init1": (294, 26), "fanotify_init": (300, 262), "io_uring_setup": (425, 425), "unshare": (272, 97),
    "setns": (308, 268), "clone3": (435, 435), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438), "sched_setaffinity": (203, 122),
}  # fmt: skip
# and those that it has only otherwise: the number, which argument, which of its bits, and what these may not be
LIMITED = {
    "clone": ((56, 220), 0, 0x1000_0000, 0x1000_0000),  # a user of its own
    "mmap": ((9, 222), 3, 0x21, 0x21),  # memory that is shared and in no file: it stays when no process shows it
    "prctl": ((157, 167), 0, 0xFFFF_FFFF, 1),  # to go on when the parent, and with it the grader, has ended
}
LOST = (
    "a notebook can read and change your files, see your other processes, use the network, and leave processes behind; "
    "use a machine or an account that holds nothing else"
)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on what a student's processes may use.

    Seconds are of work: those in which the processes have a processor, or sleep. While they wait for a processor that
    something else keeps busy no time counts.

    Attributes:
        seconds: for each piece of work: a notebook is read, an answer is defined, and all calls of it are made.
        total_seconds: for all of a student's notebooks.
        patience: by the clock on the wall, so many times these seconds may pass.
        memory: bytes of memory, of all processes together.
        file: bytes of any one file.
    """

    seconds: float = 60.0
    total_seconds: float = 900.0
    patience: float = 10.0
    memory: int = 2 * 2**30
    file: int = 2**24

    def of_one_process(self, isolated: bool) -> dict[str, int]:
        """The limits that the system holds for each process, by their names in `resource`.

        That on the number of processes counts those of a user: only one who is isolated has none but the student's.
        """
        return {
            "RLIMIT_CORE": 0,
            "RLIMIT_DATA": self.memory,
            "RLIMIT_AS": self.memory + 4 * 2**30,  # shared memory too; libraries for CUDA take 3.8 GiB of addresses
            "RLIMIT_FSIZE": self.file,
            "RLIMIT_NOFILE": 256,
            "RLIMIT_CPU": math.ceil(self.total_seconds),
        } | ({"RLIMIT_NPROC": MOST_TASKS} if isolated else {})


def readable() -> list[Path]:
    """The files and folders of this machine that a student's process can read, besides its own."""
    libraries = [Path(p, name) for p in (sys.prefix, sys.base_prefix) for name in ("lib", "lib64", "pyvenv.cfg")]
    libraries += [Path(place) for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    found = [path for path in [*map(Path, SYSTEM), *libraries, Path(sys.executable)] if path.exists()]
    outermost = dict.fromkeys(path for path in found if not set(path.parents) & set(found))
    return [*outermost, *(path for pattern in IN_SIGHT for path in sorted(PACKAGE.glob(pattern)))]


def describe(limits: Limits, *, isolated: bool) -> str:
    """Say in a few sentences what keeps a student's processes apart, and what they may read and use."""
    how = "looked at ten times a second" + ", and held by a cgroup" * bool(_divided())
    used = (
        f"{limits.memory / 2**30:g} GiB of memory ({how}), {MOST_TASKS} processes and threads, {MOST_BUSY} of them "
        f"busy, files of {limits.file / 2**20:g} MiB, {limits.seconds:g} seconds for an exercise and "
        f"{limits.total_seconds:g} in all"
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
    if platform.machine() not in MACHINES:
        return f"which system calls to forbid on a {platform.machine()} is not known here"
    with _isolated([sys.executable, "-c", "import sbgm.course.student"]) as options:
        trial = subprocess.run(**options, capture_output=True, text=True, timeout=300)
    lines = trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"]
    return f"the system refuses it ({lines[-1]})" if trial.returncode else ""


@contextlib.contextmanager
def _isolated(command: list[str], *told: int) -> Iterator[dict[str, Any]]:
    """Give the arguments with which `subprocess` starts a command under bubblewrap; the filter is open meanwhile.

    Where there is a descriptor more, bubblewrap writes the number of the namespace's first process to it.
    """
    others, own = ([path for path in readable() if (PACKAGE in path.parents) is ours] for ours in (False, True))
    folder = ("--perms", "1777", "--size", str(SCRATCH), "--tmpfs")
    # Python may lie below /tmp, and the package among its libraries: what comes later is put on top
    seen = [
        *("--proc", "/proc", "--dev", "/dev", "--ro-bind", "/dev/null", "/dev/zero"),
        *(word for place in SCRATCH_FOLDERS for word in (*folder, place)),
        *(*_shown(others), "--perms", "0755", "--tmpfs", str(PACKAGE), *_shown(own)),
        *(word for place in (PACKAGE, "/dev", "/proc", "/") for word in ("--remount-ro", str(place))),
    ]
    apart = [
        *(f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts", "cgroup-try")),
        *(word for descriptor in told for word in ("--info-fd", str(descriptor))),
        *("--hostname", "student", "--new-session", "--die-with-parent", "--chdir", "/tmp", "--cap-drop", "ALL"),
    ]
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
        yield {"args": [*bubblewrap, *command], "env": _variables("/tmp"), "pass_fds": [file.fileno(), *told]}


def _shown(paths: list[Path]) -> list[str]:
    """The words that put paths in sight, in folders that anyone may enter."""
    folders = sorted({parent for path in paths for parent in path.parents} - {Path("/")})
    entered = [word for folder in folders for word in ("--perms", "0755", "--dir", str(folder))]
    return entered + [word for path in paths for word in ("--ro-bind", str(path), str(path))]


def _filter() -> bytes:
    """The program (BPF) by which the system answers that it does not have a system call."""
    machine = platform.machine()
    which = list(MACHINES).index(machine)
    load, equal, at_least, and_, leave = 0x20, 0x15, 0x35, 0x54, 0x06
    absent, allowed = (leave, 0, 0, 0x0005_0026), (leave, 0, 0, 0x7FFF_0000)
    rules = [(load, 0, 0, 4), (equal, 1, 0, MACHINES[machine]), (leave, 0, 0, 0x8000_0000), (load, 0, 0, 0)]
    rules += [(at_least, 0, 1, 0x4000_0000), absent]  # from 2³⁰ on they are those of another interface
    always = [(numbers, 0, 0, 0) for numbers in ABSENT.values()]  # of any argument no bits are 0
    for numbers, argument, bits, value in [*always, *LIMITED.values()]:
        rules += [(equal, 0, 5, numbers[which]), (load, 0, 0, 16 + 8 * argument), (and_, 0, 0, bits)]
        rules += [(equal, 0, 1, value), absent, allowed]
    return b"".join(struct.pack("HBBI", *rule) for rule in [*rules, allowed])


@functools.cache
def _divided() -> Path | None:
    """The cgroup of this process if the system lets it divide that; the process itself is then in a part of it.

    So it is after `systemd-run --user --scope -p Delegate=yes`.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no such file; not of version 2
        own = GROUPS / re.search(r"^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.M)[1]  # pyright: ignore[reportOptionalSubscript] - a TypeError says that there is none
        alone = (own / "cgroup.procs").read_text().split() == [str(os.getpid())]
        if alone and "memory" in (own / "cgroup.controllers").read_text().split():
            (own / "grader").mkdir(exist_ok=True)  # a group that is divided holds no process itself
            (own / "grader" / "cgroup.procs").write_text(str(os.getpid()))
            (own / "cgroup.subtree_control").write_text("+memory")
            return own
    return None


@contextlib.contextmanager
def _group(divided: Path, memory: int) -> Iterator[Path]:
    """A new cgroup in a divided one that holds at most so much memory, and is ended as one."""
    group = divided / f"student-{secrets.token_hex(8)}"
    group.mkdir()
    for name, value in (("memory.max", memory), ("memory.swap.max", 0), ("memory.oom.group", 1)):
        with contextlib.suppress(FileNotFoundError):  # of swap, where the system counts none
            (group / name).write_text(str(value))
    yield group
    with contextlib.suppress(OSError):  # an older system, whose group is empty by now all the same
        (group / "cgroup.kill").write_text("1")
    with contextlib.suppress(OSError):
        group.rmdir()


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
        sink: the end of a pipe to send messages to.
        source: the end of another to receive messages from.
        exceeded: which limit all its processes together exceeded, as a sentence; they were ended then. "" if none.
        late: whether that was the limit on time.
    """

    def __init__(self, limits: Limits, *, isolated: bool) -> None:
        self._limits, self.exceeded, self.late, self._stack = limits, "", False, contextlib.ExitStack()
        own = (f"{name}={value}" for name, value in limits.of_one_process(isolated).items())
        command = [sys.executable, "-m", "sbgm.course.student", *own]
        divided, told = _divided(), os.pipe()
        self._group = self._stack.enter_context(_group(divided, limits.memory)) if divided else None
        if isolated:
            options = self._stack.enter_context(_isolated(command, told[1]))
        else:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            options = {"args": command, "env": _variables(folder), "cwd": folder}
        if self._group:
            enter = 'echo $$ > "$0" && exec "$@"'
            options["args"] = ["/bin/sh", "-c", enter, str(self._group / "cgroup.procs"), *options["args"]]
        (asks, self.sink), (self.source, says) = Pipe(duplex=False), Pipe(duplex=False)
        with asks, says:
            options |= {"stdin": asks, "stdout": says, "stderr": subprocess.DEVNULL, "start_new_session": True}
            self._process = self._stack.enter_context(subprocess.Popen(**options))
        self._too_much = f"they took more than {limits.memory / 2**30:g} GiB of memory"
        os.close(told[1])
        with open(told[0], "rb") as said:  # the first process of the namespace: all others end before it does
            self._first = os.pidfd_open(json.load(said)["child-pid"]) if isolated else None
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._times: dict[str, tuple[int, int]] = {}  # see _threads
        self._ran = self._waited = 0.0  # seconds with a processor, and waiting for one, of all threads
        self.allow(math.inf)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def allow(self, seconds: float) -> None:
        """Let a piece of work begin that may take so many seconds; see Limits."""
        self._look()
        self._work = seconds, time.monotonic(), self._ran, self._waited

    def used(self) -> float:
        """The seconds that the piece of work has taken so far; see Limits."""
        self._look()
        _, began, ran, waited = self._work
        return max(self._ran - ran, time.monotonic() - began - (self._waited - waited))

    def close(self) -> None:
        """End the process and all that it started.

        Raises:
            RuntimeError: something of it still runs.
        """
        self._closed.set()
        self._watcher.join()
        if self._first is not None:
            ended, _, _ = select.select([self._first], [], [], END_SECONDS)
            os.close(self._first)
            if not ended:
                raise RuntimeError(f"processes of this student still run {END_SECONDS:g} s after they were killed")
        if self._group and re.search(r"^oom_kill [1-9]", (self._group / "memory.events").read_text(), re.MULTILINE):
            self.exceeded = self._too_much
        self.sink.close()
        self.source.close()
        self._stack.close()  # waits for the process

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter of macOS, for one that has ended
            if self._first is not None:
                signal.pidfd_send_signal(self._first, signal.SIGKILL)  # the system ends all of the namespace with it
            os.killpg(self._process.pid, signal.SIGKILL)

    def _look(self) -> list[int]:
        """Count the time of the processes, and return them."""
        with self._lock:
            before = self._times
            processes, self._times = _threads(self._process.pid)
            old = [before.get(thread, (0, 0)) for thread in self._times]
            ran, waited = (
                sum(max(now[i] - then[i], 0) for now, then in zip(self._times.values(), old, strict=True)) / 1e9
                for i in (0, 1)
            )
            self._ran, self._waited = self._ran + ran, self._waited + waited
        return processes

    def _watch(self) -> None:
        """Look until the sandbox is closed or a limit is exceeded, and end all processes then, whatever happened."""
        began, before = time.monotonic(), 0.0
        try:
            while not self._closed.wait(POLL_SECONDS) and not self.exceeded:
                processes, work, used = self._look(), self._work, self.used()
                seconds, wanted = time.monotonic() - began, self._ran + self._waited - before
                if seconds > BUSY_SECONDS:
                    began, before = began + seconds, before + wanted
                    if wanted > MOST_BUSY * seconds:
                        self.exceeded = f"more than {MOST_BUSY} processes or threads were busy at a time"
                if not _fit(processes, self._limits.memory):
                    self.exceeded = self._too_much
                late = used > work[0] or time.monotonic() - work[1] > self._limits.patience * work[0]
                if work is self._work and late:
                    self.exceeded, self.late = f"they took more than {work[0]:g} seconds", True
        finally:
            self._kill()


def _threads(root: int) -> tuple[list[int], dict[str, tuple[int, int]]]:
    """A process and all below it, and the nanoseconds that each of their threads has had, and waited for, a processor.

    They are few, since their number is limited.
    """
    found, times = [root], {}
    for process in found:  # it grows meanwhile
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{process}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
                ran, waited, _ = (thread / "schedstat").read_text().split()
                times[thread.name] = int(ran), int(waited)
    return found, times


def _fit(processes: list[int], memory: int) -> bool:
    """Whether processes take at most `memory` bytes together, with the files in their /tmp and /dev/shm.

    What several share counts once; the sizes that count it in each of them are quicker to read, and mostly suffice.
    """
    left = memory - max(map(_scratch, processes), default=0)
    return any(sum(_held(process, file) for process in processes) <= left for file in HELD)


def _held(process: int, file: str) -> int:
    """The bytes of a process in memory and in swap, all of them where its shares may not be read; 0 once it is gone."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{process}/{file}").read_text()
        return 1024 * sum(map(int, re.findall(rf"^(?:{HELD[file]}):\s+(\d+)", text, re.MULTILINE)))
    return 0 if file == "status" else _held(process, "status")


def _scratch(process: int) -> int:
    """The bytes of the files in a process' /tmp and /dev/shm, a KiB more for each; 0 where these are the grader's."""
    with contextlib.suppress(OSError):
        ours = {os.stat(place).st_dev for place in SCRATCH_FOLDERS}
        folders = [f"/proc/{process}/root{place}" for place in SCRATCH_FOLDERS]
        used = [os.statvfs(folder) for folder in folders if os.stat(folder).st_dev not in ours]
        return sum((u.f_blocks - u.f_bfree) * u.f_frsize + (u.f_files - u.f_ffree) * 1024 for u in used)
    return 0
