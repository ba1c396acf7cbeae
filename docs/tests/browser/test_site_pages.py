"""Every page of the site, opened in a browser as on a phone."""

import json
from pathlib import Path

import pytest

from scratch_site import ROOT

from .watch import PHONE, TYPESET, Watch, watched_page

VISIT = Path(__file__).with_name("visit.js").read_text(encoding="utf-8")


def test_no_page_has_a_fault_on_a_phone(browser, site):
    """Errors, requests that fail or go to another machine, missing figures, raw formulas, a page wider than a phone."""
    faults = []
    n_formulas = 0
    with browser.new_context(viewport=PHONE) as context:
        watch = Watch(context)
        page = context.new_page()
        for path in sorted(site.folder.rglob("*.html")):
            address = f"{site.address}/{path.relative_to(site.folder).as_posix()}"
            watch.begin_anew()
            page.goto(address, wait_until="load")
            page.wait_for_function(TYPESET)
            met = page.evaluate(VISIT)
            n_formulas += met.pop("formulas")
            met |= {"errors": watch.errors, "failed": watch.failed, "outside": watch.outside}
            faults += [(address, fault, seen) for fault, seen in met.items() if seen]
    assert faults == []
    assert n_formulas > 500


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


def test_search_finds_a_page(browser, site):
    with watched_page(browser) as page:
        page.goto(f"{(site.folder / 'search.html').as_uri()}?q=stability")
        page.locator("#search-results li").first.wait_for()
        assert "Formulas" in " ".join(page.locator("#search-results li").all_inner_texts())


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
