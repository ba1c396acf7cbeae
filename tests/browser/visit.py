"""A visit to pages of the site on a phone, in daylight and at night, and everything that was met there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .watch import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PHONE = {"width": 375, "height": 812}
HERE = Path(__file__).resolve().parent
TYPESET = "() => !window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"


class Visit(NamedTuple):
    """What was met on a page.

    Attributes:
        errors, failed, outside: see Watch.
        missing: addresses of images that did not load.
        raw: formulas that are not typeset, or wrongly.
        formulas: how many are.
        overflow: pixels that the page is wider than the screen.
        contrast: pairs of colours that can't be read, by the colour scheme, "light" or "dark", each with an example.
    """

    errors: list[str]
    failed: list[str]
    outside: list[str]
    missing: list[str]
    raw: list[str]
    formulas: int
    overflow: int
    contrast: dict[str, dict[str, str]]


def visit(browser: Browser, addresses: Iterable[str]) -> Iterator[Visit]:
    """Open one page after the other, as a reader does, and look at everything on each."""
    context = browser.new_context(viewport=PHONE)
    watch = Watch(context)
    page = context.new_page()
    for address in addresses:
        watch.begin_anew()
        page.emulate_media(color_scheme="light")
        page.goto(address, wait_until="load")
        page.wait_for_function(TYPESET)
        met = page.evaluate((HERE / "visit.js").read_text(encoding="utf-8"))
        contrast = {}
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            contrast[scheme] = page.evaluate((HERE / "contrast.js").read_text(encoding="utf-8"))
        yield Visit(watch.errors, watch.failed, watch.outside, contrast=contrast, **met)
    context.close()
