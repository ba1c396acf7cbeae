"""The page that draws, as a file; its colours and the playground's."""

import re

from matplotlib.colors import to_hex

import digits
from chapters import ROOT, pages_in
from sbgm.plots import COLOURS


def test_the_page_is_that_of_its_sources_and_of_the_network_that_ships():
    assert digits.PAGE.read_text(encoding="utf-8") == digits.page(), "run python docs/digits.py"


def test_a_slider_of_images_points_to_the_scene_that_moves():
    chapters = {page.number: page.staged() for page in pages_in(ROOT / "notebooks") if page.is_chapter}
    found = {number: text.partition("../digits.html#")[2].partition("'")[0] for number, text in chapters.items()}
    scenes = {5: "noise", 8: "noise", 9: "draw", 10: "complete", 12: "draw"}
    assert {number: scene for number, scene in found.items() if scene} == scenes


def test_the_playground_and_the_page_that_draws_have_the_colours_of_the_roles():
    css = (ROOT / "docs" / "_static" / "playground" / "playground.css").read_text(encoding="utf-8")
    light, *_ = css.split("}")
    found = dict(re.findall(r"--play-(density|score|first|second): (#\w+);", light))
    roles = {"density": COLOURS.data, "score": COLOURS.score, "first": COLOURS.wrong, "second": COLOURS.moving}
    assert found == roles
    (rgb,) = re.findall(r"AMBER = \[(.+?)\]", digits.page())
    assert to_hex([int(value) / 255 for value in rgb.split(",")]) == COLOURS.data
