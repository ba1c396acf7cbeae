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


def notebooks(folder: Path | None = None) -> list[Path]:
    """The chapters' files in their order."""
    return sorted((ROOT / "notebooks" if folder is None else folder).glob("[0-9][0-9]_*.ipynb"))


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
    for figure in figures(path.stem, notebook["cells"]):
        notebook["cells"][figure.cell]["metadata"]["mystnb"] = {
            "image": {"alt": figure.alt},
            "figure": {"name": figure.anchor},
        }
    others = by_number(all_chapters, but=path)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = linked(text(cell), others)
    return json.dumps(notebook, ensure_ascii=False, indent=1)


def by_number(paths: list[Path], but: Path | None = None) -> dict[int, str]:
    """The chapters' file names by their numbers."""
    return {int(path.name[:2]): path.name for path in paths if path != but}


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
    claims: dict[Path, list[str]] = {}
    for claim_id, path in settling(paths).items():
        claims.setdefault(path, []).append(f"[{claim_id}](#claim-{claim_id.lower()})")
    lines = [HEAD]
    for path in paths:
        notebook = read(path)
        able, takes = ABLE.search(text(notebook["cells"][0])).groups()
        takes = LINK.sub(from_the_root, linked(takes, by_number(paths)))
        lines += [f"## [{title(notebook)}](notebooks/{path.name})", "", "You will be able to", "", able, "", takes, ""]
        if path in claims:
            lines += [f"**Settles** {', '.join(claims[path])}.", ""]
    return "\n".join(lines)


def from_the_root(link: re.Match) -> str:
    """A link out of a chapter, as a page beside the folder of chapters has it."""
    return f"]({posixpath.normpath(f'notebooks/{link[1]}')}"


def linked_files(path: Path) -> set[Path]:
    """The repository's files that a chapter links to, other than chapters."""
    texts = (text(cell) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")
    targets = {(ROOT / "notebooks" / target).resolve() for words in texts for target in LINK.findall(words)}
    return {file for file in targets if file.is_file() and file.suffix != ".ipynb" and file.is_relative_to(ROOT)}


def imported_names(paths: list[Path]) -> set[str]:
    """The names that chapters import from sbgm, such as "sbgm.samplers.annealed.signal_to_noise"."""
    names = set()
    for cell in (cell for path in paths for cell in read(path)["cells"] if cell["cell_type"] == "code"):
        for node in ast.walk(ast.parse(text(cell))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sbgm":
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def settling(paths: list[Path]) -> dict[str, Path]:
    """The chapter that enters each claim in the ledger, by the claim's id."""
    pattern = re.compile(r"\bsettle\(\s*\"(\w+)\"")
    return {
        claim_id: path
        for path in paths
        for cell in read(path)["cells"]
        if cell["cell_type"] == "code"
        for claim_id in pattern.findall(text(cell))
    }


def all_figures(paths: list[Path]) -> dict[Path, list[Figure]]:
    """Every chapter's figures."""
    return {path: figures(path.stem, read(path)["cells"]) for path in paths}
