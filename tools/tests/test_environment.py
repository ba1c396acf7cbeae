"""pyproject.toml is the one list of what the project needs; what is derived from it, or repeats it, agrees with it."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import sbgm
import torch_build
from data_server import serving
from imports import imported, top_level

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
EXTRAS = PROJECT["optional-dependencies"]


def requirements(*extras: str) -> dict[str, Requirement]:
    """What pyproject.toml asks for, for sbgm itself and for `extras`, by the distribution's name."""
    lines = [line for lines in (PROJECT["dependencies"], *map(EXTRAS.get, extras)) for line in lines]
    return {normal(needed.name): needed for needed in map(Requirement, lines) if needed.name != PROJECT["name"]}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def undeclared(modules: set[str], own: tuple[str, ...], extras: tuple[str, ...]) -> set[str]:
    """Those modules that are neither Python's, nor of the project's folders `own`, nor of a declared distribution."""
    of_project = {"sbgm", "sbgm_course", *(path.stem for folder in own for path in (ROOT / folder).rglob("*"))}
    providers = importlib.metadata.packages_distributions()
    declared = requirements(*extras).keys()
    others = modules - of_project - sys.stdlib_module_names
    return {module for module in others if not {normal(name) for name in providers.get(module, [])} & declared}


FOR_TESTS = ("images", "fid", "notebooks", "test")
TESTS_MAY = ("tests", "docs", "tools", "evidence")


@pytest.mark.parametrize(
    ("folder", "own", "extras"),
    [
        ("sbgm", (), ("images", "fid", "notebooks")),
        ("sbgm_course", (), ()),
        ("tools", ("tools", "evidence"), FOR_TESTS),
        ("docs", ("docs", "tools", "evidence"), ("docs",)),
        ("evidence", ("evidence", "tools"), FOR_TESTS),
        *((folder, TESTS_MAY, FOR_TESTS) for folder in ("tests", "docs/tests", "tools/tests", "evidence/tests")),
    ],
)
def test_every_import_is_declared_or_of_a_folder_that_may_be_imported(folder, own, extras):
    files = [p for p in (ROOT / folder).rglob("*.py") if "tests" not in p.relative_to(ROOT / folder).parts]
    modules = top_level(imported(*files))
    assert undeclared(modules, own, extras) == set()


def test_make_lab_runs_with_what_its_extra_brings():
    modules = top_level(imported(*(ROOT / "tools" / f"{name}.py" for name in ("open_lab", "notebooks"))))
    assert undeclared(modules, ("tools",), ("notebooks",)) == set()


def test_the_package_alone_asks_for_seven_and_notebooks_and_fid_for_what_images_needs_too():
    assert len(requirements()) == 7
    for extra in ("notebooks", "fid"):
        assert f"{PROJECT['name']}[images]" in EXTRAS[extra]


def test_the_extra_all_holds_every_other_except_that_of_lecturers():
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.extras == EXTRAS.keys() - {"all", "grading"}


def test_environment_yml_adds_nothing_to_pyproject():
    assert ENVIRONMENT["name"] == sbgm.__name__
    assert ENVIRONMENT["dependencies"] == [f"python{PROJECT['requires-python']}", "pip", {"pip": ["-e .[notebooks]"]}]


def test_troubleshooting_states_the_oldest_pytorch_that_pyproject_admits():
    torch, vision = (
        str(requirements("images")[name].specifier).removeprefix(">=") for name in ("torch", "torchvision")
    )
    help_page = (ROOT / "notebooks" / "troubleshooting.md").read_text(encoding="utf-8")
    assert f"PyTorch {torch} and torchvision {vision} or newer" in help_page


def test_citation_and_changelog_agree_on_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (str(citation["version"]), citation["license"]) == (sbgm.__version__, PROJECT["license"])
    latest = re.search(r"^## \[(.*?)\]", CHANGELOG, re.M)
    assert latest[1] == sbgm.__version__


# --- the name --------------------------------------------------------------------------------------------------------


