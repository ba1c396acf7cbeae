"""The notebooks elsewhere than on the reader's machine: one setting, and they open in Colab and Binder."""

import re
import subprocess
import sys
from pathlib import Path

import chapters
import pytest

import hosting
import notebooks as tool
from notebooks import all_notebooks, place

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/someone/course"


def test_the_address_is_one_setting(tmp_path):
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    without = re.sub(r"^\[project\.urls\]\nRepository = .*\n", "", project, flags=re.MULTILINE)
    for added, address in (("", ""), (f'\n[project.urls]\nRepository = "{ADDRESS}.git"\n', ADDRESS)):
        (tmp_path / "pyproject.toml").write_text(without + added, encoding="utf-8")
        assert hosting.repository(tmp_path) == address


@pytest.mark.parametrize("path", all_notebooks(), ids=lambda path: path.stem)
def test_a_notebook_opens_in_colab_and_binder_once_the_project_is_on_github(path):
    notebook = chapters.Page(path)
    inner = place(path).as_posix()
    assert dict(re.findall(r"<a href='(https:[^']+)'>([^<]+)</a>", notebook.offers(ADDRESS))) == {
        f"https://colab.research.google.com/github/someone/course/blob/gh-pages/hosted/{inner}": "Open in Colab",
        f"https://mybinder.org/v2/gh/someone/course/HEAD?labpath=notebooks/{inner}": "Open in Binder",
        f"{ADDRESS}/blob/HEAD/notebooks/{inner}": "See it on GitHub",
    }
    assert "https:" not in notebook.offers("") + notebook.offers("https://example.org/someone/course")

    # what Colab opens has a cell that fetches the project, and links that lead somewhere
    ((copied_to, content),) = notebook.hosted(ADDRESS).items()
    copy = tool.nbformat.reads(content.decode(), as_version=4)
    assert copied_to == f"hosted/{inner}"
    assert copy.cells.pop(1).source == hosting.FETCH.format(source=ADDRESS)
    assert f"[Open in Colab]({hosting.in_colab(ADDRESS)}/blob/gh-pages/{copied_to})" in copy.cells[0].source
    assert [cell.get("outputs") for cell in copy.cells] == [c.get("outputs") for c in notebook.content.cells]
    text = "\n".join(cell.source for cell in copy.cells if cell.cell_type == "markdown")
    links = re.findall(rf"\]\({ADDRESS}/(?:blob|raw)/HEAD/([^)#]+)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


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
    assert sys.path[0] == str(tmp_path / "sbgm-course")
    assert install[-1] == f"{tmp_path / 'sbgm-course'}[{'fid' if in_colab else 'fid,notebooks'}]"
