"""The page that draws, as a file."""

import digits
from chapters import ROOT, pages_in


def test_the_page_is_that_of_its_sources_and_of_the_network_that_ships():
    assert digits.PAGE.read_text(encoding="utf-8") == digits.page(), "run python docs/digits.py"


def test_a_slider_of_images_points_to_the_scene_that_moves():
    chapters = {page.number: page.staged() for page in pages_in(ROOT / "notebooks") if page.is_chapter}
    found = {number: text.partition("../digits.html#")[2].partition("'")[0] for number, text in chapters.items()}
    scenes = {5: "noise", 8: "noise", 9: "draw", 10: "complete", 12: "draw"}
    assert {number: scene for number, scene in found.items() if scene} == scenes
