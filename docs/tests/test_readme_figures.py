"""README's pictures are the chapters'."""

import io

import numpy as np
from PIL import Image

import readme_figures


def test_the_readme_shows_what_the_chapters_show():
    """A still to its colours, which Pillow's versions reduce differently."""
    for name, place in readme_figures.SHOWN.items():
        same = (readme_figures.FOLDER / f"{name}.png").read_bytes() == readme_figures.figure_of(*place)
        assert same, f"{name}: run docs/readme_figures.py"
    for number, page in readme_figures.CHAPTERS.items():
        committed, fresh = (
            np.asarray(Image.open(file).convert("RGB")).astype(int)
            for file in (readme_figures.FOLDER / f"stills/{number:02d}.png", io.BytesIO(readme_figures.still(page)))
        )
        assert np.abs(committed - fresh).mean() < 4, f"{number}: run docs/readme_figures.py"
