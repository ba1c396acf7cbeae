"""The playground: its formulas against the package's, and its scenes as a reader uses them."""

import math
import re

import pytest
import torch

from sbgm import GaussianMixture, geometric_sigmas, paper_mixture
from sbgm.theory import half_plane_mass, langevin_variance, largest_stable_step
from scratch_site import ROOT

from .watch import PHONE, TYPESET, watched_page

SCRIPTS = ROOT / "docs" / "_static" / "playground"
SCENES = ("field", "langevin", "annealing", "draw")
EMBEDDED = {
    "01_score_functions": "field",
    "03_langevin_dynamics": "langevin",
    "04_annealed_langevin_dynamics": "annealing",
}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- formulas --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def formulas(browser):
    """A page that holds the formulas and nothing else; call it with a function of an argument, and the argument."""
    with watched_page(browser) as page:
        page.add_script_tag(path=SCRIPTS / "noise.js")
        page.add_script_tag(path=SCRIPTS / "score.js")
        yield page.evaluate


FIVE = torch.tensor([[0.1, 0.1, 0.2, 0.25, 0.35], [0.3, 1.0, 0.5, 2.0, 0.0]], dtype=torch.float64)
MIXTURES = {
    "the paper's": (paper_mixture(), [0.0, 1.0, 20.0]),
    "five of any width": (GaussianMixture(FIVE[0], 4 * normal(5, 2), FIVE[1]), [0.1, 2.0]),
    "300 points": (GaussianMixture(torch.ones(300) / 300, 4 * normal(300, 2).float(), 0.0), [0.1, 1.0, 5.0]),
}

EVALUATE = """({weights, means, stds, x, sigma}) => {
  const n = x.length / 2, logDensity = new Float64Array(n), score = new Float64Array(2 * n);
  new Score.Mixture(weights, means, stds).evaluate(Float64Array.from(x), sigma, logDensity, score);
  return [[...logDensity], [...score]];
}"""


PICTURE = """({weights, means, stds, extent, n, sigma}) =>
  [...new Score.Mixture(weights, means, stds).picture(extent, n, sigma)]"""


@pytest.mark.parametrize("name", MIXTURES)
def test_log_densities_scores_and_the_shading_are_the_packages(formulas, name):
    mixture, sigmas = MIXTURES[name]
    weights, means, stds = (value.double() for value in (mixture.weights, mixture.means, mixture.stds))
    exact = GaussianMixture(weights, means, stds)
    parts = {"weights": weights.tolist(), "means": means.flatten().tolist(), "stds": stds.tolist()}
    x = torch.cat([6 * normal(900, 2, seed=1), 40 * normal(100, 2, seed=2)])
    n = 48
    extent = 9.0
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) * 2 * extent / n - extent
    points = torch.cartesian_prod(middles.flip(0), middles).flip(1)  # rows from the top, as a picture's
    for sigma in sigmas:
        found = formulas(EVALUATE, parts | {"x": x.flatten().tolist(), "sigma": sigma})
        log_density, score = (torch.tensor(numbers).double() for numbers in found)
        torch.testing.assert_close(log_density, exact.log_prob(x, sigma), rtol=1e-6, atol=0)
        error = (score.reshape(-1, 2) - exact.score(x, sigma)).norm(dim=1) / exact.score(x, sigma).norm(dim=1)
        assert float(error.max()) < 1e-6
        picture = formulas(PICTURE, parts | {"extent": extent, "n": n, "sigma": sigma})
        density = exact.log_prob(points, sigma).exp()
        assert picture == pytest.approx((density / density.max()).tolist(), abs=1e-6)


THEORY = {
    "Noise.geometricSigmas(20, 1, 10)": pytest.approx(geometric_sigmas(20.0, 1.0, 10).tolist()),
    "Noise.geometricSigmas(20, 1, 1)": [1],
    "Score.langevinVariance(0.3, 0.25)": pytest.approx(langevin_variance(0.3, 0.25)),
    "Score.langevinVariance(4, 1)": math.inf,
    "Score.largestStableStep([10, 0.1], 1)": pytest.approx(largest_stable_step([10.0, 0.1], 1.0)),
    "Score.nearerMass(0.3, 10 * Math.SQRT2, 4)": pytest.approx(half_plane_mass(0.3, 5.0, 4.0), abs=1e-12),
}


@pytest.mark.parametrize("expression", THEORY)
def test_theory_is_the_packages(formulas, expression):
    assert formulas(expression) == THEORY[expression]


SETTLED = """([stepSize, std, sampler]) => {
  const random = new Noise.Random(1), mixture = new Score.Mixture([1], [0, 0], [std]);
  const chains = new Score.Chains(mixture.sample(20000, 0, random).map(v => 3 * v), random);
  for (let i = 0; i < 60; i++) chains[sampler](mixture, 0, stepSize);
  const mean = f => chains.x.reduce((sum, v) => sum + f(v), 0) / chains.x.length;
  return [mean(v => v), mean(v => v * v), mean(v => v ** 4)];
}"""


