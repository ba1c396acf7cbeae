"""Put the pictures of README and of docs/results.md into data/results: `python docs/readme_figures.py`.

Most are figures of the chapters, the same bytes each time; a chapter's still is the end of its first film. README's own
lines of Python and `examples/twenty_digits.py` draw the other two, whose last digits depend on the processor.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from build import write
from chapters import ROOT, Page, pages_in

FOLDER = ROOT / "data" / "results"
CHAPTERS = {page.number: page for page in pages_in(ROOT / "notebooks") if page.is_chapter}
SHOWN = {  # a picture's name, and the chapter and the first words of the caption that follows it there
    "ladder": (4, "Left: some of the chains"),
    "figure1": (5, "Our Fig. 1."),
    "figure2": (2, "Our Fig. 2"),
    "figure3": (4, "This is our Figure 3"),
    "figure5": (7, "Our Fig. 5:"),
    "figure6": (10, "This is our Fig. 6"),
    "figure_c1": (7, "The first nine samples of each network"),
    "figure_c2": (7, "Left of each line six samples"),
    "table1": (11, "Circles are the models of Table 1"),
}
FILMS = ("twenty_digits", "ladder")  # of README; who asked the system for less motion sees how they end


def figure_of(chapter: int, caption: str) -> bytes:
    """The picture of a chapter whose caption begins so, moving if it moves there."""
    page = CHAPTERS[chapter]
    return page.picture(next(index for index, words in page.alternatives().items() if words.startswith(caption)))


def still(page: Page) -> bytes:
    """The end of a chapter's first film, as a small picture."""
    return end_of(page.picture(min(page.alternatives())), 280)


def end_of(film: bytes, size: int = 2_000) -> bytes:
    """The last frame of a film, as a picture of at most so many pixels a side."""
    frames = Image.open(io.BytesIO(film))
    frames.seek(frames.n_frames - 1)
    frame = frames.convert("RGB")
    frame.thumbnail((size, size))
    written = io.BytesIO()
    frame.quantize(64).save(written, "png")
    return written.getvalue()


def left_by(words: list[str], pattern: str) -> bytes:
    """The file of a pattern that `python WORDS` leaves in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, *words], cwd=folder, env=os.environ | {"MPLBACKEND": "agg"}, check=True)
        (file,) = Path(folder).glob(pattern)
        return file.read_bytes()


if __name__ == "__main__":
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    pictures = {name: figure_of(*place) for name, place in SHOWN.items()}
    pictures["moons"] = left_by(["-c", lines], "moons.png")
    pictures["twenty_digits"] = left_by([str(ROOT / "examples" / "twenty_digits.py"), "film.png"], "film.png")
    pictures |= {f"stills/{number:02d}": still(page) for number, page in CHAPTERS.items()}
    pictures |= {f"stills/{name}": end_of(pictures[name]) for name in FILMS}
    write(FOLDER, {f"{name}.png": picture for name, picture in pictures.items()})
