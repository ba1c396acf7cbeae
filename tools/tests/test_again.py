"""A student who corrects an answer and runs on from there sees what a first run shows.

No cell reads a name that a later cell binds anew, which one sees without running it; and the cells from each exercise
down to the next show the same again when the whole chapter has run. The latter is slow: of one chapter it is tried by
`make test-all`, of all by `make test-slow`.
"""

import itertools
import re
import symtable

import pytest

import notebooks as tool
from notebooks import read, tags_of

CHAPTERS = sorted(tool.NOTEBOOKS.glob("*.ipynb"))
QUICK = "03"


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def exercises(path):
    """The places of a chapter's exercises among its code cells."""
    return [i for i, cell in enumerate(code_cells(path)) if "exercise" in tags_of(cell)]


def without_magics(source: str) -> str:
    return re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE)


def read_names(table: symtable.SymbolTable) -> set[str]:
    """The module's names that the code of a scope, and of those within it, reads."""
    in_module = table.get_type() == "module"
    symbols = [s for s in table.get_symbols() if (s.is_referenced() if in_module else s.is_global())]
    return {symbol.get_name() for symbol in symbols}.union(*map(read_names, table.get_children()))


def names_of(source: str) -> tuple[set[str], set[str]]:
    """The names that a cell takes from the cells above it, and those that it binds other than by an import."""
    table = symtable.symtable(without_magics(source), "<cell>", "exec")
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() and not s.is_imported()}
    return read_names(table) - binds, binds


def bound_anew(sources: list[str]) -> set[str]:
    """The names that a cell takes from the cells above it, and that a cell below it binds anew."""
    cells = [names_of(source) for source in sources]
    names = set()
    for i, (reads, _) in enumerate(cells):
        above = set().union(*(binds for _, binds in cells[:i]))
        below = set().union(*(binds for _, binds in cells[i + 1 :]))
        names |= reads & above & below
    return names


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_cell_reads_a_name_that_a_later_cell_binds_anew(path):
    assert bound_anew([cell.source for cell in code_cells(path)]) == set()


WITH_EXERCISES = [path for path in CHAPTERS if exercises(path)]


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=() if p.stem[:2] == QUICK else pytest.mark.slow) for p in WITH_EXERCISES],
)
def test_the_cells_below_an_exercise_show_the_same_again(path):
    """The last exercise first: each part is run after the cells below it."""
    cells = code_cells(path)
    order = [*range(len(cells))]
    for start, end in reversed([*itertools.pairwise([*exercises(path), len(cells)])]):
        order += range(start, end)
    notebook = read(path)
    notebook.cells = [cells[i].copy() for i in order]
    for number, cell in enumerate(notebook.cells):
        cell.id = str(number)
    tool.execute(notebook, path.parent, 600)
    first = notebook.cells[: len(cells)]
    for i, again in zip(order[len(cells) :], notebook.cells[len(cells) :], strict=True):
        if "nbval-ignore-output" not in tags_of(first[i]):
            assert shown(again) == shown(first[i]), first[i].source


def shown(cell) -> list[str]:
    """The texts and pictures below a cell, without addresses in memory and what is kept of widgets."""
    # a kernel may send what is printed in one piece or in several
    parts = ["".join(output.get("text", "") for output in cell.outputs)]
    for output in cell.outputs:
        data = output.get("data", {})
        parts += [data.get("text/plain"), data.get("image/png")]
    return [re.sub(r"0x[0-9a-f]+", "0x", part) for part in parts if part]
