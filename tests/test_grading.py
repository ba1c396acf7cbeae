"""Grading: the marks that notebooks get, and that none can change them."""

from __future__ import annotations

import copy
import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import safetensors.torch
import torch
from nbformat.v4 import new_code_cell, new_notebook

from answers import all_answers
from sbgm import checks
from sbgm.cli import main
from sbgm.course.calls import (
    Descent,
    LogProbOf,
    MixtureField,
    Reply,
    Seed,
    TanhField,
    as_reply,
    call,
    decoded_arguments,
    encoded_arguments,
    encoded_reply,
)
from sbgm.course.grading import Graded, Marks, grade, report_of
from sbgm.course.marking import Outcome, mark_student
from sbgm.course.messages import LENGTHS, MessageError, OutOfTimeError, receive, send
from sbgm.course.notebook import read_notebook
from sbgm.course.sandbox import PACKAGE, Limits, describe, readable, refusal
from sbgm.course.submissions import find_students, read_submission, shown
from sbgm.theory import count_levels

CHAPTER_2 = {name: e for name, e in checks.exercises().items() if e.chapter == 2}
RIGHT = "def dsm_target(x, x_noisy, sigma):\n    return -(x_noisy - x) / sigma**2"
WRONG = "def dsm_target(x, x_noisy, sigma):\n    return (x_noisy - x) / sigma**2"
UNTOUCHED = "def dsm_target(x, x_noisy, sigma):\n    raise NotImplementedError"
QUICK = Limits(call_seconds=10, exercise_seconds=10)

needs_isolation = pytest.mark.usefixtures("isolation")  # a grader in a process of its own


def notebook(*sources: str, tag: str = "exercise") -> bytes:
    cells = [new_code_cell(source, metadata={"tags": [tag]} if tag else {}) for source in sources]
    return nbformat.writes(new_notebook(cells=cells)).encode()


def marked(*sources: str, names=("dsm_target",), limits=QUICK, **options):
    """Outcomes of a notebook of exercise cells, by exercise; isolated, or in a harmless test where that can be had."""
    exercises = {name: checks.exercises()[name] for name in names}
    options = {"seed": 1, "limits": limits, "isolated": not refusal()} | options
    return {o.exercise: o for o in mark_student({"02.ipynb": notebook(*sources)}, exercises, **options)[0]}


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe():
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    yield source, sink
    for descriptor in (source, sink):
        os.close(descriptor)


def mixture_score(x, sigma):
    return -x / (1 + sigma**2)


def test_arguments_cross_whole(pipe):
    source, sink = pipe
    generator = torch.Generator().manual_seed(0)
    mixture = MixtureField(torch.tensor([0.2, 0.8]), torch.randn(2, 3, generator=generator), torch.ones(2))
    field = TanhField.random(4, generator, torch.float64)
    x = torch.randn(5, 4, generator=generator)
    bits = torch.tensor(2.5, dtype=torch.bfloat16)
    descent = Descent(x, x + 1, torch.tensor([2.0, 1.0]), step_size=0.1, n_steps=3, seed=4)
    kinds, blob = encoded_arguments((x, field, LogProbOf(mixture), Seed(3), 0.5, 7, x.T, bits, descent))
    send(sink, {"arguments": kinds}, blob, 5.0)
    fields, blob = receive(source)
    back = decoded_arguments(fields["arguments"], blob)
    assert torch.equal(back[0], x)
    assert torch.equal(back[1](x.double(), 0.3), field(x.double(), 0.3))
    assert torch.equal(back[2].field.log_prob(x[:, :3]), mixture.log_prob(x[:, :3]))
    assert back[3:6] == [Seed(3), 0.5, 7]
    assert torch.equal(back[6], x.T)
    assert back[7].dtype == torch.bfloat16
    assert back[7] == bits
    assert torch.equal(back[8].of(mixture_score), descent.of(mixture_score))


def test_a_reply_crosses_whole(pipe):
    source, sink = pipe
    reply = Reply((torch.arange(3.0), torch.tensor(1)), (torch.ones(2, 2),), "no", True, (1,), True, True)
    send(sink, *encoded_reply(reply))
    back = as_reply(*receive(source))
    assert [v.tolist() for v in back.values] == [[0, 1, 2], 1]
    assert torch.equal(back.gradients[0], torch.ones(2, 2))
    assert (back.problem, back.changed, back.reseeded, back.drew) == ("no", (1,), True, True)


