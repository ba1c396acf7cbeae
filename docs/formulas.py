"""The page from the paper's formulas to names of sbgm and to chapters, and the equations that the reference shows."""

import pkgutil
import re
import tomllib
from pathlib import Path

from chapters import Page

HEAD = """# Formulas

Every numbered equation and algorithm of the paper, and the formulas without a number that the chapters use: the name in
`sbgm` that computes it, and the chapter that explains it. The notation is that of the
[glossary](notebooks/glossary.md).
"""


def load() -> list[dict]:
    """The groups of formulas, as `formulas.toml` has them."""
    return tomllib.loads((Path(__file__).parent / "formulas.toml").read_text(encoding="utf-8"))["group"]


def page(series: list[Page]) -> str:
    """The page as Markdown."""
    places = {notebook.number: notebook.place for notebook in series}
    lines = [HEAD]
    for group in load():
        lines += [f"## {group['title']}", ""]
        for formula in group["formula"]:
            lines += entry(formula, places)
    return "\n".join(lines)


def entry(formula: dict, places: dict[int | None, str]) -> list[str]:
    """One formula: its name, the formula, and where it leads; `places` are of chapters, by number."""
    lines = [f"({anchor(formula)})=", f"### {formula['id']}: {formula['title']}", ""]
    if "tex" in formula:
        lines += ["$$", formula["tex"], "$$", ""]
    links = [formula["where"]]
    links += [f"{{py:obj}}`{name.removeprefix('sbgm.')} <{documented(name)}>`" for name in formula["names"]]
    links += [f"[chapter {int(number)}]({places[int(number)]})" for number in formula["chapters"]]
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
    """The name under which the reference documents what can be imported as `name`: that of the file which defines it,
    "sbgm.samplers.langevin" for "sbgm.langevin"."""
    value = pkgutil.resolve_name(name)
    return f"{value.__module__}.{value.__qualname__}"
