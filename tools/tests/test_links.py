"""Every link and picture of a chapter leads to a file that lies with the chapters, in each of the chapters' places."""

import re
import shutil
from pathlib import Path

import pytest

import notebooks as tool
import open_lab
import release

TARGET = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)|(?:src|href)=[\"'](?![a-z]+:|#)([^\"'#]+)")


def released(folder: Path) -> Path:
    """What students get of a course; nbgrader puts chapters into release/ as they lie in source/."""
    release.main([str(folder)])
    shutil.copytree(folder / "source", folder / "release", dirs_exist_ok=True)
    return folder / "release"


PLACES = {
    "notebooks": lambda folder: tool.NOTEBOOKS,
    "work": lambda folder: open_lab.refresh(tool.NOTEBOOKS, folder) or folder,
    "course": released,
}


@pytest.mark.parametrize("place", PLACES)
def test_every_link_leads_to_a_file_of_the_folder(place, tmp_path):
    """JupyterLab shows nothing outside the folder that it is started in, and students get one folder."""
    folder = PLACES[place](tmp_path / "chapters")
    texts = {path: path.read_text(encoding="utf-8") for path in tool.pages(folder)}
    for path in tool.all_notebooks(folder):
        texts[path] = "\n".join(cell.source for cell in tool.read(path).cells if cell.cell_type == "markdown")
    links = {(path, one or other) for path, text in texts.items() for one, other in TARGET.findall(text)}
    assert len(links) > 20
    targets = {(path, link): (path.parent / link).resolve() for path, link in links}
    dead = [key for key, to in targets.items() if not (to.is_file() and to.is_relative_to(folder.resolve()))]
    assert dead == []


def test_chapter_0_leads_to_every_chapter_and_to_help():
    first, *others = sorted(tool.NOTEBOOKS.glob("[0-9]*.ipynb"))
    text = "\n".join(cell.source for cell in tool.read(first).cells)
    chapters = {path.name for path in others}
    linked = {one for one, _ in TARGET.findall(text)}
    assert linked == chapters | {"glossary.md", "troubleshooting.md"}
