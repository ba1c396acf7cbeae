"""The chapters' sliders in JupyterLab, run and moved by a browser as by a reader."""

import ipywidgets
import nbformat
import pytest

from notebooks import NOTEBOOKS, all_notebooks
from open_lab import refresh
from sbgm.widgets import score_field_explorer

from .lab import HAVE_RUN, Explorer, OpenNotebook

CHAPTER = all_notebooks()[1]


@pytest.fixture(scope="module")
def notebook(browser, lab):
    """Chapter 1, without its outputs, after Run All Cells."""
    notebook = nbformat.read(CHAPTER, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, lab.notebooks / CHAPTER.name)
    notebook = OpenNotebook(CHAPTER.name, lab, browser.new_context(viewport={"width": 1280, "height": 1000}))
    notebook.run_all()
    yield notebook
    notebook.end()
    notebook.page.context.close()


@pytest.fixture(scope="module")
def explorer(notebook):
    return Explorer(notebook.page, "score field")


@pytest.fixture(scope="module")
def twin():
    """The explorer in this process."""
    return score_field_explorer()


def sliders_of(twin):
    """Its sliders by name; each counts in positions of its list."""
    controls = twin.controls.values()
    return {control.description: control for control in controls if isinstance(control, ipywidgets.SelectionSlider)}


def assert_all_follow(explorer, twin, name, key):
    """Press a key on a slider: its label and the readout are the twin's at its place, and the picture is another."""
    slider = explorer.sliders[name]
    control = sliders_of(twin)[name]
    pixels = explorer.pixels()
    before = explorer.picture.get_attribute("src")
    slider.press(key)
    control.index = slider.place
    explorer.wait(twin.readout.value, before)
    assert slider.label == control.label, name
    assert (explorer.pixels() != pixels).any(), name


def test_a_key_moves_the_slider_by_a_step_and_picture_and_readout_follow(explorer, twin):
    assert list(explorer.sliders) == list(sliders_of(twin))
    for name, slider in explorer.sliders.items():
        there = ("ArrowLeft", -1)
        back = ("ArrowRight", 1)
        if slider.place == 0:
            there, back = back, there
        for key, way in (there, there, back):
            place = slider.place
            assert_all_follow(explorer, twin, name, key)
            assert slider.place == place + way, name


def test_a_long_readout_goes_on_in_the_next_line(notebook, explorer):
    notebook.page.set_viewport_size({"width": 600, "height": 1000})
    notebook.page.wait_for_timeout(500)
    cut_off = explorer.is_cut_off()
    notebook.page.set_viewport_size({"width": 1280, "height": 1000})
    assert not cut_off


def test_nothing_went_wrong_on_the_page_and_nothing_was_asked_of_another_machine(notebook):
    """After all that was done to it above; nothing popped up, such as Jupyter's question about news."""
    assert notebook.page.locator(".Toastify__toast").all_inner_texts() == []
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
    assert_all_follow(explorer, twin, "σ", "ArrowRight")

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
