"""Write chapters as a course of nbgrader, which marks students' notebooks: `make release`, or

    python tools/release.py FOLDER [--chapters 1 4] [--seed N]

FOLDER then holds

    nbgrader_config.py
    source/ch01/01_score_functions.ipynb    the lecturer's chapter: with solutions, and a mark after each function
    release/                                for students: README.md, a wheel of sbgm, and the pages of notebooks/

`nbgrader generate_assignment ch01`, in FOLDER, adds the chapter without solutions and marks as release/ch01; see
docs/instructors.md for what follows. Chapters can be added to a course later; nothing is overwritten.
"""

import argparse
import copy
import re
import secrets
import subprocess
import sys
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from notebooks import NOTEBOOKS, ROOT, pages, read, tags_of, write

EXERCISE_TAG = "exercise"
SOLUTION_TAG = "solution"
CHAPTERS = {int(path.stem[:2]): path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))}
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)
TO_ANSWER = re.compile(r"\n+\*Your answer:\* …\s*\Z")
CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "sbgm"
c.ExecutePreprocessor.timeout = 120  # seconds for a cell
c.ExecutePreprocessor.iopub_timeout = 60  # in which a cell that took longer has to stop
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError  # yours"}
c.OverwriteCells.add_missing_cells = True  # a mark that a student has deleted
"""
MARK = """\
# One point: the function under @checks.{name}, tried on other random inputs.
### BEGIN HIDDEN TESTS
import sbgm_course as checks
checks.{name}.mark(seed={seed})
### END HIDDEN TESTS"""
HANDED_OUT = """\
# How to work on the chapters

1. Put this folder where you like, and the folders of chapters, such as `ch01`, into it.
2. Once, with Python 3.11 or newer: `python -m venv .venv`, then
   `.venv/bin/python -m pip install "./{wheel}[notebooks]"`.
3. `.venv/bin/jupyter lab`

On Windows, write `.venv\\Scripts\\` for `.venv/bin/`.

# What will be marked

- **Functions** below a line such as `@checks.gaussian_score`. Put your code in place of `raise NotImplementedError`,
  and leave that line above your function: the function under it is marked, on other random inputs. If several stood
  under it, the last one is marked. Until you write one, `sbgm` lends one to the cells below, which earns nothing.
- **Three rules** for each function. It returns a tensor of the same dtype as the tensors that come in, and no NumPy
  array. It changes none of its arguments: `x = x + 1`, and not `x += 1`. It sets no global seed, as `torch.manual_seed`
  does.
- **Questions**: write your answer where it says YOUR ANSWER HERE. If it needs code, add cells. A person reads it.
- Do not delete, copy, move or split the cells that are marked, and keep the file's name.
- Before you hand in, choose Run > Restart Kernel and Run All Cells, and read what the checks say.
- Hand in everything that a notebook needs to run. A cell that runs longer than two minutes is stopped, and its
  function earns nothing.
"""


def course_cells(chapter: NotebookNode, seed: int | None) -> list[NotebookNode]:
    """Return a chapter's cells as nbgrader's source: without outputs, with solutions, marks and questions.

    Args:
        chapter: with its exercises and folded solutions.
        seed: of all marks; drawn for each of them if None.
    """
    cells: list[NotebookNode] = []
    to_write = None  # the exercise whose solution comes next
    for cell in copy.deepcopy(chapter.cells):
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
        if EXERCISE_TAG in tags_of(cell):
            to_write = cell
        elif SOLUTION_TAG in tags_of(cell) and to_write:
            cells += solved_and_marked(to_write, cell, secrets.randbelow(2**31) if seed is None else seed)
            to_write = None
        elif SOLUTION_TAG in tags_of(cell):
            number = re.findall(r"\*\*Exercise ([\d.]+) ·", cells[-1].source)[-1]
            cells[-1].source = TO_ANSWER.sub("", cells[-1].source)
            cell.metadata.tags.remove(SOLUTION_TAG)  # nbgrader puts YOUR ANSWER HERE in its place
            cells.append(graded(cell, "question_" + number.replace(".", "_"), solution=True, grade=True))
        else:
            cells.append(cell)
    return cells


