"""What tests of runs share."""

import pytest
from PIL import Image

from small_run import run


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A run that never stopped, and its losses."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, run(folder)


@pytest.fixture
def folder(tmp_path):
    """That of a run."""
    return tmp_path / "run"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder to work in, with no data sets but those that ship."""
    monkeypatch.setenv("SBGM_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photos(here):
    """Pictures of two classes, dark cats and light dogs."""
    for i in range(20):
        path = here / "photos" / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (10, 12), 100 * (i % 2) + i).save(path)
