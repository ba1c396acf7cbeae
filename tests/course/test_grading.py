"""Grading: the marks that notebooks get, and that none can change them."""

import ast
import contextlib
import csv
import ctypes
import json
import multiprocessing
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from pathlib import Path

import nbformat
import psutil
import pytest
import safetensors.torch
import torch
from filelock import FileLock
from nbformat.v4 import new_code_cell, new_notebook

from sbgm import checks
from sbgm.cli import grade as grade_command
from sbgm.cli import main
from sbgm.course import marking
from sbgm.course import sandbox as sandboxes
from sbgm.course.calls import (
    as_reply,
    call,
)
from sbgm.course.grading import Graded, Marks, grade, report_of
from sbgm.course.marking import Outcome, mark_student
from sbgm.course.messages import MessageError, receive, send
from sbgm.course.notebook import RULE, read_notebook
from sbgm.course.sandbox import PACKAGE, Limits, Sandbox, describe, readable, refusal
from sbgm.course.submissions import find_students, read_submission, spelled

CHAPTER_2 = {name: e for name, e in checks.exercises().items() if e.chapter == 2}
RIGHT = "def dsm_target(x, x_noisy, sigma):\n    return -(x_noisy - x) / sigma**2"
WRONG = "def dsm_target(x, x_noisy, sigma):\n    return (x_noisy - x) / sigma**2"
UNTOUCHED = "def dsm_target(x, x_noisy, sigma):\n    raise NotImplementedError"

needs_isolation = pytest.mark.usefixtures("isolation")  # a grader in a process of its own


def notebook(*sources: str, tag: str = "exercise") -> bytes:
    cells = [new_code_cell(source, metadata={"tags": [tag]} if tag else {}) for source in sources]
    return nbformat.writes(new_notebook(cells=cells)).encode()


def marked(*sources: str, names=("dsm_target",), **options):
    """Outcomes of a notebook of exercise cells, by exercise; isolated, or in a harmless test where that can be had."""
    exercises = {name: checks.exercises()[name] for name in names}
    options = {"seed": 1, "isolated": not refusal()} | options
    return {o.exercise: o for o in mark_student({"02.ipynb": notebook(*sources)}, exercises, **options)[0]}


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe():
    source, sink = multiprocessing.Pipe(duplex=False)
    with source, sink:
        yield source, sink


def framed(text):
    """A JSON text and an empty blob, as the pipe carries them."""
    return struct.pack("!i", len(text)) + text + struct.pack("!i", 0)


NO_MESSAGE = {
    "no frame": b'{"verdict": "correct", "mark": 1}',
    "huge": struct.pack("!iQ", -1, 2**60),
    "half a frame": struct.pack("!i", 100) + b"{",
    "no object": framed(b"[1]"),
    "no text": framed(b"\xff\xfe{}"),
    "nested": framed(b"[" * 60_000),
    "a number of 5,001 digits": framed(b'{"a": ' + b"1" * 5_001 + b"}"),
    "an end": struct.pack("!i", 2) + b"{}",
}


@pytest.mark.parametrize("how", NO_MESSAGE)
def test_what_is_no_message_is_refused(pipe, how):
    source, sink = pipe
    os.write(sink.fileno(), NO_MESSAGE[how])
    sink.close()
    with pytest.raises(EOFError if how == "an end" else MessageError):
        receive(source)


def test_too_large_a_message_is_not_sent(pipe):
    with pytest.raises(MessageError, match="larger than"):
        send(pipe[1], {}, bytes(2**26))


