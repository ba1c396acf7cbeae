"""The page that draws: its network and its step against the package's, and its scenes as a reader uses them."""

import pytest
import torch

import digits
import sbgm

from .watch import watched_page

READY = "!document.body.classList.contains('waiting')"
NETWORK = sbgm.load_network("own_network").eval().requires_grad_(False)
SIGMAS = NETWORK.sigmas.tolist()
IMAGE = (1, 1, 28, 28)
RIGHT = torch.arange(28).expand(1, 28, 28) < 14  # True where a pixel is known


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def opened(browser):
    """The page, opened as a file, on a narrow phone, by a reader who wants no motion."""
    viewport = {"width": 360, "height": 780}
    with watched_page(browser, viewport=viewport, has_touch=True, reduced_motion="reduce") as page:
        page.goto(digits.PAGE.as_uri())
        page.wait_for_function(READY)
        said(page, "Five completions are drawn.")
        yield page


def said(page, words):
    """Wait until the page has said these words to a screen reader."""
    page.wait_for_function("words => document.getElementById('status').textContent === words", arg=words)


def picture(page, name):
    """A canvas as it is, and what it is said to show."""
    return page.locator(name).evaluate("canvas => [canvas.toDataURL(), canvas.getAttribute('aria-label')]")


# --- the network and its step ----------------------------------------------------------------------------------------

SCORE = """async ({x, sigma, label, w}) => [...await Page.ask({x: Float32Array.from(x), sigma, label, w})]"""


@pytest.mark.parametrize("sigma", [5.0, 0.5, 0.02])
@pytest.mark.parametrize(("label", "w"), [(10, 1.0), (3, 1.0), (8, 3.0)])
def test_the_score_is_the_packages(opened, sigma, label, w):
    x = NETWORK.mean + sigma * normal(*IMAGE)
    found = opened.evaluate(SCORE, {"x": x.flatten().tolist(), "sigma": sigma, "label": label, "w": w})
    exact = sbgm.guided(NETWORK.double(), torch.tensor([label]), w)(x.double(), sigma)
    NETWORK.float()
    error = (torch.tensor(found).double().reshape(IMAGE) - exact).abs().max()
    assert error < 2e-6 * exact.abs().max()


CHAIN = """async ({sigmas, mean, known, kicks, z, label, w}) => {
  const noise = z.map(image => Float32Array.from(image)), normals = () => noise.shift();
  const score = (x, sigma) => Page.ask({x, sigma, label, w}), ends = [];
  for await (const {x} of Digits.chain({score, sigmas, mean, known, kicks, normals})) ends.push([...x]);
  return ends.pop();
}"""


@pytest.mark.parametrize("known", [None, RIGHT])
@pytest.mark.parametrize(("n_levels", "kicks"), [(30, 1.0), (8, 0.5)])
def test_a_whole_draw_from_the_same_noise_is_pytorchs(opened, known, n_levels, kicks):
    """Chapter 8's step where nothing is known, and chapter 10's."""
    z = normal(n_levels + 1, *IMAGE)
    sigmas = sbgm.geometric_sigmas(SIGMAS[0], SIGMAS[-1], n_levels).tolist()
    image = sbgm.load_images("mnist_small", "test")[6]
    mask = torch.zeros(1, 28, 28, dtype=torch.bool) if known is None else known
    score = sbgm.guided(NETWORK, torch.tensor([9]), 3.0)
    x = torch.where(mask, image, NETWORK.mean) + sigmas[0] * z[0]
    for sigma, following, noise in zip(sigmas, [*sigmas[1:], 0.0], z[1:], strict=True):
        guess = torch.where(mask, image, x + sigma**2 * score(x, sigma))
        x = guess + kicks * following * noise
    pixels = zip(image.flatten().tolist(), mask.flatten().tolist(), strict=True)
    asked = {"sigmas": sigmas, "mean": NETWORK.mean, "kicks": kicks, "label": 9, "w": 3.0}
    asked["known"] = [value if is_known else None for value, is_known in pixels]
    found = opened.evaluate(CHAIN, asked | {"z": z.flatten(1).tolist()})
    torch.testing.assert_close(torch.tensor(found).reshape(IMAGE), x, rtol=0, atol=1e-4)


# --- the page --------------------------------------------------------------------------------------------------------


def test_a_digit_is_drawn_by_the_keyboard_and_its_levels_are_looked_at(opened):
    opened.get_by_label("Draw a 7").press("Enter")
    said(opened, "A 7 is drawn, in 30 levels.")
    assert opened.get_by_label("Draw a 7").get_attribute("aria-pressed") == "true"
    end, words = picture(opened, "#guess")
    assert words == "The network's guess at a 7 at σ = 0"
    opened.get_by_role("slider", name="noise level").press("Home")
    begin, words = picture(opened, "#seen")
    assert (begin != end, words) == (True, "What the network sees, a 7 to be, with noise σ = 5")
    opened.get_by_role("slider", name="number of levels").press("Home")
    said(opened, "A 7 is drawn, in 2 levels.")
    opened.get_by_role("slider", name="number of levels").press("PageUp")
    opened.get_by_role("button", name="Draw all ten").press("Enter")
    opened.wait_for_function("document.getElementById('status').textContent.startsWith('A 9 is drawn')")


def test_a_sample_is_completed_by_the_keyboard(opened):
    opened.get_by_role("button", name="Sample digit").press("Enter")
    said(opened, "The pad has a sample digit.")
    before = picture(opened, ".fills canvas:last-child")[0]
    opened.get_by_label("hidden half").select_option("left")
    opened.get_by_label("as a").select_option("5")
    opened.get_by_role("button", name="Complete it five times").press("Enter")
    said(opened, "Five completions are drawn.")
    after, words = picture(opened, ".fills canvas:last-child")
    assert (after != before, words) == (True, "Completion 5, noise σ = 0")


def test_a_finger_draws_and_the_guess_follows_the_drawing_and_the_noise(opened):
    opened.get_by_role("button", name="Clear").tap()
    said(opened, "The pad is empty.")
    opened.locator("#pad").tap()
    dot, words = picture(opened, "#pad")
    assert words == "Your drawing"
    opened.get_by_role("button", name="Sample digit").tap()
    sample, words = picture(opened, "#pad")
    assert (sample != dot, words) == (True, "A sample digit")
    opened.locator("#pad").tap()
    assert picture(opened, "#pad") == [dot, "Your drawing"]  # the sample has given way
    assert opened.evaluate("[scrollX, document.documentElement.scrollWidth]") == [0, 360]
    opened.get_by_role("slider", name="noise σ").press("End")
    opened.wait_for_function("document.getElementById('denoised').getAttribute('aria-label').endsWith('σ = 5')")


@pytest.mark.parametrize("lacks", ["scripts", "workers"])
def test_a_browser_that_lacks_what_the_page_needs_says_so(browser, lacks):
    with browser.new_context(java_script_enabled=lacks != "scripts") as context:
        page = context.new_page()
        page.add_init_script("delete window.Worker")
        page.goto(digits.PAGE.as_uri())
        page.get_by_text("This page needs JavaScript").wait_for(state="visible")
        assert not page.get_by_role("button").first.is_visible()