def solved_and_marked(stub: NotebookNode, answer: NotebookNode, seed: int) -> list[NotebookNode]:
    """Return a stub with the body of its folded solution between nbgrader's lines, and the cell that marks it."""
    check, signature, _ = stub.source.split("\n")
    name = check.removeprefix("@checks.")
    (solution,) = FENCE.findall(answer.source)
    first, body = solution.rstrip().split("\n", maxsplit=1)
    if first != signature:
        raise ValueError(f"the solution of {name} must begin with {signature!r}, got {first!r}")
    stub.source = f"{check}\n{signature}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"
    mark = new_code_cell(MARK.format(name=name, seed=seed), id=f"mark-{name}")
    return [graded(stub, name, solution=True), graded(mark, f"mark_{name}", grade=True)]


def graded(cell: NotebookNode, grade_id: str, *, solution: bool = False, grade: bool = False) -> NotebookNode:
    """Give a cell nbgrader's metadata.

    Args:
        cell: to change and return.
        grade_id: its name in the gradebook.
        solution: whether students write in it; it is locked if not.
        grade: whether it earns a point; a person decides where students write in it.
    """
    cell.metadata["nbgrader"] = {
        "schema_version": 3,
        "grade_id": grade_id,
        "solution": solution,
        "grade": grade,
        "locked": not solution,
        "task": False,
    }
    if grade:
        cell.metadata["nbgrader"]["points"] = 1
    return cell


def with_links(text: str, up: str = "") -> str:
    """Let the links of a page lead to where a course has its files, each chapter in a folder of its own.

    Args:
        text: of a page in notebooks/.
        up: from where it goes to release/, such as "../".
    """
    text = re.sub(r"\]\((?=\w+\.md|\d\d_\w+\.ipynb)", f"]({up}", text)
    return re.sub(r"\]\(((?:\.\./)?)(?=(\d\d)_\w+\.ipynb)", r"](\1ch\2/", text)


def add_chapter(folder: Path, number: int, seed: int | None) -> None:
    """Write a chapter to a course's source/."""
    chapter = read(CHAPTERS[number])
    chapter.cells = course_cells(chapter, seed)
    for cell in chapter.cells:
        if cell.cell_type == "markdown":
            cell.source = with_links(cell.source, "../")
    write(chapter, folder / "source" / f"ch{number:02d}" / CHAPTERS[number].name)


def begin(folder: Path) -> None:
    """Write what a course has once: nbgrader's settings, and what students need beside the chapters."""
    release = folder / "release"
    release.mkdir(parents=True)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(release.resolve())]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = (path.name for path in release.glob("*.whl"))
    (release / "README.md").write_text(HANDED_OUT.format(wheel=wheel), encoding="utf-8")
    for path in pages():
        (release / path.name).write_text(with_links(path.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("folder", type=Path)
    option("--chapters", type=int, choices=CHAPTERS, nargs="+", default=[*CHAPTERS], metavar="N", help="all by default")
    option("--seed", type=int, help="of the marks' random inputs; drawn for each function unless given")
    options = parser.parse_args(arguments)
    for number in options.chapters:
        place_of_chapter = options.folder / "source" / f"ch{number:02d}"
        if place_of_chapter.exists():
            parser.error(f"{place_of_chapter} exists, and nothing is overwritten: remove it, or name another folder")
    if not (options.folder / "nbgrader_config.py").exists():
        begin(options.folder)
    for number in options.chapters:
        add_chapter(options.folder, number, options.seed)
    numbers = " ".join(map(str, options.chapters))
    print(f"{options.folder} now holds chapters {numbers}, with solutions in source/. Next, in that folder:")
    print(f"    nbgrader generate_assignment ch{options.chapters[0]:02d}")


if __name__ == "__main__":
    main()
