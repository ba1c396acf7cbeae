"""README's pictures are the chapters', or what its commands leave; a moving picture moves, and its end is held."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import readme_figures
from sbgm import plots


@pytest.mark.parametrize("name", readme_figures.SHOWN)
def test_the_readme_shows_what_the_chapters_show(name):
    same = (readme_figures.FOLDER / f"{name}.png").read_bytes() == readme_figures.figure_of(*readme_figures.SHOWN[name])
    assert same, "run tools/readme_figures.py"


@pytest.mark.parametrize("chapter", readme_figures.CHAPTERS)
def test_a_still_is_the_end_of_the_chapters_film(chapter):
    """Pillow's versions reduce colours differently."""
    committed = np.asarray(Image.open(readme_figures.FOLDER / "stills" / f"{chapter}.png").convert("RGB")).astype(int)
    fresh = np.asarray(Image.open(io.BytesIO(readme_figures.still(chapter))).convert("RGB"))
    assert np.abs(committed - fresh).mean() < 4, "run tools/readme_figures.py"


def test_a_picture_is_what_a_command_leaves_last():
    lines = "import pathlib; [pathlib.Path(f'{i}.png').write_bytes(b'picture %d' % i) for i in (1, 2)]"
    assert readme_figures.left_by(["-c", lines], "*.png") == b"picture 2"


def coloured(colour: str) -> Figure:
    """A white square inch with a letter in one colour."""
    figure = plt.figure(figsize=(1, 1))
    figure.text(0.2, 0.2, "o", color=colour, fontsize=30, weight="bold")
    return figure


def test_a_moving_picture_holds_its_ends_and_keeps_the_colours_of_small_things():
    open_before = plt.get_fignums()
    picture = plots.moving_picture(map(coloured, ("#0072b2", "#d55e00", "#009e73")), milliseconds=50, colours=24)
    assert plt.get_fignums() == open_before
    with Image.open(io.BytesIO(picture.png)) as file:
        durations = []
        for frame, colour in enumerate(((0, 114, 178), (213, 94, 0), (0, 158, 115))):
            file.seek(frame)
            durations.append(file.info["duration"])
            distances = np.abs(np.asarray(file.convert("RGB")).astype(int) - colour).sum(axis=2)
            assert distances.min() <= 30
            assert file.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert durations == [700, 50, 2000]


def test_figures_of_two_sizes_and_none_are_refused():
    for figures in ([], [Figure(figsize=(1, 1)), Figure(figsize=(2, 1))]):
        with pytest.raises(ValueError, match="figures must be one or more of one size"):
            plots.moving_picture(figures)
