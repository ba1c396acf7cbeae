"""Put the pictures of README and of docs/results.md into data/results: `python tools/readme_figures.py`.

Most are figures of the chapters, the same bytes each time; a chapter's still is the end of its first film. README's own
lines of Python and `examples/twenty_digits.py` draw the other two, whose last digits depend on the processor.
"""

import base64
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode
from PIL import Image

from notebooks import NOTEBOOKS, ROOT, read

FOLDER = ROOT / "data" / "results"
SHOWN = {  # a picture's name, and the chapter and the first words of the caption that follows it there
    "ladder": ("04", "Left: some of the chains"),
    "figure1": ("05", "Our Fig. 1."),
    "figure2": ("02", "Our Fig. 2"),
    "figure3": ("04", "This is our Figure 3"),
    "figure5": ("07", "Our Fig. 5:"),
    "figure6": ("10", "This is our Fig. 6"),
    "figure_c1": ("07", "The first nine samples of each network"),
    "figure_c2": ("07", "Left of each line six samples"),
    "table1": ("11", "Circles are the models of Table 1"),
}

FILMS = ("twenty_digits", "ladder")  # of README; who asked the system for less motion sees how they end
CHAPTERS = [f"{number:02d}" for number in range(13)]


def main() -> None:
    """Write all of them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    pictures = {name: figure_of(*place) for name, place in SHOWN.items()}
    pictures["moons"] = left_by(["-c", lines], "moons.png")
    pictures["twenty_digits"] = left_by([str(ROOT / "examples" / "twenty_digits.py"), "film.png"], "film.png")
    pictures |= {f"stills/{chapter}": still(chapter) for chapter in CHAPTERS}
    pictures |= {f"stills/{name}": end_of(pictures[name]) for name in FILMS}
    for name, picture in pictures.items():
        (FOLDER / f"{name}.png").write_bytes(picture)


def figure_of(chapter: str, caption: str) -> bytes:
    """The picture of a chapter's outputs whose caption begins so, moving if it moves there."""
    cells = cells_of(chapter)
    index = next(index for index, cell in enumerate(cells) if cell.source.startswith(f"*{caption}"))
    return next(pictures_in(cells[index - 1]))


def still(chapter: str) -> bytes:
    """The end of a chapter's first film, as a small picture."""
    film = Image.open(io.BytesIO(next(picture for cell in cells_of(chapter) for picture in pictures_in(cell))))
    film.seek(film.n_frames - 1)
    frame = film.convert("RGB")
    frame.thumbnail((280, 280))
    written = io.BytesIO()
    frame.quantize(64).save(written, "png")
    return written.getvalue()


def end_of(film: bytes) -> bytes:
    """The last frame of a film, as a picture."""
    frames = Image.open(io.BytesIO(film))
    frames.seek(frames.n_frames - 1)
    written = io.BytesIO()
    frames.convert("RGB").quantize(64).save(written, "png")
    return written.getvalue()


def cells_of(chapter: str) -> list[NotebookNode]:
    """The cells of a chapter as it is committed."""
    (path,) = NOTEBOOKS.glob(f"{chapter}_*.ipynb")
    return read(path).cells


def pictures_in(cell: NotebookNode) -> Iterator[bytes]:
    """Yield the PNGs among a cell's outputs."""
    outputs = (output.get("data", {}) for output in cell.get("outputs", []))
    yield from (base64.b64decode(data["image/png"]) for data in outputs if "image/png" in data)


def left_by(words: list[str], pattern: str) -> bytes:
    """The last file of a pattern that `python WORDS` leaves in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, *words], cwd=folder, env=os.environ | {"MPLBACKEND": "agg"}, check=True)
        *_, last = sorted(Path(folder).glob(pattern))
        return last.read_bytes()


if __name__ == "__main__":
    main()
