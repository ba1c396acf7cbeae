"""The student's process, `python -m grading.student`: runs one notebook from the top, as Jupyter does.

Cells run in IPython's own shell. Where a check stands, a stub of it asks the grader, which has the right answers: it
sends the arguments of one call after another, and the student's function is called here, where it stands. Nothing here
is trusted: the grader takes numbers from it, and judges them itself.
"""

import functools
import json
import os
import pickle
import re
import signal
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from grading import messages
from sbgm.checks.calls import Reply, Runner, local
from sbgm.checks.exercise import Exercise

CHAPTERS = "sbgm.checks.chapter_{:02d}"
WORDS = {"checks", "course"}  # one of them stands where a check is imported, or called in full


class TooSlow(BaseException):
    """A cell, or a call of a function, took longer than it may."""


class Grader:
    """The grader, as this process sees it. No time counts while the grader works.

    Attributes:
        seconds: that a cell may take, and each call of a function.
        trying: whether an answer is being tried.
    """

    def __init__(self, source: Connection, sink: Connection) -> None:
        self._source = source
        self._sink = sink
        self.seconds = 0
        self.trying = False

    def tell(self, fields: Mapping[str, object], blob: bytes = b"") -> None:
        """Send a message, and stop the clock."""
        signal.alarm(0)
        messages.send(self._sink, fields, blob)

    def hear(self) -> tuple[dict[str, Any], bytes]:
        """Receive a message, and start the clock: none for the first, which says how long it runs."""
        message = messages.receive(self._source)
        signal.alarm(self.seconds)
        return message


class Asking(Exercise):
    """The stub of a check, which stands in its place in a notebook, and asks the grader.

    Attributes:
        tried: the functions that stood under the check.
        verdict: the grader's on the last of them.
    """

    def __init__(self, name: str, number: str, grader: Grader) -> None:
        self.name = self.__name__ = name
        self.number = number
        self.chapter = int(number.partition(".")[0])
        self.tried: list[object] = []
        self.verdict = ""
        self._grader = grader

    def __call__(self, answer: object = ..., **_: int) -> object:
        """Have a function tried, and return that for the cells below: it, or the lent one for an untouched stub.

        The seed and the variant are the grader's. Why an answer is wrong stands in the report.
        """
        if answer is ...:
            return self
        if not callable(answer):
            raise TypeError(f"answer must be the function you wrote, got {type(answer).__name__}")
        if self._grader.trying:
            raise RuntimeError(f"the check of {self.name} is used while a function is tried")
        self.tried.append(answer)
        self._grader.tell({"say": "check", "name": self.name})
        fields, blob = self._grader.hear()
        while fields["ask"] == "call":
            self._grader.tell(*self._called(local(answer), blob, fields["with_gradients"]))
            fields, blob = self._grader.hear()
        self.verdict = fields["verdict"]
        if self.verdict == "not attempted":
            return self._borrowed() or answer
        return answer

    def _called(self, run: Runner, blob: bytes, with_gradients: bool) -> tuple[dict[str, Any], bytes]:
        """Call a function once; return the message that says what came of it."""
        self._grader.trying = True
        try:
            return messages.encoded_reply(run(messages.decoded_arguments(blob), with_gradients))
        except TooSlow:
            return {"late": True}, b""
        except BaseException as error:
            problem = f"your function gave nothing that can be judged: {type(error).__name__}: {error}"
            return messages.encoded_reply(Reply(problem=problem))
        finally:
            self._grader.trying = False

    def _borrowed(self) -> Callable[..., object] | None:
        """The right function, if the grader lends it. While an answer is tried it raises: nobody hands it in."""
        self._grader.tell({"say": "lend", "name": self.name})
        _, blob = self._grader.hear()
        if not blob:
            return None
        function = pickle.loads(blob)

        @functools.wraps(function)
        def lent(*arguments: object, **options: object) -> object:
            if self._grader.trying:
                raise NotImplementedError
            return function(*arguments, **options)

        return lent


def stubs(numbers: Mapping[str, str], grader: Grader) -> dict[str, Asking]:
    """Put stubs in the place of the chapters' checks, and return them by name."""
    checks = {name: Asking(name, number, grader) for name, number in numbers.items()}
    for chapter in range(1, 11):
        module = types.ModuleType(CHAPTERS.format(chapter))
        vars(module).update({name: check for name, check in checks.items() if check.chapter == chapter})
        sys.modules[module.__name__] = module
    return checks