SOUND = {"problem": "", "attempted": True, "n_values": 1}
REFUSED = {
    "empty": ({}, b""),
    "problem": (SOUND | {"problem": 1}, b""),
    "attempted": (SOUND | {"attempted": "yes"}, b""),
    "how many": (SOUND | {"n_values": "1"}, b""),
    "pickle": (SOUND, b"\x80\x04K."),
    "lie": (SOUND, (2**40).to_bytes(8, "little")),
    "header": (SOUND, (2**17).to_bytes(8, "little") + b" " * 2**17),
    "float8": (SOUND, safetensors.torch.save({"0": torch.zeros(3, dtype=torch.float8_e4m3fn)})),
    "complex": (SOUND, safetensors.torch.save({"0": torch.zeros(3, dtype=torch.complex64)})),
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_reply_of_another_form_is_refused(how):
    with pytest.raises(MessageError):
        as_reply(*REFUSED[how])


def test_a_process_that_says_nothing_is_ended_by_the_clock_on_the_wall():
    """After patience × seconds, though it has worked for fewer than these seconds."""
    with contextlib.closing(Sandbox(Limits(patience=0.002), isolated=True)) as sandbox:
        began = time.monotonic()
        sandbox.allow(600)
        with pytest.raises(EOFError):
            receive(sandbox.source)
        assert sandbox.late
        assert time.monotonic() - began >= 1.2
        assert sandbox.used() < 600


# --- what of a notebook is run ----------------------------------------------------------------------------------------


def read(*sources, tag="exercise"):
    return read_notebook(notebook(*sources, tag=tag), list(checks.exercises()))


def parsed(*statements):
    """Statements as they are read, and written again."""
    return [ast.unparse(ast.parse(statement)) for statement in statements]


def test_only_what_defines_answers_is_run():
    """Its own cell but the bare expressions, and of the others the statements whose names it uses, in turn."""
    figures = "import torch, json\nx = expensive()\nSIGMA = 0.5\nplot(x)\nhelper = lambda y: SIGMA * y"
    source = f"{RIGHT} * helper(torch.ones(1))"
    answer = read(figures, f"{source}\nN = len('abc')\ncheck(dsm_target)", tag="").answers["dsm_target"]
    assert answer.source == source
    helper = ("import torch", "SIGMA = 0.5", "helper = lambda y: SIGMA * y")
    assert answer.statements == parsed(*helper, source, "N = len('abc')")


BEFORE = {  # what stands in cells without a tag before a right answer that needs it
    "a constant computed": "import math\nC = 2 * math.pi / (2 * math.pi)",
    "constants, two at a time": "C, D = 1.0, [2.0]",
    "a constant with its type": "C: float = 1.0",
    "a part changed": "D = [2.0]\nD[0] = 1.0\nC = D[0]",
    "a helper's own constant": "ONE = [1.0]\ndef one():\n    return ONE[0]\nC = one()",
    "a star": "from math import *\nC = cos(0.0)",
    "under a condition": "if True:\n    C = 1.0\nelse:\n    C = 2.0",
    "guarded": "try:\n    import nothing_of_the_kind\nexcept ImportError:\n    C = 1.0",
    "in a loop": "for C in (3.0, 1.0):\n    pass",
}


@pytest.mark.parametrize("how", BEFORE)
def test_a_helper_in_a_cell_of_its_own_counts(how):
    found = read(BEFORE[how], "C_plot = draw()", RIGHT.replace("return ", "return C * "), tag="")
    assert not any("draw" in statement for statement in found.answers["dsm_target"].statements)
    assert gives_right(found)


WAYS = {  # to define an answer in a cell without a tag
    "under a condition": "if True:\n    " + RIGHT.replace("\n", "\n    "),
    "guarded": "try:\n    " + RIGHT.replace("\n", "\n    ") + "\nexcept NameError:\n    pass",
    "a lambda": "dsm_target = lambda x, x_noisy, sigma: (x - x_noisy) / sigma**2",
    "an annotated lambda": "dsm_target: object = lambda x, x_noisy, sigma: (x - x_noisy) / sigma**2",
    "two at a time": "dsm_target, N = (lambda x, x_noisy, sigma: (x - x_noisy) / sigma**2), 3",
    "a partial": "import functools\ndef f(c, x, x_noisy, sigma):\n    return c * (x - x_noisy) / sigma**2\n"
    "dsm_target = functools.partial(f, 1)",
    "another name": RIGHT.replace("dsm_target", "mine") + "\ndsm_target = mine",
    "the check above it": "from sbgm import checks\n@checks.dsm_target\n" + RIGHT,
    "the check above it, called": "import sbgm\n@sbgm.checks.dsm_target(variant=1)\n" + RIGHT,
}


@pytest.mark.parametrize("how", WAYS)
def test_an_answer_is_found_however_it_is_defined(how):
    assert gives_right(read(WAYS[how], tag=""))


def gives_right(found):
    """Whether the statements of the answer, and they alone, define the right function."""
    namespace = {}
    for statement in found.answers["dsm_target"].statements:
        exec(statement, namespace)
    x, x_noisy = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    return torch.allclose(namespace["dsm_target"](x, x_noisy, 0.5), 4 * (x - x_noisy))


def test_a_measurement_of_an_exercises_name_is_no_answer():
    """As chapter 1 has it: `denoised` is there a tensor, and an exercise of chapter 7."""
    assert read("dsm_target = measure(x)", "from sbgm.losses import dsm_target", tag="").answers == {}
    assert read("dsm_target = compiled(f)").answers.keys() == {"dsm_target"}


RUN = {  # cells, and what is run of them
    "not the import below": ([WRONG, "from sbgm.losses import dsm_target"], [WRONG]),
    "not the exercise's check, but another": (
        [f"import torch\n@torch.no_grad()\n@checks.dsm_target(variant=1)\n@checks.dsm_loss\n{RIGHT}"],
        ["import torch", f"@torch.no_grad()\n@checks.dsm_loss\n{RIGHT}"],
    ),
    "each name of an import by itself, since one may fail": (
        [f"from sbgm import MLP, checks, GaussianMixture\n{RIGHT}"],
        [*(f"from sbgm import {name}" for name in ("MLP", "checks", "GaussianMixture")), RIGHT],
    ),
}


@pytest.mark.parametrize("how", RUN)
def test_statements_are_run_as_they_were_meant(how):
    cells, run = RUN[how]
    assert read(*cells).answers["dsm_target"].statements == parsed(*run)


def test_odd_metadata_lose_nothing():
    whole = json.loads(notebook(RIGHT))
    for odd in (None, [], "x", {"kernelspec": None}, {"kernelspec": {"language": None}}, {"kernelspec": [1]}):
        for own in (None, [], {"tags": None}, {"tags": 3}, {"tags": [["exercise"]]}):
            cells = [*({**cell, "metadata": own} for cell in whole["cells"]), None, 3, {"cell_type": "code"}]
            found = read_notebook(json.dumps({"metadata": odd, "cells": cells}).encode(), ["dsm_target"])
            assert found.answers["dsm_target"].source == RIGHT, (odd, own)


MAGICS = ("%matplotlib inline\n{}\n!ls", "%%time\n{}", "files = !ls\n{}", "{}\n?torch\ntorch??", "%x\n" * 5_000 + "{}")
REMAINDER = "def dsm_target(x, x_noisy, sigma):\n    return (x\n    % sigma)"  # a line that begins with % is no magic


@pytest.mark.parametrize(("around", "source"), [*((magic, RIGHT) for magic in MAGICS), ("{}", REMAINDER)])
def test_a_magic_does_not_hide_an_answer(around, source):
    assert read(around.format(source)).answers["dsm_target"].source == source


@pytest.mark.parametrize("stub", ["raise NotImplementedError  # yours", "'Mine.'\n    raise NotImplementedError()"])
@pytest.mark.parametrize("above", ["", "@checks.dsm_target\n"])
def test_an_untouched_stub_is_known_by_its_source(above, stub):
    assert read(f"{above}def dsm_target(x, x_noisy, sigma):\n    {stub}").answers["dsm_target"].untouched
    assert not read(RIGHT).answers["dsm_target"].untouched


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"cells": 3}', b"\xff" * 10, b"[" * 100_000])
def test_what_is_no_notebook_says_so(content):
    assert "no Jupyter notebook" in read_notebook(content, ["dsm_target"]).problem


def test_a_notebook_in_another_language_says_so():
    content = json.loads(notebook(RIGHT)) | {"metadata": {"kernelspec": {"name": "ir", "language": "R"}}}
    assert "'R', not in Python" in read_notebook(json.dumps(content).encode(), ["dsm_target"]).problem


