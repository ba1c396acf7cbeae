"""A page with every fault, made on purpose: the visit that the site passes must see each."""

import re

from .visit import visit
from .watch import watched_page

PAGE = r"""<!DOCTYPE html>
<title>A bad page</title>
<style>
  :root { color-scheme: light dark; }
  body { background: white; color: black; }
  .faint { color: #999; }
  @media (prefers-color-scheme: dark) { body { color: #222; background: #111; } .faint { color: white; } }
</style>
<script>setTimeout(() => { throw new Error('thrown on purpose'); });</script>
<script>console.error('said on purpose');</script>
<link rel="stylesheet" href="https://example.org/style.css">
<img src="missing.png" alt="not there">
<div style="width: 500px">wide</div>
<article>
  <p>Let $\sigma > 0$ be a noise level.</p> <p>Or \(\sigma\).</p>
  <p>Code may cost <code>$5 or $6</code>, one thing $5.</p>
  <span class="math">x^2</span>
  <p class="faint">hard to read</p>
  <p style="display: none; color: white">never seen $x$</p>
</article>
"""


def test_every_fault_of_a_page_is_seen(browser, tmp_path):
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    (seen,) = visit(browser, [(tmp_path / "page.html").as_uri()])
    assert any("thrown on purpose" in error for error in seen.errors)
    assert "console: said on purpose" in seen.errors
    assert seen.outside == ["https://example.org/style.css"]
    assert sorted(re.findall(r"(\w+\.\w+): ", "\n".join(seen.failed))) == ["missing.png", "style.css"]
    (missing,) = seen.missing
    assert missing.endswith("missing.png")
    assert seen.raw == [r"Let $\sigma > 0$ be a noise level.", r"Or \(\sigma\).", "x^2"]
    assert seen.formulas == 0
    assert 125 <= seen.overflow < 150
    assert seen.contrast["light"] == {"153,153,153 on 255,255,255: 2.8": "hard to read"}
    assert list(seen.contrast["dark"]) == ["34,34,34 on 17,17,17: 1.2"]


def test_a_picture_that_is_still_on_its_way_when_the_page_is_left_is_no_fault(browser):
    with watched_page(browser) as page:
        page.route("**/late.png", lambda route: None)
        page.set_content('<img src="http://127.0.0.1/late.png">', wait_until="commit")
        page.goto("about:blank")
