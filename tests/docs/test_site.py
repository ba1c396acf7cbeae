"""The site, built once: every chapter and page is there, links and pictures lead somewhere, and nothing is fetched."""

import ast
import inspect
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from test_site_pages import FORMULAS, resolve

import sbgm
from claims import claims, load_records
from notebooks import found, place
from sbgm.measure.records import results_folder
from scratch_site import built_once
from test_environment import imported, requirements, third_party

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = found()
PAGES = (
    "index", "chapters", "formulas", "ledger", "gallery", "instructors", "search",
    "notebooks/glossary", "notebooks/troubleshooting", "api/index", "api/command_line", "data/README",
    "data/weights/README", "data/results/SPEED", "using", "own_images", "term_project", "limits",
    "playground",
)  # fmt: skip


class Page(HTMLParser):
    """What a page's HTML says of itself.

    Attributes:
        ids: what a link's fragment can lead to.
        links: targets of <a>.
        next: the target of the link to the page that follows, "" on the last one.
        images: (src, alt) of each <img>.
        prose: its text outside code, formulas and scripts.
        details: the tags and classes within each <details>.
    """

    VOID = ("img", "meta", "link", "input", "br", "hr", "source", "wbr", "path", "use", "line", "circle", "rect")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids, self.links, self.images = set(), [], []
        self.prose, self.details, self.next = "", [], ""
        self._open: list[tuple[str, bool]] = []  # tags, and whether they hold code, a formula or a script
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        classes = given.get("class", "").split()
        self.ids.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
            self.next = given["href"] if "next-page" in classes else self.next
        if tag == "img":
            self.images.append((given["src"], given.get("alt", "")))
        if tag == "details":
            self.details.append([])
        if any(name == "details" for name, _ in self._open):
            self.details[-1] += [tag, *classes]
        if tag not in self.VOID:
            is_code = tag in ("script", "style", "pre", "code", "title") or bool({"math", "sig"} & set(classes))
            self._open.append((tag, is_code))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(hidden for _, hidden in self._open):
            self.prose += data


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The site's folder."""
    return built_once(tmp_path_factory)


@pytest.fixture(scope="session")
def pages(html):
    """Every page by its path below the site's folder."""
    return {path.relative_to(html).as_posix(): Page(path) for path in html.rglob("*.html")}


def test_the_extra_names_what_the_build_imports():
    own = {path.stem for folder in ("docs", "notebooks/lab") for path in (ROOT / folder).glob("*.py")}
    allowed = requirements("docs").keys()
    assert {name for name, homes in third_party(imported("docs") - own).items() if not homes & allowed} == set()


def test_every_chapter_and_page_is_there(pages):
    wanted = {html_of(path) for path in CHAPTERS} | {f"{page}.html" for page in PAGES}
    assert wanted <= pages.keys()


def html_of(path: Path) -> str:
    """A notebook's page."""
    return f"notebooks/{place(path).with_suffix('.html').as_posix()}"


def test_every_link_within_the_site_leads_to_a_page_and_to_a_place_on_it(html, pages):
    broken = []
    for name, page in pages.items():
        for link in page.links:
            target, _, fragment = link.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            path = (html / name).parent / unquote(target) if target else html / name
            if not path.is_file():
                broken.append(f"{name}: {link}")
            elif fragment and path.suffix == ".html":
                found = pages[path.resolve().relative_to(html.resolve()).as_posix()]
                if unquote(fragment) not in found.ids:
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


def test_what_a_chapter_may_hold_is_shown(html, pages):
    page = pages["notebooks/99_scratch.html"]
    (details,) = page.details
    assert {"summary", "math", "highlight-python"} <= set(details)
    chapter = next(path.stem for path in CHAPTERS if path.name.startswith("04"))
    assert page.links.count(f"{chapter}.html") == 2  # the sidebar's, and the text's one mention outside code
    assert "../data/README.html" in page.links
    assert any(link.endswith("/LICENSE") and link.startswith("../_downloads/") for link in page.links)
    assert r"+ \sqrt{c}\; d;" in (html / "notebooks" / "99_scratch.html").read_text(encoding="utf-8")


def test_a_notebook_in_a_folder_below_is_a_page_with_its_figures_and_claims(pages):
    page = pages["notebooks/lab/99_below.html"]
    chapter = next(path.stem for path in CHAPTERS if path.name.startswith("03"))
    assert f"../{chapter}.html" in page.links
    assert "../99_scratch.html" in page.links
    assert "figure-lab-99-1" in page.ids
    assert "notebooks/lab/99_below.html#figure-lab-99-1" in pages["gallery.html"].links
    assert "notebooks/lab/99_below.html" in pages["ledger.html"].links
    assert "Evidence" in pages["index.html"].prose
    assert "ledger.html#claim-l3" in pages["chapters.html"].links


def test_a_notebook_offers_itself_and_its_source(html, pages):
    for path in CHAPTERS:
        page = html_of(path)
        for suffix in ("ipynb", "txt"):
            (link,) = (link for link in pages[page].links if link.endswith(f"{path.stem}.{suffix}"))
            file = (html / page).parent / link
            if suffix == "ipynb":
                assert file.read_bytes() == path.read_bytes()
            else:
                cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
                text = file.read_text(encoding="utf-8-sig")
                assert [cell for cell in cells if "".join(cell["source"]) not in text] == []