def test_a_notebook_of_the_third_format_is_read():
    content = {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": RIGHT.splitlines(True)}]}]}
    found = read_notebook(b"\xef\xbb\xbf" + json.dumps(content).encode(), ["dsm_target"])
    assert found.answers["dsm_target"].source == RIGHT


UNREADABLE = {
    "a bracket too many": RIGHT + ")",
    "a long sum": f"def dsm_target(x, *rest):\n    return x{' + 1' * 5_000}",
    "many brackets": f"def dsm_target(x, *rest):\n    return {'(' * 500}x{')' * 500}",
    "many digits": f"def dsm_target(x, *rest):\n    return x + {'1' * 5_000}",
    "no characters": "def dsm_target(x, *rest):\n    return '\ud800'",
    "a zero byte": RIGHT + "\0",
}


@pytest.mark.parametrize("how", UNREADABLE)
def test_a_cell_that_cant_be_read_costs_its_own_answer(how):
    cells = [{"cell_type": "code", "source": s} for s in (UNREADABLE[how], "def dsm_loss(*a):\n    return 1")]
    found = read_notebook(json.dumps({"cells": cells}).encode(), ["dsm_target", "dsm_loss"])
    assert "can't be read" in found.answers["dsm_target"].problem
    assert not found.answers["dsm_loss"].problem


# --- marks ------------------------------------------------------------------------------------------------------------


LOSS = "return (score(x + sigma * z, sigma) + z / sigma).flatten(1).square().sum(1).mean() / 2"
KINDS = {  # an answer, its verdict, and a part of what is said of it
    "dsm_target": (f"import torch\n{RIGHT}", "correct", ""),
    "dsm_loss": (f"def dsm_loss(score, x, sigma, z):\n    {LOSS}", "correct", ""),  # and its gradients are right
    "langevin_step": ("def langevin_step(score, x, *a):\n    return x.flatten()", "wrong", "has shape (30000,)"),
    "spiral": ("def spiral(:", "failed", "the cell can't be read"),
    "denoised": ("@checks.denoised\ndef denoised(*a):\n    raise NotImplementedError", "not attempted", ""),
    "guess_and_shake": (  # nothing is lent to an answer that uses a stub
        "@checks.guess_and_shake\ndef guess_and_shake(score, x, sigma, *a):\n    return denoised(score, x, sigma)",
        "not attempted",
        "or one that it uses, raises NotImplementedError",
    ),
    "sliced_loss": ("", "missing", "no notebook defines"),
    "levels_needed": (f"def levels_needed():\n    return {checks.levels_needed.lent(variant=7)}", "correct", ""),
}


@pytest.mark.harmless
def test_every_kind_of_answer_gets_its_verdict():
    """From a group that was given variant 7."""
    outcomes = marked(*(source for source, _, _ in KINDS.values()), names=KINDS, variant=7)
    assert outcomes["dsm_target"].answer == RIGHT
    for name, (_, verdict, said) in KINDS.items():
        assert outcomes[name].verdict == verdict, outcomes[name]
        assert outcomes[name].message == "" if said == "" else said in outcomes[name].message


@pytest.mark.harmless
def test_of_two_notebooks_the_better_answer_counts():
    files = {"02 (1).ipynb": notebook(WRONG), "02.ipynb": notebook(RIGHT), "old/02.ipynb": notebook(WRONG)}
    asked = {"dsm_target": checks.dsm_target}
    (outcome,), _ = mark_student(files, asked, seed=1, isolated=not refusal())
    assert (outcome.verdict, outcome.notebook) == ("correct", "02.ipynb")


@pytest.mark.harmless
def test_of_untouched_notebooks_nothing_is_run():
    """All of them, as they were handed out: it takes no more than the reading, and loads no torch."""
    stub = "import os\nN = os._exit(0)\ndef {}(*arguments):\n    raise NotImplementedError"
    outcomes = marked(*map(stub.format, checks.exercises()), names=checks.exercises())
    assert {o.verdict for o in outcomes.values()} == {"not attempted"}


# --- attacks ----------------------------------------------------------------------------------------------------------

ATTACKS = {
    "the check redefined": "from sbgm import checks\nchecks.dsm_target = lambda f, **k: None\n" + WRONG,
    "comparisons patched": (
        "import torch\ntorch.equal = torch.allclose = lambda *a, **k: True\ntorch.Tensor.__le__ = lambda a, b: b >= b\n"
        "torch.Tensor.all = lambda self, *a: torch.ones(()).bool()\n" + WRONG
    ),
    "the package patched": (
        "import sbgm.course.calls, sbgm.course.exercise as c, sbgm.course.exercise as e\n"
        "c.compare = e.compare = lambda *a, **k: None\nc.WrongAnswer.__init__ = lambda *a: None\n" + WRONG
    ),
    "an answer equal to everything": (
        "class Same:\n    def __eq__(self, other): return True\n    __array__ = None\n"
        "def dsm_target(*a):\n    return Same()"
    ),
    "a tensor subclass that lies": (
        "import torch\nclass Lying(torch.Tensor):\n    @classmethod\n"
        "    def __torch_function__(cls, f, types, args=(), kwargs=None): return True\n"
        "def dsm_target(x, x_noisy, sigma):\n    return x.as_subclass(Lying)"
    ),
    "a forged reply": (
        "import os\ndef dsm_target(*a):\n    for d in range(3, 20):\n        try:\n"
        '            os.write(d, b\'{"verdict": "correct", "mark": 1}\')\n        except OSError: pass\n'
        "    return a[0]"
    ),
    "a reply without arrays": (
        "from sbgm.course import student\nfrom sbgm.course.calls import Reply\n"
        "student.call = lambda *a: Reply(attempted=False)\n" + WRONG
    ),
    "exit in the function": "def dsm_target(*a):\n    import sys; sys.exit(0)",
    "exit in the cell": "import os; os._exit(0)\ndef dsm_target(*a): pass",
    "endless loop": "def dsm_target(*a):\n    while True: pass",
    "endless loop in the cell": "while True: pass\ndef dsm_target(*a): pass",
    "endless sleep": "import time\ndef dsm_target(*a):\n    time.sleep(1_000)",
    "shared mappings": (
        "import mmap\ndef dsm_target(*a):\n    held = []\n    while True:\n        m = mmap.mmap(-1, 2**27)\n"
        "        m[::4096] = bytes(2**15)\n        m.madvise(mmap.MADV_DONTNEED)\n        held.append(m)"
    ),
    "all the memory": "def dsm_target(*a):\n    hog = []\n    while True: hog.append(bytearray(2**26))",
    "endless recursion": "def dsm_target(*a): return dsm_target(*a)",
    "a huge answer": "def dsm_target(x, *a): return x.new_zeros(2**26)",
    "a flood of output": "def dsm_target(x, *a):\n    for _ in range(10**5): print('x' * 1000)\n    return x",
    "the grader killed": (
        "import os\ndef dsm_target(x, *a):\n    for pid in {os.getppid(), GRADER}:\n"
        "        try: os.kill(pid, 9)\n        except OSError: pass\n    return x"
    ),
    "an instance of the check's own error": (
        "from sbgm.course.checks import WrongAnswer\ndef dsm_target(*a): raise BaseException('correct')"
    ),
    "the stub's error raised late": (
        "n = [0]\ndef dsm_target(x, *a):\n    n[0] += 1\n    if n[0] > 1: raise NotImplementedError\n    return x"
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_notebook_earns_a_mark_by_other_means(attack):
    """Seconds are of work, or of sleep: none of those that are too slow waits for a minute."""
    slow = attack in ("endless loop", "endless loop in the cell", "endless sleep")
    limits = Limits(seconds=4 if slow else 60)
    outcome = marked(ATTACKS[attack].replace("GRADER", str(os.getpid())), limits=limits)["dsm_target"]
    assert outcome.verdict in (["too slow"] if slow else ["wrong", "failed", "not attempted"])


def test_an_attack_costs_only_its_own_exercise():
    """Whether its definitions or its call are the end of the process."""
    loss = "import os\nfor _ in range(1):\n    os._exit(0)\ndef dsm_loss(*a):\n    return 1"
    sliced = "def sliced_loss(*a):\n    import os; os._exit(1)"
    asked = ("dsm_loss", "sliced_loss", "dsm_target")
    outcomes = marked(loss, sliced, f"import torch\n{RIGHT}", names=asked)
    assert [outcomes[name].verdict for name in asked] == ["failed", "failed", "correct"]
    assert "definitions" in outcomes["dsm_loss"].message


GREEDY = {
    "children": "import os, time\nfor _ in range(30):\n    if os.fork() == 0:\n        hog = bytearray(2**26); "
    "time.sleep(100)\ntime.sleep(100)",
    "busy processes": "import os, time\nfor _ in range(12):\n    if os.fork() == 0:\n        while True: pass\n"
    "time.sleep(100)",
    "processes that rest a third of the time": "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n"
    "        os.setsid()\n        while True:\n            while time.time() % 1 < 0.67: pass\n"
    "            time.sleep(0.33)\ntime.sleep(100)",
    "busy threads": "import hashlib, threading, time\nfor _ in range(5):\n    threading.Thread("
    "target=lambda: [hashlib.sha256(bytes(2**20)) for _ in iter(int, 1)]).start()\ntime.sleep(100)",
    "files in memory": "import itertools, os\nfor place in ['/tmp', '/dev/shm'] * 4:\n    "
    "open(f'{place}/{os.urandom(9).hex()}', 'wb').write(bytes(15 * 2**20))\n"
    "for i in itertools.count():\n    os.mknod(f'/dev/shm/{i}')",
}


@pytest.mark.parametrize("how", GREEDY)
def test_what_all_of_a_students_processes_take_is_limited(how):
    body = GREEDY[how].replace("\n", "\n    ")
    outcome = marked(f"def dsm_target(*a):\n    {body}", limits=Limits(memory=5 * 2**27))["dsm_target"]
    assert outcome.verdict == "failed"
    assert "more than" in outcome.message


@contextlib.contextmanager
def busy_core(n):
    """Keep this thread to one core, and n neighbours busy there, each in a session: Linux shares a core among these."""
    with contextlib.ExitStack() as stack:
        cores = os.sched_getaffinity(0)
        stack.callback(os.sched_setaffinity, 0, cores)
        os.sched_setaffinity(0, {min(cores)})
        for _ in range(n):
            command = [sys.executable, "-c", "while True: pass"]
            stack.callback(stack.enter_context(subprocess.Popen(command, start_new_session=True)).kill)
        yield


def seconds_to_read(source):
    """What the reading of a notebook counts as, and takes by the clock on the wall."""
    with contextlib.closing(marking._Student(Limits(), isolated=True)) as student:
        student.read("a", b"{}", [])
        before, start = student._used, time.monotonic()
        assert student.read("a", notebook(source), ["dsm_target"]).problem == ""
        return student._used - before, time.monotonic() - start


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux keeps a process to a core")
def test_waiting_for_a_core_that_others_keep_busy_costs_no_time():
    """Nothing of the reading is a pause: what it counts as is what it ran, and the rest of the time it waited."""
    source = f"N = {list(range(20_000))}\n{RIGHT}"
    alone, _ = seconds_to_read(source)
    with busy_core(5):
        beside, wall = seconds_to_read(source)
    if wall < 3 * alone:
        pytest.skip("the neighbours were not in the way")
    assert beside < 2 * wall / 3


def test_what_was_too_slow_is_tried_again_alone(tmp_path, monkeypatch):
    """Only that, and when all others are done; its second verdict counts."""
    hand_in(tmp_path, dict.fromkeys(("ann", "bob", "eve"), RIGHT))
    calls = []

    def mark(files, exercises, **options):
        calls.append(list(exercises))
        time.sleep(0.1)
        first = {"dsm_target": "too slow", "dsm_loss": "wrong"} if len(exercises) > 1 else {}
        return [Outcome(name, first.get(name, "correct")) for name in exercises], []

    monkeypatch.setattr("sbgm.course.grading.mark_student", mark)
    for graded in grade(find_students([tmp_path]), CHAPTER_2, seed=0, n_jobs=2):
        assert [o.verdict for o in graded.outcomes] == ["correct", "correct", "wrong"]
    assert calls == [list(CHAPTER_2)] * 3 + [["dsm_target"]] * 3


def test_numbers_of_system_calls_are_the_systems():
    try:
        number = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name_arch
    except OSError:
        pytest.skip("needs libseccomp")
    numbers = sandboxes.ABSENT | {name: rule[0] for name, rule in sandboxes.LIMITED.items()}
    for i, mark in enumerate(sandboxes.MACHINES.values()):
        for name, own in numbers.items():
            found = number(ctypes.c_uint32(mark), name.encode())
            assert own[i] == found or found < 0, name  # ARM has no inotify_init


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="needs Linux")
def test_a_delegated_cgroup_holds_the_memory(tmp_path, monkeypatch):
    """In a copy of the files of one; where there is none the grader says that it looks."""
    path = re.search(r"^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)[1]
    own = tmp_path / path
    own.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(sandboxes, "GROUPS", tmp_path)
    for procs, controllers, given in (
        ("1\n2", "memory", False),
        (os.getpid(), "cpu", False),
        (os.getpid(), "memory", True),
    ):
        (own / "cgroup.procs").write_text(f"{procs}\n")
        (own / "cgroup.controllers").write_text(controllers)
        sandboxes._divided.cache_clear()
        assert (sandboxes._divided() == own) == given
        assert ("held by a cgroup" in describe(Limits(), isolated=True)) == given
        assert (own / "grader").exists() == given
    sandboxes._divided.cache_clear()
    with sandboxes._group(own, 2**30) as group:
        assert (group / "memory.max").read_text() == str(2**30)
    assert (own / "cgroup.subtree_control").read_text() == "+memory"
    assert (group / "cgroup.kill").read_text() == "1"


def test_the_number_of_processes_is_limited():
    """Tried with a number that would do no harm."""
    source = (
        "import os\nheld, refused = [], 0\nfor _ in range(150):\n    try:\n        held.append(os.fork())\n"
        "    except OSError:\n        refused += 1\n        continue\n    if held[-1] == 0:\n        import time\n"
        "        time.sleep(20)\n        os._exit(0)\n"
        "def dsm_target(x, x_noisy, sigma):\n    assert refused > 80\n"
    )
    assert marked(source + RIGHT.partition("\n")[2])["dsm_target"].verdict == "correct"


ABSENT = (
    "shmget(0, 4096, 0o1600)",
    "memfd_create(b'x', 0)",
    "msgget(0, 0o1600)",
    "unshare(0x10000000)",
    "syscall(56, 0x10000011, 0, 0, 0, 0)",
    "socketpair(1, 1, 0, None)",
    "vmsplice(1, None, 0, 0)",
    "inotify_init()",
    "semget(0, 32000, 0o1600)",
    "ptrace(16, 1, 0, 0)",
    "prctl(1, 0, 0, 0, 0)",
    "sched_setaffinity(0, 8, b'\\xff' * 8)",
    "process_vm_readv(1, None, 0, None, 0, 0)",
    "mmap(None, 4096, 3, 0x21, -1, 0)",
    "mmap(None, 4096, 3, 0x23, -1, 0)",
)


def test_no_memory_is_had_that_no_process_shows():
    calls = ", ".join(f"(library.{call}, ctypes.get_errno())" for call in ABSENT)
    source = (
        "import ctypes, errno\nlibrary = ctypes.CDLL(None, use_errno=True)\ndef dsm_target(x, x_noisy, sigma):\n"
        f"    had = [{calls}]\n    assert had == [(-1, errno.ENOSYS)] * {len(ABSENT)}, had\n"
        "    try:\n        open('/dev/zero', 'rb+')\n    except PermissionError:\n        pass\n"
        "    else:\n        raise ValueError('shared memory can be had of /dev/zero')\n"
    )
    outcome = marked(source + RIGHT.partition("\n")[2])["dsm_target"]
    assert outcome.verdict == "correct", outcome.message


def running(mark):
    """The processes that have a mark among the words of their command."""
    return [process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or [])]


def test_no_process_is_left_behind():
    mark = f"sbgm-left-behind-{os.getpid()}"
    daemon = (
        "import os, sys, time\ndef dsm_target(x, *a):\n    if os.fork() == 0:\n        os.setsid()\n"
        f"        os.execv(sys.executable, [{mark!r}, '-c', 'import time; time.sleep(100)'])\n"
        "    time.sleep(1)\n    return x"
    )
    assert marked(daemon)["dsm_target"].mark == 0
    assert psutil.wait_procs(running(mark), timeout=60)[1] == []


PROBE = """
import os, socket
def dsm_target(x, x_noisy, sigma):
    reached = []
    for path in {paths!r}:
        try:
            open(path, "rb").read(1)
        except IsADirectoryError:
            reached += [path] if os.listdir(path) and path in {folders!r} else []
        except OSError:
            continue
        else:
            reached.append(path)
    for path in {written!r}:
        try:
            open(path, "ab").close()
            reached.append(path)
        except OSError:
            pass
    try:
        socket.create_connection(("127.0.0.1", {port}), timeout=1)
        reached.append("network")
    except OSError:
        pass
    for attempt in (lambda: os.setuid(0), lambda: os.kill({grader}, 0), lambda: os.chroot("/tmp")):
        try:
            attempt()
            reached.append("rights")
        except OSError:
            pass
    try:
        reached += ["environment"] if b"SECRET" in open("/proc/1/environ", "rb").read() else []
    except OSError:
        pass
    seen = [p for p in os.listdir("/proc") if p.isdigit()] + [n for n in os.environ if n == "SECRET"]
    if reached or len(seen) != 2:
        raise ValueError(str((reached, seen)))
    return -(x_noisy - x) / sigma**2
"""


def out_of_sight(place: Path) -> list[Path]:
    """What lies in a folder and is not said to be in sight, nor holds or is held by what is."""
    shown = readable()
    return [p for p in place.iterdir() if not any(p == s or p in s.parents or s in p.parents for s in shown)]


def test_a_notebook_reaches_nothing_that_is_not_named(tmp_path, monkeypatch):
    """All that lies beside what is in sight is hidden; /proc is its own; its system settings can't be written."""
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    decoys = [tmp_path / "decoy", tmp_path / "home" / "decoy"]
    write(tmp_path, dict.fromkeys(decoys, b"decoy"))
    beside = [Path(sys.prefix), Path(sys.base_prefix), PACKAGE.parent, PACKAGE, PACKAGE / "course"]
    hidden = [path for place in beside for path in out_of_sight(place)]
    assert {PACKAGE / "cli", PACKAGE / "course" / "exercise.py", PACKAGE / "course" / "chapter_02.py"} <= {*hidden}
    hidden += [Path(__file__), Path("/etc/passwd")]
    written = [
        *readable()[-1:],
        Path(torch.__file__),
        "/proc/sys/kernel/core_pattern",
        "/x",
        "/dev/x",
        PACKAGE / "x.py",
    ]
    with tempfile.NamedTemporaryFile(dir="/tmp") as decoy, socket.create_server(("127.0.0.1", 0)) as server:
        names = [[str(path) for path in paths] for paths in ([*decoys, decoy.name, *hidden], hidden, written)]
        port = server.getsockname()[1]
        keys = dict(zip(("paths", "folders", "written"), names, strict=True))
        outcome = marked(PROBE.format(port=port, grader=os.getpid(), **keys))["dsm_target"]
    assert outcome.verdict == "correct", outcome.message


def test_what_is_in_sight_is_named():
    said = describe(Limits(), isolated=True)
    for path in readable():
        assert str(path) in said or PACKAGE in path.parents
    for limit in ("2 GiB", "looked at ten times a second", "64 processes", "16 MiB", "60 seconds", "900 in all"):
        assert limit in said
    assert "can read and change your files" in describe(Limits(), isolated=False)


@needs_isolation
def test_a_python_that_only_its_owner_may_enter_is_isolated_too(tmp_path):
    """The package lies in that Python's own libraries, as after `pip install`: of it, too, only a part is in sight."""
    prefix = tmp_path / "closed" / "venv"
    venv.create(prefix, symlinks=True)
    libraries = next(prefix.glob("lib/python*/site-packages"))
    (libraries / "others.pth").write_text("\n".join(p for p in sys.path if Path(p).name == "site-packages"))
    shutil.copytree(PACKAGE, libraries / "sbgm")
    decoys = [place / "decoy" for place in (prefix.parent, prefix, libraries / "sbgm", libraries / "sbgm" / "course")]
    paths = [*decoys, libraries / "sbgm" / "course" / "chapter_02.py", libraries / "sbgm" / "train"]
    probe = f"import os\nassert not [p for p in {list(map(str, paths))!r} if os.path.exists(p)]\n{RIGHT}"
    write(tmp_path, dict.fromkeys(decoys, b"decoy") | {"in/ann.ipynb": notebook(probe)})
    prefix.parent.chmod(0o700)
    command = [prefix / "bin" / "python", "-m", "sbgm", "grade", tmp_path / "in", "--out", tmp_path / "out"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = table(tmp_path / "out" / "grades.csv")
    assert (row["dsm_target"], row["note"]) == ("1", "")


@pytest.mark.harmless
def test_without_bubblewrap_grading_goes_on_only_when_told_to(tmp_path, monkeypatch, capsys):
    hand_in(tmp_path / "in", {"ann": UNTOUCHED})
    monkeypatch.setattr("sbgm.course.sandbox.refusal", lambda: "bubblewrap is not installed")
    command = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main(command) == 1
    said = capsys.readouterr().err
    for part in ("bubblewrap is not installed", "--without-isolation", "read and change your files"):
        assert part in said
    assert not (tmp_path / "out").exists()
    assert main([*command, "--without-isolation"]) == 0
    assert "read and change your files" in capsys.readouterr().out
    assert table(tmp_path / "out" / "grades.csv")[0].keys() > {*checks.exercises()}


# --- a folder ---------------------------------------------------------------------------------------------------------


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def hand_in(folder, students):
    write(folder, {f"{name}/02.ipynb": notebook(source) for name, source in students.items()})


def table(path):
    return list(csv.DictReader(path.open(encoding="utf-8", newline="")))


def grading(tmp_path, *options):
    unsafe = ["--without-isolation"] if refusal() else []
    return main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *unsafe, *options])


ON_ONE_CORE = "import os\nPINNED = not hasattr(os, 'sched_getaffinity') or len(os.sched_getaffinity(0)) == 1\n"
ON_ONE_CORE += RIGHT.replace("return", "assert PINNED\n    return")
RUDE = "def dsm_target(x, *a):\n    raise ValueError(f'```\\x1b[31m {x.sum()}')"
AS_GRADED = ("--chapters", "2", "--seconds", "50", "--variant", "3")


@pytest.fixture
def class_of_three(walls, tmp_path, tmp_path_factory):
    """What three students handed in, in "in", and their marks, in "out"; graded once, and copied for each test."""
    folder = tmp_path_factory.getbasetemp() / "class_of_three"
    if not folder.exists():
        hand_in(folder / "in", {"=cmd": RUDE, "ann": ON_ONE_CORE, "eve": UNTOUCHED})
        assert grading(folder, *AS_GRADED, "--seed", "3", "--jobs", "2") == 0
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)