# PyPI's `sbgm` is another project, and ours is not there: nothing that we print asks an index for either name. A folder
# or a wheel's file is fine.
INSTALL = re.compile(r"\b(?:pip3?|pipx|uv|conda|mamba|poetry|pdm) +(?:install|add|download)\b([^\n`;|&#]*)")
NAMES = "|".join(name.replace("-", "[-_.]") for name in (sbgm.__name__, PROJECT["name"]))
OURS = re.compile(rf"(?<![\w./-])(?:{NAMES})(?!\w|/|[.-]\w)", re.I)


def asks_an_index_for_us(text: str) -> list[str]:
    """The install commands of a text that name this project as a package, whatever quotes and escapes they are in."""
    flat = re.sub(r"""\\n|\\\n|[\\"',]""", " ", text)
    return [command[0] for command in INSTALL.finditer(flat) if OURS.search(command[1])]


def test_no_page_cell_or_message_asks_an_index_for_this_project():
    folders = ("data", "docs", "evidence", "examples", "notebooks", "sbgm", "sbgm_course", "tools")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    texts = [path for path in [*ROOT.glob("*.md"), *paths] if path.suffix in (".ipynb", ".md", ".py", ".toml")]
    texts.remove(Path(__file__))
    assert len(texts) > 100
    asking = {path.name: asks_an_index_for_us(path.read_text(encoding="utf-8")) for path in texts}
    assert {name: commands for name, commands in asking.items() if commands} == {}


# --- constraints.txt -------------------------------------------------------------------------------------------------


def test_constraints_hold_every_direct_dependency_within_its_range():
    """By a line for each version, where platforms or Pythons differ."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    wanted = requirements(*EXTRAS)
    assert wanted.keys() <= {normal(pin.name) for pin in pins}
    for pin in pins:
        (version,) = (specifier.version for specifier in pin.specifier)
        needed = wanted.get(normal(pin.name))
        assert needed is None or version in needed.specifier, f"make lock: {pin} is not {needed}"


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
        return re.findall(r"install -e '?\.\[(\w+)\]'? ?(.*)", done.stderr + done.stdout)

    assert installs("lab") == [("notebooks", "")]
    assert installs("lab") == []
    assert installs("test") == [("all", "")]
    assert installs("lint") == installs("lab") == []
    assert installs("test-all") == [("grading", "")]
    assert installs("release") == installs("test") == []
    assert installs("LOCKED=1", "test") == [("all", "-c constraints.txt")]
    assert installs("LOCKED=1", "lint") == installs("LOCKED=1", "lab") == []


@pytest.fixture
def index():
    """The address of a package index, on this machine, that has a page of torch."""
    with serving({"torch": b""}) as (url, _):
        yield f"{url}/whole"


@pytest.fixture
def choose(tmp_path, index):
    """Run the tool where pip was told nothing and no nvidia-smi is; return pip's option."""

    def choose(*words: str, **variables: str) -> str:
        bare = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        bare |= {"PATH": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "CPU_INDEX": index}
        command = [sys.executable, torch_build.__file__, *words]
        done = subprocess.run(command, env=bare | variables, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return choose


# nvidia-smi is not seen there, as PATH is empty, but the driver's files are
needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or any(map(os.path.exists, torch_build.NVIDIA_DRIVER)),
    reason="needs Linux without an NVIDIA GPU",
)


@needs_linux
def test_without_a_gpu_pip_sees_the_builds_for_cpus_unless_it_was_told_an_index(choose, index, tmp_path):
    """Their versions, such as 2.13.0+cpu, count as newer ones."""
    option = f"--extra-index-url {index}"
    assert choose() == option
    settings = tmp_path / "pip.conf"
    settings.write_text("[install]\nindex-url = https://a.mirror/simple\n")
    for variables in ({"PIP_INDEX_URL": "https://a.mirror/simple"}, {"PIP_CONFIG_FILE": str(settings)}):
        assert choose(**variables) == ""
        assert choose("cpu", **variables) == option


def test_with_a_gpu_or_by_wish_pip_takes_what_it_takes_by_itself(choose, tmp_path):
    assert choose("cuda") == ""
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    assert choose() == ""


@needs_linux
def test_an_index_that_refuses_or_never_answers_is_left_within_ten_seconds(choose):
    with serving({}) as (url, _):
        begun = time.monotonic()
        assert not torch_build.answers(f"{url}/silent")
        assert time.monotonic() - begun < 10
        assert choose(CPU_INDEX=f"{url}/forbidden") == ""
