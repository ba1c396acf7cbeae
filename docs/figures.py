"""The figures of a chapter with their captions, and the alternative texts that are made of those."""

from __future__ import annotations

import base64
import inspect
import re
import unicodedata
from typing import NamedTuple

from sbgm import widgets

SYMBOLS = {
    "nabla": "∇", "sum": "Σ", "sqrt": "√", "approx": "≈", "propto": "∝", "pm": "±", "cdot": "·", "times": "×",
    "infty": "∞", "to": "→", "le": "≤", "ge": "≥", "in": "∈", "sim": "~", "dots": "…", "ldots": "…", "|": "‖",
    "varepsilon": "ε", "quad": " ", "qquad": " ", "partial": "∂", "odot": "⊙", "int": "∫",
}  # fmt: skip
STYLES = "mathbf|boldsymbol|mathcal|mathbb|mathrm|mathsf|text|operatorname|left|right|big|Big|tfrac|displaystyle"


class Figure(NamedTuple):
    """One figure of a chapter.

    Attributes:
        cell: the index of the cell that draws it.
        anchor: its id on the chapter's page.
        png: the picture.
        caption: the paragraph in italics after it, as Markdown without the asterisks around it; "" if there is none.
        alt: what it shows, as plain text.
        section: the heading above it, as Markdown.
    """

    cell: int
    anchor: str
    png: bytes
    caption: str
    alt: str
    section: str


def figures(number: str, cells: list[dict]) -> list[Figure]:
    """The figures of the chapter with this number, such as "03", in their order.

    Raises:
        ValueError: a cell shows two, which could not share one alternative text.
    """
    found, section = [], ""
    for index, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            section = (re.findall(r"^#+ (.+)$", source, re.MULTILINE) or [section])[-1]
            continue
        pictures = [output["data"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        if len(pictures) > 1:
            raise ValueError(f"cell {index} of chapter {number} must show one figure, since one caption follows it")
        for data in pictures:
            caption = caption_of(cells[index + 1]) if index + 1 < len(cells) else ""
            values = re.search(r"\((.*)\)", "".join(data.get("text/plain", "")))
            alt = plain(caption) or slider_text(source, values[1] if values else "") or drawing_text(source, section)
            anchor = f"figure-{number}-{len(found) + 1}"
            found.append(Figure(index, anchor, base64.b64decode("".join(data["image/png"])), caption, alt, section))
    return found


def caption_of(cell: dict) -> str:
    """The paragraph in italics that a Markdown cell begins with, without its asterisks."""
    first = "".join(cell["source"]).partition("\n\n")[0].strip()
    is_caption = cell["cell_type"] == "markdown" and re.fullmatch(r"\*(?!\*).+(?<!\*)\*", first, re.DOTALL)
    return first[1:-1] if is_caption else ""


def slider_text(source: str, values: str) -> str:
    """What a slider's author says that its figure shows, with the sliders' values; "" for other cells."""
    name = re.search(r"^(\w+_explorer|live|FigureExplorer)\b", source, re.MULTILINE)
    if not name:
        return ""
    maker = getattr(widgets, "LiveTraining" if name[1] == "live" else name[1])
    if name[1] != "FigureExplorer":
        source = inspect.getsource(maker)
    words = re.search(r'alt="([^"]+)"', source)[1]
    values = re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3g}", values)
    return f"{words} ({values})" if values else words


def drawing_text(source: str, section: str) -> str:
    """What a drawing's code calls its panels and axes, for a figure without a caption."""
    titles = re.findall(r'(?:\btitle=|set_title\()"([^"]+)"', source)
    axes = re.findall(r'(?:\b[xy]label=|set_[xy]label\()"([^"]+)"', source)
    what = plain("; ".join(dict.fromkeys([*titles, *axes])))
    return f"{what} (figure of the section {plain(section)!r})" if what else f"Figure of the section {plain(section)!r}"


def plain(markdown: str) -> str:
    """Markdown with formulas as plain text: "$\\sigma_L^2$" becomes "σ_L^2"."""
    words = re.sub(r"\$+([^$]+)\$+", lambda formula: plain_formula(formula[1]), markdown)
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words)
    return " ".join(re.sub(r"\*\*|[*`]", "", words).split())


def plain_formula(tex: str) -> str:
    """A formula as one would type it without TeX."""
    tex = re.sub(rf"\\({STYLES})(?![a-zA-Z])", "", tex)
    tex = re.sub(r"\\[,;!: ]", " ", tex)
    tex = re.sub(r"\\([a-zA-Z]+|\|)\s?", lambda name: symbol(name[1]), tex)
    tex = re.sub(r"√\{([^{}]+)\}", r"√(\1)", tex)
    return " ".join(re.sub(r"[{}\\]", "", tex).split())


def symbol(name: str) -> str:
    """The character that a TeX command stands for; its name where there is none."""
    if name in SYMBOLS:
        return SYMBOLS[name]
    case = "CAPITAL" if name[0].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {'LAMDA' if name.lower() == 'lambda' else name.upper()}")
    except KeyError:
        return f"{name} "
