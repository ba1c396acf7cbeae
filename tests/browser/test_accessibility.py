"""WCAG 2.2, levels A and AA, as far as axe-core can tell, on a page of each kind."""

import pytest

from scratch_site import built_once

from .visit import TYPESET

PAGES = ("index", "notebooks/01_score_functions", "api/sbgm.noise", "playground")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")

# What is not looked at, and why.
EXCLUDED = {"mjx-container": "MathJax's own elements, thousands on a page; test_site_pages looks at the formulas"}


@pytest.fixture(scope="module")
def violations(browser):
    """Call it with an open page, and rules or their tags: serious and critical violations, each with an element."""
    from axe_playwright_python.sync_playwright import Axe  # only where there is a browser

    def of(page, *rules):
        options = {"runOnly": rules or RULES, "resultTypes": ["violations"]}
        found = Axe().run(page, context={"exclude": [[selector] for selector in EXCLUDED]}, options=options)
        return {
            violation["id"]: violation["nodes"][0]["html"]
            for violation in found.response["violations"]
            if violation["impact"] in ("serious", "critical")
        }

    return of


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_serious_violation(browser, tmp_path_factory, violations, name):
    context = browser.new_context(color_scheme="light", reduced_motion="reduce")
    page = context.new_page()
    page.goto((built_once(tmp_path_factory) / f"{name}.html").as_uri())
    page.wait_for_function(TYPESET)
    assert violations(page) == {}
    page.emulate_media(color_scheme="dark")
    assert violations(page, "color-contrast") == {}
    context.close()


def test_violations_are_found(browser, violations):
    context = browser.new_context()
    page = context.new_page()
    page.set_content('<title>Bad</title><button></button><input><p style="color: #aaa; background: #fff">faint</p>')
    assert violations(page).keys() >= {"button-name", "color-contrast", "html-has-lang", "label"}
    context.close()
