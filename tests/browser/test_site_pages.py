"""Every page of the site, opened in a browser as on a phone, by day and by night."""

import json

import pytest

from scratch_site import ROOT

from .visit import visit
from .watch import watched_page


@pytest.fixture(scope="module")
def visits(browser, site):
    """What was met on each page, by its address."""
    pages = sorted(page.relative_to(site.folder).as_posix() for page in site.folder.rglob("*.html"))
    addresses = [f"{site.address}/{page}" for page in pages]
    return dict(zip(addresses, visit(browser, addresses), strict=True))


def met(visits, attribute):
    """What is not empty of an attribute of the visits, by address."""
    return {address: value for address, seen in visits.items() if (value := getattr(seen, attribute))}


def test_nothing_goes_wrong_on_a_page(visits):
    assert met(visits, "errors") == {}


def test_all_that_a_page_asks_for_is_there_and_on_this_machine(visits):
    assert met(visits, "failed") == {}
    assert met(visits, "outside") == {}


def test_every_figure_is_shown(visits):
    assert met(visits, "missing") == {}


def test_every_formula_is_typeset(visits):
    assert met(visits, "raw") == {}
    assert sum(seen.formulas for seen in visits.values()) > 500


def test_no_page_is_wider_than_a_phone(visits):
    assert met(visits, "overflow") == {}


@pytest.mark.parametrize("width", [375, 1280])
def test_a_line_of_code_too_wide_for_its_column_goes_on_below_and_is_copied_as_it_is(browser, site, width):
    name = "notebooks/04_annealed_langevin_dynamics"
    source = [cell["source"] for cell in json.loads((ROOT / f"{name}.ipynb").read_text("utf-8"))["cells"]]
    with watched_page(browser, viewport={"width": width, "height": 900}) as page:
        page.goto(f"{site.address}/{name}.html")
        blocks = page.locator(".cell_input pre")
        assert set(blocks.all_text_contents()) <= {"".join(lines).rstrip("\n") for lines in source}
        assert max(map(len, "\n".join(blocks.all_text_contents()).splitlines())) > 100
        assert blocks.evaluate_all("all => all.filter(code => code.scrollWidth > code.clientWidth).length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(visits, scheme):
    assert {address: seen.contrast[scheme] for address, seen in visits.items() if seen.contrast[scheme]} == {}


def test_a_page_opened_as_a_file_is_whole(browser, site):
    with watched_page(browser) as page:
        page.goto((site.folder / "notebooks" / "01_score_functions.html").as_uri())
        page.wait_for_selector("mjx-container")


def test_search_finds_a_page(browser, site):
    with watched_page(browser) as page:
        page.goto((site.folder / "search.html").as_uri() + "?q=RePaint")
        assert "Inpainting" in page.locator("#search-results li").first.inner_text()


def test_a_copied_example_is_without_prompts_and_outputs(browser, site):
    with watched_page(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(f"{site.address}/api/sbgm.samplers.html")
        example = page.locator(".doctest", has_text="mixture, g = sbgm.paper_mixture()").first
        example.hover()
        example.locator("button.copybtn").click()
        page.wait_for_selector("button.copybtn.success")
        copied = page.evaluate("navigator.clipboard.readText()")
        shown = example.locator("pre").inner_text().splitlines()
    assert copied.splitlines() == [line.removeprefix(">>> ") for line in shown if line.startswith(">>> ")]