@pytest.mark.parametrize(
    "data",
    [
        LENGTHS.pack(2**60, 0),
        LENGTHS.pack(3, 0) + b"[1]",
        LENGTHS.pack(4, 0) + b"\xff\xfe{}",
        LENGTHS.pack(60_000, 0) + b"[" * 60_000,
        LENGTHS.pack(5_008, 0) + b'{"a": ' + b"1" * 5_001 + b"}",
    ],
    ids=["huge", "no object", "no text", "nested", "a number of 5,001 digits"],
)
def test_what_is_no_message_is_refused(pipe, data):
    source, sink = pipe
    os.write(sink, data)
    with pytest.raises(MessageError):
        receive(source, 1.0)


SOUND = {"problem": "", "attempted": True, "changed": []}
REFUSED = {
    "empty": ({}, b""),
    "problem": (SOUND | {"problem": 1}, b""),
    "attempted": (SOUND | {"attempted": "yes"}, b""),
    "words": (SOUND | {"changed": ["x"]}, b""),
    "number": (SOUND | {"changed": [10**4000]}, b""),
    "bool": (SOUND | {"changed": [True]}, b""),
    "pickle": (SOUND, b"\x80\x04K."),
    "lie": (SOUND, (2**40).to_bytes(8, "little")),
    "header": (SOUND, (2**17).to_bytes(8, "little") + b" " * 2**17),
    "float8": (SOUND, safetensors.torch.save({"value.0": torch.zeros(3, dtype=torch.float8_e4m3fn)})),
    "complex": (SOUND, safetensors.torch.save({"value.0": torch.zeros(3, dtype=torch.complex64)})),
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_reply_of_another_form_is_refused(how):
    with pytest.raises(MessageError):
        as_reply(*REFUSED[how])


def test_half_a_message_runs_out_of_time(pipe):
    source, sink = pipe
    os.write(sink, LENGTHS.pack(100, 0) + b"{")
    start = time.monotonic()
    with pytest.raises(OutOfTimeError):
        receive(source, 0.2)
    assert time.monotonic() - start < 2


def test_what_no_one_reads_runs_out_of_time(pipe):
    start = time.monotonic()
    with pytest.raises(OutOfTimeError):
        send(pipe[1], {}, bytes(2**22), 0.2)
    assert time.monotonic() - start < 2


def test_too_large_a_message_is_not_sent(pipe):
    with pytest.raises(MessageError, match="larger than"):
        send(pipe[1], {}, bytes(2**26))


# --- what of a notebook is run ----------------------------------------------------------------------------------------


def read(*sources, tag="exercise"):
    return read_notebook(notebook(*sources, tag=tag), list(checks.exercises()))


def test_only_what_defines_answers_is_run():
    figures = "import torch\nx = expensive()\nSIGMA = 0.5\nplot(x)\nhelper = lambda y: 2 * y"
    cells = [new_code_cell(figures), new_code_cell(f"{RIGHT}\nN = len('abc')\ncheck(dsm_target)")]
    cells[1].metadata["tags"] = ["exercise"]
    found = read_notebook(nbformat.writes(new_notebook(cells=cells)).encode(), ["dsm_target"])
    run = "\n".join(found.statements)
    assert "expensive" not in run
    assert "plot" not in run
    assert "check" not in run
    for kept in ("import torch", "SIGMA", "helper", "def dsm_target", "N = len"):
        assert kept in run
    assert {name: answer.source for name, answer in found.answers.items()} == {"dsm_target": RIGHT}


MAGICS = ("%matplotlib inline\n{}\n!ls", "%%time\n{}", "files = !ls\n{}", "{}\n?torch\ntorch??", "%x\n" * 500 + "{}")


@pytest.mark.parametrize("around", MAGICS, ids=lambda around: around[:8])
def test_a_magic_does_not_hide_an_answer(around):
    start = time.monotonic()
    assert read(around.format(RIGHT)).answers["dsm_target"].source == RIGHT
    assert time.monotonic() - start < 1


def test_a_line_that_begins_with_a_remainder_is_no_magic():
    source = "def dsm_target(x, x_noisy, sigma):\n    return (x\n    % sigma)"
    assert read(source).answers["dsm_target"].source == source


def test_an_import_that_fails_costs_no_other():
    source = f"from sbgm import MLP, checks, GaussianMixture\n{RIGHT}"
    assert read(source).statements[:3] == [f"from sbgm import {name}" for name in ("MLP", "checks", "GaussianMixture")]


@pytest.mark.parametrize("stub", ["raise NotImplementedError  # yours", "'Mine.'\n    raise NotImplementedError()"])
def test_an_untouched_stub_is_known_by_its_source(stub):
    assert read(f"def dsm_target(x, x_noisy, sigma):\n    {stub}").answers["dsm_target"].untouched
    assert not read(RIGHT).answers["dsm_target"].untouched


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"cells": 3}', b"\xff" * 10, b"[" * 100_000])
def test_what_is_no_notebook_says_so(content):
    assert "no Jupyter notebook" in read_notebook(content, ["dsm_target"]).problem


