"""Write docs/digits.html, the page that draws: python docs/digits.py

One file that works by itself: the sources in docs/digits/, and chapter 8's network as it ships.
"""

import base64
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE / "digits.html"
WEIGHTS = HERE.parent / "data" / "weights" / "own_network.safetensors"


def page() -> str:
    """The page: its template, with the style, the scripts and the file of weights put in by their names."""
    files = [*(HERE / "digits").iterdir(), HERE / "_static" / "playground" / "noise.js"]
    parts = {file.name: file.read_text("utf-8") for file in files}
    parts["weights"] = base64.encodebytes(WEIGHTS.read_bytes()).decode()
    return re.sub(r"\{\{(.+?)\}\}\n", lambda name: parts[name[1]], parts["page.html"])


def page_of_the_site() -> str:
    """The same page, whose links lead to the site's chapters."""
    return re.sub(r'"\.\./(notebooks/\w+)\.ipynb"', r'"\1.html"', page()).replace('"../README.md"', '"index.html"')


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
