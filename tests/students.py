"""What students hand in: the chapters' own solutions, and a chapter with answers where its stubs stood."""

import functools
import itertools
import re

import nbformat

from notebooks import NOTEBOOKS, read, released

CHAPTERS = {int(path.stem[:2]): path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
SOLUTION = re.compile(r"```python\n(.*?)```", re.DOTALL)


@functools.cache
def solutions(number: int) -> dict[str, str]:
    """The source of the solution to each exercise of a chapter, in the chapter's order."""
    sources = {}
    for cell, after in itertools.pairwise(read(CHAPTERS[number]).cells):
        name = re.search(r"^def (\w+)\(.*\n    raise NotImplementedError", cell.source, re.MULTILINE)
        if "exercise" in cell.metadata.get("tags", []) and name:
            sources[name[1]] = SOLUTION.search(after.source)[1]
    return sources


def chapter(number: int, answers: dict[str, str]) -> bytes:
    """A chapter as a student hands it in: with answers, where there are any, in place of the stubs below the checks."""
    notebook = released(read(CHAPTERS[number]), CHAPTERS[number].stem, variant=0)
    for cell in notebook.cells:
        for name, answer in answers.items():
            untouched = rf"^(@checks\.{name}\b.*\n)def {name}\(.*\n    raise NotImplementedError.*$"
            if stub := re.search(untouched, cell.source, re.MULTILINE):
                checked = re.sub(rf"^(?=def {name}\()", stub[1], answer, count=1, flags=re.M)
                cell.source = cell.source.replace(stub[0], checked)
    return nbformat.writes(notebook).encode()
