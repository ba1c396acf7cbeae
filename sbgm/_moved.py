"""Modules under the names that they had in sbgm 0.2, for one version: `import sbgm.distributions` still works.

What a module held may have moved on its own: CHANGELOG says where.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__: list[str] = []

MOVED = {
    "sbgm.checked": "sbgm.guard",
    "sbgm.data": "sbgm.images.data",
    "sbgm.distributions": "sbgm.mixtures",
    "sbgm.generation": "sbgm.images.drawing",
    "sbgm.masks": "sbgm.images.masks",
    "sbgm.pictures": "sbgm.images.own",
    "sbgm.precision": "sbgm.images.devices",
    "sbgm.refinenet": "sbgm.images.refinenet",
    "sbgm.weights": "sbgm.images.weights",
}


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its old name, and says the new one."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return how to load a module that has moved, None for any other."""
        if name == "sbgm.course":  # a folder that held what has moved
            return ModuleSpec(name, self, is_package=True)
        return ModuleSpec(name, self) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return the module itself, not a copy: its classes are the same under both names."""
        if spec.name not in MOVED:
            return None
        module = moved(spec.name)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing, for the module has been run; Python has put the old name's spec in place of its own."""
        spec = module.__spec__
        if spec is not None and spec.loader_state is not None:
            module.__spec__ = spec.loader_state


def moved(old: str) -> ModuleType:
    """Return the module that had an old name, and warn the one who asked for it.

    Raises:
        AttributeError: there was none.
    """
    if old not in MOVED:
        package, _, name = old.rpartition(".")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    warnings.warn(f"{old} is now {MOVED[old]}; the old name goes with the next version", FutureWarning, stacklevel=3)
    return importlib.import_module(MOVED[old])


sys.meta_path.append(Finder())
