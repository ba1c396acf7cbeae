"""Put README's pictures into data/results: `python tools/readme_figures.py`.

Most are figures of the chapters, the same bytes each time. Two are what README's own lines of Python and its first
training leave, on this machine: their last digits depend on the processor. The training takes minutes.
"""

import base64
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from notebooks import NOTEBOOKS, ROOT, read

FOLDER = ROOT / "data" / "results"
SHOWN = {  # a picture's name, and the chapter and the first words of the caption that follows it there
    "ten_digits": ("00", "Ten images of noise"),
    "ladder": ("04", "Left: some of the chains"),
    "full_experiment": ("08", '`"hour"` on MNIST\'s digits'),
    "figure2": ("02", "Our Fig. 2."),
    "figure5": ("08", "Our Fig. 5:"),
    "figure6": ("09", "Our Fig. 6,"),
}


def main() -> None:
    """Write all of them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    pictures = {name: figure_of(*place) for name, place in SHOWN.items()}
    pictures["moons"] = left_by(["-c", lines], "moons.png")
    for name, picture in pictures.items():
        (FOLDER / f"{name}.png").write_bytes(picture)


def figure_of(chapter: str, caption: str) -> bytes:
    """The picture of a chapter's outputs whose caption begins so, moving if it moves there."""
    (path,) = NOTEBOOKS.glob(f"{chapter}_*.ipynb")
    cells = read(path).cells
    index = next(index for index, cell in enumerate(cells) if cell.source.startswith(f"*{caption}"))
    outputs = (output.get("data", {}) for output in cells[index - 1].outputs)
    return next(base64.b64decode(data["image/png"]) for data in outputs if "image/png" in data)


def left_by(words: list[str], pattern: str) -> bytes:
    """The last file of a pattern that `python WORDS` leaves in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, *words], cwd=folder, env=os.environ | {"MPLBACKEND": "agg"}, check=True)
        *_, last = sorted(Path(folder).glob(pattern))
        return last.read_bytes()


if __name__ == "__main__":
    main()
