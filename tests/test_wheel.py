"""The wheel, installed into an empty folder and used from another one: no file of the repository is at hand."""

import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import sbgm

ROOT = Path(__file__).resolve().parent.parent
# Without `site`, no .pth file of this environment leads back to the checkout; its packages come after the wheel's.
RUN = f"""
import sys
sys.path[:] = [{{folder!r}}, *sys.path, {sysconfig.get_path("purelib")!r}, {sysconfig.get_path("platlib")!r}]
import sbgm
assert sbgm.__file__.startswith({{folder!r}}), sbgm.__file__
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built by what is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder that the wheel is installed in; whatever the tests do, its files stay as they are."""
    folder = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target"]
    subprocess.run([*install, str(folder), str(wheel)], check=True, capture_output=True)
    before = listing(folder)
    yield folder
    assert listing(folder) == before


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def run(installed, tmp_path, monkeypatch):
    """Run code with the installed package, in an empty folder and without this project's environment variables."""
    for name in ("SBGM_DATA", "SBGM_LEDGER", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLBACKEND", "agg")

    def run(code: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-I", "-S", "-B", "-c", RUN.format(folder=str(installed)) + code]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


def test_the_wheel_holds_the_package_with_its_stubs_tables_and_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(["git", "ls-files", "sbgm", "data"], cwd=ROOT, check=True, capture_output=True, text=True)
    wanted = {name.replace("data/", "sbgm/_data/") if name.startswith("data/") else name for name in
              tracked.stdout.splitlines()}  # fmt: skip
    assert names == wanted
    assert {"sbgm/py.typed", "sbgm/__init__.pyi", "sbgm/_data/results/table1.toml"} <= names
    assert wheel.name.startswith(f"sbgm-{sbgm.__version__}-")


def test_the_nine_lines_of_inpainting_run_as_printed_and_a_record_loads(run, tmp_path):
    """With two of the 25 steps a level; the picture shows a test image and its four fills."""
    using = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
    code = re.search(r"in nine lines.*?```python\n(.*?)```", using, re.S)[1]
    assert len(code.splitlines()) == 9
    code = (
        code.replace("n_steps=25", "n_steps=2")
        + """
known, filled = fills[..., :14], fills[..., 14:]
print(*fills.shape, bool((known - image[..., :14]).abs().max() < 0.1), bool(filled.isfinite().all()))
from sbgm import measure
print(measure.load_record("I1").id)
"""
    )
    done = run(code)
    assert (done.stdout, done.stderr) == ("4 1 28 28 True True\nI1\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["fills.png"]


def test_a_missing_extra_is_named(run):
    done = run("""
sys.modules |= dict.fromkeys(["ipywidgets", "IPython", "torch_fidelity"])  # None: not to be had
def use_sliders(): from sbgm.widgets import langevin_explorer
def judge(): from sbgm.measure.inception import Inception; Inception()
for use in (use_sliders, judge):
    try: use()
    except ImportError as error: print(error)
""")
    assert done.stdout.splitlines() == [
        'the sliders need ipywidgets: pip install "sbgm[notebooks]"',
        'Inception features need torch-fidelity: pip install "sbgm[fid]"',
    ]
    assert done.returncode == 0, done.stderr


def test_runs_go_to_the_working_folder_and_downloads_to_the_users_cache(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = run("from sbgm import data; print(data.checkout(), data.runs_folder(), data.data_folder(), sep='\\n')")
    assert done.stdout.splitlines() == ["None", str(tmp_path / "runs"), str(tmp_path / "cache" / "sbgm")]
