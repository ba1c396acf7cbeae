"""Chapters with sliders in JupyterLab, run and moved by a browser as by a reader."""

import re

import pytest

from .chapter import Chapter
from .latency import best_of_rounds
from .readouts import CONTROLS, READOUTS, SPOKEN

WHOLE = "01"
LATENCY_LIMIT = 100.0  # milliseconds from key press to pixels, the median


@pytest.fixture(scope="module", params=CONTROLS)
def chapter(request, browser, lab):
    """A chapter after Run All Cells: one whole, of the others, which nbval runs whole, what their sliders need."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    chapter = Chapter(request.param, lab, context, whole=request.param == WHOLE)
    chapter.run_all()
    yield chapter
    chapter.close()


@pytest.fixture(scope="module")
def explorer(chapter):
    """Its explorer, every slider moved once: until then the page rounds values that the kernel does not."""
    explorer = chapter.explorer()
    for slider in explorer.sliders.values():
        for key in ("ArrowLeft", "ArrowRight"):
            before = explorer.shown()
            slider.press(key)
            explorer.settled(before)
    return explorer


def assert_right_numbers(chapter, explorer, shown):
    """Each slider's label and the readout belong to the sliders' places."""
    controls = CONTROLS[chapter.number]
    values = {name: controls[name].value(slider.place) for name, slider in explorer.sliders.items()}
    labels = {name: float(slider.label) for name, slider in explorer.sliders.items()}
    assert labels == pytest.approx(values, rel=0.0051)
    pattern, expected = READOUTS[chapter.number](chapter, values)
    found = re.fullmatch(pattern, shown.readout)
    assert found, shown.readout
    assert [float(number) for number in found.groups()] == expected, shown.readout


def test_every_cell_runs(chapter):
    assert chapter.faults() == []


def test_nothing_pops_up_over_a_corner_of_the_page(chapter):
    """Such as Jupyter's question about news."""
    assert chapter.page.locator(".Toastify__toast").all_inner_texts() == []


def test_the_sliders_are_those_that_are_tested_here(chapter):
    assert list(chapter.explorer().sliders) == list(CONTROLS[chapter.number])


def test_those_who_cannot_see_the_figure_are_told_what_it_shows(chapter):
    assert SPOKEN[chapter.number] in chapter.explorer().spoken()


def test_a_key_moves_the_slider_by_a_step_and_picture_and_readout_follow(chapter, explorer):
    for name, control in CONTROLS[chapter.number].items():
        slider = explorer.sliders[name]
        for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
            before, place, pixels = explorer.shown(), slider.place, explorer.pixels()
            slider.press(key)
            shown = explorer.settled(before)
            step = control.step if key == "ArrowRight" else -control.step
            assert slider.place == pytest.approx(place + step, abs=1e-6), name
            assert (explorer.pixels() != pixels).any(), name
            assert_right_numbers(chapter, explorer, shown)


def test_dragging_moves_the_slider_to_the_mouse_and_picture_and_readout_follow(chapter, explorer):
    for name, control in CONTROLS[chapter.number].items():
        slider, length = explorer.sliders[name], control.last - control.first
        for fraction in control.fractions:
            before, pixels = explorer.shown(), explorer.pixels()
            slider.drag(fraction)
            shown = explorer.settled(before)
            nearest = pytest.approx(control.first + fraction * length, abs=control.step / 2 + length / 100)
            assert slider.place == nearest, name  # to a pixel: the track is 124 wide
            assert (explorer.pixels() != pixels).mean() > 0.01, name
            assert_right_numbers(chapter, explorer, shown)


@pytest.mark.slow  # whatever one does, a machine may be busier or slower than is made up for
def test_a_key_press_is_seen_within_a_tenth_of_a_second(chapter, explorer, measured):
    """The limit is for SPEED.md's machine, idle; a busy or slow one is judged by what that would take, see Latency."""
    kernel, late = chapter.kernel_process(), {}
    for name, slider in explorer.sliders.items():
        latency = best_of_rounds(explorer, slider, kernel, LATENCY_LIMIT)
        measured(f"chapter {chapter.number}, {name}: key to pixels {latency}")
        if latency.idle > LATENCY_LIMIT:
            late[name] = str(latency)
    assert late == {}


def test_nothing_went_wrong_on_the_page_and_nothing_was_asked_of_another_machine(chapter):
    """After all that was done to it above."""
    assert chapter.watch.errors == []
    assert chapter.watch.outside == []
