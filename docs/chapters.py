"""The notebooks as the site shows them, with alternative texts and links, and the page that lists the chapters."""

from __future__ import annotations

import copy
import posixpath
import re
from pathlib import Path

import nbformat

import hosting
from make_ledger import entered

ROOT = Path(__file__).resolve().parent.parent

CHAPTERS_HEAD = """# The chapters

Each can be run by itself: `make lab` opens them in JupyterLab, where the sliders move. Here they are as committed, with
the outputs of their last run. The claims that a chapter settles are in the [ledger](ledger.md).
"""
# What a link must not be put into: HTML up to the next blank line, code, formulas, and links.
VERBATIM = re.compile(
    r"(^ *</?[a-z].*?(?:\n[ \t]*\n|\Z)|```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$]*\$|\[[^\]]*\]\([^)]*\)|^#+ .*?$)",
    re.DOTALL | re.MULTILINE,
)
MENTION = re.compile(r"\b([Cc]hapter)(\s)(\d{1,2})\b(?!\.\d)")
ABLE = re.compile(r"\*\*You will be able to\*\*\n\n(.+?)\n\n(\*\*.+?)(?:\n\n|\Z)", re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
EXPLORER = re.compile(r"^(\w+)_explorer\(", re.MULTILINE)
SCENES = {"score_field": "field", "langevin": "langevin", "annealing": "annealing"}  # of the playground, by explorer
PLAYGROUND = """<div class="playground" data-scene="{scene}"><p>Here is a playground, where JavaScript runs.</p></div>

*The picture above is the notebook's slider as it starts. Here it moves, without a kernel: [what to
try](../playground.md#play-{scene}).*
"""


class Page:
    """A notebook of the series: a chapter, or one of a folder below the chapters.

    Args:
        path: of its file.
        content: what to take in place of what the file holds.

    Attributes:
        file: where it is read from.
        place: where it lies in the site, as in the repository: such as "notebooks/03_langevin_dynamics.ipynb".
        number: its chapter's.
        is_chapter: whether it is the chapter itself.
        called: what a link to it says: "chapter 3", or "chapter 3, lab" for one in the folder lab.
        content: the notebook.
        title: its heading.
    """

    def __init__(self, path: Path, content: nbformat.NotebookNode | None = None) -> None:
        self.file = path
        self.place = f"notebooks/{path.as_posix().rpartition('/notebooks/')[2]}"
        self.number, self.is_chapter = int(path.name[:2]), path.parent.name == "notebooks"
        self.called = f"chapter {self.number}" + ("" if self.is_chapter else f", {path.parent.name}")
        self.content = nbformat.read(path, as_version=4) if content is None else content
        self.title = self.content.cells[0].source.partition("\n")[0].removeprefix("# ")

    def alternatives(self) -> dict[int, str]:
        """What each figure shows, by its cell's index: its caption as plain words, or the section that it stands in."""
        words, section = {}, ""
        cells = self.content.cells
        for index, cell in enumerate(cells):
            if cell.cell_type == "markdown":
                section = (re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE) or [section])[-1]
            elif any("image/png" in output.get("data", {}) for output in cell.outputs):
                caption = caption_of(cells[index + 1]) if index + 1 < len(cells) else ""
                words[index] = plain(caption) or f"Figure of the section {plain(section)!r}"
        return words

    def aims(self) -> tuple[str, str]:
        """What its reader will be able to do, as a list in Markdown, and what it needs and how long it takes."""
        texts = [cell.source for cell in self.content.cells if cell.cell_type == "markdown"]
        return next(match.groups() for match in map(ABLE.search, texts) if match)

    def settled(self) -> list[str]:
        """The claims that it enters in the ledger, by id."""
        return entered(self.file)

    def linked_files(self) -> set[Path]:
        """The repository's files that it links to, other than notebooks."""
        texts = (cell.source for cell in self.content.cells if cell.cell_type == "markdown")
        targets = {(ROOT / self.place / ".." / link).resolve() for text in texts for link in LINK.findall(text)}
        return {path for path in targets if path.is_file() and path.suffix != ".ipynb" and path.is_relative_to(ROOT)}

    def staged(self, series: list[Page]) -> str:
        """Its file for the site: figures have alternative texts, "chapter 3" is a link, the imports are folded, and a
        slider of which the playground has a scene is followed by it, below the caption.
        """
        content = copy.deepcopy(self.content)
        for index, words in self.alternatives().items():
            content.cells[index].metadata["mystnb"] = {"image": {"alt": words}}
        for cell in content.cells:
            if cell.cell_type == "markdown":
                cell.source = self.linked(cell.source, series)
        code = [cell for cell in content.cells if cell.cell_type == "code"]
        if code:  # begins with imports
            code[0].metadata["tags"] = sorted({"hide-input", *code[0].metadata.get("tags", [])})
        heading, _, text = content.cells[0].source.partition("\n")
        content.cells[0].source = f"{heading}\n\n{self.offers(hosting.repository(ROOT))}\n{text}"
        for index, cell in reversed([*enumerate(content.cells)]):
            explorers = EXPLORER.findall(cell.source) if cell.cell_type == "code" else ()
            for scene in filter(None, map(SCENES.get, explorers)):
                caption, following = "", content.cells[index + 1]
                if caption_of(following):
                    caption, _, following.source = following.source.partition("\n\n")
                text = f"{caption}\n\n{PLAYGROUND.format(scene=scene)}"
                content.cells.insert(index + 1, nbformat.v4.new_markdown_cell(text, id=f"playground-{scene}"))
        return nbformat.writes(content)

    def offers(self, address: str) -> str:
        """The line below its heading: links to what `downloads` gives, and to where it runs.

        Args:
            address: the project's; Colab and Binder open notebooks of one on GitHub.
        """
        notebook, text = (f"{'../' * self.place.count('/')}{place}" for place in self.downloads())
        links = [
            f"<a href='{notebook}' download>Download this notebook</a>",
            f"<a href='{text}'>Its source as text</a>",
        ]
        if colab := hosting.in_colab(self.hosted_at(address)):
            binder = f"https://mybinder.org/v2/gh/{address.removeprefix(hosting.GITHUB)}/HEAD?labpath={self.place}"
            links += [f"<a href='{colab}'>Open in Colab</a>", f"<a href='{binder}'>Open in Binder</a>"]
            links += [f"<a href='{address}/blob/HEAD/{self.place}'>See it on GitHub</a>"]
        return "\n".join([":::{container} offers", *links, ":::"])

    def hosted_at(self, address: str) -> str:
        """Where its copy for Colab lies, on the branch that `make publish` puts the site on."""
        return f"{address}/blob/gh-pages/{self.place.replace('notebooks', 'hosted', 1)}"

    def hosted(self, address: str) -> dict[str, bytes]:
        """The copy that runs in Colab, by its place in the site: it fetches the project, and its links go to GitHub."""

        def outward(link: re.Match) -> str:
            target = posixpath.normpath(f"{posixpath.dirname(self.place)}/{link[1]}")
            return f"]({address}/{'raw' if target.endswith('.png') else 'blob'}/HEAD/{target}"

        content = copy.deepcopy(self.content)
        for cell in content.cells:
            if cell.cell_type == "markdown":
                parts = VERBATIM.split(cell.source)
                parts[1::2] = [LINK.sub(outward, part) if part.startswith("[") else part for part in parts[1::2]]
                cell.source = "".join(parts)
        notebook = hosting.hosted(content, address, self.hosted_at(address))
        return {self.place.replace("notebooks", "hosted", 1): nbformat.writes(notebook).encode()}

    def downloads(self) -> dict[str, bytes]:
        """The notebook as it is, and its text and code without outputs, by the places of these files in the site."""
        fences = {"markdown": "{}", "code": "```python\n{}\n```"}
        text = "\n\n".join(fences[cell.cell_type].format(cell.source) for cell in self.content.cells)
        encoded = text.encode("utf-8-sig")  # whose first bytes tell a browser, where no server does
        return {f"files/{self.place}": self.file.read_bytes(), f"files/{self.place[:-6]}.txt": encoded}

    def linked(self, markdown: str, series: list[Page]) -> str:
        """Markdown of it in which each mention of another chapter that there is, such as "chapter 3", links to it."""
        folder = posixpath.dirname(self.place)
        others = {n.number: posixpath.relpath(n.place, folder) for n in series if n.is_chapter and n is not self}

        def link(mention: re.Match) -> str:
            target = others.get(int(mention[3]))
            return f"[{mention[0]}]({target})" if target else mention[0]

        parts = VERBATIM.split(markdown)
        parts[::2] = [MENTION.sub(link, part) for part in parts[::2]]
        parts[1::2] = [on_one_line(part) if part.startswith("$") else part for part in parts[1::2]]
        return "".join(parts)


