"""The package as a whole: what it exports, costs to import, says of itself and shows; and the rule of the house."""

import doctest
import inspect
import pydoc
import re
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


# --- help ------------------------------------------------------------------------------------------------------------


def test_help_shows_every_name_of_the_package_on_a_few_screens():
    lines = pydoc.render_doc(sbgm, renderer=pydoc.plaintext).splitlines()
    assert len(lines) <= 200
    assert set(dir(sbgm)) <= set(re.findall(r"\w+", "\n".join(lines)))
    first = " ".join(lines[:10])
    assert "`from sbgm import *` binds none" in first
    assert "sbgm-ncsn" in first


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


# What help and an editor show of an argument is the name of its annotation; beside it stands a word that says its type.
KINDS = {
    "float": {"Number", "Positive", "NonNegative", "Fraction"},
    "int": {"Count", "Whole"},
    "tensor": {"Ladder", "LadderOfTwo", "Batch", "Finite", "FiniteFloats"},
}


def test_a_docstring_says_in_words_what_an_annotation_of_ours_admits():
    missing = []
    for module in MODULES:
        for name in set(module.__all__) & vars(module).keys():
            value = getattr(module, name)
            is_ours = inspect.isfunction(value) or "__init__" in getattr(value, "__dict__", {})
            parameters = inspect.signature(value).parameters.values() if is_ours else ()
            arguments = (inspect.getdoc(value) or "").partition("Args:\n")[2].partition("\n\n")[0]
            for parameter in parameters:
                annotation = str(parameter.annotation).removesuffix(" | None")
                entry = re.search(rf"^    (?:\w+, )*{parameter.name}\b.*(?:\n        .*)*", arguments, re.M)
                words = re.findall(r"\w+", entry[0].replace("floats", "float") if entry else "")
                kinds = [kind for kind, names in KINDS.items() if annotation in names]
                if not {*kinds} <= {*words} and "as for" not in " ".join(words):
                    missing.append(f"{name}: {parameter.name}")
    assert missing == []


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
