"""The pages of the API reference: one a module of sbgm, and one of the command line."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from types import ModuleType

import sbgm
from sbgm.cli import COMMANDS

FIRST = (
    "distributions", "noise", "losses", "samplers", "networks", "training", "weights", "generation", "evaluation",
    "closed_forms", "techniques", "metrics", "data", "masks", "experiments", "plots", "explorers", "claims",
)  # fmt: skip
LEFT_OUT = ("commands",)  # the command line has a page of its own


def pages(used: set[str]) -> dict[str, str]:
    """The pages as reStructuredText by name, "api/index" first.

    Args:
        used: full names to document beside those that modules export, such as "sbgm.samplers.signal_to_noise".
    """
    names = module_names()
    modules = {name: importlib.import_module(f"sbgm.{name}") for name in names}
    listing = [f"* :doc:`sbgm.{name}`: {module.__doc__.partition(chr(10))[0]}" for name, module in modules.items()]
    index = [*heading("API reference", "="), INTRODUCTION, *listing, "* :doc:`command_line`", ""]
    index += [".. toctree::", "   :hidden:", "", *(f"   sbgm.{name}" for name in names), "   command_line", ""]
    written = {"api/index": "\n".join(index), "api/command_line": command_line()}
    return written | {f"api/sbgm.{name}": module_page(module, used) for name, module in modules.items()}


INTRODUCTION = """A score is any callable ``score(x, sigma)``: x of shape (B, \\*shape), sigma a float or a (B,) tensor,
returning x's shape. Exact mixtures, networks and energy gradients are then interchangeable in every loss and sampler.
Names on a page's first line can be imported from ``sbgm`` itself.
"""


def module_names() -> list[str]:
    """The public modules of sbgm, the most used first."""
    found = {m.name for m in pkgutil.iter_modules(sbgm.__path__) if not m.name.startswith("_")} - set(LEFT_OUT)
    return [*FIRST, *sorted(found - set(FIRST))]


def module_page(module: ModuleType, used: set[str]) -> str:
    """One module: what it exports, then what `used` names within it."""
    exported = [name for name in sbgm.__all__ if home(getattr(sbgm, name)).startswith(module.__name__)]
    lines = heading(module.__name__, "=")
    if exported:
        lines += [f"``from sbgm import {', '.join(exported)}``", ""]
    lines += [f".. automodule:: {module.__name__}", "   :members:", ""]
    inside: dict[str, list[str]] = {}
    for full in sorted(used):
        parent, _, name = full.rpartition(".")
        if parent.startswith(f"{module.__name__}.") and name not in getattr(module, "__all__", ()):
            value = getattr(importlib.import_module(parent), name, None)  # None for a module not loaded yet
            if home(value).startswith(parent):
                inside.setdefault(parent, []).append(name)
    for parent, members in inside.items():
        lines += [*heading(parent, "-"), f".. automodule:: {parent}", f"   :members: {', '.join(members)}", ""]
    return "\n".join(lines)


def home(value: object) -> str:
    """The module that defines a function or class; "" for modules and other values."""
    return "" if isinstance(value, ModuleType) else getattr(value, "__module__", "")


def command_line() -> str:
    """What `sbgm COMMAND --help` says, for every command."""
    lines = [*heading("The command line", "="), "``sbgm COMMAND --help`` prints the same.", ""]
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"sbgm.cli.{name}")
        parser = argparse.ArgumentParser(
            prog=f"sbgm {name}",
            description=module.__doc__,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=88),
        )
        module.add_arguments(parser)
        lines += [*heading(f"{name}: {summary}", "-"), ".. code-block:: text", ""]
        lines += [f"   {line}".rstrip() for line in parser.format_help().splitlines()]
        lines += [""]
    return "\n".join(lines)


def heading(words: str, rule: str) -> list[str]:
    """A title with the line under it."""
    return [words, rule * len(words), ""]
