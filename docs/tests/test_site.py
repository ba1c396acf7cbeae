"""The site, built once: every chapter and page is there, links and pictures lead somewhere, and nothing is fetched."""

import inspect
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup

import sbgm
from chapters import plain
from ledger import claims, load_records
from notebooks import ANSWER_TAG, FOLDED_TAG, all_notebooks, read, tags_of
from scratch_site import built_once

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = all_notebooks()
PAGES = (
    "results", "formulas", "instructors",
    "notebooks/glossary", "notebooks/reading", "notebooks/troubleshooting", "api/index", "data/README",
    "data/weights/README", "data/results/SPEED", "limits", "gpu", "authors_code",
)  # fmt: skip


class Page:
    """What a page's HTML says of itself.

    Attributes:
        ids: what a link's fragment can lead to.
        links: targets of <a>.
        next: the target of the link to the page that follows, "" on the last one.
        images: (src, alt) of each <img>.
        prose: its text outside code, formulas and scripts.
    """

    def __init__(self, path: Path) -> None:
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        self.ids = {tag["id"] for tag in page.find_all(id=True)}
        self.links = [tag["href"] for tag in page.find_all("a", href=True)]
        self.next = "".join(tag["href"] for tag in page.select("a.next-page"))
        self.images = [(tag["src"], tag.get("alt", "")) for tag in page.find_all("img")]
        for tag in page.select("script, style, pre, code, title, .math, .sig"):
            tag.decompose()
        self.prose = page.get_text()


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The site's folder."""
    return built_once(tmp_path_factory).resolve()


@pytest.fixture(scope="session")
def pages(html):
    """Every page by its path below the site's folder."""
    return {path.relative_to(html).as_posix(): Page(path) for path in html.rglob("*.html")}


def html_of(path: Path) -> str:
    """A notebook's page."""
    return f"{path.parent.name}/{path.stem}.html"


def test_every_link_within_the_site_leads_to_a_page_and_to_a_place_on_it(html, pages):
    broken = []
    for name, page in pages.items():
        for link in (link for link in page.links if not re.match(r"[a-z]+:", link)):
            target, _, fragment = map(unquote, link.partition("#"))
            path = ((html / name).parent / target).resolve() if target else html / name
            to = pages.get(path.relative_to(html).as_posix())
            if not path.is_file() or (fragment and to is not None and fragment not in to.ids):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_every_picture_says_what_it_shows_in_plain_words(pages):
    images = [(name, source, alt) for name, page in pages.items() for source, alt in page.images]
    assert len(images) > 100
    assert [image for image in images if len(image[2]) < 10 or re.search(r"[$\\]|\*\*", image[2])] == []


def test_no_markup_is_left_in_the_text(pages):
    marks = re.compile(r"\$\$|\\(?:mathbf|sigma|frac|nabla)|<details|```|\*\*")
    found = {name: marks.search(page.prose) for name, page in pages.items()}
    assert {name: mark[0] for name, mark in found.items() if mark} == {}


def test_code_that_only_draws_is_folded(html):
    """And the imports, with which a notebook's code begins."""
    for path in CHAPTERS:
        first, *others = (cell for cell in read(path).cells if cell.cell_type == "code")
        folded = [first, *(cell for cell in others if FOLDED_TAG in tags_of(cell))]
        page = BeautifulSoup((html / html_of(path)).read_text(encoding="utf-8"), "html.parser")
        shown = "".join(tag.get_text() for tag in page.select("details .cell_input pre"))
        assert without_spaces(shown) == without_spaces("".join(cell.source for cell in folded)), path.stem


def test_a_chapter_opens_with_a_picture_and_no_fold_above_it(html):
    for path in all_notebooks():
        above, opening, _ = (html / html_of(path)).read_text(encoding="utf-8").partition('class="opening')
        if path.name[0].isdigit() and not path.name.startswith("10"):  # whose film is made with the student's function
            assert opening, path.stem
            assert "<details" not in above, path.stem


def without_spaces(text: str) -> str:
    """Text without white space."""
    return "".join(text.split())


