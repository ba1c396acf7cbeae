"""pyproject.toml is the one list of what the project needs; what is derived from it, or repeats it, agrees with it."""

import functools
import http.server
import importlib.metadata
import os
import pkgutil
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import sbgm
import torch_build
from imports import imported, top_level

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PIP_SECTION = next(entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict))


EXTRAS = PROJECT["optional-dependencies"]
READERS_TOOLS = ("open_lab", "notebooks")  # what `make lab` runs, which installs one extra only


def requirements(*extras: str) -> dict[str, Requirement]:
    """What pyproject.toml asks for, for sbgm itself and for `extras`, by the distribution's name."""
    lines = [line for lines in (PROJECT["dependencies"], *map(EXTRAS.get, extras)) for line in lines]
    return {normal(needed.name): needed for needed in map(Requirement, lines) if needed.name != "sbgm"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_under(*folders: str) -> set[str]:
    """The top-level modules that Python files under `folders` import, inside functions too."""
    return top_level(imported(*(path for folder in folders for path in (ROOT / folder).rglob("*.py"))))


def third_party(modules: set[str]) -> dict[str, set[str]]:
    """For each module from outside the project, the installed distributions that provide it."""
    files = [path for folder in ("tools", "tests", "docs", "notebooks/lab") for path in (ROOT / folder).rglob("*")]
    own = {"sbgm", *(path.stem for path in files)}
    providers = importlib.metadata.packages_distributions()
    return {
        module: {normal(name) for name in providers.get(module, [])}
        for module in modules - own - sys.stdlib_module_names
    }


@pytest.mark.parametrize(
    ("folders", "extras"),
    [(("sbgm",), ("fid", "notebooks")), (("sbgm", "tools", "tests"), ("fid", "notebooks", "grading", "test"))],
    ids=["sbgm", "tools and tests"],
)
def test_every_import_is_declared(folders, extras):
    allowed = requirements(*extras).keys()
    undeclared = {module for module, names in third_party(imported_under(*folders)).items() if not names & allowed}
    assert undeclared == set()


def test_tools_and_docs_import_neither_each_other_nor_tests():
    """Except one file: chapters on a hosted service are released by a tool, and offered by the site."""
    own = {name: {path.stem for path in (ROOT / name).rglob("*.py")} for name in ("tools", "docs", "tests")}
    own["tests"].add("answers")
    assert imported_under("tools") & (own["docs"] | own["tests"]) - own["tools"] == set()
    assert imported_under("docs") & (own["tools"] | own["tests"]) - own["docs"] == {"hosting"}


IMPORTED_ALONE = """
import runpy, sys
from pathlib import Path

before = [*sys.path]
for tool in sys.argv[1:]:
    sys.path[:] = [str(Path(tool).parent), *before]
    for name, module in [*sys.modules.items()]:
        if Path(getattr(module, "__file__", None) or ".").parent.name == "lab":
            del sys.modules[name]
    runpy.run_path(tool)
"""


def test_each_tool_finds_what_it_imports(tmp_path):
    tools = sorted((ROOT / "tools").glob("*.py"))
    done = subprocess.run([sys.executable, "-c", IMPORTED_ALONE, *tools], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_make_lab_runs_with_what_its_extra_brings():
    modules = top_level(imported(*(ROOT / "tools" / f"{name}.py" for name in READERS_TOOLS)))
    assert modules & {"notebooks"} | {"open_lab"} == set(READERS_TOOLS)
    allowed = requirements("notebooks").keys()
    assert {module for module, names in third_party(modules).items() if not names & allowed} == set()


def test_the_extra_all_holds_every_other():
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.extras == EXTRAS.keys() - {"all"}


def test_environment_yml_adds_nothing_to_pyproject():
    assert ENVIRONMENT["name"] == PROJECT["name"]
    assert ENVIRONMENT["dependencies"] == [f"python{PROJECT['requires-python']}", "pip", {"pip": ["-e .[notebooks]"]}]


def test_citation_and_changelog_agree_on_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (str(citation["version"]), citation["license"]) == (sbgm.__version__, PROJECT["license"])
    latest = re.search(r"^## \[(.*?)\]", CHANGELOG, re.M)
    assert latest[1] == sbgm.__version__


@pytest.mark.parametrize("place", re.findall(r"^\| `sbgm\..*` \| `([\w./]+)", CHANGELOG, re.M))
def test_the_changelog_names_places_that_exist(place):
    assert (ROOT / place).exists() or pkgutil.resolve_name(place)


# --- constraints.txt -------------------------------------------------------------------------------------------------


def locked() -> dict[str, list[Requirement]]:
    """The lines of constraints.txt by the distribution's name; several where platforms or Pythons differ."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        if not line.startswith("#"):
            pin = Requirement(line)
            found.setdefault(normal(pin.name), []).append(pin)
    return found


def test_constraints_hold_every_direct_dependency_within_its_range():
    pins = locked()
    wanted = requirements(*EXTRAS)
    assert wanted.keys() <= pins.keys()
    for name, needed in wanted.items():
        for pin in pins[name]:
            (version,) = (specifier.version for specifier in pin.specifier)
            assert version in needed.specifier, f"make lock: {pin} is not {needed}"


@pytest.mark.parametrize("minor", range(11, 15))
def test_constraints_leave_one_version_on_each_system_and_python(minor):
    for system in ("linux", "darwin", "win32"):
        environment = {"sys_platform": system, "python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"}
        for name, pins in locked().items():
            chosen = {str(pin.specifier) for pin in pins if pin.marker is None or pin.marker.evaluate(environment)}
            assert len(chosen) <= 1, f"{name} on {system}, Python 3.{minor}"
            assert chosen or name not in requirements(*EXTRAS)
    assert f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])


# --- setting up ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_a_reader_gets_one_extra_a_test_upgrades_in_place_and_locked_versions_come_when_asked_for(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()

    def installs(*words: str) -> list[tuple[str, str]]:
        """What `make WORDS` asks a Python that does nothing to install: extra and limits."""
        command = ["make", "PYTHON=true", "PY=true", *words]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        return re.findall(r"install -e '?\.\[(\w+)\]'? ?(.*)", done.stderr)

    assert installs("lab") == [("notebooks", "")]
    assert installs("lab") == []
    assert installs("test") == [("all", "")]
    assert installs("lint") == installs("lab") == []
    assert installs("LOCKED=1", "test") == [("all", "-c constraints.txt")]
    assert installs("LOCKED=1", "lint") == installs("LOCKED=1", "lab") == []


BUILD = ROOT / "tools" / "torch_build.py"
CHOSEN_BY_PIP = "PyTorch: the build that pip takes by itself"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """The address of a package index, at `/pypi` that of PyPI and at `/cpu` PyTorch's own, on this machine."""
    folder = tmp_path_factory.mktemp("index")
    for place, version in (("pypi", "2.13.0"), ("cpu", "2.13.0+cpu")):
        (folder / place / "torch").mkdir(parents=True)
        with zipfile.ZipFile(folder / place / "torch" / f"torch-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(
                f"torch-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
            )
            wheel.writestr(f"torch-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"torch-{version}.dist-info/RECORD", "")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def choose(tmp_path, index):
    """Run the tool where pip was told nothing and no nvidia-smi is; return pip's option and what the tool says."""

    def choose(*words: str, **variables: str) -> tuple[str, str]:
        bare = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        bare |= {"PATH": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "CPU_INDEX": f"{index}/cpu"}
        command = [sys.executable, BUILD, *words]
        done = subprocess.run(command, env=bare | variables, capture_output=True, text=True, check=True)
        return done.stdout.strip(), done.stderr.strip()

    return choose


# nvidia-smi is not seen there, as PATH is empty, but the driver's files are
needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or any(map(os.path.exists, torch_build.NVIDIA_DRIVER)),
    reason="needs Linux without an NVIDIA GPU",
)


@needs_linux
@pytest.mark.parametrize("limits", ["", "torch==2.13.0"], ids=["newest", "locked"])
def test_without_a_gpu_pip_takes_the_build_for_cpus(choose, index, limits, tmp_path):
    option, said = choose()
    assert said.startswith("PyTorch: the build for CPUs")
    (tmp_path / "limits.txt").write_text(limits)
    pip = [sys.executable, "-m", "pip", "download", "--isolated", "--no-deps", "--dest", tmp_path, "torch>=2.13"]
    pip += ["--index-url", f"{index}/pypi", "--constraint", tmp_path / "limits.txt"]
    alone = os.environ | {"PIP_CONFIG_FILE": os.devnull}
    subprocess.run([*pip, *option.split()], env=alone, check=True)
    assert [path.name for path in tmp_path.glob("*.whl")] == ["torch-2.13.0+cpu-py3-none-any.whl"]


@needs_linux
def test_a_pip_that_was_told_an_index_keeps_to_it_unless_make_is_told_otherwise(choose, index, tmp_path):
    settings = tmp_path / "pip.conf"
    settings.write_text("[install]\nindex-url = https://a.mirror/simple\n")
    for variables in ({"PIP_INDEX_URL": "https://a.mirror/simple"}, {"PIP_CONFIG_FILE": str(settings)}):
        assert choose(**variables) == ("", CHOSEN_BY_PIP)
        assert choose("cpu", **variables)[0] == f"--extra-index-url {index}/cpu"


def test_with_a_gpu_or_by_wish_pip_takes_what_it_takes_by_itself(choose, tmp_path):
    assert choose("cuda") == ("", CHOSEN_BY_PIP)
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    assert choose() == ("", CHOSEN_BY_PIP)
    with pytest.raises(subprocess.CalledProcessError) as error:
        choose("rocm")
    assert error.value.stderr == "TORCH must be cpu or cuda, got rocm\n"


@needs_linux
def test_an_index_that_refuses_or_never_answers_is_left_within_ten_seconds(choose):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        assert not torch_build.answers(address)
        assert time.monotonic() - begun < 10
    assert choose(CPU_INDEX=address) == ("", f"{CHOSEN_BY_PIP}, since {address} does not answer")


def test_the_workflow_runs_what_is_there():
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"].values()
    commands = " ".join(step.get("run", "") for job in steps for step in job["steps"])
    places = re.findall(r"(?<=\s)(?:tools|tests)/\S+", commands)
    assert len(places) > 10
    assert [place for place in places if not (ROOT / place).is_file()] == []
    extras = re.findall(r'install -e "\.\[(\w+)\]"', commands)
    assert set(extras) == {"notebooks", "test"} <= EXTRAS.keys()


@pytest.mark.slow
def test_environment_ymls_pip_section_installs():
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install = [python, "-m", "pip", "install", "--quiet", *" ".join(PIP_SECTION).split()]
        subprocess.run(install, cwd=ROOT, check=True)
        subprocess.run([python, "-m", "pip", "check"], cwd=folder, check=True)
        subprocess.run([python, "-c", "import sbgm.widgets, open_lab"], cwd=ROOT / "tools", check=True)
