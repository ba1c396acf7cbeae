"""A slider whose kernel is gone says what to do, instead of moving under a picture that stays."""

import pytest

from .chapter import OPEN_SECONDS, Chapter

SECONDS = 300
WORDS = "run this cell again"
SAID = "() => getComputedStyle(document.querySelector('.sbgm-explorer'), '::before').content"


@pytest.fixture
def chapter(browser, lab):
    """Chapter 1's slider in a page of its own, run and saved."""
    chapter = Chapter("01", lab, browser.new_context(viewport={"width": 1280, "height": 1000}), whole=False)
    chapter.run_all()
    yield chapter
    chapter.close()


def wait_until_said(chapter: Chapter) -> None:
    """Wait for the line above the sliders, which the page's style adds."""
    chapter.page.wait_for_selector("img.sbgm-figure", timeout=1e3 * OPEN_SECONDS)
    chapter.page.wait_for_function(f"() => ({SAID})().includes('{WORDS}')", timeout=1e3 * SECONDS)


def test_a_slider_without_its_kernel_says_to_run_the_cell_again(chapter):
    page = chapter.page
    assert WORDS not in page.evaluate(SAID)

    page.keyboard.press("Escape")
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.locator(".lm-Menu-item", has_text="Restart Kernel…").first.click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    wait_until_said(chapter)

    chapter.run_all()
    assert WORDS not in page.evaluate(SAID)

    chapter.reopen()  # as on the next day: the server has ended the kernel, the file keeps what was seen
    wait_until_said(chapter)
    assert page.locator("img.sbgm-figure").evaluate("image => image.naturalWidth") > 300
