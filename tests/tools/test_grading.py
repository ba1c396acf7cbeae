"""Grading: what the student saw is what is marked, and no notebook earns a mark by other means."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cloudpickle
import nbformat
import psutil
import pytest
import safetensors.torch
import torch
from nbformat.v4 import new_code_cell, new_notebook

import grade
import sbgm_course as checks
from grading import marking, sandbox
from grading.marking import Course, Marks, Outcome, as_reply, mark
from grading.sandbox import Gone, Limits, refusal
from grading.submissions import find_students, read_submission
from students import CHAPTERS, solutions

EXERCISES = checks.exercises()
SOLUTIONS = {name: answer for number in CHAPTERS for name, answer in solutions(number).items()}
CHECK = "@checks.gaussian_score\n"
RIGHT = "def gaussian_score(x, mean, std):\n    return -(x - mean) / std**2"
WRONG = "def gaussian_score(x, mean, std):\n    return (x - mean) / std**2"
STUB = CHECK + "def gaussian_score(x, mean, std):\n    raise NotImplementedError"
HONEST = "@checks.mixture_score\n" + SOLUTIONS["mixture_score"]
ROOT = Path(grade.__file__).resolve().parents[1]

needs_isolation = pytest.mark.usefixtures("isolation")  # a grader in a process of its own


def notebook(*sources: str) -> bytes:
    cells = [new_code_cell(source) for source in ("from sbgm import checks", *sources)]
    return nbformat.writes(new_notebook(cells=cells)).encode()


def course(*names: str, **options) -> Course:
    """Isolated, or in a harmless test where that can be had."""
    asked = {name: EXERCISES[name] for name in names or ["gaussian_score"]}
    return Course(**{"exercises": asked, "seed": 1, "isolated": not refusal()} | options)


def marked(*sources: str, names=(), **options) -> Marks:
    return mark({"01.ipynb": notebook(*sources)}, course(*names, **options))


@pytest.fixture
def verdicts(monkeypatch):
    """All verdicts in their order, and not only the last on each exercise."""
    said = []
    judged = marking.Run._judged

    def also_here(run, exercise, student):
        said.append(judged(run, exercise, student))
        return said[-1]

    monkeypatch.setattr(marking.Run, "_judged", also_here)
    return said


SOUND = {"problem": "", "attempted": True, "n_values": 1}
REFUSED = {
    "no object": ([1], b""),
    "another type": (SOUND | {"n_values": "1"}, b""),
    "pickle": (SOUND, b"\x80\x04K."),
    "lie": (SOUND, (2**40).to_bytes(8, "little")),
    "header": (SOUND, (2**17).to_bytes(8, "little") + b" " * 2**17),
    "complex": (SOUND, safetensors.torch.save({"0": torch.zeros(3, dtype=torch.complex64)})),
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_reply_of_another_form_is_refused(how):
    with pytest.raises(Gone):
        as_reply(*REFUSED[how])


# --- what the student saw is what is marked ---------------------------------------------------------------------------


CHECKED = {  # cells in which the check accepts an answer, whatever stands below
    "a closure": ["def made(sign):\n    return lambda x, mean, std: sign * (x - mean) / std**2",
                  "gaussian_score = checks.gaussian_score(made(-1))"],
    "the check under another name": [f"from sbgm_course import gaussian_score as verify\n@verify\n{RIGHT}"],
    "the check of its chapter": [f"import sbgm_course.chapter_01 as first\n@first.gaussian_score\n{RIGHT}"],
    "a helper redefined below": ["def offset(x, mean):\n    return mean - x",
                                 CHECK + RIGHT.replace("-(x - mean)", "offset(x, mean)"),
                                 "def offset(x, mean):\n    return 0 * x"],
    "a magic over several lines": [f"%timeit -n 1 -r 1 sum( \\\n    [1, 2])\n!true\n{CHECK}{RIGHT}"],
    "a magic for the cell": [f"%%time\n{CHECK}{RIGHT}"],
    "a figure": ["%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()", CHECK + RIGHT],
    "torch.jit.script": ["import torch", CHECK + "@torch.jit.script\ndef gaussian_score(x, mean, std: float):\n"
                         "    return -(x - mean) / std**2"],
    "a function that calls itself": ["import torch\ndel gaussian_score",
                                     CHECK + RIGHT + " if len(x) == 1 else torch.cat([\n"
                                     "        gaussian_score(row, mean, std) for row in x.split(1)])"],
    "another dtype by default": ["import torch\ntorch.set_default_dtype(torch.float64)\n" + CHECK + RIGHT],
}  # fmt: skip


@pytest.mark.harmless
def test_what_the_check_accepts_is_right(verdicts):
    """One notebook of them all, in IPython's own shell; each is judged where it stands."""
    marks = marked(*(cell for cells in CHECKED.values() for cell in cells))
    assert marks.notes == []
    assert dict(zip(CHECKED, verdicts, strict=True)) == dict.fromkeys(CHECKED, ("correct", ""))


