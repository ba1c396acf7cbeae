"""Grading: the marks that notebooks get, and that none can change them."""

from __future__ import annotations

import copy
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from answers import all_answers
from sbgm import checks
from sbgm.cli import main
from sbgm.course.calls import LogProbOf, MixtureField, Reply, Seed, TanhField, call
from sbgm.course.grading import find_submissions, grade
from sbgm.course.marking import mark_notebook
from sbgm.course.messages import (
    LENGTHS,
    MessageError,
    OutOfTimeError,
    as_reply,
    decoded_arguments,
    receive,
    send,
    send_call,
    send_reply,
)
from sbgm.course.sandbox import Limits, isolation
from sbgm.course.submissions import read_submission
from sbgm.theory import count_levels

CHAPTER_2 = {name: e for name, e in checks.exercises().items() if e.chapter == 2}
RIGHT = "def dsm_target(x, x_noisy, sigma):\n    return -(x_noisy - x) / sigma**2"
WRONG = "def dsm_target(x, x_noisy, sigma):\n    return (x_noisy - x) / sigma**2"
QUICK = Limits(call_seconds=5, exercise_seconds=5)


def notebook(*sources: str, tag: str = "exercise") -> bytes:
    cells = [new_code_cell(source, metadata={"tags": [tag]} if tag else {}) for source in sources]
    return nbformat.writes(new_notebook(cells=cells)).encode()


def marked(*sources: str, names=("dsm_target",), limits=QUICK, **options):
    """Outcomes of a notebook of exercise cells, by exercise."""
    submission = read_submission(notebook(*sources), set(checks.exercises()))
    exercises = {name: checks.exercises()[name] for name in names}
    return {o.exercise: o for o in mark_notebook(submission, exercises, seed=1, limits=limits, **options)}


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe():
    source, sink = os.pipe()
    yield source, sink
    for descriptor in (source, sink):
        os.close(descriptor)


def test_arguments_cross_whole(pipe):
    source, sink = pipe
    generator = torch.Generator().manual_seed(0)
    mixture = MixtureField(torch.tensor([0.2, 0.8]), torch.randn(2, 3, generator=generator), torch.ones(2))
    field = TanhField.random(4, generator, torch.float64)
    x = torch.randn(5, 4, generator=generator)
    bits = torch.tensor(2.5, dtype=torch.bfloat16)
    send_call(sink, "f", (x, field, LogProbOf(mixture), Seed(3), 0.5, 7, x.T, bits), True)
    fields, tensors = receive(source)
    assert (fields["call"], fields["gradients"]) == ("f", True)
    back = decoded_arguments(fields, tensors)
    assert torch.equal(back[0], x)
    assert torch.equal(back[1](x.double(), 0.3), field(x.double(), 0.3))
    assert torch.equal(back[2].field.log_prob(x[:, :3]), mixture.log_prob(x[:, :3]))
    assert back[3:6] == [Seed(3), 0.5, 7]
    assert torch.equal(back[6], x.T)
    assert back[7].dtype == torch.bfloat16
    assert back[7] == bits


def test_a_reply_crosses_whole(pipe):
    source, sink = pipe
    reply = Reply((torch.arange(3.0), torch.tensor(1)), (torch.ones(2, 2),), "no", True, (1,), True, True)
    send_reply(sink, reply)
    back = as_reply(*receive(source))
    assert [v.tolist() for v in back.values] == [[0, 1, 2], 1]
    assert torch.equal(back.gradients[0], torch.ones(2, 2))
    assert (back.problem, back.changed, back.reseeded, back.drew) == ("no", (1,), True, True)


@pytest.mark.parametrize(
    "data",
    [
        LENGTHS.pack(2**60, 0),
        LENGTHS.pack(3, 0) + b"[1]",
        LENGTHS.pack(2, 4) + b"{}" + b"\x80\x04K.",  # a pickle
        LENGTHS.pack(4, 0) + b"\xff\xfe{}",
        LENGTHS.pack(60_000, 0) + b"[" * 60_000,
    ],
    ids=["huge", "no object", "pickle", "no text", "nested"],
)
def test_what_is_no_message_is_refused(pipe, data):
    source, sink = pipe
    os.write(sink, data)
    with pytest.raises(MessageError):
        receive(source, 1.0)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"problem": 1, "attempted": True, "changed": []},
        {"problem": "", "attempted": "yes", "changed": []},
        {"problem": "", "attempted": True, "changed": ["x"]},
    ],
)
def test_a_reply_of_another_form_is_refused(fields):
    with pytest.raises(MessageError):
        as_reply(fields, {})


