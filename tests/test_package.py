"""The package as a whole: what it exports, costs to import, says of itself and shows; and the rule of the house."""

import doctest
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import sbgm
from imports import imported, top_level

# --- package ---------------------------------------------------------------------------------------------------------

SOURCE = Path(sbgm.__file__).parent
ROOMS = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}


def test_import_sbgm_loads_no_plotting_learning_or_widget_library_and_a_script_no_room():
    """What makes imports slow, and what a script on a server may lack; `make bench` measures the seconds."""
    heavy = {"matplotlib", "sklearn", "skimage", "torchvision", "ipywidgets", "IPython", "pandas", "scipy"}
    used = "from sbgm import MLP, annealed_langevin, ncsn_loss, paper_mixture"
    code = f"import sys, sbgm; print(*sys.modules)\n{used}; print(*sys.modules)"
    at_first, in_script = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert set(at_first.split()) & {*heavy, "torch_fidelity"} == set()
    assert set(in_script.split()) & {f"sbgm.{room}" for room in ROOMS} == set()


# --- docstring examples ----------------------------------------------------------------------------------------------

DOCUMENTED = sorted([*SOURCE.glob("[!_]*.py"), *SOURCE.glob("images/[!_]*.py")])
BEGIN = {"torch": torch, "sbgm": sbgm}  # `import torch, sbgm`, as the reference's pages say
MODULES = [import_module(".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)) for path in DOCUMENTED]
TESTS = [test for module in (sbgm, *MODULES) for test in doctest.DocTestFinder().find(module, globs=BEGIN)]
DOCSTRINGS = {test.name: test for test in TESTS}
EXAMPLES = [name for name, test in DOCSTRINGS.items() if test.examples]


def test_every_public_name_has_an_example():
    """Except a warning, what an error is raised by, and what depends on the machine, a server or a compiler."""
    public = {f"{module.__name__}.{name}" for module in MODULES for name in module.__all__}
    without = {name.rpartition(".")[2] for name in (public & DOCSTRINGS.keys()) - set(EXAMPLES)}
    raised = {"DataNotFoundError", "DiskFullError"}
    assert without == raised | {"checkout", "data_folder", "fetch", "compiled"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where it may write files
    said: list[str] = []
    outcome = doctest.DocTestRunner().run(DOCSTRINGS[name], out=said.append)
    assert outcome.failed == 0, "".join(said)


# --- house -----------------------------------------------------------------------------------------------------------

LIBRARY = sorted(SOURCE.glob("*.py"))


@pytest.mark.parametrize(
    ("files", "forbidden"),
    [
        (set(LIBRARY) - {SOURCE / "__main__.py"}, {f"sbgm.{room}" for room in ROOMS}),  # this one is the way into apps
        (LIBRARY, {"ipywidgets", "IPython"}),
        (set(SOURCE.rglob("*.py")) - {SOURCE / "apps" / "train.py"}, {"accelerate"}),
        (set(LIBRARY) - {SOURCE / "plots.py"}, {"matplotlib"}),
        (SOURCE.rglob("*.py"), {"sbgm_course", "pandas"}),
        (SOURCE.glob("measure/*.py"), {"sbgm.apps", "sbgm.widgets"}),
    ],
    ids=["rooms", "widgets", "processes", "figures", "the course and tables", "rooms that measure does not need"],
)
def test_what_files_do_not_import(files, forbidden):
    names = imported(*files)
    assert names
    assert forbidden & {*top_level(names), *(".".join(name.split(".")[:2]) for name in names)} == set()
