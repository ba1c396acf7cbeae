"""A student's notebook reduced to what is run of it, and the exercises that it answers.

It is read in the student's process: what reads it badly, or for ever, ends with that process.
"""

import ast
import dataclasses
import json
import re
import symtable

RULE = (
    "For each exercise the grader runs the cell that defines its function and, from the other cells, every statement "
    "that gives a value to a name which that cell uses: imports, helper functions, constants, and what these need in "
    "turn. The statements run in the notebook's order, in a namespace of the exercise's own; one that fails does not "
    "stop the others. Bare expressions do not run: calls of checks, prints, figures. An answer is a `def`, `class`, "
    "`lambda` or `partial` of the exercise's name in any cell, or whatever a cell tagged `exercise` gives that name, "
    "except an import; the last one in a notebook counts. The exercise's check above it is taken away, and where a "
    "stub is untouched nothing is lent: an answer that needs another exercise's function needs that exercise done."
)
EXERCISE_TAG = "exercise"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
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
        statements: Python source to execute one after the other, which defines the function.
    """

    source: str
    untouched: bool = False
    problem: str = ""
    statements: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Notebook:
    """A student's notebook, reduced to what defines the answers.

    Attributes:
        answers: by the exercise's name; the last definition counts, as in the notebook.
        problem: why the notebook could not be read; empty if it could.
        late: whether that was for want of time.
    """

    answers: dict[str, Answer] = dataclasses.field(default_factory=dict)
    problem: str = ""
    late: bool = False


@dataclasses.dataclass(frozen=True)
class _Statement:
    """A statement of a notebook, or of a cell that can't be read (`problem` says why) the functions in it.

    Attributes:
        cell: the position of its cell.
        written: its text.
        run: its text as it is run; an import has one for each name, so that one that can't be had costs no other.
        gives: the names that it gives a value to, or to a part of it.
        uses: the names that it uses, in functions too.
        answers: whether it may define an answer.
        untouched: see Answer.
        problem: see Answer.
    """

    cell: int
    written: str
    run: str = ""
    gives: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    answers: bool = True
    untouched: bool = False
    problem: str = ""


def read_notebook(content: bytes, exercises: list[str]) -> Notebook:
    """Take from a notebook's bytes, for each exercise, what has to be run to define its answer; see RULE."""
    try:
        fields = json.loads(content)
        cells = fields["cells"] if "cells" in fields else fields["worksheets"][0]["cells"]  # notebooks before 2015
        sources = [_source_of(cell) for cell in cells if _within(cell, "cell_type") == "code"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        return Notebook(problem=f"this is no Jupyter notebook: {type(error).__name__}")
    language = str(_within(fields, "metadata", "kernelspec", "language") or "python")
    if "python" not in language.lower():
        return Notebook(problem=f"this notebook is written in {language[:40]!r}, not in Python")
    statements: list[_Statement] = []
    for cell, (source, is_exercise) in enumerate(sources):
        try:
            statements += _statements(cell, source, is_exercise)
        except UNREADABLE as error:
            problem = f"the cell can't be read: {type(error).__name__}: {str(error)[:200]}"
            named = frozenset(name for name in exercises if re.search(rf"\bdef {name}\b|^{name}\b.*=", source, re.M))
            statements.append(_Statement(cell, source, gives=named, problem=problem))
    answers = {}
    for name in exercises:
        if found := [i for i, statement in enumerate(statements) if statement.answers and name in statement.gives]:
            last = statements[found[-1]]
            run = [] if last.problem else _needed(name, found[-1], statements)
            answers[name] = Answer(last.written, last.untouched, last.problem, run)
    return Notebook(answers)


def _within(value: object, *keys: str) -> object:
    """Return the value under these keys of dictionaries inside one another; None where one is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _source_of(cell: dict) -> tuple[str, bool]:
    """A cell's text, and whether it is an exercise's."""
    text, tags = cell.get("source", cell.get("input")) or "", _within(cell, "metadata", "tags")
    return text if isinstance(text, str) else "".join(map(str, text)), EXERCISE_TAG in (
        tags if isinstance(tags, list) else ()
    )


def _statements(cell: int, source: str, is_exercise: bool) -> list[_Statement]:
    """The statements of a cell except bare expressions; raise one of UNREADABLE if it can't be read."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # magics; elsewhere a line that begins with % is the rest of a division
        source = MAGIC.sub(r"\1pass", re.sub(r"\A\s*%%(?:time|timeit|capture)\b.*", "", source))
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            check = re.compile(rf"(?:\w+\.)*checks\.{node.name}\b")  # it stands above the function, and calls it
            node.decorator_list = [d for d in node.decorator_list if not check.match(ast.unparse(d))]
    return [
        _Statement(
            cell,
            ast.get_source_segment(source, node) or "",
            run,
            *names_in(run),
            _may_answer(node, is_exercise),
            _is_stub(node),
        )
        for node in tree.body
        if not isinstance(node, ast.Expr | ast.Pass)
        for run in map(ast.unparse, _parts(node))
    ]


def _parts(node: ast.stmt) -> list[ast.stmt]:
    match node:
        case ast.ImportFrom(module, names, level):
            return [ast.ImportFrom(module, [name], level) for name in names]
        case ast.Import(names):
            return [ast.Import([name]) for name in names]
        case _:
            return [node]


def names_in(run: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names that a statement gives a value to, "*" for an import of all, and those that it uses."""
    gives = {
        name.id
        for target in ast.walk(ast.parse(run))  # W[0] = …, net.scale = …
        if isinstance(target, ast.Subscript | ast.Attribute) and isinstance(target.ctx, ast.Store)
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }
    gives |= {"*"} if run.endswith(" import *") else set()
    uses: set[str] = set()
    tables = [symtable.symtable(run, "<cell>", "exec")]
    for table in tables:  # it grows meanwhile
        own = [symbol for symbol in table.get_symbols() if table is tables[0] or symbol.is_global()]
        gives |= {symbol.get_name() for symbol in own if symbol.is_assigned() or symbol.is_imported()}
        uses |= {symbol.get_name() for symbol in own if symbol.is_referenced()}
        tables += table.get_children()
    return frozenset(gives), frozenset(uses)


def _needed(name: str, position: int, statements: list[_Statement]) -> list[str]:
    """Return the statements that have to be run to define an answer, in their order; see RULE."""
    chosen: set[int] = set()
    more = {i for i, statement in enumerate(statements) if statement.cell == statements[position].cell}
    names = {name, "*"}
    while more:
        chosen |= more
        names.update(*(statements[i].uses for i in more))
        # a later statement that gives the function's own name is an import
        given = (i for i, s in enumerate(statements) if s.gives & names and not (i > position and name in s.gives))
        more = set(given) - chosen
    return [statements[i].run for i in sorted(chosen)]


def _may_answer(node: ast.stmt, is_exercise: bool) -> bool:
    """Whether a statement defines the answers that it gives a value to; outside an exercise it may be a measurement."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return False
    parts = list(ast.walk(node))
    made = any(isinstance(p, FUNCTIONS) or "partial" in (getattr(p, "id", ""), getattr(p, "attr", "")) for p in parts)
    return is_exercise or made or isinstance(getattr(node, "value", None), ast.Name)


def _is_stub(node: ast.stmt) -> bool:
    """Whether a function's body is a bare `raise NotImplementedError`, below a docstring or not."""
    body = [part for part in getattr(node, "body", [node]) if not isinstance(part, ast.Expr)]
    return len(body) == 1 and ast.unparse(body[0]) in ("raise NotImplementedError", "raise NotImplementedError()")
