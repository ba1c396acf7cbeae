"""The gallery's page: every figure of the chapters, with its caption, linked to where it is explained."""

from __future__ import annotations

from pathlib import Path

from chapters import place, read, title
from figures import Figure

HEAD = """# Gallery

Every figure of the chapters, as committed. A click leads to where it is drawn and explained.
"""


def page(figures: dict[Path, list[Figure]]) -> str:
    """The page as Markdown; the pictures are at `figures/ANCHOR.png`."""
    lines = [HEAD]
    for path, found in figures.items():
        if not found:
            continue
        lines += [f"## {title(read(path))}", "", "`````{container} gallery", ""]
        for figure in found:
            lines += [
                f"````{{figure}} figures/{figure.anchor}.png",
                f":alt: {figure.alt}",
                f":target: {place(path.with_suffix('.html'))}#{figure.anchor}",
                "",
                " ".join(figure.caption.split()) or figure.alt,
                "````",
                "",
            ]
        lines += ["`````", ""]
    return "\n".join(lines)