def test_what_answers_a_guess_is_folded(pages):
    for path in CHAPTERS:
        n_answers = sum(ANSWER_TAG in tags_of(cell) for cell in read(path).cells)
        assert pages[html_of(path)].prose.count("You guessed? Show it") == n_answers, path.stem


def test_the_caption_of_a_folded_picture_is_in_its_fold(html):
    page = BeautifulSoup((html / "notebooks/04_annealed_langevin_dynamics.html").read_text("utf-8"), "html.parser")
    (caption,) = [tag for tag in page.select("p.figure-caption") if tag.get_text().startswith("This is our Figure 3")]
    assert "above-output" in caption.find_parent("details")["class"]


def test_plain_words_have_the_signs_that_one_types():
    assert (
        plain(r"*With $\alpha\propto\sigma^2$ (dashed)*, $\varepsilon=0.2\,\sigma_L^2$")
        == "With α ∝ σ^2 (dashed), ε=0.2 σ_L^2"
    )
    assert plain(r"[PSNR](a.md): $-10\log_{10}\hat{\mathbf x}$, $\sqrt D/\sigma$ of **1{,}000**") == (
        "PSNR: -10 log_10 x, √D/σ of 1,000"
    )


def test_a_notebook_offers_itself(html, pages):
    for path in CHAPTERS:
        page = html_of(path)
        (own,) = (link for link in pages[page].links if link.endswith(f"{path.stem}.ipynb"))
        assert ((html / page).parent / own).read_bytes() == path.read_bytes()


def test_every_page_is_there_in_the_order_of_reading(html, pages):
    order = []
    name = "index.html"
    while name not in order:
        order.append(name)
        following = ((html / name).parent / pages[name].next).resolve()
        name = following.relative_to(html).as_posix() if pages[name].next else name
    chapters = [html_of(path) for path in all_notebooks()]
    first = order.index(chapters[0])
    assert order[first : first + len(chapters)] == chapters
    assert {f"{page}.html" for page in PAGES} <= {*order}
    apart = {"search.html", "genindex.html", "digits.html"} | {name for name in pages if name.startswith("_modules")}
    assert pages.keys() - apart == {*order}


def test_the_ledger_shows_every_claim_and_offers_its_record(pages):
    words = typed(pages["evidence/README.html"].prose)
    records = load_records()
    assert [i for i in records if typed(claims()[i].claim[1:]) not in words] == []
    offered = {link for link in pages["evidence/README.html"].links if link.endswith(".json")}
    assert len(offered) == len(records)


def typed(words: str) -> str:
    """Words as one types them, with straight quotation marks and single spaces."""
    return re.sub(r"[\"'“”‘’]", "'", " ".join(words.split()))


def test_the_reference_documents_every_public_name(pages):
    ids = reference_ids(pages)
    values = {name: getattr(sbgm, name) for name in dir(sbgm) if name not in ("apps", "images")}
    modules = {value for value in values.values() if inspect.ismodule(value)}
    missing = {f"{value.__module__}.{name}" for name, value in values.items() if value not in modules} - ids
    for module in modules:
        assert f"api/{module.__name__}.html" in pages
        assert f"module-{module.__name__}" in ids
        exported = {inner: getattr(module, inner) for inner in getattr(module, "__all__", ())}
        for name, value in exported.items():
            if inspect.isclass(value) or inspect.isfunction(value):  # by the name of its file, or of its room
                by_file = f"{value.__module__}.{name}"
                by_room = f"{module.__name__}.{name}"
                if by_file not in ids and by_room not in ids:
                    missing.add(name)
    assert missing == set()


def reference_ids(pages) -> set[str]:
    """What a link into the reference can lead to."""
    return set().union(*(page.ids for name, page in pages.items() if name.startswith("api/")))


def test_signatures_have_types_that_one_can_read(html):
    marked = {path.stem: path.read_text(encoding="utf-8") for path in (html / "api").glob("*.html")}
    texts = {name: re.sub(r"<[^>]+>", "", text) for name, text in marked.items()}
    assert [name for name, text in texts.items() if " at 0x" in text] == []
    assert "sigma_max: Positive" in texts["sbgm.noise"]
