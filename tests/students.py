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
        marks: the exercises that earn a mark.
        prepare: what else is done to the student's folder.
        said: a part of the row's note, or of the report.
    """

    name: str
    files: dict[str, bytes]
    marks: frozenset[str]
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


def chapter(number: int, answers: dict[str, str], *, check_above: bool = True) -> bytes:
    """A chapter as a student hands it in: stubs replaced by answers, where there are any.

    The check stands above an answer, or is called below it, as in notebooks of earlier versions.
    """
    notebook = released(read(CHAPTERS[number]), CHAPTERS[number].stem, variant=0)
    for cell in notebook.cells:
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


FIRST, SECOND, *_ = names_of(1)


def diligent(i: int) -> Student:
    """The i-th of those who do the exercises: chapter 1 in part right, wrong, untouched."""
    names = names_of(1)
    n_right = len(names) if i % 3 == 0 else i % len(names)
    answers = {name: solutions()[name] for name in names[:n_right]}
    if i % 2:
        answers |= {name: solutions()[name] + MISTAKEN.format(name=name) for name in names[n_right:][:1]}
    content = chapter(1, answers, check_above=i % 2 == 0)
    return Student(f"student {i:02d}", {"01.ipynb": content}, frozenset(names[:n_right]))


RIGHT = "def gaussian_score(x, mean, std):\n    return -(x - mean) / std**2\n"
BLUNDERS = {  # an answer to the first exercise, beside a right one to the second
    "no return": RIGHT.replace("return ", ""),
    "syntax error": RIGHT.replace("std):", "std)"),
    "a list": RIGHT.replace("return -(x - mean) / std**2", "return (-(x - mean) / std**2).tolist()[0][0]"),
    "NaN": RIGHT.replace("std**2", "0 * 0"),
    "unknown name": RIGHT.replace("mean) /", "meen) /"),
    "another name": RIGHT.replace("gaussian_score", "gaussian_scores"),
    "500 magics": "%matplotlib inline\n" * 500 + RIGHT,  # right
}
HOSTILE = {  # beside a right answer to the second exercise: how many marks are left, and an answer to the first
    "forged bytes": (
        0,
        "import os\ndef gaussian_score(*a):\n    for d in range(3, 20):\n"
        "        try: os.write(d, b'{\"mark\": 1}' * 9)\n        except OSError: pass\n",
    ),
    "leaves": (0, "import os\ndef gaussian_score(*a):\n    os._exit(0)\n"),
    "all the memory": (1, "def gaussian_score(*a):\n    held = []\n    while True: held.append(bytearray(2**26))\n"),
    "loops": (1, "def gaussian_score(*a):\n    while True: pass\n"),
    "a daemon": (
        1,
        "import os, time\ndef gaussian_score(x, *a):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        time.sleep(1000)\n    return x\n",
    ),
    "stops itself": (0, "import os, signal\ndef gaussian_score(*a):\n    os.kill(os.getpid(), signal.SIGSTOP)\n"),
    "600 brackets": (1, f"def gaussian_score(x, *a):\n    return {'(' * 600}x{')' * 600}\n"),
    "40 processes": (
        1,
        "import os, time\ndef gaussian_score(x, *a):\n    for _ in range(40):\n        if os.fork() == 0:\n"
        "            held = bytearray(2**26)\n            time.sleep(1000)\n    return x\n",
    ),
}
NONE: frozenset[str] = frozenset()
PROBE = """
def gaussian_score(*arguments):
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
    """Chapter 1 with an answer to its first exercise and the right one to its second."""
    return {"01.ipynb": chapter(1, {FIRST: answer, SECOND: solutions()[SECOND]})}


def blunderers() -> Iterator[Student]:
    """Honest blunders."""
    second = frozenset({SECOND})
    both = second | {FIRST}
    for kind, answer in BLUNDERS.items():
        yield Student(kind, _with(answer), both if kind == "500 magics" else second)
    right = _with(RIGHT)["01.ipynb"]
    cells = [{k: c[k] for k in ("cell_type", "source")} for c in json.loads(right)["cells"]]
    edited = b"\xef\xbb\xbf" + json.dumps({"cells": cells}, indent="\t").replace("\n", "\r\n").encode()
    yield from [
        Student("empty", {"01.ipynb": b""}, NONE, said="no Jupyter notebook"),
        Student("nothing", {}, NONE, said="no notebook"),
        Student("pdf", {"01.pdf": b"%PDF"}, NONE, said="no notebook"),
        Student("other editor", {"01.ipynb": edited}, both),  # no tags, a BOM, CRLF
        Student(os.fsdecode(b"andr\xe9"), {os.fsdecode(b"\xfcbung.ipynb"): right}, both),
        Student("copies", {"a.ipynb": right, "b.ipynb": chapter(1, {})}, both),
        Student("half", {"01.ipynb": right[: len(right) // 2]}, NONE, said="no Jupyter notebook"),
    ]


def hostile(decoys: list[Path]) -> Iterator[Student]:
    """Kinds of attack; one that does not end the notebook leaves the other mark as it is."""
    both = frozenset({FIRST, SECOND})
    for kind, (n_left, answer) in HOSTILE.items():
        yield Student(kind, _with(answer), frozenset({SECOND}) if n_left else NONE)
    right = _with(RIGHT)
    probe = PROBE.format(decoys=[str(path) for path in decoys], folder=decoys[0].parent)
    yield from [
        Student("reads", _with(probe), frozenset({SECOND}), said="read: []"),
        Student("pipe", right, both, lambda folder: os.mkfifo(folder / "02.ipynb"), "this is no notebook"),
        Student("link", {}, NONE, lambda f: (f / "01.ipynb").symlink_to(decoys[0]), "a link"),
        Student("huge", right, both, lambda f: os.truncate(_made(f / "02.ipynb"), 2**40), "larger"),
        Student("x" * 245, right, both),
        Student("x;=1+1 <img src=x onerror=alert(1)>", right, both),
    ]


def _made(path: Path) -> Path:
    path.touch()
    return path


def class_of(n: int, decoys: list[Path]) -> list[Student]:
    """A class of n, as many of each sort in ten as is said above."""
    sorts = [map(diligent, itertools.count()), blunderers(), hostile(decoys)]
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
