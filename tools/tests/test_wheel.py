"""The wheel, in environments without extras and with [images], used from an empty folder: no file of the repository,
and no package that it does not ask for, is at hand."""

import importlib.metadata
import json
import re
import subprocess
import sys
import sysconfig
import textwrap
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import sbgm

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built by what is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def environment(folder: Path, wheel: Path, requirements: list[str]) -> Path:
    """The Python of an environment in a folder that holds the wheel, and links to all that these lines ask for."""
    venv.create(folder)
    python = folder / Path(sys.executable).relative_to(sys.prefix)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for distribution in brought_by(requirements):
        for entry in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / entry).exists():
                (site / entry).symlink_to(distribution.locate_file(entry))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target"]
    subprocess.run([*install, str(site), str(wheel)], check=True, capture_output=True)
    return python


@pytest.fixture(scope="module")
def python(tmp_path_factory, wheel):
    """The Python of an environment in which a plain `pip install WHEEL` was done."""
    return environment(tmp_path_factory.mktemp("base"), wheel, PROJECT["dependencies"])


@pytest.fixture(scope="module")
def python_for_images(tmp_path_factory, wheel):
    """The Python of one with the extra [images]."""
    needed = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["images"]
    return environment(tmp_path_factory.mktemp("images"), wheel, needed)


def brought_by(requirements: list[str]) -> list[importlib.metadata.Distribution]:
    """The installed distributions that these lines ask for, directly or not, without extras."""
    needed: dict[str, importlib.metadata.Distribution] = {}
    to_read = [*requirements]
    while to_read:
        requirement = Requirement(to_read.pop())
        if requirement.name not in needed and (requirement.marker is None or requirement.marker.evaluate()):
            needed[requirement.name] = importlib.metadata.distribution(requirement.name)
            to_read += needed[requirement.name].requires or []
    return [*needed.values()]