@pytest.mark.parametrize(
    "option",
    [
        *("--variant -1", f"--variant {10**30}", f"--seed {10**23}", "--seed -1", "--memory 0.01", "--memory nan"),
        *("--memory inf", "--seconds nan", "--seconds 0", "--seconds inf", "--total-seconds inf", "--patience 0"),
        *("--jobs 0", "--jobs 100000", "--verify 0"),
    ],
)
def test_an_option_that_would_give_everyone_nothing_is_refused(tmp_path, capsys, option):
    hand_in(tmp_path / "in", {"ann": RIGHT})
    assert grading(tmp_path, *option.split()) == 1
    assert f"{option.split()[0]} must be from" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_limits_that_leave_no_room_for_any_answer_are_refused(tmp_path, capsys, monkeypatch):
    """Seconds that are too few for what every answer needs, the import of torch."""
    hand_in(tmp_path / "in", {"ann": RIGHT})
    monkeypatch.setitem(grade_command.NUMBERS, "seconds", (60.0, 0.01, 1, ""))
    assert grading(tmp_path, "--seconds", "0.2") == 1
    assert re.search("--seconds 0.2.*took longer than 0.2 seconds", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.harmless
def test_a_folder_is_marked_and_written_once(class_of_three, tmp_path, capsys):
    """Each student on one core."""
    rows = table(tmp_path / "out" / "grades.csv")
    assert list(rows[0]) == ["student", "marks", "of", *CHAPTER_2, "note", "submission", "marked by"]
    found = [tuple(row[column] for column in ("student", "dsm_target", "marks", "of")) for row in rows]
    assert found == [("'=cmd", "0", "0", "3"), ("ann", "1", "1", "3"), ("eve", "0", "0", "3")]
    assert table(tmp_path / "out" / "points.csv") == [{"id": name, "points": marks} for name, _, marks, _ in found]
    fingerprints = [read_submission(path).fingerprint for path in find_students([tmp_path / "in"]).values()]
    assert [row["submission"] for row in rows] == fingerprints
    assert re.match("version: .*; seed: 3; variant: 3;.* seconds: 50.*; memory: 2", rows[0]["marked by"])
    report = (tmp_path / "out" / "reports" / "=cmd.md").read_text(encoding="utf-8")
    said = ["## 2.4 dsm_target: wrong", "ValueError", RUDE, "````", rows[0]["marked by"], rows[0]["submission"]]
    for part in (*said, describe(Limits(seconds=50), isolated=not refusal())):
        assert part in report
    assert "\x1b" not in report
    assert grading(tmp_path, *AS_GRADED) == 1
    assert "never overwritten" in capsys.readouterr().err


@pytest.mark.harmless
def test_a_grading_goes_on_where_it_stopped_and_changes_no_mark(class_of_three, tmp_path, capsys):
    hand_in(tmp_path / "in", {"ann": WRONG, "bob": RIGHT})
    (tmp_path / "out" / "reports" / "bob.md.123.partial").write_text("half")
    for seed in ([], ["--seed", "3"]):
        assert grading(tmp_path, *AS_GRADED, "--resume", *seed) == 0
    _, ann, bob, _ = table(tmp_path / "out" / "grades.csv")
    assert (ann["marks"], bob["marks"], bob["of"], bob["note"]) == ("1", "1", "3", "")
    assert "changed since it was marked" in ann["note"]
    assert not list((tmp_path / "out").rglob("*.partial"))
    capsys.readouterr()
    for other in ("--seed 4", "--variant 1", "--chapters 3"):
        assert grading(tmp_path, *AS_GRADED, "--resume", *other.split()) == 1
        assert f"{other.split()[0]} must be" in capsys.readouterr().err


FACTS = {"seed": 1, "variant": 0, "chapters": [2]}


def test_a_start_that_was_killed_can_be_started_again(tmp_path):
    (tmp_path / "grading.json.77.partial").write_text("{")
    seed = Marks(tmp_path, FACTS | {"seed": None}, resume=False).facts["seed"]
    assert Marks(tmp_path, FACTS | {"seed": None}, resume=True).facts["seed"] == seed
    with pytest.raises(FileExistsError, match="--resume"):
        Marks(tmp_path, FACTS, resume=False)


def test_what_else_lies_in_a_folder_is_left_alone(tmp_path):
    (tmp_path / "film.partial").write_text("half")
    with pytest.raises(FileExistsError, match="other files"):
        Marks(tmp_path, FACTS, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["film.partial"]


ONE = '{"student": "ann", "outcomes": [%s], "problems": [], "fingerprint": "", "isolation": ""}'
DAMAGED = {"grading.json": ["{", "[1]", '{"seed": 1}']}
DAMAGED |= {"students/ann.json": ["3", ONE[:40], ONE % '{"verdikt": ""}', (ONE % "").replace("student", "stvdent")]}


@pytest.mark.parametrize(("name", "content"), [(name, content) for name in DAMAGED for content in DAMAGED[name]])
def test_a_damaged_file_is_named(tmp_path, name, content):
    Marks(tmp_path, FACTS, resume=False).add(Graded("ann", [Outcome("dsm_target", "correct")], [], "", ""))
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        Marks(tmp_path, FACTS, resume=True)


@pytest.mark.harmless
def test_of_two_graders_of_one_folder_the_second_is_refused(tmp_path, capsys):
    hand_in(tmp_path / "in", {"ann": UNTOUCHED})
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        for options in ([], ["--resume"]):
            assert grading(tmp_path, *options) == 1
            assert "in use: another process grades into it" in capsys.readouterr().err
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
    assert grading(tmp_path, "--chapters", "2") == 0


@pytest.mark.harmless
def test_a_row_says_how_its_own_student_was_isolated(tmp_path, capsys):
    hand_in(tmp_path / "in", {"ann": UNTOUCHED})
    assert grading(tmp_path, "--chapters", "2") == 0
    hand_in(tmp_path / "in", {"bob": UNTOUCHED, "eve": UNTOUCHED})
    assert grading(tmp_path, "--chapters", "2", "--resume", "--without-isolation") == 0
    first, second = describe(Limits(), isolated=not refusal()), describe(Limits(), isolated=False)
    done = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "out" / "students").iterdir()]
    assert {one["student"]: one["isolation"] for one in done} == {"ann": first, "bob": second, "eve": second}
    said = [f"isolation of {n}: {way}" for way, n in Counter([first, second, second]).items()]
    assert capsys.readouterr().out.splitlines()[-len(said) :] == said