def code_cells(content: bytes) -> list[str]:
    """The sources of a notebook's code cells; raise ValueError for what is no notebook in Python."""
    try:
        notebook = json.loads(content)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]  # those before 2015
        sources = [source_of(cell) for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise ValueError(f"this is no Jupyter notebook: {type(error).__name__}") from error
    language = notebook
    for key in ("metadata", "kernelspec", "language"):
        language = language.get(key) if isinstance(language, dict) else None
    if "python" not in str(language or "python").lower():
        raise ValueError(f"this notebook is written in {str(language)[:40]!r}, not in Python")
    return sources


def source_of(cell: dict) -> str:
    """A cell's text, which may be given as a list of lines."""
    text = cell.get("source", cell.get("input")) or ""
    return text if isinstance(text, str) else "".join(map(str, text))


class Shell(InteractiveShell):
    """IPython's shell, for which `%matplotlib inline` starts no window."""

    def enable_gui(self, gui: str | None = None) -> None:
        """Do nothing."""


def run_notebook(cells: list[str], checks: Mapping[str, Asking], grader: Grader) -> None:
    """Run the cells down to the last that uses a check, then try the functions that never stood under theirs.

    Where there is such a function, all cells run first.
    """
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InlineBackend.figure_formats = set()  # figures are closed, and not drawn
    shell = Shell.instance(config=settings)
    for number, source in enumerate(cells, start=1):
        grader.tell({"say": "cell", "number": number})
        if error := run_cell(shell, source, grader.seconds):
            problem = f"{type(error).__name__}: {error}"[:200]
            grader.tell({"say": "raised", "problem": problem, "late": isinstance(error, TooSlow)})
        if not go_on(cells[number:], checks, shell.user_ns):
            break
    for check in list(unchecked(checks, shell.user_ns)):
        run_cell(shell, f"__import__('sbgm').checks.{check.name}({check.name})", grader.seconds)


def run_cell(shell, source: str, seconds: int) -> BaseException | None:
    """Run one cell, and return what it raised."""
    try:
        signal.alarm(seconds)
        result = shell.run_cell(source, store_history=True)
        signal.alarm(0)
    except TooSlow as error:  # in the shell's own code
        return error
    return result.error_before_exec or result.error_in_exec


def go_on(cells: list[str], checks: Mapping[str, Asking], namespace: Mapping[str, object]) -> bool:
    """Whether something may be left to try: in the cells below, or at the notebook's end."""
    modules = [module for name, module in sys.modules.items() if name.startswith("sbgm.checks.ch")]
    words = {n for n, value in namespace.items() if isinstance(value, Asking) or any(value is m for m in modules)}
    words |= WORDS | {name for name, check in checks.items() if not check.tried}
    unsolved = "|".join(name for name, check in checks.items() if check.verdict != "correct")
    definition = rf"\b(def|class|global)\s+({unsolved})\b|\b({unsolved})\s*:?=(?!=)"
    left = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b|{definition}")
    return any(left.search(cell) for cell in cells) or any(unchecked(checks, namespace))


def unchecked(checks: Mapping[str, Asking], namespace: Mapping[str, object]) -> Iterator[Asking]:
    """The exercises not solved yet whose name the notebook gave to a function that never stood under the check."""
    for name, check in checks.items():
        function = namespace.get(name)
        is_own = callable(function) and not str(getattr(function, "__module__", "")).startswith("sbgm")
        was_tried = any(function is other for other in check.tried)
        if is_own and not isinstance(function, Asking) and check.verdict != "correct" and not was_tried:
            yield check


def stop(*_: object) -> None:
    """End what runs, when the alarm goes."""
    raise TooSlow("it took longer than it may")


def main() -> None:
    """Serve the grader that started this process."""
    signal.signal(signal.SIGALRM, stop)
    grader = Grader(Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    fields, content = grader.hear()
    checks = stubs(fields["exercises"], grader)
    grader.seconds = fields["seconds"]
    try:
        cells = code_cells(content)
    except ValueError as error:
        grader.tell({"say": "unread", "problem": str(error)})
    else:
        grader.tell({"say": "cells", "sources": cells})
        if re.search(rf"\b({'|'.join(fields['asked'])})\b", "\n".join(cells)):
            run_notebook(cells, checks, grader)
        grader.tell({"say": "done"})
    os._exit(0)  # at once, whatever a student's code has set to be done at the end


if __name__ == "__main__":
    main()
