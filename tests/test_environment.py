"""pyproject.toml is the one list of what the project needs; what is derived from it, or repeats it, agrees with it."""

import importlib.metadata
import pkgutil
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import sbgm
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
    pins, wanted = locked(), requirements(*EXTRAS)
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
        return re.findall(r"install -e '\.\[(\w+)\]' ?(.*)", done.stdout)

    assert installs("lab") == [("notebooks", "")]
    assert installs("lab") == []
    assert installs("test") == [("all", "")]
    assert installs("lint") == installs("lab") == []
    assert installs("LOCKED=1", "test") == [("all", "-c constraints.txt")]
    assert installs("LOCKED=1", "lint") == installs("LOCKED=1", "lab") == []


@pytest.mark.slow
def test_environment_ymls_pip_section_installs():
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install = [python, "-m", "pip", "install", "--quiet", *" ".join(PIP_SECTION).split()]
        subprocess.run(install, cwd=ROOT, check=True)
        subprocess.run([python, "-m", "pip", "check"], cwd=folder, check=True)
        subprocess.run([python, "-c", "import sbgm.widgets, open_lab"], cwd=ROOT / "tools", check=True)