@pytest.mark.harmless
def test_a_marking_is_verified_by_another(class_of_three, tmp_path, capsys):
    """With the same inputs: what was said of the sum of x is said again."""
    assert grading(tmp_path, "--verify", "2", "--out", str(tmp_path / "nowhere")) == 1
    assert "there are no marks in" in capsys.readouterr().err
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    assert grading(tmp_path, "--verify", "9") == 0
    assert "3 marked again, 0 differences" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == before
    path = tmp_path / "out" / "students" / "=cmd.json"
    (message,) = (o["message"] for o in json.loads(before[path])["outcomes"] if o["verdict"] == "wrong")
    path.write_bytes(before[path].replace(b'"wrong"', b'"correct"'))
    hand_in(tmp_path / "in", {"eve": UNTOUCHED + "\n"})
    assert grading(tmp_path, "--verify", "9") == 1
    said = capsys.readouterr().out
    assert f"=cmd: dsm_target was correct, and is wrong: {message}" in said
    assert "eve: changed since it was marked" in said
    assert "3 marked again, 2 differences" in said


def test_a_student_learns_what_will_be_read(tmp_path, capsys):
    """Without bubblewrap, and without running any of it."""
    runs = f"open({str(tmp_path / 'ran')!r}, 'w')"
    loss = "def dsm_loss(*a):\n    raise NotImplementedError"
    sources = [f"{runs}\nC = {runs} and 1", RIGHT.replace("return ", "return C * "), loss, "def sliced_loss(:"]
    write(tmp_path, {"in/02.ipynb": notebook(*sources, tag="")})
    assert main(["grade", str(tmp_path / "in" / "02.ipynb"), "--dry-run", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    read = ["2.4 dsm_target: is marked", "2.5 dsm_loss: not attempted", "2.2 sliced_loss: the cell can't be read: Synt"]
    for part in (*read, "      C = open(", RULE):
        assert part in said
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


LINK, PIPE = "a link is not followed", "this is no plain file"
LIES = {  # the entries of a folder: how many notebooks are read of each, and a part of what is said
    "ann": (1, ""),
    "ann (2)": (1, ""),
    "a\\nb": (1, ""),
    "pdf": (0, "no notebook"),
    "notes.txt": (0, "no notebook"),
    "x": (0, "no notebook"),
    "loop": (0, LINK),
    "to itself": (0, LINK),
    "up": (0, LINK),
    "nowhere": (0, LINK),
    "mallory": (0, LINK),
    "pipe": (0, PIPE),
    "s": (0, PIPE),
    "files": (40, "the rest was not read"),
    "folders": (0, "folders the rest was not read"),
    "deep": (1, "too"),
    "links": (0, "80 more of the kind"),
    "eve": (1, f"linked: {LINK}\nlinked.ipynb: {LINK}\npipe.ipynb: {PIPE}"),
}


@pytest.fixture
def odd_folder(tmp_path, monkeypatch):
    """Links to notebooks, themselves, above and nowhere; pipes, a socket, a file of a TiB, a lone byte, very many."""
    folder, secrets = tmp_path / "in", tmp_path / "secrets"
    hand_in(folder, {"ann": UNTOUCHED, "a\nb": UNTOUCHED, "../secrets": RIGHT})
    copies = (".ipynb_checkpoints/02.ipynb", "ann/.ipynb_checkpoints/02.ipynb", "ann.ipynb", "deep/a.ipynb")
    files = [*copies, *(f"files/{i}.ipynb" for i in range(50)), os.fsdecode(b"eve/andr\xe9.ipynb")]
    write(folder, dict.fromkeys([*files, "notes.txt", "pdf/02.pdf", "eve/huge.ipynb"], b""))
    os.truncate(folder / "eve" / "huge.ipynb", 2**40)
    links = {"loop": "loop", "to itself.ipynb": "to itself.ipynb", "up": "..", "nowhere.ipynb": "/nowhere/at/all"}
    links |= {"mallory": secrets, "eve/linked": secrets, "eve/linked.ipynb": secrets / "02.ipynb"}
    for name, target in (links | {f"links/{i}{'x' * 200}.ipynb": "nowhere" for i in range(100)}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(target)
    for pipe in ("pipe.ipynb", "eve/pipe.ipynb"):
        os.mkfifo(folder / pipe)
    for made in ("x.ipynb", *(f"folders/d{i}" for i in range(2_100))):
        (folder / made).mkdir(parents=True)
    monkeypatch.chdir(folder / "deep")
    for _ in range(20):  # to a path longer than the system takes
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    monkeypatch.chdir(folder)  # of a longer path a socket can't be
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.ipynb")
    return folder


@pytest.mark.harmless
def test_whatever_lies_in_a_folder_gets_a_row_and_stops_no_grading(odd_folder, tmp_path):
    """Only plain files are read. Marks among the submissions are none."""
    found = {student: read_submission(path) for student, path in find_students([odd_folder]).items()}
    assert found.keys() == LIES.keys()
    for student, (n_files, said) in LIES.items():
        assert len(found[student].files) == n_files, student
        assert said in "\n".join(found[student].problems), student
    assert [*found["eve"].files] == ["andr\\xe9.ipynb"]
    assert len(found["eve"].problems) == 4
    assert found["ann"].problems == []
    (odd_folder / "grades").mkdir()
    (tmp_path / "out").symlink_to(odd_folder / "grades")
    for options in ([], ["--resume"]):
        assert grading(tmp_path, "--chapters", "2", *options) == 0
        notes = {row["student"]: row["note"] for row in table(tmp_path / "out" / "grades.csv")}
        assert notes.keys() == found.keys()
        assert LINK in notes["loop"]
        assert len(notes["links"]) == 2_000


@pytest.mark.parametrize(("entry", "error"), [("empty", "submissions must hold"), ("nowhere", "there is no")])
def test_a_folder_of_nothing_is_named(tmp_path, entry, error):
    (tmp_path / "empty").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match=error):
        find_students([tmp_path / entry])


ENTRIES = {  # of a platform, and what is right in each
    "Ann_123_assignsubmission_file_02.ipynb": ["dsm_target"],
    "Ann_123_assignsubmission_file_02b.ipynb": ["dsm_target", "dsm_loss"],
    "Ann_123_assignsubmission_onlinetext_": [],
    "Eve_123_assignsubmission_456_assignsubmission_file_": ["sliced_loss"],
}


def test_points_are_those_of_an_id(tmp_path):
    """Several entries of one id count together; an id within a name that its owner chose is not believed."""
    marks = Marks(tmp_path, FACTS, resume=False)
    for name, right in ENTRIES.items():
        outcomes = [Outcome(e, "correct" if e in right else "missing") for e in CHAPTER_2]
        marks.add(Graded(name, outcomes, [], "", ""))
    points = [(row["id"], row["points"]) for row in table(tmp_path / "points.csv")]
    assert points == [("123", "2"), ([*ENTRIES][-1], "1")]


NAMES = ["x;=1+1", " =1+1", "\uff1d1+1", "@x", "-x", "+x", "<img src=x onerror=alert(1)>", "a\tb", "a\nb", "é" * 99, ""]


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"andr\xe9"), "Doe, Jane_123_assignsubmission_file_", "..."])
def test_a_name_is_only_text(tmp_path, name):
    name = spelled(name)
    graded = Graded(name, [Outcome("dsm_target", "correct", "", RIGHT, name)], [name], "", "")
    Marks(tmp_path, FACTS, resume=False).add(graded)
    assert Marks(tmp_path, FACTS, resume=True).graded == {name: graded}
    (row,), (points,) = table(tmp_path / "grades.csv"), table(tmp_path / "points.csv")
    for text in (row["student"], row["note"]):
        assert not any(part.strip()[:1] in set("=+-@＝") for part in text.replace("\t", ";").split(";"))
    assert points["id"] == ("123" if "Jane" in name else row["student"])
    (report,) = (tmp_path / "reports").iterdir()
    before, tag, _ = report.read_text(encoding="utf-8").partition("<img")
    assert not tag or before.count("```") % 2 == 1  # in a fence


