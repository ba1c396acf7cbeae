"""The package as a whole: what it exports, what it costs to import, and what every public name says of itself."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import sbgm

SOURCE = pathlib.Path(sbgm.__file__).parent
MODULES = [m.name for m in pkgutil.walk_packages(sbgm.__path__, "sbgm.") if not m.name.endswith("__main__")]


def test_every_exported_name_can_be_imported_in_one_line():
    for name in sbgm.__all__:
        exec(f"from sbgm import {name}", {})
    with pytest.raises(AttributeError, match="langevine"):
        _ = sbgm.langevine


def test_import_sbgm_loads_no_plotting_learning_or_widget_library():
    """What makes imports slow, and what a script on a server may lack; `make bench` measures the seconds."""
    heavy = ["matplotlib", "sklearn", "skimage", "torchvision", "ipywidgets", "IPython", "pandas", "scipy"]
    heavy += ["torch_fidelity"]
    code = f"import sys, sbgm; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__, name
    for attribute, value in vars(module).items():
        if attribute.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{name}.{attribute}"
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if not method.startswith("_") and inspect.isfunction(function):
                    assert function.__doc__, f"{name}.{attribute}.{method}"


def library_files():
    """Everything but the command line, which prints."""
    files = sorted(SOURCE.rglob("*.py"))
    return [path for path in files if path.name != "__main__.py" and path.parent.name != "cli"]


@pytest.mark.parametrize("path", library_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_library_neither_prints_nor_touches_global_state(path):
    forbidden_calls = {"print", "manual_seed", "set_default_dtype", "set_default_device", "cuda", "set_num_threads"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Global):
            raise AssertionError(f"{path.name}:{node.lineno} global {node.names}")
        if isinstance(node, ast.Call):
            function = node.func
            called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            on_torch = isinstance(function, ast.Attribute) and ast.unparse(function.value) in ("torch", "torch.random")
            if called == "manual_seed" and not on_torch:
                continue  # of an explicit generator
            in_fork_rng = called == "manual_seed" and path.name == "calls.py"
            restored = called == "set_num_threads" and path.name == "runs.py"  # when the training ends
            verdict = called == "print" and path.name == "exercise.py"  # of a check above a function
            assert called not in forbidden_calls or in_fork_rng or restored or verdict, (
                f"{path.name}:{node.lineno} {called}"
            )