UNCHECKED = {  # ways to give an exercise's name to a function that never stands under the check
    "gaussian_score": "def made():\n    return lambda *a: answer_gaussian_score(*a)\ngaussian_score = made()",
    "mixture_score": "class Own:\n    def __call__(self, *a):\n        return answer_mixture_score(*a)\n"
    "mixture_score = Own()",
    "langevin_step": "import functools\nlangevin_step = functools.partial(answer_langevin_step)",
    "guided": "def define():\n    global guided\n    guided = answer_guided\ndefine()",
}


@pytest.mark.harmless
def test_a_function_that_never_stood_under_its_check_is_tried_at_the_end():
    """Though no cell below names a check: all cells run then."""
    cells = ["import math\nimport torch"]
    for name, given in UNCHECKED.items():
        cells += [SOLUTIONS[name].replace(f"def {name}(", f"def answer_{name}("), given]
    late = "def log_ratio(*a):\n    return NEEDED"
    marks = marked(late, *cells, "NEEDED = 'no number'", names=[*UNCHECKED, "log_ratio"])
    assert marks.notes == []
    verdicts = {name: outcome.verdict for name, outcome in marks.outcomes.items()}
    assert verdicts == dict.fromkeys(UNCHECKED, "correct") | {"log_ratio": "wrong"}
    assert "must return tensors or numbers, it returned str" in marks.outcomes["log_ratio"].message


@pytest.mark.harmless
def test_the_last_check_counts(verdicts):
    outcome = marked(CHECK + RIGHT, CHECK + WRONG).outcomes["gaussian_score"]
    assert [verdict for verdict, _ in verdicts] == ["correct", "wrong"]
    assert (outcome.verdict, outcome.source) == ("wrong", CHECK + WRONG)


@pytest.mark.harmless
def test_after_a_cell_that_raises_the_next_one_runs():
    marks = marked("raise ValueError('mine')", "def half(:", CHECK + RIGHT)
    assert marks.total == 1
    first, second = marks.notes
    assert first == "01.ipynb: cell [2]: ValueError: mine (Run All stops there)"
    assert "cell [3]: SyntaxError" in second


NONE = "not attempted"
KINDS = {  # an answer, its verdict, and a part of what is said of it
    "gaussian_score": (CHECK + RIGHT, "correct", ""),
    "dsm_loss": ("@checks.dsm_loss\ndef dsm_loss(*a):\n    raise KeyError('mine')", "wrong", "raised KeyError: 'mi"),
    "langevin_step": ("@checks.langevin_step\ndef langevin_step(s, x, *a):\n    return x[0]", "wrong", "has shape (3"),
    "mixture_score": ("@checks.mixture_score\ndef mixture_score(*a):\n    raise NotImplementedError", NONE, ""),
    "mean_arrow": (  # nothing is lent to an answer that uses a stub
        "@checks.mean_arrow\ndef mean_arrow(*a):\n    return mixture_score(*a)",
        NONE,
        "or one that it uses, raises NotImplementedError",
    ),
    "sliced_loss": ("", "missing", "no notebook has"),
    "guided": ("@checks.guided\ndef guided(*a):\n    import os; os._exit(0)", "failed", "process ended"),
}  # fmt: skip