def test_a_notebook_in_another_language_says_so():
    content = json.loads(notebook(RIGHT))
    content["metadata"]["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
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


@pytest.mark.harmless
def test_every_kind_of_answer_gets_its_verdict():
    untouched = "def dsm_loss(score, x, sigma, z):\n    raise NotImplementedError"
    outcomes = marked(f"import torch\n{RIGHT}", untouched, names=CHAPTER_2)
    assert {name: o.verdict for name, o in outcomes.items()} == {
        "dsm_target": "correct",
        "dsm_loss": "not attempted",
        "sliced_loss": "missing",
    }
    assert outcomes["dsm_target"].answer == RIGHT


@pytest.mark.harmless
@pytest.mark.parametrize("name", ["sliced_loss", "langevin_step"])
def test_another_process_gives_the_verdict_that_this_one_gives(name):
    """On every third answer known, all in one notebook, since a process takes seconds to start."""
    exercise, answers = checks.exercises()[name], all_answers()[name]
    sources = [
        f"import sys; _ = sys.path.insert(0, {os.path.dirname(__file__)!r})\nfrom answers import all_answers\n"
        f"known = all_answers()[{name!r}].right | all_answers()[{name!r}].all_wrong()"
    ]
    posed = {}
    for how in [*answers.right, *answers.all_wrong()][::3]:
        posed[how] = copy.copy(exercise)
        posed[how].name = f"{name}_{len(posed)}"
        sources.append(f"{posed[how].name} = known[{how!r}]")
    files, asked = {"a.ipynb": notebook(*sources)}, {e.name: e for e in posed.values()}
    # not isolated, for tests/ would be out of sight
    outcomes, _ = mark_student(files, asked, seed=1, limits=QUICK, isolated=False)
    for how, outcome in zip(posed, outcomes, strict=True):
        message = ""
        if how in answers.right:
            assert outcome.verdict == "correct", how
        else:
            with pytest.raises(checks.WrongAnswer) as here:
                exercise(answers.all_wrong()[how], seed=1)
            assert outcome.verdict == "wrong", how
            message = str(here.value)
        assert outcome.message == message


@pytest.mark.harmless
def test_an_answer_of_another_shape_is_wrong():
    outcome = marked("def langevin_step(score, x, *rest):\n    return x.flatten()", names=["langevin_step"])
    assert outcome["langevin_step"].verdict == "wrong"
    assert "your answer has shape (30000,)" in outcome["langevin_step"].message


@pytest.mark.harmless
def test_a_group_is_marked_by_its_variant():
    problem = checks.ladder_problem(variant=7)
    levels = count_levels(problem["sigma_max"], problem["sigma_min"], problem["dim"])
    source = f"def levels_needed():\n    return {levels}"
    assert marked(source, names=["levels_needed"], variant=7)["levels_needed"].verdict == "correct"
    other_group = marked(source, names=["levels_needed"], variant=8)["levels_needed"]
    assert other_group.verdict == "wrong"
    assert "another group's answer" in other_group.message


@pytest.mark.harmless
def test_of_two_notebooks_the_better_answer_counts():
    files = {"02 (1).ipynb": notebook(WRONG), "02.ipynb": notebook(RIGHT), "old/02.ipynb": notebook(WRONG)}
    asked = {"dsm_target": checks.dsm_target}
    (outcome,), _ = mark_student(files, asked, seed=1, limits=QUICK, isolated=not refusal())
    assert (outcome.verdict, outcome.notebook) == ("correct", "02.ipynb")


@pytest.mark.harmless
def test_an_untouched_submission_loads_no_torch():
    """Thirty notebooks as they were handed out take no more than the reading of them: none of their code is run."""
    stub = "def {}(*arguments):\n    raise NotImplementedError"
    files = {f"{name}.ipynb": notebook("import torch", stub.format(name)) for name in checks.exercises()}
    none = Limits(start_seconds=0)
    outcomes, problems = mark_student(files, checks.exercises(), seed=0, limits=none, isolated=not refusal())
    assert {o.verdict for o in outcomes} == {"not attempted"}
    assert problems == []


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
    limits = Limits(start_seconds=10 if "cell" in attack else 60, call_seconds=3, exercise_seconds=3)
    outcome = marked(ATTACKS[attack].replace("GRADER", str(os.getpid())), limits=limits)["dsm_target"]
    assert outcome.mark == 0
    assert outcome.verdict in ("wrong", "failed", "not attempted")


def test_an_attack_costs_only_its_own_exercise():
    outcomes = marked(
        f"import torch\n{RIGHT}", "def dsm_loss(*a):\n    import os; os._exit(1)", names=["dsm_loss", "dsm_target"]
    )
    assert [o.verdict for o in outcomes.values()] == ["failed", "correct"]


def test_definitions_that_end_the_process_are_not_tried_again():
    start = time.monotonic()
    stubs = [f"def {name}(*a):\n    return 1" for name in CHAPTER_2]
    outcomes = marked("while True: pass", *stubs, names=CHAPTER_2, limits=Limits(start_seconds=5))
    assert {o.verdict for o in outcomes.values()} == {"failed"}
    assert time.monotonic() - start < 12


GREEDY = {
    "shared mappings": "import mmap\nheld = []\nwhile True:\n    m = mmap.mmap(-1, 2**27); m[::4096] = bytes(2**15); "
    "held.append(m)",
    "children": "import os, time\nfor _ in range(30):\n    if os.fork() == 0:\n        hog = bytearray(2**26); "
    "time.sleep(100)\ntime.sleep(100)",
    "busy processes": "import os, time\nfor _ in range(12):\n    if os.fork() == 0:\n        while True: pass\n"
    "time.sleep(100)",
    "files in memory": "import itertools, time\nfor i in itertools.count():\n    open(f'/dev/shm/{i}', 'w').close()",
}


@pytest.mark.parametrize("how", GREEDY)
def test_what_all_of_a_students_processes_take_is_limited(how):
    body = GREEDY[how].replace("\n", "\n    ")
    limits = Limits(memory=5 * 2**27, call_seconds=60, exercise_seconds=60)
    outcome = marked(f"def dsm_target(*a):\n    {body}", limits=limits)["dsm_target"]
    assert outcome.verdict == "failed"
    assert "more than" in outcome.message


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
)