@pytest.mark.parametrize("sampler", ["langevin", "metropolis"])
@pytest.mark.parametrize(("step_size", "std"), [(0.5, 1.0), (2.0, 1.0), (0.3, 0.5)])
def test_langevin_dynamics_settles_where_theory_says(formulas, sampler, step_size, std):
    first, second, fourth = formulas(SETTLED, [step_size, std, sampler])
    variance = langevin_variance(step_size, std**2) if sampler == "langevin" else std**2
    assert first == pytest.approx(0, abs=4 * math.sqrt(variance / 40_000))
    assert second == pytest.approx(variance, rel=4 * math.sqrt(2 / 40_000))
    assert fourth / second**2 == pytest.approx(3, abs=4 * math.sqrt(24 / 40_000))


DIVERGES = """stepSize => {
  const random = new Noise.Random(0), mixture = new Score.Mixture([0.2, 0.8], [-5, -5, 5, 5], [1, 1]);
  const chains = new Score.Chains(Score.uniformStart(16, random), random);
  const run = new Score.Annealing(mixture, chains, Noise.geometricSigmas(10, 0.1, 10), stepSize, 400);
  while (!run.done) run.advance();
  return run.diverged;
}"""


def test_annealing_diverges_at_the_bound(formulas):
    bound = largest_stable_step(geometric_sigmas(10.0, 0.1, 10).tolist(), variance=1.0)
    assert not formulas(DIVERGES, 0.95 * bound)
    assert formulas(DIVERGES, 1.05 * bound)


# --- the page --------------------------------------------------------------------------------------------------------

DESKTOP = {"viewport": {"width": 1280, "height": 900}}


class Scene:
    """One scene, in view, by what a reader sees and presses."""

    def __init__(self, page, name):
        self.page = page
        self.root = page.locator(f".playground[data-scene={name}]")
        page.wait_for_function(TYPESET)  # until then what is below moves
        self.root.evaluate("root => root.scrollIntoView({block: 'center', behavior: 'instant'})")

    def press(self, name):
        self.root.get_by_role("button", name=name, exact=True).click()

    def control(self, label):
        return self.root.locator("label", has_text=label).locator("input, select")

    def handle(self, name):
        return self.root.get_by_role("button", name=name)

    @property
    def readout(self):
        return self.root.locator(".readout").inner_text().replace("\N{NO-BREAK SPACE}", " ")

    def number(self, pattern):
        """The number that the readout has where the pattern has a #."""
        found = re.search(re.escape(pattern).replace(r"\#", r"(−?\d+\.?\d*)"), self.readout)
        assert found, self.readout
        return float(found[1].replace("−", "-"))

    @property
    def pixels(self):
        return self.root.locator(".plane").screenshot()

    def until(self, condition):
        self.page.wait_for_function(f"root => ({condition})(root.playground)", arg=self.root.element_handle())


@pytest.fixture(scope="module")
def opened(browser, site):
    """The playground, opened once by a reader who wants no motion: nothing plays by itself."""
    with watched_page(browser, **DESKTOP, reduced_motion="reduce") as page:
        page.goto(f"{site.address}/playground.html")
        yield page


@pytest.fixture
def scene(opened, request):
    """The scene that a test is marked with, as at the start."""
    scene = Scene(opened, request.param)
    scene.press("Reset")
    return scene


def using(*names):
    return pytest.mark.parametrize("scene", names, indirect=True)


@using("langevin")
def test_play_pause_step_end_and_restart(scene):
    assert scene.root.evaluate("root => root.playground.frames") == 0
    assert scene.number("Step # of 1000") == 0
    scene.press("Step")
    assert scene.number("Step # of 1000") == 1
    scene.press("Play")
    scene.until("scene => scene.steps > 20")
    scene.press("Pause")
    steps = scene.number("Step # of 1000")
    scene.page.wait_for_timeout(100)
    assert scene.number("Step # of 1000") == steps > 20
    scene.press("End")
    ended = scene.readout
    assert scene.number("second mode: #") == pytest.approx(0.509, abs=0.06)
    assert scene.number("around the nearer mode #") == pytest.approx(1 / (1 - 0.1 / 4), abs=0.1)
    scene.root.locator("summary").click()
    scene.control("seed").fill("1")
    scene.press("End")
    assert scene.readout != ended
    scene.press("Reset")
    scene.press("End")
    assert scene.readout == ended  # the first seed


@using("annealing")
def test_annealing_gives_the_weight_and_diverges_beyond_the_bound(scene):
    scene.press("End")
    assert scene.number("second mode: #") == pytest.approx(0.785, abs=0.05)
    assert scene.number("exact at this level #") == 0.8
    shares = scene.root.evaluate("root => root.playground.shares")
    exact = [half_plane_mass(0.8, 5.0, math.hypot(1, sigma)) for sigma in geometric_sigmas(20.0, 1.0, 10).tolist()]
    assert shares == pytest.approx(exact, abs=0.07)
    scene.root.locator("summary").click()
    scene.control("last level").press("Home")
    scene.press("End")
    assert "the chains diverged" in scene.readout