@pytest.mark.harmless
def test_every_kind_of_answer_gets_its_verdict():
    outcomes = marked(*(source for source, _, _ in KINDS.values()), names=KINDS).outcomes
    for name, (_, verdict, said) in KINDS.items():
        assert outcomes[name].verdict == verdict, outcomes[name]
        assert said in outcomes[name].message


@pytest.mark.harmless
def test_of_two_notebooks_the_better_answer_counts():
    files = {"01 (1).ipynb": notebook(CHECK + WRONG), "01.ipynb": notebook(CHECK + RIGHT), "x.ipynb": b"[" * 10**6}
    marks = mark(files, course())
    outcome = marks.outcomes["gaussian_score"]
    assert (outcome.verdict, outcome.notebook) == ("correct", "01.ipynb")
    assert "no Jupyter notebook" in marks.notes[0]


# --- what is lent -----------------------------------------------------------------------------------------------------


VOICE = """
import gc
voice = next(thing for thing in gc.get_objects() if type(thing).__name__ == "Grader")
voice.ask({"say": "check", "name": "gaussian_score"})
"""
TAKEN = {  # below an untouched stub: no answer of one's own
    "called": "checks.gaussian_score(lambda *a: gaussian_score(*a))",
    "read": "own = gaussian_score.__wrapped__\nchecks.gaussian_score(lambda *a: own(*a))",
    "under its name": "gaussian_score = gaussian_score.__wrapped__",
    "asked for": f"{VOICE}reply = {{'problem': '', 'attempted': False, 'n_values': 0}}\n"
    "checks.gaussian_score(voice.ask(reply, b'\\x02' + bytes(7) + b'{}')['lent'])",
}


@pytest.mark.harmless
@pytest.mark.parametrize("how", TAKEN)
def test_nobody_hands_in_what_is_lent(how):
    """It gives the cells below right numbers, all the same."""
    used = "import torch\nassert gaussian_score(torch.ones(1, 2), torch.zeros(2), 1.0).tolist() == [[-1, -1]]"
    marks = marked(STUB, used, TAKEN[how])
    assert marks.notes == []
    assert marks.total == 0


@pytest.mark.harmless
@pytest.mark.parametrize("answer", [CHECK + RIGHT, RIGHT])
def test_an_answer_below_an_untouched_stub_is_an_answer(answer):
    assert marked(STUB, answer).total == 1


@pytest.mark.parametrize("name", EXERCISES)
def test_what_is_lent_carries_no_check(name):
    assert b"Exercise" not in cloudpickle.dumps(EXERCISES[name].lent)


# --- attacks ----------------------------------------------------------------------------------------------------------

ATTACKS = {  # on the mark: each stands above a wrong answer
    "comparisons patched": (
        "import torch\ntorch.equal = torch.allclose = lambda *a, **k: True\ntorch.Tensor.__le__ = lambda a, b: b >= b\n"
        "torch.Tensor.all = lambda self, *a: torch.ones(()).bool()"
    ),
    "the verdict set": "checks.gaussian_score.verdict = 'correct'",
    "seeds and variants": "WRONG = checks.gaussian_score(seed=7, variant=3)",
}
ANSWERS = {  # and these are answers
    "equal to everything": "class Same:\n    def __eq__(self, other): return True\n    __array__ = None\n"
    "def gaussian_score(*a):\n    return Same()",
    "a tensor that lies": "import torch\nclass Lying(torch.Tensor):\n    @classmethod\n"
    "    def __torch_function__(cls, f, types, args=(), kwargs=None): return True\n"
    "def gaussian_score(x, *a):\n    return x.as_subclass(Lying)",
    "the stub's error, late": "n = [0]\ndef gaussian_score(x, *a):\n    n[0] += 1\n"
    "    if n[0] > 1: raise NotImplementedError\n    return x",
    "an exit": "def gaussian_score(*a):\n    import sys; sys.exit(0)",
    "all the memory": "def gaussian_score(*a):\n    held = []\n    while True: held.append(bytearray(2**26))",
    "shared memory": "import mmap\ndef gaussian_score(*a):\n    held = []\n    while True:\n"
    "        m = mmap.mmap(-1, 2**26)\n        m[::4096] = bytes(2**14)\n        held.append(m)",
    "files": "def gaussian_score(x, *a):\n    for i in range(9): open(f'/dev/shm/{i}', 'wb').write(bytes(15 * 2**20))",
    "a huge answer": "def gaussian_score(x, *a): return x.new_zeros(2**24).half().repeat(3)",
    "the grader killed": "import os\ndef gaussian_score(x, *a):\n    for pid in {1, os.getppid(), GRADER}:\n"
    "        try: os.kill(pid, 9)\n        except OSError: pass\n    return x",
    "a check within": "def gaussian_score(x, *a):\n    return checks.mixture_score(lambda *a: 0)",
}