def test_pages_follow_each_other_in_the_order_of_reading(html, pages):
    order, name = [], "index.html"
    while name not in order:
        order.append(name)
        following = ((html / name).parent / pages[name].next).resolve()
        name = following.relative_to(html.resolve()).as_posix() if pages[name].next else name
    chapters = [html_of(path) for path in CHAPTERS if path.parent.name == "notebooks"]
    labs = [html_of(path) for path in CHAPTERS if path.parent.name == "lab"]
    scratch = ["notebooks/99_scratch.html"], ["notebooks/lab/99_below.html"]
    begin = [f"{page}.html" for page in ("index", "chapters", "playground", "using", "own_images", "term_project")]
    begin += [*chapters, *scratch[0]]
    assert order[: len(begin)] == begin
    evidence, ledger = ["ledger.html", *labs, *scratch[1]], order.index("ledger.html")
    assert order[ledger : ledger + len(evidence)] == evidence
    listed = [
        name for name in pages if not name.startswith("_modules") and name not in ("search.html", "genindex.html")
    ]
    assert set(listed) == set(order)


def test_every_function_and_class_leads_to_its_source(html):
    heads = re.compile(
        r'<dl class="py (?:function|class|exception|method)">\s*<dt [^>]*id="([^"]+)">(.*?)</dt>', re.DOTALL
    )
    texts = [path.read_text(encoding="utf-8") for path in (html / "api").glob("*.html")]
    found = {name: "../_modules/" in head for text in texts for name, head in heads.findall(text)}
    assert len(found) > 300
    assert [name for name in found if not found[name]] == ["sbgm.checked.require_generator"]  # made by `instance_of`


def test_the_ledger_shows_every_claim_with_every_measurement(pages):
    ledger = pages["ledger.html"]
    words = typed(ledger.prose)
    for claim_id, claim in claims().items():
        assert f"claim-{claim_id.lower()}" in ledger.ids
        assert typed(claim.claim) in words
    for record in load_records(results_folder()).values():
        for measurement in record.measurements:
            assert typed(measurement.label) in words, (record.id, measurement.label)


def typed(words: str) -> str:
    """Words as one types them, with straight quotation marks and single spaces."""
    return re.sub(r"[\"'“”‘’]", "'", " ".join(words.split()))


def test_the_gallery_shows_every_figure_and_leads_to_it(pages):
    expected, files = {}, {}
    for path in CHAPTERS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [o for cell in cells for o in cell.get("outputs", [])]
        expected[html_of(path)] = sum("image/png" in output.get("data", {}) for output in outputs)
        files[html_of(path)] = sum("".join(c["source"]).count("![") for c in cells if c["cell_type"] == "markdown")
    gallery = pages["gallery.html"]
    assert len(gallery.images) == sum(expected.values()) + 1 > 50  # and the scratch notebook's
    for name, n in expected.items():
        assert sum(link.startswith(f"{name}#figure-") for link in gallery.links) == n
        assert len(pages[name].images) == n + files[name]


def test_the_reference_documents_every_public_name(pages):
    ids = reference_ids(pages)
    values = {name: getattr(sbgm, name) for name in sbgm.__all__ if name not in ("cli", "course")}
    modules = {value for value in values.values() if inspect.ismodule(value)}
    wanted = {f"{value.__module__}.{name}" for name, value in values.items() if value not in modules}
    for module in modules:
        assert f"api/{module.__name__}.html" in pages
        assert f"module-{module.__name__}" in ids
        exported = {inner: getattr(module, inner) for inner in getattr(module, "__all__", ())}
        wanted |= {f"{module.__name__}.{e}" for e, v in exported.items() if inspect.isclass(v) or inspect.isfunction(v)}
    assert wanted - ids == set()


def test_the_reference_documents_what_chapters_import_and_formulas_name(pages):
    nodes = [node for path in CHAPTERS for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
             if cell["cell_type"] == "code" for node in ast.walk(ast.parse("".join(cell["source"])))]  # fmt: skip
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module.startswith("sbgm.")]
    names = {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    names |= {name for formula in FORMULAS for name in formula["names"] if name.count(".") > 1 and name[5].islower()}
    names = {name for name in names if callable(resolve(name))}
    rooms = {name: ".".join([*name.split(".")[:2], name.split(".")[-1]]) for name in names}  # may export it
    assert len(names) > 50
    assert [name for name in names if not {name, rooms[name]} & reference_ids(pages)] == []


def reference_ids(pages) -> set[str]:
    """What a link into the reference can lead to."""
    return set().union(*(page.ids for name, page in pages.items() if name.startswith("api/")))


def test_signatures_have_types_that_one_can_read(html):
    marked = {path.stem: path.read_text(encoding="utf-8") for path in (html / "api").glob("*.html")}
    texts = {name: re.sub(r"<[^>]+>", "", text) for name, text in marked.items()}
    assert [name for name, text in texts.items() if " at 0x" in text] == []
    assert "sigma_max: Positive" in texts["sbgm.noise"]