def test_no_source_closes_its_fence():
    outcome = Outcome("dsm_target", "wrong", "`" * 50_000, "`" * 7 + "\n<img>", "02.ipynb")
    report = report_of(Graded("eve", [outcome], [], "", ""), FACTS)
    assert "`" * 8 + "python\n" in report
    assert "\n" + "`" * 50_001 + "text\n" in report


SURVIVOR = """
import ctypes, os, struct, sys, time
library = ctypes.CDLL(None, use_errno=True)

def in_the_first_process(*call):
    "Have process 1, which has this one's user, make a system call (x86_64)."
    trace = lambda request, data=0: library.ptrace(request, 1, ctypes.c_void_p(0), data)
    if trace(16) == 0:
        os.waitpid(1, 0x40000000)
        saved = ctypes.create_string_buffer(27 * 8)
        trace(12, saved)
        registers = list(struct.unpack("27Q", saved.raw))
        registers[10], registers[15], registers[16] = call[0], 2**64 - 1, registers[16] - 2
        registers[14], registers[13] = (*call[1:], 0, 0)[:2]
        trace(13, ctypes.create_string_buffer(struct.pack("27Q", *registers)))
        trace(9)
        os.waitpid(1, 0x40000000)
        trace(13, saved)
        trace(17)

def dsm_target(x, *a):
    ended, held = os.pipe()
    if os.fork() == 0:
        in_the_first_process(112)
        in_the_first_process(157, 1, 0)
        os.setsid()
        library.prctl(1, 0, 0, 0, 0)
        os.execv(sys.executable, [MARK, "-c", "import time; time.sleep(100)"])
    os.close(held)
    os.read(ended, 1)  # until execv closes the other end
    end = time.monotonic() + BUSY
    while time.monotonic() < end:
        pass
    return x
"""