def test_no_memory_is_had_that_no_process_shows():
    calls = ", ".join(f"(library.{call}, ctypes.get_errno())" for call in ABSENT)
    source = (
        "import ctypes, errno\nlibrary = ctypes.CDLL(None, use_errno=True)\ndef dsm_target(x, x_noisy, sigma):\n"
        f"    had = [{calls}]\n    assert had == [(-1, errno.ENOSYS)] * {len(ABSENT)}, had\n"
    )
    outcome = marked(source + RIGHT.partition("\n")[2])["dsm_target"]
    assert outcome.verdict == "correct", outcome.message


def test_no_process_is_left_behind(tmp_path):
    name = f"sbgm-left-behind-{os.getpid()}"
    daemon = (
        "import os, sys, time\ndef dsm_target(x, *a):\n    if os.fork() == 0:\n        os.setsid()\n"
        f"        os.execv(sys.executable, [{name!r}, '-c', 'import time; time.sleep(1000)'])\n"
        "    time.sleep(1)\n    return x"
    )
    assert marked(daemon)["dsm_target"].mark == 0
    time.sleep(0.5)
    assert name not in subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout


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
    (tmp_path / "home").mkdir()
    decoys = [tmp_path / "decoy", tmp_path / "home" / "decoy"]
    for decoy in decoys:
        decoy.write_text("decoy")
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
    assert not any((PACKAGE / "course" / name) in readable() for name in ("exercise.py", "chapter_01.py", "grading.py"))
    for limit in ("2 GiB", "64 processes", "16 MiB", "900 seconds"):
        assert limit in said
    assert "can read and change your files" in describe(Limits(), isolated=False)


