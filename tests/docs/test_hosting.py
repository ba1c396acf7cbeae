"""The notebooks elsewhere than on the reader's machine: one setting, and they open in Colab and Binder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import chapters
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import notebooks as tool
from notebooks import SOLUTION_TAG, found, read, tags_of
from sbgm.course import hosting
from test_environment import EXTRAS, PROJECT

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/someone/course"
AUTHOR = {f"GIT_{role}_{what}": "test" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.fixture(scope="module")
def series():
    """The notebooks as the site has them."""
    return chapters.found(ROOT / "notebooks")


@pytest.mark.parametrize("written", [ADDRESS, f"{ADDRESS}/", f"{ADDRESS}.git"])
def test_the_address_is_one_setting(written, tmp_path):
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    without = re.sub(r"^\[project\.urls\]\nRepository = .*\n", "", project, flags=re.MULTILINE)
    (tmp_path / "pyproject.toml").write_text(without, encoding="utf-8")
    assert hosting.repository(tmp_path) == ""
    (tmp_path / "pyproject.toml").write_text(f'{without}\n[project.urls]\nRepository = "{written}"\n', encoding="utf-8")
    assert hosting.repository(tmp_path) == ADDRESS


def test_a_notebook_opens_in_colab_and_binder_once_the_project_is_on_github(series):
    for notebook in series:
        links = dict(re.findall(r"<a href='(https:[^']+)'>([^<]+)</a>", notebook.offers(ADDRESS)))
        inner = notebook.place.removeprefix("notebooks/")
        assert links == {
            f"https://colab.research.google.com/github/someone/course/blob/gh-pages/hosted/{inner}": "Open in Colab",
            f"https://mybinder.org/v2/gh/someone/course/HEAD?labpath=notebooks/{inner}": "Open in Binder",
            f"{ADDRESS}/blob/HEAD/notebooks/{inner}": "See it on GitHub",
        }
        for elsewhere in ("", "https://example.org/someone/course"):
            assert "https:" not in notebook.offers(elsewhere)


def test_what_colab_opens_is_the_notebook_with_a_cell_that_fetches_and_links_that_lead_somewhere(series):
    for notebook in series:
        ((place, content),) = notebook.hosted(ADDRESS).items()
        copy = tool.nbformat.reads(content.decode(), as_version=4)
        assert place == notebook.place.replace("notebooks", "hosted", 1)
        assert copy.cells.pop(1).source == hosting.FETCH.format(source=ADDRESS)
        assert f"[Open in Colab]({hosting.in_colab(ADDRESS)}/blob/gh-pages/{place})" in copy.cells[0].source
        assert [cell.get("outputs") for cell in copy.cells] == [c.get("outputs") for c in notebook.content.cells]
        texts = [cell.source for cell in copy.cells if cell.cell_type == "markdown"]
        links = [link for text in texts for link in re.findall(rf"\]\({ADDRESS}/(?:blob|raw)/HEAD/([^)#]+)", text)]
        assert [link for link in links if not (ROOT / link).exists()] == []
        assert links
        if notebook.number > 0 and notebook.is_chapter:
            assert any(SOLUTION_TAG in tags_of(cell) for cell in copy.cells)


def test_a_released_set_says_where_it_opens(tmp_path):
    at = f"{ADDRESS}/blob/main/week"
    assert tool.main(["release", str(tmp_path / "week"), "--source", ADDRESS, "--at", at]) == 0
    for path in found(tmp_path / "week"):
        place = path.relative_to(tmp_path / "week").as_posix()
        cells = read(path).cells
        assert f"[Open in Colab]({hosting.in_colab(at)}/{place})" in cells[0].source
        assert ADDRESS in cells[1].source


@pytest.mark.parametrize("in_colab", [False, True])
def test_colab_keeps_its_own_kernel_and_widgets(in_colab, monkeypatch, tmp_path):
    commands = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    if in_colab:
        monkeypatch.setitem(sys.modules, "google.colab", object())
    exec(hosting.FETCH.format(source=ADDRESS), {})
    clone, install = commands
    assert ADDRESS in clone
    assert install[-1] == f"{tmp_path / 'sbgm-course'}[{'fid' if in_colab else 'fid,notebooks'}]"


# --- Binder: repo2docker 2026.4 reads the folder .binder, and then nothing beside it ------------------------------


def test_binder_installs_the_project_and_nothing_else():
    folder = ROOT / ".binder"
    assert sorted(path.name for path in folder.iterdir()) == ["postBuild", "requirements.txt", "runtime.txt"]
    lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    index, project = (line for line in lines if not line.startswith("#"))
    assert index == "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert Requirement(f"sbgm{project.removeprefix('-e .')}").extras <= EXTRAS.keys()
    python = (folder / "runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-")
    assert f"{python}.0" in SpecifierSet(PROJECT["requires-python"])
    assert (folder / "postBuild").read_text(encoding="utf-8").startswith("#!/bin/bash\n")
    assert (folder / "postBuild").stat().st_mode & 0o111


# --- publishing -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_publishing_puts_the_pages_alone_on_a_branch_of_origin(tmp_path):
    project, origin = tmp_path / "project", tmp_path / "origin.git"

    def git(*words: str, folder: Path = project) -> str:
        done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout

    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    built = "cd build/site/html; echo $PAGE > index.html; touch .nojekyll _static/site.css"
    python.write_text(f'#!/bin/sh\ncase "$*" in *docs/build.py*) mkdir -p build/site/html/_static; {built};; esac\n')
    python.chmod(0o755)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, project)
    (project / ".gitignore").write_text("build/\n.venv/\n")
    git("init", "-q", "-b", "main")
    git("init", "-q", "--bare", str(origin))
    git("remote", "add", "origin", str(origin))
    git("add", ".")
    git("-c", "user.name=test", "-c", "user.email=test", "commit", "-qm", "all")
    for page in ("first", "second"):
        command = ["make", "PYTHON=.venv/bin/python", "publish"]
        environment = {**os.environ, **AUTHOR, "PAGE": page}
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert git("show", "gh-pages:index.html", folder=origin) == f"{page}\n"
    files = git("ls-tree", "-r", "--name-only", "gh-pages", folder=origin).split()
    assert files == [".nojekyll", "_static/site.css", "index.html"]
    assert git("rev-list", "--count", "gh-pages", folder=origin) == "1\n"
    assert git("status", "--porcelain") == ""
