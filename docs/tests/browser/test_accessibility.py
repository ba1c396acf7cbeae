"""WCAG 2.2, levels A and AA, as far as axe-core can tell, on a page of each kind."""

import pytest

from .watch import TYPESET, watched_page

PAGES = ("index", "notebooks/01_score_functions", "api/sbgm.noise", "playground", "digits")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")


def violations(page, *rules):
    """Serious and critical violations of an open page, each with an element; of some rules or tags, or all.

    MathJax's own elements, of which a page has thousands, are left out: test_site_pages looks at the formulas.
    """
    from axe_playwright_python.sync_playwright import Axe  # only where there is a browser

    options = {"runOnly": rules or RULES, "resultTypes": ["violations"]}
    found = Axe().run(page, context={"exclude": [["mjx-container"]]}, options=options)
    return {
        violation["id"]: violation["nodes"][0]["html"]
        for violation in found.response["violations"]
        if violation["impact"] in ("serious", "critical")
    }


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_serious_violation(browser, site, name):
    with watched_page(browser, color_scheme="light", reduced_motion="reduce") as page:
        page.goto(f"{site.address}/{name}.html")
        page.wait_for_function(TYPESET)
        assert violations(page) == {}
        page.emulate_media(color_scheme="dark")
        assert violations(page, "color-contrast") == {}


def test_violations_are_found(browser):
    bad = '<title>Bad</title><button></button><input><p style="color: #aaa; background: #fff">faint</p>'
    with watched_page(browser) as page:
        page.set_content(bad)
        assert violations(page).keys() >= {"button-name", "color-contrast", "html-has-lang", "label"}