@using("field")
def test_a_mode_moves_by_arrow_keys_and_by_drag_and_a_slider_by_keys(scene):
    mode = scene.handle("Second mode")
    before = scene.pixels
    mouse = scene.page.mouse
    mode.press("ArrowLeft")
    assert mode.get_attribute("aria-label").startswith("Second mode at (4.8, 5)")
    assert scene.pixels != before
    plane = scene.root.locator(".plane").bounding_box()
    ring = mode.bounding_box()
    mouse.move(ring["x"] + 14, ring["y"] + 14)
    mouse.down()
    mouse.move(plane["x"] + 0.75 * plane["width"], plane["y"] + 0.5 * plane["height"], steps=4)
    mouse.up()
    x, y = re.search(r"\((.+), (.+)\)", mode.get_attribute("aria-label").replace("−", "-")).groups()
    assert (float(x), float(y)) == pytest.approx((4, 0), abs=0.1)
    before = scene.pixels
    scene.control("noise σ").press("ArrowRight")
    assert scene.number("σ = #") == 3.05
    assert scene.pixels != before


@using("field")
def test_the_readout_at_the_cross_is_the_packages(scene):
    x = torch.zeros(1, 2)
    assert scene.number("log-density #") == pytest.approx(float(paper_mixture().log_prob(x, 3.0)), rel=1e-2)
    assert scene.number("of length #") == pytest.approx(float(paper_mixture().score(x, 3.0).norm()), rel=1e-2)


@using("draw")
def test_painted_points_are_remembered(scene):
    scene.control("begin with").select_option("nothing")
    assert scene.readout.startswith("Paint on the plane")
    for key in ("Space", "Shift+ArrowRight", "Shift+ArrowRight", "Space"):
        scene.handle("Brush").press(key)
    plane = scene.root.locator(".plane").bounding_box()
    mouse = scene.page.mouse
    mouse.move(plane["x"] + 50, plane["y"] + 50)
    mouse.down()
    mouse.move(plane["x"] + 200, plane["y"] + 50, steps=10)
    mouse.up()
    n = scene.number("# painted points")
    assert 8 <= n <= 14
    scene.press("End")
    assert scene.number("Within 3σ of a painted point: # %") >= 98
    assert scene.number("of the chains (99 % of noise around a point). # points of") == n


def test_no_scene_plays_until_play_is_pressed(browser, site):
    with watched_page(browser, **DESKTOP) as page:
        page.goto(f"{site.address}/playground.html")
        for name in SCENES:
            scene = Scene(page, name)
            page.wait_for_timeout(200)
        plane = scene.root.locator(".plane").bounding_box()
        page.mouse.click(plane["x"] + 200, plane["y"] + 50)  # what is painted is a question too
        page.wait_for_timeout(200)
        frames = page.evaluate("[...document.querySelectorAll('.playground')].map(root => root.playground.frames)")
        assert frames == [0, 0, 0, 0]
        scene = Scene(page, "annealing")
        scene.press("Play")
        scene.until("scene => scene.playing && scene.frames > 2")


def test_a_chapter_has_the_scene_of_its_slider_and_works_as_a_file(browser, site):
    for chapter, scene in EMBEDDED.items():
        path = site.folder / "notebooks" / f"{chapter}.html"
        assert re.findall(r'class="playground" data-scene="(\w+)"', path.read_text(encoding="utf-8")) == [scene]
    with watched_page(browser, **DESKTOP, reduced_motion="reduce") as page:
        page.goto(path.as_uri())
        Scene(page, scene).press("Step")


def swipe(page, start, way):
    """Draw a finger over a page, from a place, by pixels across and down, and wait until the page is at rest."""
    finger = page.context.new_cdp_session(page)
    for step in range(13):
        at = {axis: a + step / 12 * b for axis, a, b in zip("xy", start, way, strict=True)}
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove" if step else "touchStart", "touchPoints": [at]})
        page.wait_for_timeout(16)
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    top = None
    while page.evaluate("scrollY") != top:
        top = page.evaluate("scrollY")
        page.wait_for_timeout(300)


def test_a_finger_scrolls_past_the_canvas_and_paints_sideways(browser, site):
    with watched_page(browser, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        page.goto(f"{site.address}/playground.html")

        def begun():
            """Where a finger is put on the canvas, how many points are painted, and how far the page is scrolled."""
            scene = Scene(page, "draw")
            plane = scene.root.locator(".plane").bounding_box()
            at = (plane["x"] + 0.5 * plane["width"], plane["y"] + 0.8 * plane["height"])
            return at, scene.number("# painted points"), page.evaluate("scrollY")

        at, n, top = begun()
        swipe(page, at, (0, -200))
        assert page.evaluate("scrollY") > top + 100
        at, painted, top = begun()
        assert painted == n
        swipe(page, at, (100, 0))
        assert page.evaluate("scrollY") == top
        assert begun()[1] > n
