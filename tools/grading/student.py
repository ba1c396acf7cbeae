"""The student's process, `python -m grading.student`: runs one notebook from the top, as Jupyter does.

Cells run in IPython's own shell. Where a check stands, a stub of it asks the grader, which has the right answers: it
sends the arguments of one call after another, and the student's function is called here, where it stands. Nothing here
is trusted: the grader takes numbers from it, and judges them itself.

Each message to the grader is a JSON object that says what it is about, and bytes, which hold tensors or nothing; for
each there is one answer, a pickled object:

    {"say": "cell", "number": 3, "source": "…"}           this cell runs next
    {"say": "note", "text": "…", "late": false}           what is wrong with it
    {"say": "check", "name": "dsm_loss"}                  a function is to be tried; the answer is a call or the verdict
    {"problem": "", "attempted": true, "n_values": 1}     what came of that call, with its tensors
    {"say": "done"}
"""

import functools
import json
import os
import pickle
import signal
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

import safetensors.torch
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from sbgm_course.calls import Reply, call
from sbgm_course.exercise import Exercise, named

MOST_TEXT = 2_000  # characters of what went wrong
MOST_SOURCE = 20_000  # characters of a cell, for the report


class TooSlow(BaseException):
    """A cell, or a call of a function, took longer than it may."""


class Grader:
    """The grader, as this process sees it. No time counts while the grader works.

    Attributes:
        seconds: that a cell may take, and each call of a function.
        largest: bytes of the tensors that a function may return.
        trying: whether an answer is being tried.
    """

    def __init__(self, line: Connection) -> None:
        self._line = line
        self.seconds = 0
        self.largest = 0
        self.trying = False

    def hear(self) -> dict[str, Any]:
        """Receive an answer, and start the clock."""
        answer = pickle.loads(self._line.recv_bytes())
        signal.alarm(self.seconds)
        return answer

    def ask(self, fields: Mapping[str, object], blob: bytes = b"") -> dict[str, Any]:
        """Stop the clock, send a message, and return the answer to it."""
        signal.alarm(0)
        self._line.send_bytes(json.dumps(fields).encode())
        self._line.send_bytes(blob)
        return self.hear()


class Asking(Exercise):
    """The stub of a check, which stands in its place in a notebook, and asks the grader.

    Attributes:
        tried: the functions that stood under the check.
        verdict: the grader's on the last of them.
    """

    def __init__(self, name: str, number: str, grader: Grader) -> None:
        self.name = name
        self.number = number
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
        said = self._grader.ask({"say": "check", "name": self.name})
        with named(answer):
            while "verdict" not in said:
                said = self._grader.ask(*self._called(answer, **said))
        self.verdict = said["verdict"]
        return self._lending(said["lent"]) if said["lent"] else answer

    def _called(self, answer: Callable, arguments: list, with_gradients: bool) -> tuple[dict[str, Any], bytes]:
        """Call a function once; return the message that says what came of it."""
        self._grader.trying = True
        try:
            reply = call(answer, arguments, with_gradients)
            tensors = [*reply.values, *reply.gradients]
            named = {str(i): tensor.detach().cpu().clone().contiguous() for i, tensor in enumerate(tensors)}
            blob = safetensors.torch.save(named)
            if len(blob) > self._grader.largest:
                raise ValueError(f"it returned more than {self._grader.largest} bytes")
        except TooSlow:
            return {"late": True}, b""
        except BaseException as error:
            reply = Reply(problem=f"your function gave nothing that can be judged: {type(error).__name__}: {error}")
            blob = safetensors.torch.save({})
        finally:
            self._grader.trying = False
        problem = reply.problem[:MOST_TEXT]
        return {"problem": problem, "attempted": reply.attempted, "n_values": len(reply.values)}, blob

    def _lending(self, function: Callable[..., object]) -> Callable[..., object]:
        """The right function. While an answer is tried it raises: nobody hands it in."""

        @functools.wraps(function)
        def lent(*arguments: object, **options: object) -> object:
            if self._grader.trying:
                raise NotImplementedError
            return function(*arguments, **options)

        return lent


def stubs(numbers: Mapping[str, str], grader: Grader) -> list[Asking]:
    """Put stubs in the place of the chapters' checks, and return them."""
    checks = {name: Asking(name, number, grader) for name, number in numbers.items()}
    module = types.ModuleType("chapter")
    vars(module).update(checks)
    for chapter in range(1, 11):
        sys.modules[f"sbgm_course.chapter_{chapter:02d}"] = module
    return [*checks.values()]


def code_cells(notebook: bytes, grader: Grader) -> list[str]:
    """The sources of a notebook's code cells; of what is no notebook none, and the grader is told."""
    try:
        cells = json.loads(notebook)["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]  # text, or a list of lines
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        text = f"this is no Jupyter notebook: {type(error).__name__}"
        grader.ask({"say": "note", "text": text, "late": False})
        return []


class Shell(InteractiveShell):
    """IPython's shell, for which `%matplotlib inline` starts no window."""

    def enable_gui(self, gui: str | None = None) -> None:
        """Do nothing."""


def run_notebook(cells: list[str], checks: list[Asking], grader: Grader) -> None:
    """Run the cells, then try the functions that never stood under their checks."""
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InlineBackend.figure_formats = set()  # figures are closed, and not drawn
    shell = Shell.instance(config=settings)
    for number, source in enumerate(cells, start=1):
        grader.ask({"say": "cell", "number": number, "source": source[:MOST_SOURCE]})
        try:
            result = shell.run_cell(source, store_history=True)
            error = result.error_before_exec or result.error_in_exec
        except TooSlow as slow:  # in the shell's own code
            error = slow
        signal.alarm(0)
        if error:
            text = f"{type(error).__name__}: {error}"[:200] + " (Run All stops there)"
            grader.ask({"say": "note", "text": text, "late": isinstance(error, TooSlow)})
    for check in unchecked(checks, shell.user_ns):
        source = next((cell for cell in reversed(cells) if check.name in cell), "")
        grader.ask({"say": "cell", "number": 0, "source": source[:MOST_SOURCE]})
        check(shell.user_ns[check.name])


def unchecked(checks: list[Asking], namespace: Mapping[str, object]) -> Iterator[Asking]:
    """The exercises not solved yet whose name the notebook gave to a function that never stood under the check."""
    for check in checks:
        function = namespace.get(check.name)
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
    grader = Grader(Connection(os.dup(0)))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    begin = grader.hear()
    checks = stubs(begin["exercises"], grader)
    grader.seconds = begin["seconds"]
    grader.largest = begin["largest"]
    cells = code_cells(begin["notebook"], grader)
    if any(name in cell for cell in cells for name in begin["asked"]):
        run_notebook(cells, checks, grader)
    grader.ask({"say": "done"})
    os._exit(0)  # at once, whatever a student's code has set to be done at the end


if __name__ == "__main__":
    main()