@needs_isolation
def test_a_python_that_only_its_owner_may_enter_is_isolated_too(tmp_path):
    """The package lies in that Python's own libraries, as after `pip install`: of it, too, only a part is in sight."""
    prefix = tmp_path / "closed" / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
    libraries = next(prefix.glob("lib/python*/site-packages"))
    (libraries / "others.pth").write_text("\n".join(p for p in sys.path if Path(p).name == "site-packages"))
    shutil.copytree(PACKAGE, libraries / "sbgm", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "in").mkdir()
    decoys = [place / "decoy" for place in (prefix.parent, prefix, libraries / "sbgm", libraries / "sbgm" / "course")]
    for decoy in decoys:
        decoy.write_text("decoy")
    hidden = [libraries / "sbgm" / place for place in ("course/chapter_02.py", "train")]
    paths = [str(path) for path in (*decoys, *hidden)]
    probe = f"import os\nassert not [p for p in {paths!r} if os.path.exists(p)]\n{RIGHT}"
    (tmp_path / "in" / "ann.ipynb").write_bytes(notebook(probe))
    (tmp_path / "closed").chmod(0o700)
    command = [
        str(prefix / "bin" / "python"),
        "-m",
        "sbgm",
        "grade",
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "out"),
    ]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader((tmp_path / "out" / "grades.csv").open(encoding="utf-8"))
    assert (row["dsm_target"], row["note"]) == ("1", "")


@pytest.mark.harmless
def test_without_bubblewrap_grading_goes_on_only_when_told_to(tmp_path, monkeypatch, capsys):
    hand_in(tmp_path / "in", {"ann": RIGHT})
    monkeypatch.setattr("sbgm.course.sandbox.refusal", lambda: "bubblewrap is not installed")
    command = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "bubblewrap is not installed" in said
    assert "--without-isolation" in said
    assert "read and change your files" in said
    assert not (tmp_path / "out").exists()
    assert main([*command, "--without-isolation"]) == 0
    assert "read and change your files" in capsys.readouterr().out


# --- a folder ---------------------------------------------------------------------------------------------------------


def hand_in(folder, students):
    for name, source in students.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "02.ipynb").write_bytes(notebook(source))


def table(path):
    return list(csv.DictReader(path.open(encoding="utf-8", newline="")))


def grading(tmp_path, *options):
    unsafe = ["--without-isolation"] if refusal() else []
    return main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *unsafe, *options])


def test_a_variant_that_no_group_can_have_is_refused(tmp_path, capsys):
    hand_in(tmp_path / "in", {"ann": RIGHT})
    assert grading(tmp_path, "--variant", "-1") == 1
    assert "--variant must not be negative, got -1" in capsys.readouterr().err


@pytest.mark.harmless
def test_a_folder_is_marked_and_written_once(tmp_path, capsys):
    rude = "def dsm_target(*a):\n    raise ValueError('```\\x1b[31m')"
    hand_in(tmp_path / "in", {"ann": RIGHT, "bob": WRONG, "=cmd": rude})
    assert grading(tmp_path, "--seed", "3", "--jobs", "2") == 0
    rows = table(tmp_path / "out" / "grades.csv")
    assert list(rows[0]) == ["student", "marks", "of", *checks.exercises(), "note"]
    assert {row["student"]: row["dsm_target"] for row in rows} == {"'=cmd": "0", "ann": "1", "bob": "0"}
    assert {row["student"]: (row["marks"], row["of"]) for row in rows}["ann"] == ("1", str(len(checks.exercises())))
    points = table(tmp_path / "out" / "points.csv")
    assert [(row["id"], row["points"]) for row in points] == [("'=cmd", "0"), ("ann", "1"), ("bob", "0")]
    report = (tmp_path / "out" / "reports" / "bob.md").read_text(encoding="utf-8")
    assert "the sign is wrong" in report
    assert WRONG in report
    assert "seed: 3; variant: 0" in report
    rude = (tmp_path / "out" / "reports" / "=cmd.md").read_text(encoding="utf-8")
    assert "\x1b" not in rude
    assert "````" in rude
    assert grading(tmp_path) == 1
    assert "never overwritten" in capsys.readouterr().err