def test_half_a_message_runs_out_of_time(pipe):
    source, sink = pipe
    os.write(sink, LENGTHS.pack(100, 0) + b"{")
    start = time.monotonic()
    with pytest.raises(OutOfTimeError):
        receive(source, 0.2)
    assert time.monotonic() - start < 2


def test_too_large_a_message_is_not_sent(pipe):
    with pytest.raises(MessageError, match="larger than"):
        send(pipe[1], {}, {"x": torch.zeros(2**25)})


# --- what of a notebook is run ----------------------------------------------------------------------------------------


def test_only_what_defines_answers_is_run():
    figures = "import torch\nx = expensive()\nSIGMA = 0.5\nplot(x)\nhelper = lambda y: 2 * y"
    cells = [new_code_cell(figures), new_code_cell(f"{RIGHT}\nN = len('abc')\ncheck(dsm_target)")]
    cells[1].metadata["tags"] = ["exercise"]
    submission = read_submission(nbformat.writes(new_notebook(cells=cells)).encode(), {"dsm_target"})
    run = "\n".join(submission.statements)
    assert "expensive" not in run
    assert "plot" not in run
    assert "check" not in run
    for kept in ("import torch", "SIGMA", "helper", "def dsm_target", "N = len"):
        assert kept in run
    assert submission.answers == {"dsm_target": RIGHT}


def test_a_magic_does_not_hide_an_answer():
    assert marked(f"%matplotlib inline\n{RIGHT}\n!ls")["dsm_target"].verdict == "correct"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"cells": 3}', b"\xff" * 10, b"[" * 100_000])
def test_what_is_no_notebook_fails_and_says_so(content):
    submission = read_submission(content, {"dsm_target"})
    (outcome,) = mark_notebook(submission, {"dsm_target": checks.dsm_target}, seed=0)
    assert outcome.verdict == "failed"
    assert "no Jupyter notebook" in outcome.message


# --- marks ------------------------------------------------------------------------------------------------------------


def test_every_kind_of_answer_gets_its_verdict():
    untouched = "def dsm_loss(score, x, sigma, z):\n    raise NotImplementedError"
    outcomes = marked(f"import torch\n{RIGHT}", untouched, names=CHAPTER_2)
    assert {name: o.verdict for name, o in outcomes.items()} == {
        "dsm_target": "correct",
        "dsm_loss": "not attempted",
        "sliced_loss": "missing",
    }
    assert outcomes["dsm_target"].answer == RIGHT


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
    submission = read_submission(notebook(*sources), {e.name for e in posed.values()})
    outcomes = mark_notebook(submission, {e.name: e for e in posed.values()}, seed=1, limits=QUICK)
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


def test_an_answer_of_another_shape_is_wrong():
    outcome = marked("def langevin_step(score, x, *rest):\n    return x.flatten()", names=["langevin_step"])
    assert outcome["langevin_step"].verdict == "wrong"
    assert "your answer has shape (30000,)" in outcome["langevin_step"].message


def test_a_group_is_marked_by_its_variant():
    problem = checks.ladder_problem(variant=7)
    levels = count_levels(problem["sigma_max"], problem["sigma_min"], problem["dim"])
    source = f"def levels_needed():\n    return {levels}"
    assert marked(source, names=["levels_needed"], variant=7)["levels_needed"].verdict == "correct"
    other_group = marked(source, names=["levels_needed"], variant=8)["levels_needed"]
    assert other_group.verdict == "wrong"
    assert "another group's answer" in other_group.message


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
    limits = Limits(start_seconds=6 if "cell" in attack else 60, call_seconds=2, exercise_seconds=2)
    outcome = marked(ATTACKS[attack].replace("GRADER", str(os.getpid())), limits=limits)["dsm_target"]
    assert outcome.mark == 0
    assert outcome.verdict in ("wrong", "failed", "not attempted")


def test_an_attack_costs_only_its_own_exercise():
    outcomes = marked(
        f"import torch\n{RIGHT}", "def dsm_loss(*a):\n    import os; os._exit(1)", names=["dsm_loss", "dsm_target"]
    )
    assert [o.verdict for o in outcomes.values()] == ["failed", "correct"]


def test_no_process_is_left_behind(tmp_path):
    if not isolation().namespaces:
        pytest.skip("needs unshare")
    name = f"sbgm-left-behind-{os.getpid()}"
    daemon = (
        "import os, time\ndef dsm_target(x, *a):\n    if os.fork() == 0:\n        os.setsid()\n"
        f"        os.execvp('sleep', [{name!r}, '1000'])\n    time.sleep(0.2)\n    return x"
    )
    assert marked(daemon)["dsm_target"].mark == 0
    time.sleep(0.5)
    assert name not in subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout


