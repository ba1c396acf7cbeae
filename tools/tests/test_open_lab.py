"""`make lab`: the working copy that `git pull` never conflicts with, and JupyterLab's settings."""

import json
from pathlib import Path

import pytest

import open_lab
from notebooks import ANSWER_TAG, all_notebooks


@pytest.fixture
def folders(tmp_path):
    """Two notebooks, one in a folder below, a page, and the place for their copies."""
    originals = tmp_path / "notebooks"
    write(originals / "00_start.ipynb", "start")
    write(originals / "lab" / "01_more.ipynb", "more")
    (originals / "glossary.md").write_text("words")
    return originals, tmp_path / "work"


def write(path: Path, source: str, output: str = "", **metadata: list[str]) -> None:
    """Write a notebook of one cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = {"cell_type": "code", "source": [source], "outputs": [output], "metadata": metadata}
    path.write_text(json.dumps({"cells": [cell], "metadata": {}}), encoding="utf-8")


def contents(folder: Path) -> dict[str, str]:
    """What the cells of each notebook say, and show."""
    cells = {path: json.loads(path.read_text(encoding="utf-8"))["cells"][0] for path in all_notebooks(folder)}
    return {p.relative_to(folder).as_posix(): " ".join(c["source"] + c["outputs"]).strip() for p, c in cells.items()}


def test_what_is_untouched_is_brought_up_to_date_and_what_is_changed_stays(folders):
    originals, work = folders
    for _ in range(2):
        assert open_lab.refresh(originals, work) == []
        assert contents(work) == contents(originals)
    write(work / "00_start.ipynb", "my answers")
    assert open_lab.refresh(originals, work) == []  # nothing new that it would miss

    write(originals / "00_start.ipynb", "start, better")
    write(originals / "lab" / "01_more.ipynb", "more, better")
    write(originals / "02_new.ipynb", "new")
    (originals / "glossary.md").write_text("better words")
    for _ in range(2):  # it is said at each start
        assert open_lab.refresh(originals, work) == [Path("00_start.ipynb")]
        beside = {"00_start.ipynb": "my answers", "00_NEW_start.ipynb": "start, better"}
        assert contents(work) == contents(originals) | beside
        assert (work / "glossary.md").read_text() == "better words"

    write(originals / "00_start.ipynb", "start, best")  # the new one is brought up to date like any
    open_lab.refresh(originals, work)
    assert contents(work) == contents(originals) | beside | {"00_NEW_start.ipynb": "start, best"}
    write(work / "00_NEW_start.ipynb", "my answers, moved")
    write(originals / "00_start.ipynb", "start, once more")
    assert open_lab.refresh(originals, work) == [Path("00_start.ipynb"), Path("00_NEW_start.ipynb")]
    mine = {"00_start.ipynb": "my answers", "00_NEW_start.ipynb": "my answers, moved"}
    assert contents(work) == contents(originals) | mine | {"00_NEW_NEW_start.ipynb": "start, once more"}


def test_running_is_no_change_and_its_outputs_stay_until_there_is_a_newer_chapter(folders):
    originals, work = folders
    open_lab.refresh(originals, work)
    write(work / "00_start.ipynb", "start", "my output")
    assert open_lab.refresh(originals, work) == []
    assert contents(work)["00_start.ipynb"] == "start my output"
    write(originals / "00_start.ipynb", "start, better")
    assert open_lab.refresh(originals, work) == []
    assert contents(work)["00_start.ipynb"] == "start, better"


def test_a_guess_has_no_answer_in_sight_and_its_chapter_is_kept_up_to_date_like_any(folders):
    originals, work = folders
    write(originals / "00_start.ipynb", "start", "the answer", tags=[ANSWER_TAG])
    open_lab.refresh(originals, work)
    assert contents(work)["00_start.ipynb"] == "start"
    assert contents(originals)["00_start.ipynb"] == "start the answer"
    write(originals / "00_start.ipynb", "start, better", "the answer", tags=[ANSWER_TAG])
    assert open_lab.refresh(originals, work) == []
    assert contents(work)["00_start.ipynb"] == "start, better"
    write(work / "00_start.ipynb", "my answers", "the answer", tags=[ANSWER_TAG])
    write(originals / "00_start.ipynb", "start, best", "the answer", tags=[ANSWER_TAG])
    assert open_lab.refresh(originals, work) == [Path("00_start.ipynb")]
    assert contents(work)["00_start.ipynb"] == "my answers the answer"
    assert contents(work)["00_NEW_start.ipynb"] == "start, best"


def test_a_chapter_of_another_name_leaves_no_second_copy_and_loses_no_answer(folders):
    originals, work = folders
    write(originals / "02_next.ipynb", "next")
    open_lab.refresh(originals, work)
    assert open_lab.retire(originals, work) == []
    (originals / "00_start.ipynb").rename(originals / "03_start.ipynb")
    (originals / "02_next.ipynb").rename(originals / "04_next.ipynb")
    write(work / "00_start.ipynb", "my answers")
    write(work / "02_next.ipynb", "next", "my output")
    (work / "own_network.safetensors").write_text("mine")
    for _ in range(2):  # it is said at each start
        assert open_lab.refresh(originals, work) == []
        assert open_lab.retire(originals, work) == [Path("00_start.ipynb")]
        assert contents(work) == contents(originals) | {"00_start.ipynb": "my answers"}
        assert (work / "own_network.safetensors").read_text() == "mine"


EVERYTHING = [Path("00_start.ipynb"), Path("glossary.md")]


def assert_left(originals: Path, work: Path, left: list[Path]) -> None:
    """Change the originals: these copies count as changed, and are not touched."""
    write(originals / "00_start.ipynb", "start, better")
    (originals / "glossary.md").write_text("better words")
    before = [(work / path).read_text() for path in left]
    assert open_lab.refresh(originals, work) == left
    assert [(work / path).read_text() for path in left] == before


@pytest.mark.parametrize(
    "content", ["", "[]", '{"cells": [{"source": 5}]}', "[" * 200_000], ids=lambda content: content[:60]
)
@pytest.mark.parametrize("place", ["00_start.ipynb", "glossary.md", open_lab.COPIED])
def test_what_is_damaged_and_what_has_no_record_counts_as_changed(folders, place, content):
    originals, work = folders
    open_lab.refresh(originals, work)
    (work / place).write_text(content)
    assert_left(originals, work, [Path(place)] if place != open_lab.COPIED else EVERYTHING)


def test_a_folder_in_the_records_place_counts_as_no_record(folders):
    originals, work = folders
    (work / open_lab.COPIED).mkdir(parents=True)
    open_lab.refresh(originals, work)
    assert_left(originals, work, EVERYTHING)