@pytest.mark.harmless
def test_a_grading_goes_on_where_it_stopped_and_changes_no_mark(tmp_path, capsys):
    hand_in(tmp_path / "in", {"ann": RIGHT})
    assert grading(tmp_path, "--chapters", "2", "--seed", "3") == 0
    hand_in(tmp_path / "in", {"bob": RIGHT})
    (tmp_path / "in" / "ann" / "02.ipynb").write_bytes(notebook(WRONG))
    (tmp_path / "out" / "reports" / "bob.md.123.partial").write_text("half")
    assert grading(tmp_path, "--chapters", "2", "--resume") == 0
    assert grading(tmp_path, "--chapters", "2", "--resume", "--seed", "3") == 0
    ann, bob = table(tmp_path / "out" / "grades.csv")
    assert (ann["marks"], ann["of"]) == (bob["marks"], bob["of"]) == ("1", "3")
    assert "changed since it was marked" in ann["note"]
    assert bob["note"] == ""
    assert not list((tmp_path / "out").rglob("*.partial"))
    capsys.readouterr()
    for other in (["--seed", "4"], ["--variant", "1"], ["--seconds", "2"], ["--memory", "0.5"]):
        assert grading(tmp_path, "--chapters", "2", "--resume", *other) == 1
        assert f"{other[0]} must be" in capsys.readouterr().err


def test_a_start_that_was_killed_can_be_started_again(tmp_path):
    facts = {"seed": None, "variant": 0, "chapters": [2]}
    (tmp_path / "grading.json.77.partial").write_text("{")
    seed = Marks(tmp_path, facts, resume=False).facts["seed"]
    assert Marks(tmp_path, facts, resume=True).facts["seed"] == seed
    with pytest.raises(FileExistsError, match="--resume"):
        Marks(tmp_path, facts, resume=False)
    for damaged in ("{", "[1]", '{"seed": 1}'):
        (tmp_path / "grading.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"grading\.json is damaged"):
            Marks(tmp_path, facts, resume=True)


def test_what_else_lies_in_a_folder_is_left_alone(tmp_path):
    (tmp_path / "film.partial").write_text("half")
    with pytest.raises(FileExistsError, match="other files"):
        Marks(tmp_path, {"seed": None}, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["film.partial"]


def test_a_damaged_students_file_is_named(tmp_path):
    facts = {"seed": 1, "variant": 0}
    Marks(tmp_path, facts, resume=False).add(Graded("ann", [Outcome("dsm_target", "correct")], [], "", ""))
    path = tmp_path / "students" / "ann.json"
    whole = path.read_text()
    for damaged in (whole[:40], whole.replace("student", "stvdent"), whole.replace("verdict", "verdikt"), "3"):
        path.write_text(damaged)
        with pytest.raises(ValueError, match=r"ann\.json is damaged"):
            Marks(tmp_path, facts, resume=True)


@pytest.mark.harmless
def test_of_two_graders_of_one_folder_the_second_is_refused(tmp_path, capsys):
    hand_in(tmp_path / "in", {"ann": UNTOUCHED})
    hold = "import sys; from filelock import FileLock\nwith FileLock(sys.argv[1]): print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(tmp_path / "out" / ".lock")]
    for options in ([], ["--resume"]):
        (tmp_path / "out").mkdir(exist_ok=True)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
            first.stdout.readline()
            assert grading(tmp_path, *options) == 1
            assert "in use: another process grades into it" in capsys.readouterr().err
            assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
            first.communicate()
    assert grading(tmp_path, "--chapters", "2") == 0


@pytest.mark.harmless
def test_a_row_says_how_its_own_student_was_isolated(tmp_path, capsys):
    hand_in(tmp_path / "in", {"ann": UNTOUCHED})
    assert grading(tmp_path, "--chapters", "2") == 0
    hand_in(tmp_path / "in", {"bob": UNTOUCHED})
    capsys.readouterr()
    assert grading(tmp_path, "--chapters", "2", "--resume", "--without-isolation") == 0
    said = capsys.readouterr().out
    ways = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))["isolation"]
        for path in (tmp_path / "out" / "students").iterdir()
    }
    assert ways == {
        "ann": describe(Limits(), isolated=not refusal()),
        "bob": describe(Limits(), isolated=False),
    }
    for way in ways.values():
        assert f"isolation of {list(ways.values()).count(way)}: {way}\n" in said


