"""A figure's caption, and Markdown with formulas as plain text, for alternative texts."""

import re

from docutils.utils.math import tex2unichar as tex
from nbformat import NotebookNode

SYMBOLS = {
    **{name: sign for table in (tex.mathord, tex.mathbin, tex.mathrel, tex.mathop, tex.mathalpha, tex.mathpunct)
       for name, sign in table.items()},
    "dots": "…", "epsilon": "ε", "quad": " ", "qquad": " ", "sim": "~", "sqrt": "√", "|": "‖",
}  # fmt: skip
STYLES = "mathbf|boldsymbol|mathcal|mathbb|mathrm|mathsf|text|operatorname|left|right|big|Big|tfrac|displaystyle"


def caption_of(cell: NotebookNode) -> str:
    """The paragraph in italics that a Markdown cell begins with, without its asterisks; "" if there is none."""
    first = cell.source.partition("\n\n")[0].strip()
    is_caption = cell.cell_type == "markdown" and re.fullmatch(r"\*(?!\*).+(?<!\*)\*", first, re.DOTALL)
    return first[1:-1] if is_caption else ""


def plain(markdown: str) -> str:
    """Markdown with formulas as plain text: "$\\sigma_L^2$" becomes "σ_L^2"."""
    words = re.sub(r"\$+([^$]+)\$+", lambda formula: plain_formula(formula[1]), markdown)
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words)
    return " ".join(re.sub(r"\*\*|[*`]", "", words).split())


def plain_formula(formula: str) -> str:
    """A formula as one would type it without TeX; a command that no character stands for gives its name."""
    formula = re.sub(rf"\\({STYLES})(?![a-zA-Z])", "", formula)
    formula = re.sub(r"\\[,;!: ]", " ", formula)
    formula = re.sub(r"\\([a-zA-Z]+|\|)\s?", lambda name: SYMBOLS.get(name[1], f"{name[1]} "), formula)
    formula = re.sub(r"√\{([^{}]+)\}", r"√(\1)", formula)
    return " ".join(re.sub(r"[{}\\]", "", formula).split())
