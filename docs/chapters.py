"""The chapters as the site shows them: the committed notebooks, with alternative texts, anchors and links added."""

from __future__ import annotations

import ast
import json
import posixpath
import re
from pathlib import Path

from figures import Figure, figures

ROOT = Path(__file__).resolve().parent.parent

HEAD = """# The chapters

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


def notebooks(folder: Path = ROOT / "notebooks") -> list[Path]:
    """The files of the chapters in their order, then those of the notebooks in folders below."""
    found = (path for path in folder.rglob("[0-9][0-9]_*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    return sorted(found, key=lambda path: (not is_chapter(path), path))


def is_chapter(path: Path) -> bool:
    """Whether a notebook is a chapter, and not one of a folder below the chapters."""
    return path.parent.name == "notebooks"


def place(path: Path) -> str:
    """Where a notebook lies in the site, as in the repository: such as "notebooks/03_langevin_dynamics.ipynb"."""
    return f"notebooks/{path.as_posix().rpartition('/notebooks/')[2]}"


def called(path: Path) -> str:
    """What a link to a notebook says: "chapter 3", or "chapter 3, lab" for one in the folder lab."""
    return f"chapter {int(path.name[:2])}" + ("" if is_chapter(path) else f", {path.parent.name}")


def read(path: Path) -> dict:
    """A notebook as JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def text(cell: dict) -> str:
    """A cell's source."""
    return "".join(cell["source"])


def title(notebook: dict) -> str:
    """A chapter's heading."""
    return text(notebook["cells"][0]).partition("\n")[0].removeprefix("# ")


def staged(path: Path, all_chapters: list[Path]) -> str:
    """A chapter for the site: each figure has an alternative text and an anchor, "chapter 3" is a link."""
    notebook = read(path)
    for figure in chapter_figures(path):
        notebook["cells"][figure.cell]["metadata"]["mystnb"] = {
            "image": {"alt": figure.alt},
            "figure": {"name": figure.anchor},
        }
    others = by_number(all_chapters, seen_from=path)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = linked(text(cell), others)
    return json.dumps(notebook, ensure_ascii=False, indent=1)


def by_number(paths: list[Path], seen_from: Path) -> dict[int, str]:
    """The chapters by their numbers, as links in the notebook `seen_from`, which is left out."""
    folder = posixpath.dirname(place(seen_from))
    chapters = (path for path in paths if is_chapter(path) and path != seen_from)
    return {int(path.name[:2]): posixpath.relpath(place(path), folder) for path in chapters}


def linked(markdown: str, names: dict[int, str]) -> str:
    """Markdown in which each mention of a chapter that there is, such as "chapter 3", links to it."""

    def link(mention: re.Match) -> str:
        target = names.get(int(mention[3]))
        return f"[{mention[0]}]({target})" if target else mention[0]

    parts = VERBATIM.split(markdown)
    parts[::2] = [MENTION.sub(link, part) for part in parts[::2]]
    parts[1::2] = [on_one_line(part) if part.startswith("$") else part for part in parts[1::2]]
    return "".join(parts)


def on_one_line(formula: str) -> str:
    """A formula without line breaks: a line of it that starts with "+" would begin a list in Markdown."""
    return re.sub(r"\s*\n[ >]*", " ", formula)


def page(paths: list[Path]) -> str:
    """The page of the chapters: what each one teaches, takes and settles."""
    claims: dict[str, list[str]] = {}
    for claim_id, path in settling(paths).items():
        claims.setdefault(path.name[:2], []).append(f"[{claim_id}](#claim-{claim_id.lower()})")
    lines = [HEAD]
    for path in filter(is_chapter, paths):
        notebook = read(path)
        able, takes = ABLE.search(text(notebook["cells"][0])).groups()
        takes = LINK.sub(from_the_root, linked(takes, by_number(paths, seen_from=path)))
        lines += [f"## [{title(notebook)}]({place(path)})", "", "You will be able to", "", able, "", takes, ""]
        if path.name[:2] in claims:
            lines += [f"**Settles** {', '.join(claims[path.name[:2]])}.", ""]
    return "\n".join(lines)


def from_the_root(link: re.Match) -> str:
    """A link out of a chapter, as a page beside the folder of chapters has it."""
    return f"]({posixpath.normpath(f'notebooks/{link[1]}')}"


def linked_files(path: Path) -> set[Path]:
    """The repository's files that a notebook links to, other than notebooks."""
    texts = (text(cell) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")
    folder = (ROOT / place(path)).parent
    targets = {(folder / target).resolve() for words in texts for target in LINK.findall(words)}
    return {file for file in targets if file.is_file() and file.suffix != ".ipynb" and file.is_relative_to(ROOT)}


def imported_names(paths: list[Path]) -> set[str]:
    """The names that chapters import from sbgm, such as "sbgm.samplers.signal_to_noise"."""
    names = set()
    for cell in (cell for path in paths for cell in read(path)["cells"] if cell["cell_type"] == "code"):
        for node in ast.walk(ast.parse(text(cell))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sbgm":
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def settling(paths: list[Path]) -> dict[str, Path]:
    """The notebook that enters each claim in the ledger, by the claim's id."""
    pattern = re.compile(r"\bsettle\(\s*\"(\w+)\"")
    return {
        claim_id: path
        for path in paths
        for cell in read(path)["cells"]
        if cell["cell_type"] == "code"
        for claim_id in pattern.findall(text(cell))
    }


def chapter_figures(path: Path) -> list[Figure]:
    """A notebook's figures, numbered within it: "03-1", or "lab-03-1" for one in the folder lab."""
    number = path.name[:2] if is_chapter(path) else f"{path.parent.name}-{path.name[:2]}"
    return figures(number, read(path)["cells"])