@pytest.fixture
def run(python, tmp_path, monkeypatch):
    """Run Python with some words in an environment, in an empty folder and without this project's variables."""
    for name in ("SBGM_DATA", "SBGM_LEDGER", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLBACKEND", "agg")

    def run(*words: str, python: Path = python) -> subprocess.CompletedProcess:
        return subprocess.run([python, "-B", *words], cwd=tmp_path, capture_output=True, text=True)

    return run


def test_the_wheel_holds_the_package_with_its_stubs_tables_and_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    listed = ["git", "ls-files", "sbgm", "sbgm_course", "data"]
    tracked = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    no_chapters = {name for name in tracked if re.match(r"data/results/.*\.png|data/weights/mnist_one_level\.", name)}
    assert no_chapters
    assert names == {re.sub("^data/", "sbgm/_data/", name) for name in {*tracked} - no_chapters}
    assert {"sbgm/py.typed", "sbgm/__init__.pyi", "sbgm/_data/results/table1.toml"} <= names
    assert wheel.name.startswith(f"sbgm_ncsn-{sbgm.__version__}-")
    (megabytes,) = re.findall(r"\.whl, (\d+) MB", (ROOT / "docs" / "using.md").read_text(encoding="utf-8"))
    assert abs(wheel.stat().st_size / 1e6 - int(megabytes)) <= 1


def test_the_nine_lines_of_inpainting_run_as_printed_and_what_ships_is_found(run, tmp_path):
    """With two of the 25 steps a level, by the package alone; a data set is made, and another network loaded."""
    using = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
    code = re.search(r"in nine lines.*?```python\n(.*?)```", using, re.S)[1]
    assert len(code.splitlines()) == 9
    code = (
        code.replace("n_steps=25", "n_steps=2")
        + """
known, filled = fills[..., :14], fills[..., 14:]
print(*fills.shape, bool((known - image[..., :14]).abs().max() < 0.1), bool(filled.isfinite().all()))
from sbgm import files
recorded, _ = files.load_tensors(files.shipped_folder() / "results" / "I2.safetensors")
print(*recorded["samples"].shape[1:])
import sbgm
own = sbgm.own_images(torch.rand(20, 1, 8, 8), size=8)
print(*sbgm.load_images(own).shape, *sbgm.load_network("digits_mlp")(torch.rand(4, 1, 8, 8), 0.1).shape)
"""
    )
    done = run("-c", code)
    assert (done.stdout, done.stderr) == ("4 1 28 28 True True\n3 32 32\n16 1 8 8 4 1 8 8\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["fills.png"]


def test_a_missing_extra_is_named_in_one_line(run):
    code = """
import torch
def use_sliders(): from sbgm.widgets import langevin_explorer
def judge(): from sbgm.measure.inception import Inception; Inception()
def read(): import sbgm; sbgm.load_images("digits")
def train(): import sbgm.apps.train
def compare(): from sbgm.measure import nearest_neighbours; nearest_neighbours(torch.rand(3, 2), torch.rand(4, 2))
for use in (use_sliders, judge, read, train, compare):
    try: use()
    except ImportError as error: print(error)
"""
    done = run("-c", code)
    says = "{} is missing, which sbgm's extra [{}] brings; docs/using.md, Install, says how"
    missing = [("ipywidgets", "notebooks"), ("torch_fidelity", "fid")]
    missing += [("sklearn", "images"), ("tqdm", "images"), ("sklearn", "images")]
    assert done.stdout.splitlines() == [says.format(*pair) for pair in missing]
    assert done.returncode == 0, done.stderr
    done = run("-m", "sbgm", "sample", "digits_mlp", "--out", "x")
    assert (done.returncode, done.stderr) == (1, f"sbgm: {says.format('tqdm', 'images')}\n")


def test_the_extra_of_images_trains_and_samples(run, python_for_images, tmp_path):
    small = ["--network", "DigitNetwork", "--steps", "1", "--batch-size", "4", "--held-out", "2", "--levels", "2"]
    small += ["--device", "cpu", "--threads", "1"]
    done = run("-m", "sbgm", "train", "digits", "--out", "run", *small, python=python_for_images)
    assert done.returncode == 0, done.stderr
    fast = ["-n", "1", "--n-steps", "1", "--device", "cpu", "--threads", "1"]
    done = run("-m", "sbgm", "sample", "run", "--out", "samples", *fast, python=python_for_images)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "samples" / "sheet.png").is_file()


def test_runs_go_to_the_working_folder_and_downloads_to_the_users_cache(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code = "from sbgm import files; print(files.checkout(), files.runs_folder(), files.data_folder(), sep='\\n')"
    done = run("-c", code)
    assert done.stdout.splitlines() == ["None", str(tmp_path / "runs"), str(tmp_path / "cache" / "sbgm")]


def test_help_and_all_names_need_no_extra(run):
    assert "sbgm - Score-based generative modelling" in run("-m", "pydoc", "sbgm").stdout
    done = run("-c", "import sbgm; print(*[getattr(sbgm, name) for name in dir(sbgm)], *dir(sbgm.widgets))")
    assert "langevin_explorer" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_pyright_finds_no_fault_in_the_code_that_readers_copy(python_for_images, tmp_path):
    """Each block of README and of the docs, as a file of the reader's beside the installed package."""
    texts = [ROOT / "README.md", ROOT / "data" / "README.md", *(ROOT / "docs").glob("*.md")]
    for text in texts:
        blocks = re.findall(r"```python\n(.*?)```", text.read_text(encoding="utf-8"), re.S)
        for number, block in enumerate(blocks, start=1):
            if "diffusers" not in block:  # which no test installs
                (tmp_path / f"{text.stem}_{number}.py").write_text(textwrap.dedent(block))
    assert len(list(tmp_path.iterdir())) >= 5
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", str(python_for_images), "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert json.loads(done.stdout)["generalDiagnostics"] == []