@pytest.mark.harmless
def test_the_same_seed_gives_the_same_marks(tmp_path):
    hand_in(tmp_path, {"ann": RIGHT, "bob": WRONG})
    options = {"seed": 5, "n_jobs": 2, "isolated": not refusal()}
    first, second = ({g.student: g for g in grade(find_students([tmp_path]), CHAPTER_2, **options)} for _ in range(2))
    assert first == second


def test_everyone_who_is_found_gets_a_row(tmp_path):
    folder = tmp_path / "in"
    hand_in(folder, {"ann": RIGHT})
    (folder / "ann.ipynb").write_bytes(notebook(WRONG))
    (folder / "notes.txt").write_text("")
    (folder / "empty").mkdir()
    (folder / "pdf").mkdir()
    (folder / "pdf" / "02.pdf").write_text("")
    (folder / "ann" / ".ipynb_checkpoints").mkdir()
    (folder / "ann" / ".ipynb_checkpoints" / "02.ipynb").write_bytes(notebook(WRONG))
    (folder / ".ipynb_checkpoints").mkdir()
    found = find_students([folder])
    assert {student: [*read_submission(path).files] for student, path in found.items()} == {
        "ann": ["02.ipynb"],
        "ann (2)": ["ann.ipynb"],
        "empty": [],
        "notes.txt": [],
        "pdf": [],
    }
    assert read_submission(found["pdf"]).problems == ["no notebook"]
    with pytest.raises(ValueError, match="submissions must hold"):
        find_students([folder / "empty"])
    with pytest.raises(FileNotFoundError, match="there is no"):
        find_students([tmp_path / "nowhere"])


def test_only_plain_files_are_read(tmp_path):
    folder = tmp_path / "eve"
    folder.mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "secret.ipynb").write_bytes(notebook(RIGHT))
    (folder / "linked.ipynb").symlink_to(tmp_path / "secrets" / "secret.ipynb")
    (folder / "folder").symlink_to(tmp_path / "secrets")
    os.mkfifo(folder / "pipe.ipynb")
    with (folder / "huge.ipynb").open("wb") as file:
        file.truncate(2**40)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s.ipynb"))
    (folder / os.fsdecode(b"andr\xe9.ipynb")).write_bytes(b"")
    submission = read_submission(folder)
    assert list(submission.files) == ["andr\\xe9.ipynb"]
    assert len(submission.problems) == 5
    (tmp_path / "mallory").symlink_to(tmp_path / "secrets")
    assert read_submission(tmp_path / "mallory").problems == ["mallory: a link is not followed"]


def test_too_many_files_and_folders_are_not_read(tmp_path):
    for i in range(50):
        (tmp_path / f"{i}.ipynb").write_bytes(b"")
    submission = read_submission(tmp_path)
    assert len(submission.files) == 40
    assert "the rest was not read" in submission.problems[0]


def test_folders_too_deep_cost_only_themselves(tmp_path):
    """A path longer than the system takes, made step by step."""
    (tmp_path / "a.ipynb").write_bytes(b"")
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=folder)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    submission = read_submission(tmp_path)
    assert list(submission.files) == ["a.ipynb"]
    assert "too" in submission.problems[0]


def test_a_note_fits_into_a_cell(tmp_path):
    folder = tmp_path / "eve"
    folder.mkdir()
    for i in range(100):
        (folder / f"{i}{'x' * 200}.ipynb").symlink_to("nowhere")
    problems = read_submission(folder).problems
    assert len(problems) == 21
    assert problems[-1] == "80 more of the kind"
    Marks(tmp_path / "out", {"seed": 1, "variant": 0}, resume=False).add(Graded("eve", [], problems, "", ""))
    assert len(table(tmp_path / "out" / "grades.csv")[0]["note"]) <= 2_000


