"""The chapters as a course of nbgrader: what stands in it, what students get, and what a class of them earns."""

import csv
import html
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode

import release as tool
import sbgm_course as checks
from notebooks import pages, read, write

SEED = 987_654_321
STUBS = {  # of the chapters, by the function to write
    re.search(r"^def (\w+)", cell.source, re.MULTILINE)[1]: cell.source
    for path in tool.CHAPTERS.values()
    for cell in read(path).cells
    if "exercise" in cell.metadata.get("tags", [])
}


def graded(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """The cells that nbgrader knows, by their names in the gradebook."""
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A course of all chapters."""
    folder = tmp_path_factory.mktemp("lecturer") / "course"
    tool.main([str(folder), "--seed", str(SEED)])
    return folder


@pytest.fixture(scope="module")
def nbgrader(course) -> Callable[..., tuple[int, str]]:
    """Run one of nbgrader's commands in the course; return its exit status and what it says."""
    pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e '.[grading]'")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of alembic

    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "nbgrader", *words]
        done = subprocess.run(command, cwd=course, env=os.environ | {"PATH": path}, capture_output=True, text=True)
        return done.returncode, done.stderr

    return run


# --- the lecturer's notebooks -----------------------------------------------------------------------------------------


def test_each_function_has_its_solution_and_a_locked_mark_of_one_point_below(course):
    found = []
    for path in sorted(course.glob("source/*/*.ipynb")):
        cells = read(path).cells
        assert not any(cell.get("outputs") for cell in cells)  # least of all those that answer a guess
        for cell, below in itertools.pairwise(cells):
            if "exercise" in cell.metadata.get("tags", []):
                name = cell.metadata.nbgrader.grade_id
                found.append(name)
                first, _, rest = cell.source.partition("    ### BEGIN SOLUTION\n")
                assert STUBS[name] == first + "    raise NotImplementedError  # yours"
                assert rest.endswith("    ### END SOLUTION")
                compile(cell.source, name, "exec")
                assert f"checks.{name}.mark(seed={SEED})" in below.source
                settings = below.metadata.nbgrader
                assert (settings.grade, settings.locked, settings.solution, settings.points) == (True, True, False, 1)
    assert sorted(found) == sorted(STUBS)
    assert {*STUBS} == {*checks.exercises()}


def test_a_seed_is_drawn_for_each_mark(tmp_path):
    tool.add_chapter(tmp_path, 1, None)
    (path,) = tmp_path.rglob("*.ipynb")
    seeds = re.findall(r"mark\(seed=(\d+)\)", "".join(cell.source for cell in read(path).cells))
    assert len(set(seeds)) == len(seeds) == 4


