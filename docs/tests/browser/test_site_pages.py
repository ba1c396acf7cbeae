"""Every page of the site, opened in a browser as on a phone."""

import json
from pathlib import Path

import pytest

from scratch_site import ROOT

from .watch import PHONE, TYPESET, Watch, watched_page

VISIT = Path(__file__).with_name("visit.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def visits(browser, site):
    """What `visit.js` and `Watch` met on each page, by its address."""
    seen = {}
    with browser.new_context(viewport=PHONE) as context:
        watch = Watch(context)
        page = context.new_page()
        for path in sorted(site.folder.rglob("*.html")):
            address = f"{site.address}/{path.relative_to(site.folder).as_posix()}"
            watch.begin_anew()
            page.goto(address, wait_until="load")
            page.wait_for_function(TYPESET)
            met = page.evaluate(VISIT)
            seen[address] = met | {"errors": watch.errors, "failed": watch.failed, "outside": watch.outside}
    return seen


@pytest.mark.parametrize("fault", ["errors", "failed", "outside", "missing", "raw", "overflow"])
def test_no_page_has_a_fault(visits, fault):
    """Errors, requests that fail or go to another machine, missing figures, raw formulas, a page wider than a phone."""
    assert {address: seen[fault] for address, seen in visits.items() if seen[fault]} == {}


def test_formulas_are_typeset(visits):
    assert sum(seen["formulas"] for seen in visits.values()) > 500


@pytest.mark.parametrize("width", [375, 1280])
def test_a_line_of_code_too_wide_for_its_column_goes_on_below_and_is_copied_as_it_is(browser, site, width):
    name = "notebooks/04_annealed_langevin_dynamics"
    source = [cell["source"] for cell in json.loads((ROOT / f"{name}.ipynb").read_text("utf-8"))["cells"]]
    with watched_page(browser, viewport={"width": width, "height": 900}) as page:
        page.goto(f"{site.address}/{name}.html")
        blocks = page.locator(".cell_input pre")
        joined = "\n\n\n".join("".join(lines) for lines in source)  # as folds in a row are
        assert [block for block in blocks.all_text_contents() if block.rstrip("\n") not in joined] == []
        assert max(map(len, "\n".join(blocks.all_text_contents()).splitlines())) > 100
        assert blocks.evaluate_all("all => all.filter(code => code.scrollWidth > code.clientWidth).length") == 0


@pytest.mark.parametrize(
    ("words", "title"), [("RePaint", "Inpainting"), ("stability", "Formulas"), ("bound", "Formulas")]
)
def test_search_finds_a_page(browser, site, words, title):
    with watched_page(browser) as page:
        page.goto(f"{(site.folder / 'search.html').as_uri()}?q={words}")
        page.locator("#search-results li").first.wait_for()
        assert title in " ".join(page.locator("#search-results li").all_inner_texts())


def test_a_figure_is_a_link_to_itself_and_a_film_stops_and_goes_on(browser, site):
    address = f"{site.address}/notebooks/04_annealed_langevin_dynamics.html"
    with watched_page(browser) as page:
        page.goto(address)
        figure = page.locator("a.whole").first
        assert figure.get_attribute("href") == figure.locator("img").evaluate("image => image.src")
        film = page.locator("button.film").first
        for shown in ("canvas", "img"):
            film.click()
            assert film.locator(":scope > *").evaluate_all("all => all.map(e => e.localName)") == [shown]
    with watched_page(browser, reduced_motion="reduce") as page:
        page.goto(address)
        page.locator("button.film canvas").first.wait_for()
        assert page.locator("button.film img").count() == 0


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