def test_points_are_those_of_an_id(tmp_path):
    """Several entries of one id count together; an id within a name that its owner chose is not believed."""
    marks = Marks(tmp_path, {"seed": 1, "variant": 0}, resume=False)
    for name, right in (
        ("Ann_123_assignsubmission_file_02.ipynb", ["dsm_target"]),
        ("Ann_123_assignsubmission_file_02b.ipynb", ["dsm_target", "dsm_loss"]),
        ("Ann_123_assignsubmission_onlinetext_", []),
        ("Eve_123_assignsubmission_456_assignsubmission_file_", ["sliced_loss"]),
    ):
        outcomes = [Outcome(e, "correct" if e in right else "missing") for e in CHAPTER_2]
        marks.add(Graded(name, outcomes, [], "", ""))
    eve = "Eve_123_assignsubmission_456_assignsubmission_file_"
    points = [(row["id"], row["points"]) for row in table(tmp_path / "points.csv")]
    assert points == [("123", "2"), (eve, "1")]


@pytest.mark.harmless
def test_marks_among_the_submissions_are_none(tmp_path):
    hand_in(tmp_path / "in", {"ann": UNTOUCHED})
    (tmp_path / "out").symlink_to(tmp_path / "in" / "grades")
    (tmp_path / "in" / "grades").mkdir()
    for options in ([], ["--resume"]):
        assert grading(tmp_path, "--chapters", "2", *options) == 0
        assert [row["student"] for row in table(tmp_path / "out" / "grades.csv")] == ["ann"]


NAMES = ["x;=1+1", " =1+1", "\uff1d1+1", "@x", "-x", "+x", "<img src=x onerror=alert(1)>", "a\tb", "a\nb", "é" * 99, ""]


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"andr\xe9"), "Doe, Jane_123_assignsubmission_file_", "..."])
def test_a_name_is_only_text(tmp_path, name):
    name = shown(name)
    graded = Graded(name, [Outcome("dsm_target", "correct", "", RIGHT, name)], [name], "", "")
    facts = {"seed": 1, "variant": 0, "chapters": [2]}
    Marks(tmp_path, facts, resume=False).add(graded)
    assert Marks(tmp_path, facts, resume=True).graded == {name: graded}
    (row,) = table(tmp_path / "grades.csv")
    for text in (row["student"], row["note"]):
        assert not any(part.strip()[:1] in set("=+-@＝") for part in text.replace("\t", ";").split(";"))
    (report,) = (tmp_path / "reports").iterdir()
    text = report.read_text(encoding="utf-8")
    before, _, _ = text.partition("<img")
    assert "<img" not in text or before.count("```") % 2 == 1  # in a fence
    (points,) = table(tmp_path / "points.csv")
    assert points["id"] == ("123" if "Jane" in name else row["student"])


def test_no_source_closes_its_fence():
    outcome = Outcome("dsm_target", "wrong", "`" * 50_000, "`" * 7 + "\n<img>", "02.ipynb")
    report = report_of(Graded("eve", [outcome], [], "", ""), {"seed": 0, "variant": 0})
    assert "`" * 8 + "python\n" in report
    assert "\n" + "`" * 50_001 + "text\n" in report


def runs_the_answer(process: psutil.Process) -> bool:
    """Whether a process is the student's, and is busy."""
    try:
        return process.name().startswith("python") and process.cpu_times().user > 2.5
    except psutil.Error:  # it ended meanwhile
        return False


@needs_isolation
def test_the_students_process_ends_with_its_grader(tmp_path):
    """A grader that is killed leaves nothing running, however busy the student's code is."""
    hand_in(tmp_path, {"eve": "def dsm_target(*a):\n    while True: pass"})
    command = [sys.executable, "-m", "sbgm", "grade", str(tmp_path), "--out", str(tmp_path / "out")]
    grader = psutil.Popen(command, stderr=subprocess.DEVNULL)
    started: list[psutil.Process] = []
    while not started:
        time.sleep(0.1)
        assert grader.status() != psutil.STATUS_ZOMBIE, "the grader ended before its student started"
        below = grader.children(recursive=True)
        started = below if any(runs_the_answer(process) for process in below) else []
    grader.kill()
    grader.wait()
    assert psutil.wait_procs(started, timeout=10)[1] == []


def test_a_call_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    call(lambda: torch.manual_seed(1), [], False)
    assert torch.equal(before, torch.get_rng_state())