def test_no_notebook_earns_a_mark_by_other_means(verdicts):
    """Nor does any of it cost the answer after it, which is right."""
    cells = [f"{attack}\n{CHECK}{WRONG}" for attack in ATTACKS.values()]
    cells += [f"{answer}\nchecks.gaussian_score(gaussian_score)" for answer in ANSWERS.values()]
    cells = [cell.replace("GRADER", str(os.getpid())) for cell in cells]
    names = ["gaussian_score", "mixture_score"]
    marks = marked("import torch", *cells, HONEST, names=names, limits=Limits(memory=400 * 2**20))
    assert len(verdicts) == len(cells) + 1, marks
    assert [verdict for verdict, _ in verdicts].count("correct") == 1
    assert marks.outcomes["mixture_score"].verdict == "correct"


SENT = {  # in place of a reply
    "bytes on every pipe": "import os\ndef gaussian_score(x, *a):\n    for d in range(3, 20):\n        try:\n"
    '            os.write(d, b\'{"ask": "verdict"}\' * 99)\n        except OSError: pass\n    return x',
    "a verdict of its own": VOICE + "voice.ask({'ask': 'verdict', 'verdict': 'correct'})",
    "a reply without tensors": VOICE + "voice.ask({'problem': '', 'attempted': True, 'n_values': 1})",
    "no text": VOICE + "voice._line.send_bytes(b'\\xff\\xfe{}')\nvoice._line.send_bytes(b'')",
    "a nested text": VOICE + "voice._line.send_bytes(b'[' * 60_000)\nvoice._line.send_bytes(b'')",
    "half a message": VOICE + "import os\nos.write(voice._line.fileno(), b'\\0\\0\\0d{')\nos._exit(0)",
}


@pytest.mark.parametrize("how", SENT)
def test_what_is_no_reply_earns_no_mark(how):
    marks = marked(f"{SENT[how]}\nchecks.gaussian_score(gaussian_score)")
    assert marks.outcomes["gaussian_score"].verdict == "failed"
    assert not marks.late


@pytest.mark.harmless
def test_an_answer_whose_check_is_replaced_is_tried_at_the_end():
    marks = marked("checks.gaussian_score = lambda f, **k: f", CHECK + WRONG)
    assert marks.outcomes["gaussian_score"].verdict == "wrong"


def test_what_is_too_slow_costs_only_itself():
    """Once it is told to stop. What does not stop ends with its process."""
    slow = "def gaussian_score(*a):\n    while True: pass"
    cells = [CHECK + slow, "import time, torch\ntime.sleep(1000)", HONEST]
    marks = marked(*cells, names=["gaussian_score", "mixture_score"], limits=Limits(seconds=6))
    assert marks.late
    assert [outcome.verdict for outcome in marks.outcomes.values()] == ["too slow", "correct"]
    assert "cell [3]: TooSlow" in marks.notes[0]