def as_an_ordinary_user(command, folder):
    """The command as a user without rights has it run: this one, or for root another, who may enter what it needs."""
    if os.getuid():
        return command
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 61234, 61234)
    needed = [Path(sys.base_prefix), Path(sys.prefix), PACKAGE.parent, folder]
    closed = {next((p for p in reversed(path.parents) if not p.stat().st_mode & 1), None) for path in needed} - {None}
    words = [word for path in closed for word in ("--tmpfs", path)]
    for path in needed:
        folders = [folder for folder in reversed(path.parents) if closed & {folder, *folder.parents}]
        words += [word for folder in folders for word in ("--perms", "0755", "--dir", folder)] + ["--bind", path, path]
    user = ["setpriv", "--reuid", "61234", "--regid", "61234", "--clear-groups"]
    return ["bwrap", "--dev-bind", "/", "/", *words, "--chdir", folder, *user, *command]


@needs_isolation
@pytest.mark.parametrize(("killed", "ordinary"), [(False, True), (True, True), (True, False)])
def test_nothing_outlives_a_grader(tmp_path, killed, ordinary):
    """Killed while the student's code is busy, or not; of an ordinary user, or of this one, who may be root."""
    mark = f"sbgm-survivor-{os.getpid()}-{killed}-{ordinary}"
    hand_in(tmp_path / "in", {"eve": SURVIVOR.replace("MARK", repr(mark)).replace("BUSY", str(50 * killed))})
    command = [sys.executable, "-m", "sbgm", "grade", tmp_path / "in", "--out", tmp_path / "out", "--chapters", "2"]
    command = as_an_ordinary_user(command, tmp_path) if ordinary else command
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    with psutil.Popen(list(map(str, command)), stderr=subprocess.PIPE, env=environment) as grader:
        while killed and not running(mark):
            time.sleep(0.1)
            assert grader.poll() is None, grader.stderr.read().decode()
        below = grader.children(recursive=True)
        for process in [p for p in (grader, *below) if killed and "grade" in p.cmdline()]:
            process.kill()
        grader.communicate()
    assert psutil.wait_procs([*below, *running(mark)], timeout=60)[1] == []
    assert killed or len(table(tmp_path / "out" / "grades.csv")) == 1


def test_an_end_that_does_not_come_is_told(monkeypatch):
    sandbox = Sandbox(Limits(), isolated=True)
    with monkeypatch.context() as patch:
        patch.setattr("sbgm.course.sandbox.END_SECONDS", 0.1)
        patch.setattr(Sandbox, "_kill", lambda self: None)
        with pytest.raises(RuntimeError, match="still run"):
            sandbox.close()
    sandbox._first = None
    sandbox._kill()
    sandbox.close()


def test_a_call_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    call(lambda: torch.manual_seed(1), [], False)
    assert torch.equal(before, torch.get_rng_state())
