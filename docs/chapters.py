"""The notebooks as the site shows them, with alternative texts and links, and the page that lists the chapters."""

from __future__ import annotations

import base64
import copy
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent

CHAPTERS_HEAD = """# The chapters

Each can be run by itself: `make lab` opens them in JupyterLab, where the sliders move. Here they are as committed, with
the outputs of their last run. [Chapter 0](notebooks/00_start_here.ipynb) has a shortened route for one evening. [One
hour](notebooks/one_hour.ipynb) is for a class or a visitor.
"""
PARTS = {  # by the number of the chapter that begins them
    0: "## I · The paper",
    8: "## II · Your own network: chapter 8 first, then the others in any order",
}
CHAPTER = """### [{title}]({place})

::::{{container}} chapter
[![The opening picture of chapter {number}]({still})]({place})

:::{{container}}
**{question}** You will be able to

{able}

{takes}
:::
::::
"""
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.DOTALL)
ABLE = re.compile(r"\*\*You will be able to\*\*\n\n(.+?)\n\n(\*\*.+?)(?:\n\n|\Z)", re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
EXPLORER = re.compile(r"\b(\w+)_explorer\(")
SCENES = {"score_field": "field", "langevin": "langevin", "annealing": "annealing"}  # of the playground, by explorer
DIGITS = {  # of the page that draws, by explorer: its scene, and what one does there
    "image_noise": ("noise", "add noise to a digit that you draw"),
    "image_annealing": ("draw", "watch a digit come out of noise"),
    "inpainting": ("complete", "draw half a digit and have it completed"),
    "level_steps": ("draw", "pull the number of levels and the size of the kicks"),
}
POINTER = "*The slider stands still on this site. With chapter 8's network you can <a href='../digits.html#{}'>{}</a>.*"
PLAYGROUND = """<div class="playground" data-scene="{scene}"><p>This playground needs JavaScript.</p></div>

*The picture above is the notebook's slider as it starts. Here it moves, without a kernel: [what to
try](../playground.md#play-{scene}).*
"""


class Page:
    """A notebook of the series: a chapter, or one hour, which has no number.

    Args:
        path: of its file.

    Attributes:
        file: where it is read from.
        place: where it lies in the site, as in the repository: such as "notebooks/03_langevin_dynamics.ipynb".
        number: its chapter's, or None.
        is_chapter: whether it is the chapter itself.
        content: the notebook.
        title: its heading.
    """

    def __init__(self, path: Path) -> None:
        self.file = path
        self.place = f"{path.parent.name}/{path.name}"
        self.number = int(path.name[:2]) if path.name[0].isdigit() else None
        self.is_chapter = path.parent.name == "notebooks" and self.number is not None
        self.content = nbformat.read(path, as_version=4)
        self.title = self.content.cells[0].source.partition("\n")[0].removeprefix("# ")

    def picture(self, index: int) -> bytes:
        """The figure or film that the cell of this index shows, a PNG; the cell is one of `alternatives`."""
        outputs = (output.get("data", {}) for output in self.content.cells[index].outputs)
        return base64.b64decode(next(data["image/png"] for data in outputs if "image/png" in data))

    def alternatives(self) -> dict[int, str]:
        """What each figure shows, by its cell's index: its caption as plain words, or the section that it stands in."""
        words = {}
        section = ""
        cells = self.content.cells
        for index, cell in enumerate(cells):
            if cell.cell_type == "markdown":
                section = (re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE) or [section])[-1]
            elif any("image/png" in output.get("data", {}) for output in cell.outputs):
                caption = caption_of(cells[index + 1]) if index + 1 < len(cells) else ""
                words[index] = plain(caption) or f"Figure of the section {plain(section)!r}"
        return words

    def question(self) -> str:
        """What it asks, which stands in bold below its heading."""
        return re.search(r"\*\*(.+?)\*\*", self.content.cells[0].source, re.DOTALL)[1]

    def aims(self) -> tuple[str, str]:
        """What its reader will be able to do, as a list in Markdown, and what it needs and how long it takes."""
        texts = [cell.source for cell in self.content.cells if cell.cell_type == "markdown"]
        return next(match.groups() for match in map(ABLE.search, texts) if match)

    def staged(self) -> str:
        """Its file for the site: figures have alternative texts, a chapter's first is as wide as the column, folded
        code stands below what it draws, and a slider is followed, below its caption, by a scene of the playground or a
        link to the page that draws.
        """
        content = copy.deepcopy(self.content)
        for index, words in self.alternatives().items():
            content.cells[index].metadata["mystnb"] = {"image": {"alt": words}}
        if self.is_chapter:
            content.cells[min(self.alternatives())].metadata["mystnb"]["image"]["classes"] = "opening"
        for cell in content.cells:
            if cell.cell_type == "markdown":
                cell.source = outside_code(FORMULA, on_one_line, cell.source)
        heading, _, text = content.cells[0].source.partition("\n")
        link = f"<a href='../files/{self.place}' download>Download this notebook</a>"
        content.cells[0].source = f"{heading}\n\n:::{{container}} offers\n{link}\n:::\n{text}"
        for index in reversed(range(len(content.cells))):
            cell = content.cells[index]
            explorers = EXPLORER.findall(cell.source) if cell.cell_type == "code" else ()
            for name in explorers:
                if name in SCENES:
                    moving = PLAYGROUND.format(scene=SCENES[name])
                elif name in DIGITS:
                    moving = POINTER.format(*DIGITS[name])
                else:
                    continue
                text = f"{take_caption(content.cells[index + 1])}\n\n{moving}"
                content.cells.insert(index + 1, nbformat.v4.new_markdown_cell(text, id=f"moving-{name}"))
        content.cells = code_below(content.cells)
        return nbformat.writes(content)