def caption_of(cell: nbformat.NotebookNode) -> str:
    """The paragraph in italics that a Markdown cell begins with, without its asterisks; "" if there is none."""
    first = cell.source.partition("\n\n")[0].strip()
    is_caption = cell.cell_type == "markdown" and re.fullmatch(r"\*(?!\*).+(?<!\*)\*", first, re.DOTALL)
    return first[1:-1] if is_caption else ""


def plain(markdown: str) -> str:
    """Markdown as plain words, formulas by the names of their signs: "$\\sigma_L^2$" becomes "sigma_L^2"."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    words = re.sub(r"\\(mathbf|tilde|hat|text|frac|left|right)\b|[$*`\\{}]", "", words)
    return " ".join(words.split())


def pages_in(folder: Path) -> list[Page]:
    """The chapters in a folder called notebooks in their order, then the notebooks in folders below it."""
    paths = (path for path in folder.rglob("[0-9][0-9]_*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    return sorted(map(Page, sorted(paths)), key=lambda notebook: not notebook.is_chapter)


def on_one_line(formula: str) -> str:
    """A formula without line breaks: a line of it that starts with "+" would begin a list in Markdown."""
    return re.sub(r"\s*\n[ >]*", " ", formula)


def overview(series: list[Page]) -> str:
    """The page of the chapters: what each one teaches, takes and settles."""
    lines = [CHAPTERS_HEAD]
    for chapter in (notebook for notebook in series if notebook.is_chapter):
        able, takes = chapter.aims()
        takes = LINK.sub(from_the_root, chapter.linked(takes, series))
        lines += [f"## [{chapter.title}]({chapter.place})", "", "You will be able to", "", able, "", takes, ""]
        settled = [claim for notebook in series if notebook.number == chapter.number for claim in notebook.settled()]
        if settled:
            lines += [f"**Settles** {', '.join(f'[{claim}](#claim-{claim.lower()})' for claim in settled)}.", ""]
    return "\n".join(lines)


def from_the_root(link: re.Match) -> str:
    """A link out of a chapter, as a page beside the folder of chapters has it."""
    return f"]({posixpath.normpath(f'notebooks/{link[1]}')}"