def test_what_does_not_stop_is_ended(monkeypatch):
    monkeypatch.setattr(sandbox, "GRACE", 2)
    deaf = "import signal, time\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\ntime.sleep(1000)"
    marks = marked(deaf, CHECK + RIGHT, limits=Limits(seconds=3))
    assert marks.late
    assert marks.total == 0
    assert "took longer than 3 seconds" in marks.notes[0]


def test_all_notebooks_together_have_a_time():
    files = {"1.ipynb": notebook(f"import time\ntime.sleep(1000)\n{CHECK}{RIGHT}"), "2.ipynb": notebook(CHECK + RIGHT)}
    marks = mark(files, course(limits=Limits(in_all=12)))
    assert marks.late
    assert [note.partition(":")[0] for note in marks.notes] == ["1.ipynb", "2.ipynb"]
    assert "or than 12 in all, and was ended" in marks.notes[1]


PROCESSES = """
import os, time
n = 0
try:
    for n in range(100):
        if os.fork() == 0:
            held = bytearray(30 * 2**20)
            time.sleep(100)
            os._exit(0)
except OSError:
    pass
raise ValueError(f"{n} processes")
"""


def test_what_several_processes_take_is_limited():
    """By their number, times the limit of each. And the grader goes on: the answer below is right."""
    marks = marked(PROCESSES, CHECK + RIGHT, limits=Limits(memory=300 * 2**20, processes=20))
    (note,) = marks.notes
    assert 5 < int(note.split("ValueError: ")[1].split()[0]) < 20
    assert marks.total == 1


def running(mark):
    """The processes that have a mark among the words of their command."""
    return [process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or [])]


SURVIVOR = """
import ctypes, os, struct, sys, time
library = ctypes.CDLL(None, use_errno=True)

def in_the_first_process(*call):
    "Have process 1, where it can be reached, make a system call (x86_64)."
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

def gaussian_score(x, *a):
    ended, held = os.pipe()
    if os.fork() == 0:
        in_the_first_process(112)
        in_the_first_process(157, 1, 0)
        os.setsid()
        library.prctl(1, 0, 0, 0, 0)
        os.execv(sys.executable, [MARK, "-c", "import time; time.sleep(100)"])
    os.close(held)
    os.read(ended, 1)  # until execv closes the other end
    while True:
        pass
checks.gaussian_score(gaussian_score)
"""


def as_an_ordinary_user(command, folder):
    """The command as a user without rights has it run: this one, or for root another, who may enter what it needs."""
    if os.getuid():
        return command
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 61234, 61234)
    needed = [Path(sys.base_prefix), Path(sys.prefix), ROOT, folder]
    closed = {next((p for p in reversed(path.parents) if not p.stat().st_mode & 1), None) for path in needed} - {None}
    words = [word for path in closed for word in ("--tmpfs", path)]
    for path in needed:
        folders = [folder for folder in reversed(path.parents) if closed & {folder, *folder.parents}]
        words += [word for folder in folders for word in ("--perms", "0755", "--dir", folder)] + ["--bind", path, path]
    user = ["setpriv", "--reuid", "61234", "--regid", "61234", "--clear-groups"]
    return ["bwrap", "--dev-bind", "/", "/", *words, "--chdir", folder, *user, *command]


