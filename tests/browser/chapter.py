"""One chapter, open in JupyterLab and driven as a reader drives it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat import NotebookNode

from sbgm.course.notebook import names_in

from .explorer import Explorer
from .lab import Lab
from .watch import Watch

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

SOURCES = Path(__file__).resolve().parent.parent.parent / "notebooks"
OPEN_SECONDS = 500
RUN_SECONDS = 3_600  # chapter 08 takes half a minute on two cores that nobody else uses
READY = '.jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator[data-status="idle"]'


class Chapter:
    """A copy of a chapter without its outputs, opened in a page.

    Args:
        whole: with all its cells of code, not only the explorer's and those that this needs.

    Attributes:
        number: the two digits that its file begins with.
        page: the browser's page.
        watch: what went wrong on it.
    """

    def __init__(self, number: str, lab: Lab, context: BrowserContext, *, whole: bool) -> None:
        self.number, self.watch, self._lab = number, Watch(context), lab
        self.page = context.new_page()
        (source,) = SOURCES.glob(f"{number}_*.ipynb")
        self._path = lab.notebooks / source.name
        notebook = nbformat.read(source, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
        if not whole:
            kept = needed_by_explorer([cell for cell in notebook.cells if cell.cell_type == "code"])
            notebook.cells = [cell for cell in notebook.cells if cell.cell_type != "code" or cell in kept]
        nbformat.write(notebook, self._path)
        self._open()

    def run_all(self) -> None:
        """Run All Cells, from the menu, and wait until nothing runs any more."""
        for item in ("Run", "Run All Cells"):
            self.page.get_by_role("menuitem", name=item, exact=True).click()
        self._until(self._has_run, RUN_SECONDS)

    def reopen(self) -> None:
        """End the kernel and open the file again, which was saved."""
        self._lab.ask(f"/api/sessions/{self._session()['id']}", method="DELETE")
        self._open()

    def faults(self) -> list[str]:
        """What is wrong with each cell that did not run, or raised, in the notebook as Lab saved it."""
        found = []
        for cell in self._code_cells():
            errors = [output for output in cell.outputs if output.output_type == "error"]
            found += [f"{error.ename}: {error.evalue}, in\n{cell.source}" for error in errors]
            if cell.execution_count is None:
                found.append(f"not run:\n{cell.source}")
        return found

    def explorer(self) -> Explorer:
        """The chapter's sliders, scrolled into view."""
        return Explorer(self.page)

    def run_in_kernel(self, code: str) -> str:
        """Run code in the chapter's kernel, past the browser; return what it prints."""
        return self._lab.run_in_kernel(self._session()["kernel"]["id"], code)

    def close(self) -> None:
        """End the kernel and close the page."""
        self._lab.ask(f"/api/sessions/{self._session()['id']}", method="DELETE")
        self.page.context.close()

    def _open(self) -> None:
        self.page.goto(self._lab.url(f"/lab/tree/{self._path.name}") + "&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=1e3 * OPEN_SECONDS)
        self._until(lambda: self._kernel_state() == "idle", OPEN_SECONDS)
        self.page.wait_for_selector(READY)

    def _code_cells(self) -> list[NotebookNode]:
        notebook = nbformat.read(self._path, as_version=4)
        return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source]

    def _session(self) -> dict | None:
        sessions = self._lab.ask("/api/sessions")
        return next((session for session in sessions if session["path"] == self._path.name), None)

    def _kernel_state(self) -> str:
        """Jupyter's word for what the kernel does; "unconnected" while the page can't hear it."""
        session = self._session()
        if session is None or session["kernel"]["connections"] == 0:
            return "unconnected"
        return session["kernel"]["execution_state"]

    def _has_run(self) -> bool:
        """Whether the kernel rests, and the saved notebook holds the last cell or an error, which stops the run."""
        for _ in range(5):  # between two cells it rests for a moment
            if self._kernel_state() != "idle":
                return False
            self.page.wait_for_timeout(100)
        self.page.keyboard.press("Control+s")
        self.page.wait_for_timeout(1000)
        cells = self._code_cells()
        raised = any(output.output_type == "error" for cell in cells for output in cell.outputs)
        return raised or cells[-1].execution_count is not None

    def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"chapter {self.number}: {self._kernel_state()} after {seconds:g} s")
            self.page.wait_for_timeout(200)


def needed_by_explorer(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells of code up to the explorer's that bind a name which it needs, or which one of them needs."""
    position = max(i for i, cell in enumerate(cells) if re.search(r"^\w+_explorer\(", cell.source, re.MULTILINE))
    kept, wanted = [], set()
    for cell in reversed(cells[: position + 1]):
        bound, used = names_in(cell.source)
        if not kept or bound & wanted:
            kept.append(cell)
            wanted |= used
    return kept
