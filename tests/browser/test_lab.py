"""Chapters with sliders in JupyterLab, run and moved by a browser as by a reader."""

import itertools
import statistics

import ipywidgets
import pytest

from sbgm.widgets import annealing_explorer, langevin_explorer, score_field_explorer

from .chapter import Chapter

WHOLE = "01"
N_PRESSES = 15
LATENCY_LIMIT = 100.0  # milliseconds from key press to pixels, the median
# From the time stamp of the key's event, until the new picture is decoded and a frame begins that draws it.
LISTEN = """image => {
  let pressed = NaN;
  addEventListener('keydown', event => { pressed = event.timeStamp }, {capture: true, once: true});
  window.keyToPixels = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error('no new picture in 20 s')), 20000);
    new MutationObserver((changes, observer) => {
      observer.disconnect();
      image.decode().then(() => requestAnimationFrame(() => resolve(performance.now() - pressed)), reject);
    }).observe(image, {attributeFilter: ['src']});
  });
}"""
EXPLORERS = {"01": score_field_explorer, "03": langevin_explorer, "04": annealing_explorer, "08": None}
# Words of the text for readers who cannot see the figure.
SPOKEN = {"01": "score field", "03": "Langevin chains", "04": "annealed cloud", "08": "several fills"}
READOUT_IN_KERNEL = """import gc
from sbgm.widgets import FigureExplorer
print(*(found.readout.value for found in gc.get_objects() if type(found) is FigureExplorer))"""


@pytest.fixture(scope="module", params=EXPLORERS)
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


@pytest.fixture(scope="module")
def twin(chapter):
    """The chapter's explorer in this process; of chapter 8, whose images only its kernel has, the slider alone."""
    if make := EXPLORERS[chapter.number]:
        return make()
    return ipywidgets.VBox([ipywidgets.IntSlider(29, min=1, max=29, description="step")])


def sliders_of(twin):
    """Its sliders by name, each with the first and the last place and the distance of two."""
    found = {}
    for control in twin.children:
        if isinstance(control, ipywidgets.SelectionSlider):
            found[control.description] = control, 0, len(control.options) - 1, 1
        elif hasattr(control, "step"):
            found[control.description] = control, control.min, control.max, control.step
    return found


def assert_right_numbers(chapter, twin, explorer, shown):
    """Each slider's label is the number at its place, and the readout is the twin's there, or the kernel's own."""
    for name, (control, *_) in sliders_of(twin).items():
        place = explorer.sliders[name].place
        if isinstance(control, ipywidgets.SelectionSlider):
            control.index = round(place)
        else:
            control.value = 10**place if isinstance(control, ipywidgets.FloatLogSlider) else type(control.value)(place)
        assert float(explorer.sliders[name].label) == pytest.approx(control.value, rel=0.0051), name
    in_kernel = EXPLORERS[chapter.number] is None
    expected = chapter.run_in_kernel(READOUT_IN_KERNEL).strip() if in_kernel else twin.readout.value
    assert shown.readout == expected


def test_every_cell_runs(chapter):
    assert chapter.faults() == []


def test_nothing_pops_up_over_a_corner_of_the_page(chapter):
    """Such as Jupyter's question about news."""
    assert chapter.page.locator(".Toastify__toast").all_inner_texts() == []


def test_the_sliders_are_those_that_are_tested_here(chapter, twin):
    assert list(chapter.explorer().sliders) == list(sliders_of(twin))


def test_those_who_cannot_see_the_figure_are_told_what_it_shows(chapter):
    assert SPOKEN[chapter.number] in chapter.explorer().spoken()


def test_a_key_moves_the_slider_by_a_step_and_picture_and_readout_follow(chapter, twin, explorer):
    for name, (_, _, _, step) in sliders_of(twin).items():
        slider = explorer.sliders[name]
        for key, way in (("ArrowLeft", -step), ("ArrowLeft", -step), ("ArrowRight", step)):
            before, place, pixels = explorer.shown(), slider.place, explorer.pixels()
            slider.press(key)
            shown = explorer.settled(before)
            assert slider.place == pytest.approx(place + way, abs=1e-6), name
            assert (explorer.pixels() != pixels).any(), name
            assert_right_numbers(chapter, twin, explorer, shown)


def test_dragging_moves_the_slider_to_the_mouse_and_picture_and_readout_follow(chapter, twin, explorer):
    for name, (_, first, last, step) in sliders_of(twin).items():
        slider, length = explorer.sliders[name], last - first
        for fraction in (0.7, 0.2):
            before, pixels = explorer.shown(), explorer.pixels()
            slider.drag(fraction)
            shown = explorer.settled(before)
            nearest = pytest.approx(first + fraction * length, abs=step / 2 + length / 100)
            assert slider.place == nearest, name  # to a pixel: the track is 124 wide
            assert (explorer.pixels() != pixels).mean() > 0.01, name
            assert_right_numbers(chapter, twin, explorer, shown)


@pytest.mark.slow  # on an idle machine, no slower than SPEED.md's
def test_a_key_press_is_seen_within_a_tenth_of_a_second(chapter, explorer, measured):
    medians = {}
    for name, slider in explorer.sliders.items():
        times = []
        for key in itertools.islice(itertools.cycle(("ArrowLeft", "ArrowRight")), N_PRESSES):
            explorer.page.wait_for_timeout(150)
            explorer.picture.evaluate(LISTEN)
            slider.press(key)
            times.append(explorer.page.evaluate("() => window.keyToPixels"))
        medians[name] = statistics.median(times)
        measured(f"chapter {chapter.number}, {name}: key to pixels, median {medians[name]:.0f} ms")
    assert max(medians.values()) <= LATENCY_LIMIT


def test_nothing_went_wrong_on_the_page_and_nothing_was_asked_of_another_machine(chapter):
    """After all that was done to it above."""
    assert chapter.watch.errors == []
    assert chapter.watch.outside == []
