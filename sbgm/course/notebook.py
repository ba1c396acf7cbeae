"""A student's notebook reduced to what is run of it, and the exercises that it answers.

It is read in the student's process: what reads it badly, or for ever, ends with that.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re

__all__ = ["Answer", "Notebook", "read_notebook"]

EXERCISE_TAG = "exercise"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# a line of IPython's own: %matplotlib inline, !ls, ?help, files = !ls, help?
MAGIC = re.compile(r"^([ \t]*)(?:[%!?].*|[\w, \t]+=[ \t]*[%!].*|[\w.]+\?+[ \t]*)$", re.MULTILINE)
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # SyntaxError and others are raised by ast.parse


@dataclasses.dataclass(frozen=True)
class Answer:
    """A student's function for one exercise.

    Attributes:
        source: its text.
        untouched: whether it is the stub that was handed out, a bare `raise NotImplementedError`.
        problem: why its cell can't be run; empty if it can.
    """

    source: str
    untouched: bool = False
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Notebook:
    """A student's notebook, reduced to what defines the answers.

    Attributes:
        statements: Python source to execute one after the other.
        answers: by the exercise's name; the last definition counts, as in the notebook.
        problem: why the notebook could not be read; empty if it could.
    """

    statements: list[str] = dataclasses.field(default_factory=list)
    answers: dict[str, Answer] = dataclasses.field(default_factory=dict)
    problem: str = ""


def read_notebook(content: bytes, exercises: list[str]) -> Notebook:
    """Take from a notebook's bytes what has to be run to define its answers.

    Of a cell tagged "exercise" that is everything but bare expressions (the call of the check, prints, figures). Of any
    other cell it is imports, functions, classes, and assignments of literals: a chapter's own figures and measurements,
    which take minutes, are not run.
    """
    try:
        fields = json.loads(content)
        language = fields.get("metadata", {}).get("kernelspec", {}).get("language", "python")
        cells = fields["cells"] if "cells" in fields else fields["worksheets"][0]["cells"]  # notebooks before 2015
        sources = [_source_of(cell) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        return Notebook(problem=f"this is no Jupyter notebook: {type(error).__name__}")
    if str(language).lower() not in ("python", "ipython"):
        return Notebook(problem=f"this notebook is written in {str(language)[:40]!r}, not in Python")
    notebook = Notebook()
    for source, is_exercise in sources:
        try:
            _read_cell(source, is_exercise, exercises, notebook)
        except UNREADABLE as error:
            problem = f"the cell can't be read: {type(error).__name__}: {str(error)[:200]}"
            named = [name for name in exercises if f"def {name}(" in source]
            notebook.answers.update({name: Answer(source, problem=problem) for name in named})
    return notebook


def _source_of(cell: dict) -> tuple[str, bool]:
    """Return a cell's text, and whether it is an exercise's."""
    text = cell["source"] if "source" in cell else cell["input"]
    return text if isinstance(text, str) else "".join(text), EXERCISE_TAG in cell.get("metadata", {}).get("tags", [])


def _read_cell(source: str, is_exercise: bool, exercises: list[str], notebook: Notebook) -> None:
    """Add a cell's statements and answers to the notebook's; raise one of UNREADABLE, and add none, if it can't be."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # magics; elsewhere a line that begins with % is the rest of a division
        source = MAGIC.sub(r"\1pass", re.sub(r"\A\s*%%(?:time|timeit|capture)\b.*", "", source))
        tree = ast.parse(source)
    nodes = [node for node in tree.body if _is_run(node, is_exercise)]
    statements = [ast.unparse(part) for node in nodes for part in _parts(node)]
    answers = {
        name: Answer(ast.get_source_segment(source, node) or "", _is_stub(node))
        for node in nodes
        for name in _defined(node)
        if name in exercises
    }
    notebook.statements.extend(statements)
    notebook.answers.update(answers)


def _is_run(node: ast.stmt, is_exercise: bool) -> bool:
    if is_exercise or isinstance(node, (ast.Import, ast.ImportFrom, *DEFINITIONS)):
        return not isinstance(node, ast.Expr)
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        try:
            ast.literal_eval(node.value)
        except (ValueError, TypeError):
            return isinstance(node.value, ast.Lambda)
        return True
    return False


def _parts(node: ast.stmt) -> list[ast.stmt]:
    """A statement, or an import name by name, so that one that can't be had costs no other."""
    match node:
        case ast.ImportFrom(module, names, level):
            return [ast.ImportFrom(module, [name], level) for name in names]
        case ast.Import(names):
            return [ast.Import([name]) for name in names]
        case _:
            return [node]


def _defined(node: ast.stmt) -> list[str]:
    """The names of functions that a statement defines, `name = lambda …` and `name = other` among them."""
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.name] if isinstance(node, DEFINITIONS) else []


def _is_stub(node: ast.stmt) -> bool:
    """Whether a function's body is a bare `raise NotImplementedError`, below a docstring or not."""
    body = [part for part in getattr(node, "body", [node]) if not isinstance(part, ast.Expr)]
    return len(body) == 1 and ast.unparse(body[0]) in ("raise NotImplementedError", "raise NotImplementedError()")
