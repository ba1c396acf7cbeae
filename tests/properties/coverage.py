"""What of `sbgm` is public, and which test exercises it."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType

HOMES = (
    "distributions",
    "noise",
    "losses",
    "samplers",
    "networks",
    "refinenet",
    "generation",
    "masks",
    "theory",
    "data",
    "measure",
    "measure.judging",
    "training",
    "precision",
    "weights",
    "train.runs",
)
"""The modules whose public functions have properties; rooms have test files of their own."""
LEFT_OUT = {
    "measure.Inception": "needs its weights, tests/measure/test_inception.py",
    "precision.compiled": "takes minutes, tests/test_precision.py",
    "data.DataSet": "a row of the table of data sets",
    "data.shipped_folder": "a path, tests/test_data.py",
    "data.DataNotFoundError": "is raised where a data set is missing, tests/test_data*.py",
    "data.cache_folder": "a path, tests/test_data.py",
    "data.data_folder": "a path, tests/test_data.py",
    "networks.ScoreNetwork": "the base of networks, tests/test_weights.py",
    "data.checkout": "a path, tests/test_wheel.py",
    "data.require_checkout": "of where the package lies, tests/test_wheel.py",
    "data.runs_folder": "a path, tests/test_wheel.py",
    "precision.fast_precision": "the machine's, tests/test_precision.py",
    "train.runs.CPU": "a machine, tests/train/test_hardware.py",
    "train.runs.Machine": "a device and how it computes, tests/train/test_hardware.py",
    "train.runs.find_device": "the machine's, tests/train/test_hardware.py",
    "train.runs.hardware": "the machine's, tests/train/test_hardware.py",
    "train.runs.idle_cores": "the machine's, tests/train/test_hardware.py",
    "train.runs.make_accelerator": "the machine's, tests/train/test_hardware.py",
    "weights.weights_folder": "a path, tests/test_weights.py",
    "training.fit": "a training loop, tests/test_training.py",
    "training.fit_score": "a training loop, tests/test_training.py",
    "training.adam": "a training loop's, tests/test_training.py",
    "training.require_finite_step": "a training loop's, tests/test_training.py",
    "training.Step": "what a training loop yields",
    "train.runs.Run": "a folder on disk, tests/train/test_runs.py",
    "train.runs.train": "a training loop, tests/train/test_ncsn_training.py",
    "train.runs.load_checkpoint": "a file on disk, tests/test_training.py",
    "train.runs.save_checkpoint": "a file on disk, tests/test_training.py",
}
"""Public modules and names that no property is asked of, and why."""


def covers(*things: Callable) -> Callable[[Callable], Callable]:
    """Mark a test as one that exercises public functions or classes: `@covers(sbgm.langevin)` above `@given`."""

    def mark(test: Callable) -> Callable:
        test.covers = things
        return test

    return mark


def public() -> dict[str, Callable]:
    """Every public function and class of `sbgm`'s modules but those left out, as {"samplers.langevin": langevin, …}."""
    found = {}
    for home in HOMES:
        module = importlib.import_module(f"sbgm.{home}")
        found |= {f"{home}.{name}": value for name, value in _public_of(module)}
    return {name: value for name, value in found.items() if name not in LEFT_OUT}


def every_test_of(package: ModuleType) -> Iterator[Callable]:
    """Every test function of a package's modules."""
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if module.name.rpartition(".")[2].startswith("test_"):
            functions = vars(importlib.import_module(module.name)).items()
            yield from (function for name, function in functions if name.startswith("test_"))


def _public_of(module: ModuleType) -> Iterator[tuple[str, Callable]]:
    """What a module exports by `__all__`; without one, what it defines under a public name."""
    exported = getattr(module, "__all__", None)
    for name in exported or vars(module):
        value = getattr(module, name)  # a lazily loaded name is not in vars() before
        mine = exported or getattr(value, "__module__", None) == module.__name__
        if mine and not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
            yield name, value
