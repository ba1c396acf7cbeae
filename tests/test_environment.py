"""pyproject.toml is the one list of what the project needs, and environment.yml and CITATION.cff agree with it."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

import pytest
import yaml

import sbgm

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
PIP_SECTION = next(entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict))


def declared(*extras: str) -> set[str]:
    """The distributions that pyproject.toml names, for sbgm itself and for `extras`."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    names = {re.match(r"[\w.-]+", requirement).group() for requirements in lists for requirement in requirements}
    return {normal(name) for name in names} - {"sbgm"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(*folders: str) -> set[str]:
    """The top-level modules that Python files under `folders` import, inside functions too."""
    modules = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(node.module)
    return {module.split(".")[0] for module in modules}


def third_party(modules: set[str]) -> dict[str, set[str]]:
    """For each module from outside the project, the installed distributions that provide it."""
    files = [path for folder in ("tools", "tests") for path in (ROOT / folder).iterdir()]
    own = {"sbgm", *(path.stem for path in files)}
    providers = importlib.metadata.packages_distributions()
    return {
        module: {normal(name) for name in providers.get(module, [])}
        for module in modules - own - sys.stdlib_module_names
    }


@pytest.mark.parametrize(
    ("folders", "extras"),
    [(("sbgm",), ("fid", "notebooks")), (("sbgm", "tools", "tests"), ("fid", "notebooks", "test"))],
    ids=["sbgm", "tools and tests"],
)
def test_every_import_is_declared(folders, extras):
    allowed = declared(*extras)
    undeclared = {module for module, names in third_party(imported(*folders)).items() if not names & allowed}
    assert undeclared == set()


def test_the_extra_all_holds_every_other():
    named = set(re.findall(r"[\w-]+", " ".join(PROJECT["optional-dependencies"]["all"]).partition("[")[2]))
    assert named == set(PROJECT["optional-dependencies"]) - {"all"}


def test_there_is_no_second_list_of_dependencies():
    others = ("requirements*.txt", "requirements*.in", "setup.py", "setup.cfg", "Pipfile*", "poetry.lock")
    assert [path.name for pattern in others for path in ROOT.glob(pattern)] == []


def test_environment_yml_adds_nothing_to_pyproject():
    assert ENVIRONMENT["name"] == PROJECT["name"]
    assert ENVIRONMENT["dependencies"] == [f"python{PROJECT['requires-python']}", "pip", {"pip": ["-e .[all]"]}]


def test_citation_agrees_with_pyproject():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (str(citation["version"]), citation["license"]) == (sbgm.__version__, PROJECT["license"])


@pytest.mark.slow
def test_environment_ymls_pip_section_installs():
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        arguments = [word for requirement in PIP_SECTION for word in requirement.split()]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], cwd=ROOT, check=True)
        subprocess.run([python, "-m", "pip", "check"], cwd=folder, check=True)
        subprocess.run([python, "-c", "import sbgm, jupyterlab, nbval, pytest"], cwd=folder, check=True)
