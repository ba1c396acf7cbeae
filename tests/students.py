"""A class of students, generated: what each of them hands in, and the marks that are due to it.

Of ten, six are right or partly right, two blunder, and two are hostile, each in another way. A student hands in a
folder of chapters as they are handed out, with answers where the stubs stood.
"""

import dataclasses
import functools
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat

from notebooks import NOTEBOOKS, read, released
from sbgm import checks

CHAPTERS = {int(path.stem[:2]): path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
EXERCISES = checks.exercises()
SOLUTION = re.compile(r"```python\n(.*?)```", re.DOTALL)
MISTAKEN = """
_right_{name} = {name}
def {name}(*arguments):
    return 2 * _right_{name}(*arguments) + 1
"""


@dataclasses.dataclass(frozen=True)
class Student:
    """A name, what lies there, and what it should come to.

    Attributes:
        name: of the entry in the folder of submissions.
        files: their contents by name below the student's folder.
        marks: the mark of each exercise that earns one.
        kind: in words.
        prepare: what else is done to the student's folder.
        said: a part of the row's note, or of the report.
    """

    name: str
    files: dict[str, bytes]
    marks: frozenset[str]
    kind: str
    prepare: Callable[[Path], None] = lambda folder: None
    said: str = ""


@functools.cache
def solutions() -> dict[str, str]:
    """The source of the solution to each exercise, as the chapters give it."""
    found = {}
    for path in CHAPTERS.values():
        for cell, after in itertools.pairwise(read(path).cells):
            name = re.search(r"^def (\w+)\(.*\n    raise NotImplementedError", cell.source, re.MULTILINE)
            if "exercise" in cell.metadata.get("tags", []) and name:
                found[name[1]] = SOLUTION.search(after.source)[1]
    return found


def chapter(number: int, answers: dict[str, str], *, with_outputs: bool = False, check_above: bool = True) -> bytes:
    """A chapter as a student hands it in: stubs replaced by answers, where there are any.

    The check stands above an answer, or is called below it, as in notebooks of earlier versions.
    """
    notebook = released(read(CHAPTERS[number]), CHAPTERS[number].stem, variant=0)
    for cell in notebook.cells:
        if cell.cell_type == "code" and not with_outputs:
            cell.outputs = []
        for name, answer in answers.items():
            check = re.compile(rf"^(@checks\.{name}\b.*\n)?def {name}\(.*\n    raise NotImplementedError.*\n?", re.M)
            if not (stub := check.search(cell.source)):
                continue
            checked = re.sub(rf"^(?=def {name}\()", stub[1] or "", answer, count=1, flags=re.M)
            if not check_above:
                checked = f"{answer}\nchecks.{name}({name})\n"
            cell.source = cell.source[: stub.start()] + checked + cell.source[stub.end() :]
    return nbformat.writes(notebook).encode()


def names_of(number: int) -> list[str]:
    """The exercises of a chapter, except those that its lab sets."""
    return [name for name in EXERCISES if EXERCISES[name].chapter == number and name in solutions()]


def diligent(i: int, answers: dict[str, str]) -> Student:
    """The i-th of those who do the exercises: three chapters in turn, each in part right, wrong, untouched."""
    numbers = [1 + (i + step) % 10 for step in (0, 3, 7)]
    files, marks = {}, []
    for number in numbers:
        names = names_of(number)
        n_right = len(names) if i % 3 == 0 else i % len(names)
        right, rest = names[:n_right], names[n_right:]
        mistaken = rest[: i % 2]
        given = {name: answers[name] for name in right}
        given |= {name: answers[name] + MISTAKEN.format(name=name) for name in mistaken}
        files[f"{CHAPTERS[number].stem}.ipynb"] = chapter(number, given, check_above=i % 4 != 3)
        marks += right
    return Student(f"student {i:02d}", files, frozenset(marks), "diligent")


RIGHT = "def dsm_target(x, x_noisy, sigma):\n    return -(x_noisy - x) / sigma**2\n"
BLUNDERS = {  # an answer to dsm_target each, beside a right one to dsm_loss
    "wrong shape": RIGHT.replace("return -(x_noisy - x) / sigma**2", "return (x - x_noisy).flatten() / sigma**2"),
    "wrong dtype": "def dsm_target(x, x_noisy, sigma):\n    return (-(x_noisy - x) / sigma**2).half()\n",
    "syntax error": "def dsm_target(x, x_noisy, sigma)\n    return -(x_noisy - x) / sigma**2\n",
    "no return": "def dsm_target(x, x_noisy, sigma):\n    -(x_noisy - x) / sigma**2\n",
    "a list": "def dsm_target(x, x_noisy, sigma):\n    return (-(x_noisy - x) / sigma**2).tolist()[0][0]\n",
    "an eighth of a number": (
        "import torch\ndef dsm_target(x, x_noisy, sigma):\n    return (x - x_noisy).to(torch.float8_e4m3fn)\n"
    ),
    "NaN": "def dsm_target(x, x_noisy, sigma):\n    return x / 0 * 0\n",
    "unknown name": "def dsm_target(x, x_noisy, sigma):\n    return -(x_noisy - x) / sgima**2\n",
    "another name": RIGHT.replace("dsm_target", "dsm_targets"),
    "changes its argument": "def dsm_target(x, x_noisy, sigma):\n    return x.sub_(x_noisy).div_(sigma**2)\n",
    "500 magics": "%matplotlib inline\n" * 500 + RIGHT,  # right
}
HOSTILE = {  # an answer to dsm_target each, beside a right one to dsm_loss
    "leaves": "import os\ndef dsm_target(*a):\n    os._exit(0)\n",
    "all the memory": "def dsm_target(*a):\n    held = []\n    while True: held.append(bytearray(2**26))\n",
    "shared memory": (
        "import mmap\ndef dsm_target(*a):\n    held = []\n    while True:\n        m = mmap.mmap(-1, 2**26)\n"
        "        m.write(b'1' * 2**26)\n        held.append(m)\n"
    ),
    "a forged reply": (
        "import os\ndef dsm_target(*a):\n    for d in range(3, 20):\n        try: os.write(d, b'{\"mark\": 1}' * 9)\n"
        "        except OSError: pass\n"
    ),
    "loops": "def dsm_target(*a):\n    while True: pass\n",
    "a reply of impossible numbers": (
        "import dataclasses\nfrom sbgm.course import calls\ntrue = calls.encoded_reply\n"
        "calls.encoded_reply = lambda r: (true(r)[0] | {'changed': [10**4299]}, true(r)[1])\n" + RIGHT
    ),
    "the package patched": (
        "import torch\nfrom sbgm.course import calls\ntorch.equal = torch.allclose = lambda *a, **k: True\n"
        "calls.call = lambda *a: calls.Reply(attempted=False)\ndef dsm_target(*a):\n    return a[0]\n"
    ),
    "a daemon": (
        "import os, time\ndef dsm_target(x, *a):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        time.sleep(1000)\n    return x\n"
    ),
    "stops itself": "import os, signal\ndef dsm_target(*a):\n    os.kill(os.getpid(), signal.SIGSTOP)\n",
    "600 brackets": f"def dsm_target(x, *a):\n    return {'(' * 600}x{')' * 600}\n",
    "a sum of 5,000": f"def dsm_target(x, *a):\n    return x{' + 1' * 5_000}\n",
}
NONE: frozenset[str] = frozenset()
SPOILS_ITS_OWN = {"the package patched"}  # other answers too, whose calls go through it
PROBE = """
def dsm_target(*arguments):
    import glob
    found = []
    for path in {decoys!r}:
        try:
            found.append(open(path).read())
        except OSError:
            pass
    raise ValueError("read: " + str(found + glob.glob("{folder}/*")))
"""


def _with(answer: str) -> dict[str, bytes]:
    """Chapter 2 with an answer to its first exercise and the right one to its second, and chapter 3, untouched."""
    return {
        "02.ipynb": chapter(2, {"dsm_target": answer, "dsm_loss": solutions()["dsm_loss"]}),
        "03.ipynb": chapter(3, {}),
    }


def blunderers() -> Iterator[Student]:
    """Twenty honest blunders."""
    second = frozenset({"dsm_loss"})
    for kind, answer in BLUNDERS.items():
        marks = second | {"dsm_target"} if kind == "500 magics" else second
        yield Student(kind, _with(answer), marks, kind)
    right = _with(RIGHT)
    both = second | {"dsm_target"}
    other = json.loads(right["02.ipynb"])
    other["metadata"]["kernelspec"] = {"name": "ir", "language": "R", "display_name": "R"}
    cells = [{k: c[k] for k in ("cell_type", "source")} for c in other["cells"]]
    edited = b"\xef\xbb\xbf" + json.dumps({"cells": cells}, indent="\t").replace("\n", "\r\n").encode()
    inputs = [{"cell_type": "code", "input": c["source"]} for c in cells if c["cell_type"] == "code"]
    old = {"nbformat": 3, "worksheets": [{"cells": inputs}]}
    latin = {os.fsdecode(b"\xfcbung.ipynb"): right["02.ipynb"]}
    yield from [
        Student("wrong kernel", {"02.ipynb": json.dumps(other).encode()}, NONE, "wrong kernel", said="not in Python"),
        Student("empty", {"02.ipynb": b""}, NONE, "an empty file", said="no Jupyter notebook"),
        Student("nothing", {}, NONE, "an empty folder", said="no notebook"),
        Student("pdf", {"02.pdf": b"%PDF"}, NONE, "no notebook", said="no notebook"),
        Student("other editor", {"02.ipynb": edited}, both, "another editor: no tags, a BOM, CRLF"),
        Student("old format", {"02.ipynb": json.dumps(old).encode()}, both, "the format of 2014"),
        Student(os.fsdecode(b"andr\xe9"), latin, both, "latin-1 names"),
        Student("copies", {"a.ipynb": right["02.ipynb"], "b.ipynb": chapter(2, {})}, both, "two copies"),
        Student("half", {"02.ipynb": right["02.ipynb"][: len(right["02.ipynb"]) // 2]}, NONE, "half a file"),
    ]


def hostile(decoys: list[Path]) -> Iterator[Student]:
    """Twenty kinds of attack; one that is not on the marks leaves them as they are."""
    second, both = frozenset({"dsm_loss"}), frozenset({"dsm_loss", "dsm_target"})
    for kind, answer in HOSTILE.items():
        marks = NONE if kind in SPOILS_ITS_OWN else second
        yield Student(kind, _with(answer), marks, kind)
    right = _with(RIGHT)
    probe = PROBE.format(decoys=[str(path) for path in decoys], folder=decoys[0].parent)
    loop = chapter(2, {"dsm_target": RIGHT + "while True: pass\n"})
    yield from [
        Student("reads", _with(probe), second, "reads decoys", said="read: []"),
        Student("loops in the cell", {"02.ipynb": loop}, NONE, "loops in the cell", said="took longer"),
        Student("nested", {"02.ipynb": b"[" * 10**6}, NONE, "deep JSON", said="no Jupyter notebook"),
        Student("pipe", right, both, "a FIFO", lambda folder: os.mkfifo(folder / "01.ipynb"), "no plain file"),
        Student("link", {}, NONE, "a linked notebook", lambda f: (f / "02.ipynb").symlink_to(decoys[0]), "a link"),
        Student("folder", {}, NONE, "a linked folder", _linked(decoys[0].parent), "a link"),
        Student("huge", right, both, "a file of a TiB", lambda f: os.truncate(_made(f / "01.ipynb"), 2**40), "larger"),
        Student("x" * 245, right, both, "a name of 245 bytes"),
        Student("x;=1+1 <img src=x onerror=alert(1)>", right, both, "a name to be run"),
    ]


def _linked(target: Path) -> Callable[[Path], None]:
    def link(folder: Path) -> None:
        folder.rmdir()
        folder.symlink_to(target)

    return link


def _made(path: Path) -> Path:
    path.touch()
    return path


def class_of(n: int, decoys: list[Path]) -> list[Student]:
    """A class of n, as many of each sort in ten as is said above."""
    answers = solutions()
    sorts = [(diligent(i, answers) for i in itertools.count()), blunderers(), hostile(decoys)]
    counts = [n - 2 * (n // 5), n // 5, n // 5]
    return [student for sort, count in zip(sorts, counts, strict=True) for student in itertools.islice(sort, count)]


def hand_in(students: list[Student], folder: Path) -> None:
    """Write what they hand in."""
    for student in students:
        own = folder / student.name
        own.mkdir(parents=True)
        for name, content in student.files.items():
            (own / name).write_bytes(content)
        student.prepare(own)
