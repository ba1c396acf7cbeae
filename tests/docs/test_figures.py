"""The chapters' figures for slides: PNG and SVG, moving pictures that fill a slide, captions and the licence."""

import figures
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

import notebooks as tool

STILL = "from matplotlib import pyplot as plt\n\nplt.figure(figsize=(4, 3)).subplots().plot([1, 2])\nplt.show()"
MOVING = """\
from matplotlib.figure import Figure
from sbgm import plots

picture = plots.moving_picture(Figure(figsize=(4, 2), facecolor=shade) for shade in ("red", "blue"))
picture"""


def test_every_figure_is_there_in_its_formats_and_said_and_a_notebook_that_raises_is_named(tmp_path, capsys):
    """The scratch notebook is left as it was."""
    cells = [
        new_markdown_cell("# 98 · Scratch"),
        new_code_cell(STILL),
        new_markdown_cell("*A line that\nrises by $\\sigma$.*"),
        new_code_cell(MOVING),
        new_markdown_cell("*Red, then blue.*\n\nMore."),
        new_code_cell("picture.strip(0, 1)"),
        new_code_cell("from sbgm.widgets import score_field_explorer\n\nscore_field_explorer()"),
    ]
    folder, drawn = tmp_path / "notebooks", tmp_path / "drawn"
    path, wrong = folder / "98_scratch.ipynb", folder / "97_wrong.ipynb"
    tool.write(new_notebook(cells=cells), path)
    tool.write(new_notebook(cells=[new_code_cell("raise ValueError('wrong')")]), wrong)
    before = path.read_bytes()
    assert figures.main([str(drawn), str(wrong), str(path)]) == 1
    said = capsys.readouterr().err
    assert "97_wrong: " in said
    assert "ValueError: wrong" in said
    assert path.read_bytes() == before

    numbered = ["1.png", "1.svg", "2.png", "3.png", "4.png", "4.svg"]
    names = {f"figure-98-{name}" for name in numbered} | {"captions.md", "LICENSE-CC-BY-4.0"}
    assert {path.name for path in drawn.iterdir()} == names
    still, moving, strip, slider = (Image.open(drawn / f"figure-98-{number}.png") for number in (1, 2, 3, 4))
    assert min(still.size[0], slider.size[0]) > 1000
    assert (moving.size, moving.n_frames, strip.size) == ((1280, 640), 2, (2560, 640))  # it fills a slide
    assert all("<svg" in path.read_text(encoding="utf-8")[:1000] for path in drawn.glob("*.svg"))
    captions = (drawn / "captions.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in captions
    assert captions[captions.index("## 98") :].startswith(
        "## 98 · Scratch\n\n**figure-98-1.png, figure-98-1.svg**: A line that rises by $\\sigma$.\n\n"
        "**figure-98-2.png**: Red, then blue.\n\n"
    )