def test_chapters_can_be_added_and_nothing_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "begin", lambda folder: (folder / "nbgrader_config.py").write_text("mine"))
    tool.main([str(tmp_path), "--chapters", "1"])
    tool.main([str(tmp_path), "--chapters", "2", "3"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.parent.name for path in before} == {tmp_path.name, "ch01", "ch02", "ch03"}
    with pytest.raises(SystemExit):
        tool.main([str(tmp_path), "--chapters", "4", "1"])
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


# --- what students get ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def released(course, nbgrader) -> dict[str, NotebookNode]:
    """Students' chapters, by the folder in which they lie."""
    status, said = nbgrader("generate_assignment", "*")
    assert status == 0, said
    return {path.parent.name: read(path) for path in sorted((course / "release").glob("ch*/*.ipynb"))}


def test_students_find_each_decorator_and_signature_and_no_solution_and_no_seed(released):
    assert [*released] == [f"ch{number:02d}" for number in tool.CHAPTERS]
    cells = [cell for notebook in released.values() for cell in notebook.cells]
    text = "\n".join(cell.source for cell in cells)
    assert sorted(cell.source for cell in cells if cell.source in STUBS.values()) == sorted(STUBS.values())
    assert re.search(rf"Solution of|Answers? to|SOLUTION|HIDDEN|{SEED}", text) is None


def test_each_open_question_is_a_cell_to_answer(released):
    """A person marks it."""
    for number, path in tool.CHAPTERS.items():
        folded = [cell.source for cell in read(path).cells if "solution" in cell.metadata.get("tags", [])]
        answers = [source for source in folded if not source.startswith("<details><summary>Solution")]
        questions = [cell for name, cell in graded(released[f"ch{number:02d}"]).items() if name.startswith("question")]
        assert len(questions) == len(answers)
        for cell in questions:
            settings = cell.metadata.nbgrader
            assert cell.source == "YOUR ANSWER HERE"
            assert (settings.grade, settings.solution, settings.points) == (True, True, 1)


def test_students_get_the_package_and_help(course):
    release = course / "release"
    (wheel,) = release.glob("*.whl")
    assert f"./{wheel.name}[notebooks]" in (release / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in release.glob("*.md")} == {"README.md", *(page.name for page in pages())}
    assert {path.suffix for path in release.iterdir() if path.is_file()} == {".md", ".whl"}


# --- a class ----------------------------------------------------------------------------------------------------------

BY_AUTOGRAD = """
import warnings
from tqdm import tqdm

class Mixture:
    def __call__(self, x, weights, means, std):
        warnings.warn("by autograd")
        x = x.clone().requires_grad_()
        exponents = torch.stack([-((x - mean) ** 2).sum(dim=1) / (2 * std**2) for mean in tqdm(means)], dim=1)
        return torch.autograd.grad((weights.log() + exponents).logsumexp(dim=1).sum(), x)[0]

checks.mixture_score(Mixture())
mixture_score = None
"""
STEP_BY_STEP = """
from tqdm import tqdm

@checks.annealed_langevin
def mine(score, x, sigmas, epsilon, n_steps, generator):
    for step in tqdm(range(len(sigmas) * n_steps)):
        sigma = sigmas[step // n_steps]
        alpha = float(epsilon * (sigma / sigmas[-1]) ** 2)
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = x + alpha / 2 * score(x, float(sigma)) + alpha**0.5 * z
    print("done")
    return x
"""
ROW_BY_ROW = """\
    if len(x) == 1:
        return (mean - x) / std**2
    return torch.cat([gaussian_score(row, mean, std) for row in x.split(1)])"""
LEVEL_BY_LEVEL = """\
    first = torch.tensor([sigma_max])
    if n_levels == 1:
        return first
    ratio = (sigma_min / sigma_max) ** (1 / (n_levels - 1))
    return torch.cat([first, geometric_ladder(sigma_max * ratio, sigma_min, n_levels - 1)])"""
# by student and function: what stands in place of the solution, and the sentence that names the mistake, if it is one
CLASS = {
    "right": {},
    "wrong": {
        "gaussian_score": ("    return (x - mean) / std**2", "your answer has the wrong sign, and is right otherwise"),
        "geometric_ladder": (
            "    return torch.linspace(sigma_max, sigma_min, n_levels)",
            "these levels have equal differences, not equal ratios",
        ),
        "log_ratio": ("    raise ValueError('is a < b?')", "your function raised ValueError: is a < b?"),
    },
    "unusual": {
        "mixture_score": (BY_AUTOGRAD, ""),
        "annealed_langevin": (STEP_BY_STEP, ""),
        "gaussian_score": (ROW_BY_ROW, ""),
        "geometric_ladder": (LEVEL_BY_LEVEL, ""),
    },
    "untouched": {
        name: ("    raise NotImplementedError  # yours", f"not attempted: your {name} raises NotImplementedError")
        for name in STUBS
    },
}
GRADED = (1, 4)


def handed_in(course: Path, number: int, answers: dict[str, tuple[str, str]], *, whole: bool) -> NotebookNode:
    """A chapter as students get it, with solutions, except for these answers in the place of some.

    Args:
        course: the folder.
        number: of the chapter.
        answers: by function; indented ones are bodies, others replace the cell.
        whole: whether the cells that have no part in the marks stay, apart from imports.
    """
    place = Path(f"ch{number:02d}", tool.CHAPTERS[number].name)
    solved = graded(read(course / "source" / place))
    notebook = read(course / "release" / place)
    for name, cell in graded(notebook).items():
        if name in STUBS:
            answer, _ = answers.get(name, (solved[name].source, ""))
            head = "\n".join(cell.source.split("\n")[:2])
            cell.source = f"{head}\n{answer}" if answer.startswith(" ") else answer
    if not whole:
        imports = re.compile("^import ", re.MULTILINE)
        notebook.cells = [c for c in notebook.cells if "nbgrader" in c.metadata or imports.search(c.source)]
    return notebook


def scores(course: Path, nbgrader) -> dict[tuple[str, str], tuple[float, float]]:
    """Each student's points in a chapter, and how many there are."""
    assert nbgrader("export")[0] == 0
    with (course / "grades.csv").open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    return {(r["student_id"], r["assignment"]): (float(r["score"]), float(r["max_score"])) for r in rows}


def test_each_student_earns_the_functions_that_are_right_and_reads_what_is_wrong(course, released, nbgrader):
    for number in GRADED:
        chapter = f"ch{number:02d}"
        for student, answers in CLASS.items():
            notebook = handed_in(course, number, answers, whole=student == "right")
            write(notebook, course / "submitted" / student / chapter / tool.CHAPTERS[number].name)
        for command in ("autograde", "generate_feedback"):
            status, log = nbgrader(command, chapter)
            assert status == 0, log
    earned = scores(course, nbgrader)
    for number in GRADED:
        asked = [name for name, exercise in checks.exercises().items() if exercise.chapter == number]
        n_open = len([n for n in graded(released[f"ch{number:02d}"]) if n.startswith("question")])
        for student, answers in CLASS.items():
            sentences = {name: answers[name][1] for name in asked if name in answers and answers[name][1]}
            assert earned[student, f"ch{number:02d}"] == (len(asked) - len(sentences), len(asked) + n_open), student
            (page,) = course.glob(f"feedback/{student}/ch{number:02d}/*.html")
            text = html.unescape(re.sub(r"<[^>]*>", "", page.read_text(encoding="utf-8")))
            for name, sentence in sentences.items():
                mark = text.partition(f"checks.{name}.mark(seed={SEED})")[2]
                assert f"WrongAnswer: {sentence}" in mark, name


def test_a_mark_that_was_deleted_comes_back(course, released, nbgrader):
    notebook = handed_in(course, 1, {}, whole=False)
    gone = graded(notebook)["mark_log_ratio"]
    notebook.cells = [cell for cell in notebook.cells if cell is not gone]
    write(notebook, course / "submitted" / "deleting" / "ch01" / tool.CHAPTERS[1].name)
    assert nbgrader("autograde", "ch01", "--student=deleting")[0] == 0
    assert scores(course, nbgrader)["deleting", "ch01"][0] == 4