def code_below(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells of a page, in which folded code, imports too, stands below what it draws and the caption of this.

    Cells of folded code that follow one another come to stand in one fold. Those that draw nothing stand with the next
    code.
    """
    code = [cell for cell in cells if cell.cell_type == "code"]
    folded = [cell.id for cell in code if "hide-input" in cell.metadata.get("tags", ())]
    folded += [cell.id for cell in code[:1]]  # the imports
    placed: list[NotebookNode] = []
    run: list[NotebookNode] = []
    for cell in cells:
        if cell.id in folded:
            run.append(cell)
            continue
        if run and (cell.cell_type == "code" or any(other.outputs for other in run)):
            placed += shown_first(run, take_caption(cell))
            run = []
        placed.append(cell)
    return placed + (shown_first(run, "") if run else [])


def shown_first(run: list[NotebookNode], caption: str) -> list[NotebookNode]:
    """The cells for folded code: its pictures and hidden answers, their caption, what else it prints, then the code."""
    pictures = []
    prints = []
    for cell in run:
        cell.metadata["tags"] = sorted({"remove-input", *cell.metadata.get("tags", ())} - {"hide-input"})
        cell.outputs.sort(key=lambda output: "image/png" not in output.get("data", {}))
        drawn = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        whole = cell.outputs if "hide-output" in cell.metadata.tags else drawn
        pictures += [nbformat.from_dict(cell | {"outputs": whole})] if whole else []
        rest = cell.outputs[len(whole) :]
        prints += [nbformat.from_dict(cell | {"outputs": rest, "id": f"{cell.id}-printed"})] if rest else []
    source = "\n\n\n".join(cell.source for cell in run)
    content = "code" if pictures or prints else "preparation"
    prompts = {f"code_prompt_{act}": f"{act.capitalize()} the {content}" for act in ("show", "hide")}
    metadata = {"tags": ["hide-input"], "mystnb": prompts}
    below = nbformat.v4.new_code_cell(source, id=f"{run[0].id}-code", metadata=metadata)
    captions = [nbformat.v4.new_markdown_cell(caption, id=f"{run[0].id}-caption")] if caption else []
    return [*pictures, *captions, *prints, below]


def take_caption(cell: NotebookNode) -> str:
    """Take its caption out of a cell, and return it with its asterisks; "" if the cell has none."""
    if not caption_of(cell):
        return ""
    caption, _, cell.source = cell.source.partition("\n\n")
    return caption


def caption_of(cell: NotebookNode) -> str:
    """The paragraph in italics that a Markdown cell begins with, without its asterisks; "" if there is none."""
    first = cell.source.partition("\n\n")[0].strip()
    is_caption = cell.cell_type == "markdown" and re.fullmatch(r"\*(?!\*).+(?<!\*)\*", first, re.DOTALL)
    return first[1:-1] if is_caption else ""


SIGNS = {  # of TeX, as one types them
    "alpha": "α", "beta": "β", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "eta": "η", "theta": "θ",
    "lambda": "λ", "mu": "μ", "pi": "π", "sigma": "σ", "tau": "τ", "Delta": "Δ", "Sigma": "Σ", "nabla": "∇",
    "ell": "ℓ", "propto": " ∝ ", "approx": " ≈ ", "cdot": "·", "times": " × ", "pm": " ± ", "le": " ≤ ",
    "ge": " ≥ ", "in": " ∈ ", "to": " → ", "infty": "∞", "dots": "…", "ldots": "…", "sqrt": "√", "quad": " ",
}  # fmt: skip
SILENT = "mathbf|mathcal|mathrm|boldsymbol|tilde|hat|text|operatorname|frac|tfrac|left|right"


def plain(markdown: str) -> str:
    """Markdown as plain words, formulas by their signs: "$\\sigma_L^2$" becomes "σ_L^2"."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    words = re.sub(rf"\\(?:{SILENT})(?![a-z])|\\(?=[^a-zA-Z,;:])", "", words)
    words = re.sub(r"\\[,;:]", " ", words)
    words = re.sub(r"\\([a-zA-Z]+)( ?)", lambda name: SIGNS.get(name[1], f" {name[1]}{name[2]}"), words)
    words = re.sub(r"[$*`{}]", "", words)
    return " ".join(words.split())


def pages_in(folder: Path) -> list[Page]:
    """The notebooks in a folder, in their order."""
    return [Page(path) for path in sorted(folder.glob("*.ipynb"))]


def outside_code(pattern: re.Pattern, change: Callable[[re.Match], str], markdown: str) -> str:
    """Markdown in which each match of a pattern outside code is changed."""
    parts = CODE.split(markdown)
    parts[::2] = [pattern.sub(change, part) for part in parts[::2]]
    return "".join(parts)


def on_one_line(formula: re.Match) -> str:
    """A formula without line breaks: a line of it that starts with "+" would begin a list in Markdown."""
    return re.sub(r"\s*\n[ >]*", " ", formula[0])


def overview(series: list[Page]) -> str:
    """The page of the chapters: what each one shows, teaches, needs and takes."""
    lines = [CHAPTERS_HEAD]
    for chapter in (notebook for notebook in series if notebook.is_chapter):
        able, takes = chapter.aims()
        if chapter.number in PARTS:
            lines += [PARTS[chapter.number], ""]
        takes = LINK.sub(from_the_root, takes)
        still = f"data/results/stills/{chapter.number:02}.png"
        words = {"question": chapter.question(), "able": able, "takes": takes, "still": still}
        lines += [CHAPTER.format(title=chapter.title, place=chapter.place, number=chapter.number, **words)]
    return "\n".join(lines)


def from_the_root(link: re.Match) -> str:
    """A link out of a chapter, as a page beside the folder of chapters has it."""
    return f"]({posixpath.normpath(f'notebooks/{link[1]}')}"
