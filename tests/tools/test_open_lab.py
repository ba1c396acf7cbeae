"""`make lab`: the working copy that `git pull` never conflicts with, and JupyterLab's settings."""

import json
import subprocess
from pathlib import Path

import pytest
from jupyterlab.labapp import LabApp
from jupyterlab_server.settings_utils import get_settings

import open_lab
from notebooks import found

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folders(tmp_path):
    """Two notebooks, one in a folder below, a page, and the place for their copies."""
    originals = tmp_path / "notebooks"
    write(originals / "00_start.ipynb", "start")
    write(originals / "lab" / "01_more.ipynb", "more")
    (originals / "glossary.md").write_text("words")
    return originals, tmp_path / "work"


def write(path: Path, source: str, output: str = "") -> None:
    """Write a notebook of one cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = {"cell_type": "code", "source": [source], "outputs": [output], "metadata": {}}
    path.write_text(json.dumps({"cells": [cell]}), encoding="utf-8")


def contents(folder: Path) -> dict[str, str]:
    """What the cells of each notebook say, and show."""
    cells = {path: json.loads(path.read_text(encoding="utf-8"))["cells"][0] for path in found(folder)}
    return {p.relative_to(folder).as_posix(): " ".join(c["source"] + c["outputs"]).strip() for p, c in cells.items()}


def test_the_first_start_copies_all_and_the_next_changes_nothing(folders):
    originals, work = folders
    for _ in range(2):
        assert open_lab.refresh(originals, work) == []
        assert contents(work) == contents(originals)


def test_what_is_untouched_is_brought_up_to_date_and_what_is_changed_stays(folders):
    originals, work = folders
    open_lab.refresh(originals, work)
    write(work / "00_start.ipynb", "my answers")
    assert open_lab.refresh(originals, work) == []  # nothing new that it would miss

    write(originals / "00_start.ipynb", "start, better")
    write(originals / "lab" / "01_more.ipynb", "more, better")
    write(originals / "02_new.ipynb", "new")
    for _ in range(2):  # it is said at each start
        assert open_lab.refresh(originals, work) == [Path("00_start.ipynb")]
        assert contents(work) == {
            "00_start.ipynb": "my answers",
            "02_new.ipynb": "new",
            "lab/01_more.ipynb": "more, better",
        }

    (work / "00_start.ipynb").rename(work / "00_start_mine.ipynb")
    assert open_lab.refresh(originals, work) == []
    assert contents(work)["00_start.ipynb"] == "start, better"
    assert contents(work)["00_start_mine.ipynb"] == "my answers"


def test_running_is_no_change_and_its_outputs_stay_until_there_is_a_newer_chapter(folders):
    originals, work = folders
    open_lab.refresh(originals, work)
    write(work / "00_start.ipynb", "start", "my output")
    assert open_lab.refresh(originals, work) == []
    assert contents(work)["00_start.ipynb"] == "start my output"
    write(originals / "00_start.ipynb", "start, better")
    assert open_lab.refresh(originals, work) == []
    assert contents(work)["00_start.ipynb"] == "start, better"


def test_a_damaged_copy_stays(folders):
    originals, work = folders
    open_lab.refresh(originals, work)
    (work / "00_start.ipynb").write_text("not JSON")
    write(originals / "00_start.ipynb", "start, better")
    assert open_lab.refresh(originals, work) == [Path("00_start.ipynb")]
    assert (work / "00_start.ipynb").read_text() == "not JSON"


def test_a_copy_whose_record_is_lost_is_taken_for_changed(folders):
    originals, work = folders
    open_lab.refresh(originals, work)
    (work / open_lab.COPIED).unlink()
    write(originals / "00_start.ipynb", "start, better")
    assert open_lab.refresh(originals, work) == [Path("00_start.ipynb")]
    assert contents(work)["00_start.ipynb"] == "start"


def test_a_page_comes_along_and_is_treated_as_a_notebook_is(folders):
    originals, work = folders
    for said in ("words", "better words"):
        (originals / "glossary.md").write_text(said)
        assert open_lab.refresh(originals, work) == []
        assert (work / "glossary.md").read_text() == said
    (work / "glossary.md").write_text("my words")
    (originals / "glossary.md").write_text("the best words")
    assert open_lab.refresh(originals, work) == [Path("glossary.md")]
    assert (work / "glossary.md").read_text() == "my words"


def test_git_ignores_the_copy():
    ignored = subprocess.run(["git", "check-ignore", "-q", "work/00_start_here.ipynb"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


def test_jupyterlab_opens_chapter_0_of_the_copy_and_says_what_it_left(folders, monkeypatch, capsys):
    originals, work = folders
    monkeypatch.setattr(open_lab, "NOTEBOOKS", originals)
    monkeypatch.setattr(open_lab, "WORK", work)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    started = []
    monkeypatch.setattr(open_lab.labapp, "main", lambda arguments: started.append(arguments) or 0)
    open_lab.main([])
    write(work / "00_start.ipynb", "my answers")
    write(originals / "00_start.ipynb", "start, better")
    assert open_lab.main(["--no-browser"]) == 0
    chapter_0 = [f"--ServerApp.root_dir={work}", "--LabApp.default_url=/lab/tree/00_start.ipynb"]
    assert started == [chapter_0, [*chapter_0, "--no-browser"]]
    assert "work/00_start.ipynb stays as you changed it" in capsys.readouterr().out


def test_jupyterlab_asks_about_no_news_and_keeps_the_users_own_settings(tmp_path, monkeypatch):
    """As the server reads them: a user who has decided is heard, and nothing is written to the user's folders."""
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(open_lab.SETTINGS))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    schemas = Path(LabApp().schemas_dir)
    name = "@jupyterlab/apputils-extension:notification"

    def answer() -> dict:
        (setting,) = (
            s for s in get_settings(str(tmp_path / "app"), str(schemas), str(tmp_path / "user"))[0]["settings"]
            if s["id"] == name
        )  # fmt: skip
        return {key: value["default"] for key, value in setting["schema"]["properties"].items()} | setting["settings"]

    assert (answer()["fetchNews"], answer()["checkForUpdates"]) == ("false", False)
    assert not (tmp_path / "user").exists()
    own = tmp_path / "user" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    own.parent.mkdir(parents=True)
    own.write_text('{"fetchNews": "true"}')
    assert answer()["fetchNews"] == "true"
