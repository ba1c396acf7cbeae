"""The chapters' sliders in JupyterLab, run and moved by a browser as by a reader."""

import ipywidgets
import nbformat
import pytest
from nbformat.v4 import new_code_cell

from notebooks import NOTEBOOKS, all_notebooks
from open_lab import refresh
from sbgm.widgets import annealing_explorer, score_field_explorer

from .lab import HAVE_RUN, Explorer, OpenNotebook

CHAPTER = all_notebooks()[1]


# By words of the text for readers who cannot see the figure: of chapters 1 and 4. The others are of the same class.
EXPLORERS = {"score field": score_field_explorer, "annealed cloud": annealing_explorer}
# After the chapter's own cells: the other chapter's explorer.
OTHER = "from sbgm.widgets import annealing_explorer\nannealing_explorer()"


@pytest.fixture(scope="module")
def notebook(browser, lab):
    """Chapter 1 with the other explorer at its end, without its outputs, after Run All Cells."""
    notebook = nbformat.read(CHAPTER, as_version=4)
    notebook.cells.append(new_code_cell(OTHER))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, lab.notebooks / CHAPTER.name)
    notebook = OpenNotebook(CHAPTER.name, lab, browser.new_context(viewport={"width": 1280, "height": 1000}))
    notebook.run_all()
    yield notebook
    notebook.end()
    notebook.page.context.close()


@pytest.fixture(scope="module", params=EXPLORERS)
def words(request):
    return request.param


@pytest.fixture(scope="module")
def explorer(notebook, words):
    return Explorer(notebook.page, words)


@pytest.fixture(scope="module")
def twin(words):
    """The explorer in this process."""
    return EXPLORERS[words]()


def sliders_of(twin):
    """Its sliders by name; each counts in positions of its list."""
    controls = twin.controls.values()
    return {control.description: control for control in controls if isinstance(control, ipywidgets.SelectionSlider)}


def assert_all_follow(explorer, twin, name, move, least=0.0):
    """Move a slider: its label and the readout are the twin's at its place, and more pixels are others."""
    slider = explorer.sliders[name]
    control = sliders_of(twin)[name]
    pixels = explorer.pixels()
    before = explorer.picture.get_attribute("src")
    move(slider)
    control.index = slider.place
    explorer.wait(twin.readout.value, before)
    assert slider.label == control.label, name
    assert (explorer.pixels() != pixels).mean() > least, name


def test_nothing_pops_up_over_a_corner_of_the_page(notebook):
    """Such as Jupyter's question about news."""
    assert notebook.page.locator(".Toastify__toast").all_inner_texts() == []


def test_the_sliders_are_those_that_are_tested_here(explorer, twin):
    assert list(explorer.sliders) == list(sliders_of(twin))


def test_a_key_moves_the_slider_by_a_step_and_picture_and_readout_follow(explorer, twin):
    for name, slider in explorer.sliders.items():
        there = ("ArrowLeft", -1)
        back = ("ArrowRight", 1)
        if slider.place == 0:
            there, back = back, there
        for key, way in (there, there, back):
            place = slider.place
            assert_all_follow(explorer, twin, name, lambda slider, key=key: slider.press(key))
            assert slider.place == place + way, name


def test_dragging_moves_the_slider_to_the_mouse_and_picture_and_readout_follow(explorer, twin):
    for name, control in sliders_of(twin).items():
        last = len(control.options) - 1
        for fraction in (0.7, 0.2):
            assert_all_follow(explorer, twin, name, lambda slider, to=fraction: slider.drag(to), least=0.01)
            nearest = pytest.approx(fraction * last, abs=0.5 + last / 100)
            assert explorer.sliders[name].place == nearest, name  # to a pixel: the track is 124 wide


def test_a_number_that_is_typed_moves_the_slider_to_the_nearest_and_picture_and_readout_follow(explorer, twin):
    for name, control in sliders_of(twin).items():
        slider = explorer.sliders[name]
        before = explorer.picture.get_attribute("src")
        control.index = 1 if slider.place != 1 else 2
        following = control.options[control.index + 1][1]
        slider.type(str(0.8 * control.value + 0.2 * following))
        explorer.wait(twin.readout.value, before)  # the handle waits for the kernel, too
        assert (slider.place, slider.label) == (control.index, control.label), name


def test_a_long_readout_goes_on_in_the_next_line(notebook, explorer):
    notebook.page.set_viewport_size({"width": 800, "height": 1000})
    notebook.page.wait_for_timeout(500)
    cut_off = explorer.is_cut_off()
    notebook.page.set_viewport_size({"width": 1280, "height": 1000})
    assert not cut_off


def test_nothing_went_wrong_on_the_page_and_nothing_was_asked_of_another_machine(notebook):
    """After all that was done to it above."""
    assert notebook.watch.errors == []
    assert notebook.watch.outside == []


# --- a kernel that is gone --------------------------------------------------------------------------------------------

HINT = "choose Run > Run All Above Selected Cell, then run this cell"
SAID = "getComputedStyle(document.querySelector('.sbgm-explorer'), '::before')"


def wait_until_said(page, *, said):
    """Wait for the line above the sliders, which the page's style adds, or until it is gone."""
    page.wait_for_selector("img.sbgm-figure")
    page.wait_for_function(f"() => {SAID}.content.includes('{HINT}') === {str(said).lower()}")


def test_a_slider_without_its_kernel_says_what_to_run_and_that_brings_it_back(notebook):
    page = notebook.page
    wait_until_said(page, said=False)
    notebook.choose("Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    wait_until_said(page, said=True)
    readout = page.locator(".sbgm-readout").first
    assert page.evaluate(f"{SAID}.fontFamily") == readout.evaluate("text => getComputedStyle(text).fontFamily")

    cell = page.locator(".jp-CodeCell", has=page.locator(".sbgm-explorer")).first
    cell.locator(".jp-InputArea-editor").click()
    notebook.choose("Run", "Run All Above Selected Cell")
    notebook.choose("Run", "Run Selected Cell")
    wait_until_said(page, said=False)
    page.wait_for_function(f"() => {HAVE_RUN}")  # a key that is pressed before may be lost
    explorer, twin = Explorer(page, "score field"), score_field_explorer()
    assert_all_follow(explorer, twin, "σ", lambda slider: slider.press("ArrowRight"))

    notebook.reopen()  # as on the next day: the server has ended the kernel, the file keeps what was seen
    wait_until_said(page, said=True)
    assert page.locator("img.sbgm-figure").first.evaluate("image => image.naturalWidth") > 300


# --- a chapter that was only opened -----------------------------------------------------------------------------------


def test_a_chapter_that_was_only_opened_has_nothing_to_save(browser, lab):
    work = lab.notebooks / "work"
    refresh(NOTEBOOKS, work)
    place = f"{work.name}/{CHAPTER.name}"
    with browser.new_context() as context:
        notebook = OpenNotebook(place, lab, context)
        notebook.page.wait_for_timeout(2_000)  # for what Lab adds after the kernel has answered
        assert notebook.page.locator(".jp-mod-dirty").count() == 0
        notebook.choose("File", "Close Tab")
        notebook.page.wait_for_selector(".jp-Notebook", state="detached")  # and no question stood in the way
        notebook.end()
