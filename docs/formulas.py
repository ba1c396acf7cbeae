"""The page from the paper's formulas to names of sbgm and to chapters, and the equations that the reference shows."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from types import ModuleType

from chapters import is_chapter, place

HEAD = """# Formulas

Every numbered equation and algorithm of the paper, and the formulas without a number that the chapters use: the name in
`sbgm` that computes it, and the chapter that explains it. The notation is that of the [glossary](glossary.md).
"""


def load() -> list[dict]:
    """The groups of formulas, as `formulas.toml` has them."""
    return tomllib.loads((Path(__file__).parent / "formulas.toml").read_text(encoding="utf-8"))["group"]


def page(chapters: list[Path]) -> str:
    """The page as Markdown."""
    by_number = {path.name[:2]: place(path) for path in filter(is_chapter, chapters)}
    lines = [HEAD]
    for group in load():
        lines += [f"## {group['title']}", ""]
        for formula in group["formula"]:
            lines += entry(formula, by_number)
    return "\n".join(lines)


def entry(formula: dict, by_number: dict[str, str]) -> list[str]:
    """One formula: its name, the formula, and where it leads."""
    lines = [f"({anchor(formula)})=", f"### {formula['id']}: {formula['title']}", ""]
    if "tex" in formula:
        lines += ["$$", formula["tex"], "$$", ""]
    links = [formula["where"]]
    links += [f"{{py:obj}}`{name.removeprefix('sbgm.')} <{documented(name)}>`" for name in formula["names"]]
    links += [f"[chapter {int(number)}]({by_number[number]})" for number in formula["chapters"]]
    lines += [" · ".join(links), ""]
    return lines + ([formula["note"], ""] if "note" in formula else [])


def anchor(formula: dict) -> str:
    """The id of a formula's heading."""
    return "formula-" + re.sub(r"\W+", "-", formula["id"].lower()).strip("-")


def equations() -> dict[str, list[tuple[str, str]]]:
    """The formulas that the reference shows with a name, as (id, TeX), by the name under which it is documented."""
    found: dict[str, list[tuple[str, str]]] = {}
    for formula in (formula for group in load() for formula in group["formula"]):
        if "tex" in formula and formula.get("in_reference", True):
            found.setdefault(documented(formula["names"][0]), []).append((formula["id"], formula["tex"]))
    return found


def documented(name: str) -> str:
    """The name under which the reference documents what can be imported as `name`.

    It is a module's page and the name in it: "sbgm.langevin" is documented as "sbgm.samplers".

    Raises:
        AttributeError: there is no such name.
    """
    module, *inner = name.split(".")
    value = importlib.import_module(module)
    while inner and isinstance(child := getattr(value, inner[0], None) or submodule(value, inner[0]), ModuleType):
        value, inner = child, inner[1:]
    attribute = getattr(value, inner[0])
    for further in inner[1:]:
        getattr(attribute, further)
    if value.__name__ != "sbgm":
        return name
    home = attribute.__module__.split(".")[1]
    return ".".join(["sbgm", home, *inner])


def submodule(package: ModuleType, name: str) -> ModuleType:
    """A module within a package, imported."""
    return importlib.import_module(f"{package.__name__}.{name}")
