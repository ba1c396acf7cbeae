"""A student's notebook reduced to what is run of it, and the exercises that it answers."""

from __future__ import annotations

import ast
import dataclasses
import json

try:
    from IPython.core.inputtransformer2 import TransformerManager
except ImportError as error:
    raise ImportError('reading students\' notebooks needs IPython: pip install "sbgm[notebooks]"') from error

__all__ = ["Submission", "read_submission"]

EXERCISE_TAG = "exercise"
DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclasses.dataclass(frozen=True)
class Submission:
    """A student's notebook, reduced to what defines the answers.

    Attributes:
        statements: Python source to execute one after the other.
        answers: source of each exercise's function, by its name; the last definition counts, as in the notebook.
        problem: why the notebook could not be read; empty if it could.
    """

    statements: tuple[str, ...] = ()
    answers: dict[str, str] = dataclasses.field(default_factory=dict)
    problem: str = ""


def read_submission(notebook: bytes, exercises: set[str]) -> Submission:
    """Take from a notebook's bytes what has to be run to define its answers.

    Of a cell tagged "exercise" that is everything but bare expressions (the call of the check, prints, figures). Of any
    other cell it is imports, functions, classes, and assignments of literals: a chapter's own figures and measurements,
    which take minutes, are not run.
    """
    try:
        cells = [c for c in json.loads(notebook)["cells"] if c["cell_type"] == "code"]
        sources = [(_text(c["source"]), EXERCISE_TAG in c.get("metadata", {}).get("tags", [])) for c in cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Submission(problem=f"this is no Jupyter notebook: {type(error).__name__}")
    statements, answers = [], {}
    for source, is_exercise in sources:
        try:
            python = TransformerManager().transform_cell(source)  # magics become function calls
            tree = ast.parse(python)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            # run as it is, so that the student's process reports the error where an answer may be lost by it
            statements += [source] if is_exercise else []
            continue
        for node in tree.body:
            if _is_run(node, is_exercise):
                statements.append(ast.unparse(node))
            names = [node.name] if isinstance(node, ast.FunctionDef) else _assigned(node)  # name = lambda …
            answers |= {name: ast.get_source_segment(python, node) or "" for name in exercises.intersection(names)}
    return Submission(tuple(statements), answers)


def _text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _assigned(node: ast.stmt) -> list[str]:
    return [t.id for t in node.targets if isinstance(t, ast.Name)] if isinstance(node, ast.Assign) else []


def _is_run(node: ast.stmt, is_exercise: bool) -> bool:
    if isinstance(node, DEFINITIONS):
        return True
    if is_exercise:
        return not isinstance(node, ast.Expr)
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        try:
            ast.literal_eval(node.value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            return isinstance(node.value, ast.Lambda)
        return True
    return False