def test_a_notebook_reaches_neither_network_nor_files():
    if not isolation().as_nobody:
        pytest.skip("needs root and unshare")
    probe = (
        "import torch, socket, os\ndef dsm_target(x, x_noisy, sigma):\n"
        "    reached = 0\n"
        "    try: socket.create_connection(('127.0.0.1', PORT), timeout=1); reached += 1\n    except OSError: pass\n"
        "    try: open(TARGET, 'a').write('x'); reached += 1\n    except OSError: pass\n"
        "    try: os.setuid(0); reached += 1\n    except OSError: pass\n"
        "    return -(x_noisy - x) / sigma**2 + reached"
    )
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = probe.replace("PORT", str(port)).replace("TARGET", repr(checks.__file__))
        assert marked(source)["dsm_target"].verdict == "correct"


# --- a folder ---------------------------------------------------------------------------------------------------------


def hand_in(folder, students):
    for name, source in students.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "02.ipynb").write_bytes(notebook(source))


def test_a_folder_is_marked_and_written_once(tmp_path, capsys):
    hostile = "def dsm_target(*a):\n    raise ValueError('```\\x1b[31m')"
    hand_in(tmp_path / "in", {"ann": RIGHT, "bob": WRONG, "=cmd": hostile})
    assert main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--seed", "3", "--jobs", "2"]) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "grades.csv").open(encoding="utf-8")))
    assert {row["student"]: row["dsm_target"] for row in rows} == {"'=cmd": "0", "ann": "1", "bob": "0"}
    assert {row["student"]: (row["marks"], row["of"]) for row in rows}["ann"] == ("1", str(len(CHAPTER_2)))
    report = (tmp_path / "out" / "reports" / "bob.md").read_text(encoding="utf-8")
    assert "the sign is wrong" in report
    assert WRONG in report
    assert "seed: 3; variant: 0" in report
    hostile = (tmp_path / "out" / "reports" / "=cmd.md").read_text(encoding="utf-8")
    assert "\x1b" not in hostile
    assert "````" in hostile
    assert main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    assert "never overwritten" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_marks(tmp_path):
    hand_in(tmp_path, {"ann": RIGHT, "bob": WRONG})
    found = find_submissions([tmp_path])
    first, second = ([g.outcomes() for g in grade(found, CHAPTER_2, seed=5, n_jobs=2)] for _ in range(2))
    assert first == second


def test_submissions_are_found_by_student(tmp_path):
    hand_in(tmp_path / "in", {"ann": RIGHT})
    (tmp_path / "in" / "bob.ipynb").write_bytes(notebook(RIGHT))
    (tmp_path / "in" / "notes.txt").write_text("")
    (tmp_path / "in" / "ann" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "in" / "ann" / ".ipynb_checkpoints" / "02.ipynb").write_bytes(notebook(WRONG))
    found = find_submissions([tmp_path / "in"])
    assert {student: [p.name for p in paths] for student, paths in found.items()} == {
        "ann": ["02.ipynb"],
        "bob": ["bob.ipynb"],
    }
    (tmp_path / "in" / "ann.ipynb").write_bytes(notebook(RIGHT))
    with pytest.raises(ValueError, match="two submissions are called 'ann'"):
        find_submissions([tmp_path / "in"])
    with pytest.raises(FileNotFoundError, match="no notebook"):
        find_submissions([tmp_path / "in" / "ann" / ".ipynb_checkpoints"])
    with pytest.raises(FileNotFoundError, match="there is no"):
        find_submissions([tmp_path / "nowhere"])


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.ipynb").write_bytes(notebook(RIGHT))
    (tmp_path / "in" / "eve.ipynb").symlink_to(tmp_path / "secret.ipynb")
    (graded,) = grade(find_submissions([tmp_path / "in"]), CHAPTER_2, seed=0)
    assert {o.verdict for o in graded.outcomes().values()} == {"failed"}


def runs_the_answer(process: psutil.Process) -> bool:
    """Whether a process is the student's, and has come to the call that never ends."""
    try:
        return "sbgm.course.student" in process.cmdline() and Path(process.cwd(), "busy").exists()
    except psutil.Error:  # it ended meanwhile
        return False


def test_the_students_process_ends_with_its_grader(tmp_path):
    """A grader that is killed leaves nothing running, however busy the student's code is."""
    hand_in(tmp_path, {"eve": "def dsm_target(*a):\n    open('busy', 'w').close()\n    while True: pass"})
    if not isolation().namespaces:
        pytest.skip("needs unshare")
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