@needs_isolation
@pytest.mark.parametrize("ordinary", [True, False])
def test_nothing_outlives_a_grader_that_is_killed(tmp_path, ordinary):
    """While the student's code is busy; a grader of an ordinary user, or of this one, who may be root."""
    mark = f"sbgm-survivor-{os.getpid()}-{ordinary}"
    hand_in(tmp_path / "in", {"eve": SURVIVOR.replace("MARK", repr(mark))})
    words = [tmp_path / "in", "--out", tmp_path / "out", "--chapters", "1"]
    command = [sys.executable, ROOT / "tools" / "grade.py", *words]
    if ordinary:
        command = as_an_ordinary_user(command, tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with psutil.Popen(list(map(str, command)), stderr=subprocess.PIPE, env=environment) as grader:
        while not running(mark):
            time.sleep(0.1)
            assert grader.poll() is None, grader.stderr.read().decode()
        below = grader.children(recursive=True)
        graders = [p for p in (grader, *below) if any(word.endswith("grade.py") for word in p.cmdline())]
        for process in graders:
            process.kill()
    assert psutil.wait_procs([*below, *running(mark)], timeout=60)[1] == []


PROBE = """
import os, socket
def gaussian_score(x, mean, std):
    reached = []
    for path in {paths!r}:
        try:
            open(path, "rb").read(1)
        except IsADirectoryError:
            reached += [path] if os.listdir(path) else []
        except OSError:
            continue
        else:
            reached.append(path)
    for path in {written!r}:
        with contextlib.suppress(OSError):
            open(path, "ab").close()
            reached.append(path)
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", {port}), timeout=1)
        reached.append("network")
    for attempt in (lambda: os.setuid(0), lambda: os.kill({grader}, 0), lambda: os.chroot("/tmp")):
        with contextlib.suppress(OSError):
            attempt()
            reached.append("rights")
    with contextlib.suppress(OSError):
        reached += ["environment"] if b"SECRET" in open("/proc/1/environ", "rb").read() else []
    reached += [name for name in os.environ if name == "SECRET"]
    if reached or len([p for p in os.listdir("/proc") if p.isdigit()]) != 2:
        raise ValueError(str(reached))
    return -(x - mean) / std**2
"""


def test_a_notebook_reaches_nothing_that_it_does_not_need(tmp_path, monkeypatch):
    """Of the project it sees what chapters import, and not the answers, compiled or not; it writes to /tmp alone."""
    monkeypatch.setenv("SECRET", "1")
    decoys = [tmp_path / "decoy", tmp_path / "home" / "decoy"]
    write(tmp_path, dict.fromkeys(decoys, b"decoy"))
    hidden = [path for path in ROOT.iterdir() if path.name not in ("sbgm", "data", "tools", ".venv")]
    hidden += [*sandbox.CHECKS.glob("chapter_*"), sandbox.CHECKS / "__pycache__", Path(__file__), Path("/etc/passwd")]
    hidden += [ROOT / "tools" / "grade.py", ROOT / "tools" / "grading" / "marking.py"]
    written = [Path(torch.__file__), "/proc/sys/kernel/core_pattern", "/x", "/dev/x", sandbox.PACKAGE / "x.py"]
    assert sandbox.CHECKS / "chapter_01.py" in hidden
    with tempfile.NamedTemporaryFile(dir="/tmp") as decoy, socket.create_server(("127.0.0.1", 0)) as server:
        names = {"paths": [*map(str, [*decoys, decoy.name, *hidden])], "written": [*map(str, written)]}
        probe = PROBE.format(port=server.getsockname()[1], grader=os.getpid(), **names)
        marks = marked(f"import contextlib{probe}\nchecks.gaussian_score(gaussian_score)")
    assert marks.outcomes["gaussian_score"].verdict == "correct", marks


@needs_isolation
def test_a_checkout_that_only_its_owner_may_enter_can_be_used(tmp_path, monkeypatch):
    closed = tmp_path / "closed" / "course"
    closed.mkdir(parents=True)
    (closed / "seen").write_text("")
    (tmp_path / "closed").chmod(0o700)
    monkeypatch.setattr(sandbox, "SYSTEM", (*sandbox.SYSTEM, str(closed)))
    assert marked(f"open({str(closed / 'seen')!r})\n{CHECK}{RIGHT}").total == 1


# --- a folder ---------------------------------------------------------------------------------------------------------


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def hand_in(folder, students):
    write(folder, {f"{name}/01.ipynb": notebook(source) for name, source in students.items()})


def grading(tmp_path, *options):
    unsafe = ["--without-isolation"] if refusal() else []
    return grade.main([str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--chapters", "1", *unsafe, *options])


RUDE = CHECK + "def gaussian_score(x, *a):\n    raise ValueError(f'```\\x1b[31m {x.sum()}')"


@pytest.mark.harmless
def test_a_folder_is_marked_once(tmp_path, capsys):
    hand_in(tmp_path / "in", {"=cmd": RUDE, "ann": CHECK + RIGHT, "eve": STUB})
    first = (tmp_path / "in" / "ann" / "01.ipynb").read_bytes()
    assert grading(tmp_path, "--variant", "3", "--seed", "3") == 0
    out = tmp_path / "out"
    rows = grade.read_rows(out / "grades.csv")
    names = [name for name, exercise in EXERCISES.items() if exercise.chapter == 1]
    assert list(rows["ann"]) == ["student", "marks", "of", *names, "note", "submission"]
    assert {name: row["gaussian_score"] + row["marks"] for name, row in rows.items()} == {
        "'=cmd": "00",
        "ann": "11",
        "eve": "00",
    }
    report = (out / "reports" / "'=cmd.md").read_text(encoding="utf-8")
    for said in ("## 1.1 gaussian_score: wrong", "ValueError", RUDE, "````", "seed: 3", "variant: 3"):
        assert said in report
    assert rows["'=cmd"]["submission"] in report
    assert "\x1b" not in report
    said = capsys.readouterr().out
    assert f"3 students: {out / 'grades.csv'}" in said
    assert ("isolation: none" if refusal() else "isolation: bubblewrap") in said

    # the same command goes on, with the same seed, and no mark changes
    hand_in(tmp_path / "in", {"ann": CHECK + WRONG, "bob": CHECK + RIGHT})
    assert grading(tmp_path, "--variant", "3") == 0
    rows = grade.read_rows(out / "grades.csv")
    assert (rows["ann"]["marks"], rows["ann"]["note"]) == ("1", grade.CHANGED)
    assert (rows["bob"]["marks"], rows["bob"]["note"]) == ("1", "")
    rows["ann"]["note"] = "a day late"  # a note of one's own stays, and a submission may be again as it was
    grade.write_rows(out / "grades.csv", rows)
    for content, note in ((b"{}", f"a day late; {grade.CHANGED}"), (first, "a day late")):
        (tmp_path / "in" / "ann" / "01.ipynb").write_bytes(content)
        assert grading(tmp_path, "--variant", "3") == 0
        assert grade.read_rows(out / "grades.csv")["ann"]["note"] == note
    for other in ("--seed 4", "--variant 1", "--chapters 2"):
        assert grading(tmp_path, "--variant", "3", *other.split()) == 1
        assert f"{other.split()[0][2:]} must be" in capsys.readouterr().err


def test_an_option_that_would_give_everyone_nothing_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        grading(tmp_path, "--chapters", "1", "99")
    assert "argument --chapters: must be from 1 to 10, got 99" in capsys.readouterr().err


def test_other_files_are_left_alone(tmp_path, capsys):
    hand_in(tmp_path / "in", {"ann": STUB})
    write(tmp_path, {"out/film": b"half"})
    assert grading(tmp_path) == 1
    assert "other files" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["film"]


def test_what_was_too_slow_is_tried_again(tmp_path, monkeypatch):
    hand_in(tmp_path / "in", {"ann": STUB})
    tries = [("too slow", "correct"), ("correct", "wrong")]

    def mark_once(files, course):
        outcomes = dict(zip(("gaussian_score", "dsm_loss"), map(Outcome, tries.pop(0)), strict=True))
        return Marks(outcomes, [], late=bool(tries))

    monkeypatch.setattr(grade, "mark", mark_once)
    grade.mark_class({"ann": tmp_path / "in" / "ann"}, course("gaussian_score", "dsm_loss"), tmp_path, {})
    assert grade.read_rows(tmp_path / "grades.csv")["ann"]["marks"] == "2"


@pytest.mark.harmless
def test_without_bubblewrap_grading_goes_on_only_when_told_to(tmp_path, monkeypatch, capsys):
    hand_in(tmp_path / "in", {"ann": STUB})
    monkeypatch.setattr(grade, "refusal", lambda: "bubblewrap is not installed")
    command = [str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert grade.main(command) == 1
    said = capsys.readouterr().err
    for part in ("bubblewrap is not installed", "--without-isolation", "read and change your files"):
        assert part in said
    assert not (tmp_path / "out").exists()
    assert grade.main([*command, "--without-isolation"]) == 0
    assert "read and change your files" in capsys.readouterr().out


SUBMITTED = {  # the entries of a folder: how many notebooks are read of each, and a part of what is said
    "ann": (1, ""),
    "ann (2)": (1, ""),
    "deep": (1, ""),
    "eve": (1, "larger than"),
    "files": (40, "of 50 notebooks only the first 40"),
    "mallory": (0, "a link is not followed"),
    "pdf": (0, "no notebook"),
    "pipe": (0, "this is no notebook"),
}


def test_whatever_lies_in_a_folder_is_a_submission_of_which_only_plain_notebooks_are_read(tmp_path, monkeypatch):
    """Links, pipes, a file of a TiB, a lone byte, very many, a path too long for the system; not the marks."""
    folder = tmp_path / "in"
    secrets = tmp_path / "secrets"
    hand_in(folder, {"ann": STUB, "../secrets": CHECK + RIGHT})
    names = [".ipynb_checkpoints/01.ipynb", "ann/.ipynb_checkpoints/01.ipynb", "ann.ipynb", "deep/a.ipynb"]
    names += [*(f"files/{i}.ipynb" for i in range(50)), "pdf/01.pdf", "eve/huge.ipynb", "grades/grades.csv"]
    write(folder, dict.fromkeys([*names, os.fsdecode(b"eve/andr\xe9.ipynb")], b""))
    os.truncate(folder / "eve" / "huge.ipynb", 2**40)
    (folder / "mallory").symlink_to(secrets)
    (folder / "eve" / "linked.ipynb").symlink_to(secrets / "01.ipynb")
    (tmp_path / "out").symlink_to(folder / "grades")
    os.mkfifo(folder / "pipe.ipynb")
    monkeypatch.chdir(folder / "deep")
    for _ in range(20):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    students = find_students(folder, tmp_path / "out")
    assert students.keys() == SUBMITTED.keys()
    read = {student: read_submission(entry) for student, entry in students.items()}
    for student, (n_files, said) in SUBMITTED.items():
        files, problems = read[student]
        assert len(files) == n_files, student
        assert said in "\n".join(problems), student
    assert [*read["eve"][0]] == ["andr\\xe9.ipynb"]


NAMES = ["x;=1+1", " =1+1", "\uff1d1+1", "@x", "-x", "+x", "a\tb", "a\nb", "x" * 245, os.fsdecode(b"andr\xe9")]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_only_text_and_found_again(tmp_path, monkeypatch, name):
    write(tmp_path, {f"in/{name}.ipynb": notebook(RIGHT)})
    (tmp_path / "out").mkdir()
    tries = [Marks({"gaussian_score": Outcome("wrong")}, [name], late=False)]
    monkeypatch.setattr(grade, "mark", lambda files, course: tries.pop())
    for _ in range(2):
        grade.mark_class(find_students(tmp_path / "in", tmp_path), course(), tmp_path / "out", {})
    ((student, row),) = grade.read_rows(tmp_path / "out" / "grades.csv").items()
    for text in (student, row["note"]):
        assert not any(part.strip()[:1] in set("=+-@＝") for part in text.replace("\t", ";").split(";"))
    assert len([*(tmp_path / "out" / "reports").iterdir()]) == 1


def test_all_that_a_student_wrote_stands_in_fences():
    ugly = "`" * 7 + "\n<img>"
    marks = Marks({"gaussian_score": Outcome("wrong", ugly, ugly, ugly)}, [], late=False)
    report = grade.report_of(ugly, [ugly], marks, course(), {})
    outside = re.sub(r"^(`{3,})\w*\n(?:.*\n)*?\1`*\n", "", report, flags=re.MULTILINE)  # which a line as long closes
    assert "<img>" not in outside
    assert "gaussian_score: wrong" in outside
