"""The ledger: what may enter it, the word that follows, what is kept, and how it is shown.

The machinery is tested on claims made up for it, so that no change of a claim of the paper's breaks these tests.
"""

import dataclasses
import datetime
import json
import math
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import torch

import ledger
import page
from ledger import Bound, Claim, Measurement, Record, guard, reported
from sbgm.measure import Estimate
from sbgm.measure.estimates import share

COMMITTED = ledger.load_records()
DECLARATION = ledger.declaration
SPEED = {"speed": Bound(low=5), "control: rest": Bound(high=1, control=True)}
MADE_UP = {
    "L91": Claim("L91", 3, "3.2", "chains are fast", "a clock", "at least 5", "At {speed}.", bounds=SPEED),
    "L92": Claim("L92", 4, "4.3", "chains end", "a clock", "an end", "They do.", bounds={"speed": Bound(low=5)}),
    "I91": Claim("I91", 7, "5", "images are sharp", "an eye", "at least 5", "{speed}.", images=True, bounds=SPEED),
}


def expected(label, value, **numbers):
    """A number with a bound, as `ledger.declared` makes it of one in a claim.toml."""
    return Measurement("expected", label, value, **numbers)


@pytest.fixture
def restate(monkeypatch):
    """The ledger holds the claims of MADE_UP alone; restate("L91", field=…) lets one say something else."""
    stated = dict(MADE_UP)
    monkeypatch.setattr(ledger, "claims", lambda: stated)

    def change(claim_id, **fields):
        stated[claim_id] = dataclasses.replace(stated[claim_id], **fields)

    return change


def enter(claim_id, value=9.0, **words):
    """Record a made-up claim with a value for each of its bounds."""
    numbers = {label: 0.5 if bound.control else value for label, bound in ledger.claims()[claim_id].bounds.items()}
    measurements = [ledger.declared(claim_id, label, number) for label, number in numbers.items()]
    return ledger.record(claim_id, measurements, **words)


# --- what the claims declare, and what their records were held to -----------------------------------------------------


@pytest.mark.parametrize("claim_id", COMMITTED)
def test_a_committed_record_bears_its_word_and_has_its_bounds_and_its_file(claim_id, committed):
    """Those bounds alone may lack that are measured under a condition, such as an FID at the paper's width."""
    claim, record = ledger.claims()[claim_id], COMMITTED[claim_id]
    assert ledger.word(claim, record.measurements, record.narrower) == record.status
    assert bool(claim.mark or claim.narrow) == bool(record.narrower)
    if ledger.reads(record) != ledger.WAITS:
        held = {m.label: Bound(m.low, m.high, m.yardstick) for m in record.of_kind("expected")}
        assert held == {label: b for label, b in claim.bounds.items() if label in held or not b.only}
    assert datetime.date.fromisoformat(record.day) <= datetime.date.today()
    assert re.fullmatch("[0-9a-f]{40}", record.commit)
    if "file" in record.facts:
        assert ledger.attached_file(record).is_file()


def test_the_records_that_chapters_load_ship_and_no_other(committed):
    named = set()
    for chapter in ledger.CLAIMS.parents[1].glob("notebooks/*.ipynb"):
        cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        named |= set(re.findall(r'"([SMLNIF]\d+)(?:\.\w+)?"', code))
    ships = {claim_id: claim.ships for claim_id, claim in ledger.claims().items() if claim.ships}
    assert named == set(ships)
    assert all((committed / name).is_file() for names in ships.values() for name in names)


UNLIKE = {  # bounds of L91 that are not its record's
    "another end": SPEED | {"speed": Bound(low=6)},
    "gone": {"speed": Bound(low=5)},
    "another label": {"speed of a chain": Bound(low=5), "control: rest": Bound(high=1, control=True)},
}


@pytest.mark.parametrize("case", UNLIKE)
def test_a_bound_that_is_not_its_records_waits_to_be_measured_again_on_a_new_seed(case, restate):
    ledger.save_record(dataclasses.replace(enter("L91"), seed=7))  # drawn when a seed came about in another way
    controls = {label: dataclasses.replace(bound, control=not bound.control) for label, bound in SPEED.items()}
    restate("L91", bounds=controls, measure="other words")
    assert ledger.seed("L91") == enter("L91").seed == 7
    restate("L91", bounds=UNLIKE[case], found="At {new}.")
    assert ledger.reads(ledger.load_record("L91")) == "waits to be measured again"
    records = ledger.load_records()
    told = "[L91](claims/L91/record.json) Chains are fast (§ 3.2). *Waits to be measured again*: its bounds have"
    assert f"\n- {told}" in page.ledger_page(records)
    assert "\n- L92 Chains end (§ 4.3). *Declared, and not measured yet.*\n" in page.ledger_page(records)
    assert "we found 1 waiting to be measured again." in page.count_line(records)
    seeds = {ledger.seed(claim_id) for claim_id in MADE_UP}
    assert len(seeds | {7}) == 4
    again = enter("L91")
    assert (again.seed in seeds, ledger.reads(again)) == (True, "reproduced")


# --- bounds that changed after a number was known ---------------------------------------------------------------------

CHANGES = {  # the ends of the bounds that a record had, the bounds now, and what the page calls that
    "milder": ({"speed": Bound(low=4)}, "Milder: L91."),
    "harsher": ({"speed": Bound(5, 9)}, "Harsher: L91."),
    "moved": ({"speed": Bound(4, 9)}, "Changed: L91."),
    "gone": ({"pace": Bound(low=5)}, "Changed: L91."),
    "one more": ({"speed": Bound(low=5), "control: rest": Bound(high=1, control=True)}, "Harsher: L91."),
    "the same": ({"speed": Bound(low=5)}, "None."),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_bound_that_changed_after_its_number_was_known_is_kept_with_the_record_and_listed(case, restate):
    bounds, told = CHANGES[case]
    restate("L91", bounds={"speed": Bound(low=5)})
    first = enter("L91", 8)
    restate("L91", bounds=bounds, found="It is.")
    second = enter("L91", 8)
    kept = ({"day": first.day, "bounds": {"speed": {"low": 5}}},)
    assert second.before == (() if case == "the same" else kept)
    assert ledger.load_record("L91") == second
    assert enter("L91", 8).before == second.before  # measured again by the same bounds
    assert page.changed(ledger.load_records()) == told
    assert f"Bounds that changed after a number was known. {told}" in page.ledger_page(ledger.load_records())


def test_a_claim_whose_record_replaced_one_of_other_bounds_admits_that_a_number_was_known():
    assert {i for i, record in COMMITTED.items() if record.before} <= {i for i, c in ledger.claims().items() if c.known}


# --- numbers of bounds are not typed ----------------------------------------------------------------------------------

IN_WORDS = {"10⁻⁶": "1·10⁻⁶", "kurtosis 3": "", "chapter 4": "", "λ = 1": "", "σ ≤ 0.1": ""}
"""A number that is written otherwise, and those that happen to be a bound's."""


@pytest.mark.parametrize("claim_id", ledger.claims())
def test_no_number_of_a_bound_is_typed_by_hand(claim_id):
    """It stands in braces wherever words state it, so neither can change alone; "rises" and "nearer" state none."""
    written = tomllib.loads((ledger.CLAIMS / claim_id / "claim.toml").read_text(encoding="utf-8"))
    words = re.sub(r"{.+?}", "", f"{written['expect']} {written.get('missed', '')}")
    for name, meant in IN_WORDS.items():
        words = words.replace(name, meant)
    typed = set(re.findall(r"\d[\d,.·⁰¹²³⁴⁵⁶⁷⁸⁹⁻]*(?: %)?", words))
    for label, bound in ledger.claims()[claim_id].bounds.items():
        for end in (bound.low, bound.high, (bound.high - bound.low) / 2):
            forms = {ledger.number(abs(end), 6), f"{ledger.number(abs(100 * end), 6)} %"}
            assert typed & (forms | ({ledger.number(10**end)} if "log₁₀" in label else set())) == set()


# --- numbers in words -------------------------------------------------------------------------------------------------


BOUNDS = {
    "a": Bound(0.49, 0.51),
    "b": Bound(high=0.01),
    "c": Bound(-3, 3),
    "d": Bound(0, 0),
    "e": Bound(high=1e-6),
    "log₁₀ of f": Bound(low=0.699),
}
MEASURED = {"a": (0.5131, 0.002), "b": (779, 90), "c": (8654, 13), "d": (-0.0004, 0.0022), "log₁₀ of f": (1.24, 0.15)}
MEASURED |= {"g": (-3.48e-12, None), "h": (348e9, 0), "i": (7589.3, None), "j": (4999, None), "k": (0.017742, None)}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("{a}; {b}, {c}", "0.49 to 0.51; at most 0.01, −3 to 3"),
        ("{d} switch, {e}, {log₁₀ of f}", "0 switch, at most 1·10⁻⁶, at least 5"),
        ("{end of c}, {end of b}, off by {end of a}", "3, 0.01, off by 0.01"),
        ("{b in %}, {end of b in %}", "at most 1 %, 1 %"),
    ],
)
def test_a_sentence_takes_its_numbers_from_the_bounds(words, told):
    assert ledger.filled(words, BOUNDS) == told
    with pytest.raises(KeyError, match="speed"):
        ledger.filled("{speed}", BOUNDS)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("{a} of them, {a in %}", "0.513 ± 0.004 of them, 51.3 ± 0.4 %"),
        ("{about a}, {about a in %}; {log₁₀ of f}", "0.51, 51 %; 17 (8.7 to 35)"),
        ("{b}, {c}, {d}", "780 ± 180, 8,650 ± 30, 0.000 ± 0.004"),
        ("{g}, {h}, {i}, {j}, {k}", "−3.48·10⁻¹², 3.48·10¹¹, 7,590, 4,999, 0.0177"),
    ],
)
def test_a_number_has_three_digits_or_those_that_its_error_bears(words, told):
    numbers = tuple(reported(label, value, se=se) for label, (value, se) in MEASURED.items())
    assert ledger.filled(words, Record("L91", "", numbers).numbers) == told


# --- the word ---------------------------------------------------------------------------------------------------------

UNMET = expected("rest", 0.02, high=0.01, yardstick=True)  # of a control
WORDS = {  # what was measured, and the word that it bears
    "whole": ([expected("x", 0.6, low=0.5, se=0.05)], {}, "reproduced"),
    "narrower": ([expected("x", 0.6, low=0.5, se=0.05)], {"narrower": "half the width"}, "reproduced in part"),
    "straddles": ([expected("x", 0.6, low=0.5, se=0.051)], {"narrower": "half the width"}, "inconclusive"),
    "straddles from outside": ([expected("x", 0.4, low=0.5, se=0.051)], {}, "inconclusive"),
    "misses": ([expected("x", 0.4, low=0.5, se=0.04)], {"reported": "arithmetic"}, "not reproduced"),
    "misses that of a control": ([UNMET], {}, "inconclusive"),
    "one of two": ([UNMET, expected("y", 1, high=0)], {}, "not reproduced"),
    "not a number": ([expected("x", math.nan, low=0)], {}, "not reproduced"),
    "nothing expected": ([reported("x", 1), guard("y", 1, low=0)], {}, "reported"),
    "arithmetic": ([expected("x", 1, low=0)], {"reported": "arithmetic"}, "reported"),
    "nothing that decides yet": ([reported("x", 1)], {"waits": "months"}, "waits for a GPU"),
    "waits no more": ([expected("x", 1, low=1)], {"waits": "months"}, "reproduced"),
}


@pytest.mark.parametrize("case", WORDS)
def test_the_word_follows_from_what_was_expected(case):
    measurements, options, bears = WORDS[case]
    narrower = options.pop("narrower", "")
    assert ledger.word(dataclasses.replace(MADE_UP["L91"], **options), measurements, narrower) == bears


def test_a_number_is_held_to_its_declared_bound_and_an_estimate_brings_its_standard_error(restate):
    assert ledger.declared("L91", "speed", Estimate(0.5, 0.1)) == expected("speed", 0.5, se=0.1, low=5)
    assert ledger.declared("L91", "control: rest", torch.tensor(2)) == expected(
        "control: rest", 2, high=1, yardstick=True
    )
    assert reported("x", share(9, 100)).se == pytest.approx(math.sqrt(0.09 * 0.91 / 100))


# --- entering ---------------------------------------------------------------------------------------------------------


def test_an_attached_file_is_refused_unless_it_is_the_recorded_one(results, restate):
    path = results / "L91" / "record.csv"
    path.parent.mkdir(parents=True)
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2's example
    record = Record("L91", "reproduced", (), facts={"file": "record.csv", "sha256": digest})
    path.write_bytes(b"abc")
    assert ledger.attached_file(record) == path
    for damage in (lambda: path.write_bytes(b"abd"), path.unlink):
        damage()
        with pytest.raises(ValueError, match=r"L91/record\.csv is missing or not the file that was recorded"):
            ledger.attached_file(record)


# --- the commit in which bounds were declared -------------------------------------------------------------------------


NEEDS_GIT = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def repository(tmp_path, monkeypatch, restate):
    """A repository with L91 in its first commit, and L92 in its second; git(…) is done in it."""
    home = tmp_path / "repository"
    monkeypatch.setattr(ledger, "CLAIMS", home)
    monkeypatch.setattr(ledger, "declaration", DECLARATION)

    def git(*words):
        settings = ["-c", "user.name=n", "-c", "user.email=n@n"]
        return subprocess.run(["git", "-C", home, *settings, *words], check=True, capture_output=True, text=True).stdout

    home.mkdir()
    git("init", "--quiet")
    for claim_id in ("L91", "L92"):
        (home / claim_id).mkdir()
        write("claim.toml", "1", claim_id)
        git("add", claim_id)
        git("commit", "--quiet", "--message", claim_id)
    return git


def write(name, words, claim_id="L91"):
    (ledger.CLAIMS / claim_id / name).write_text(words)


UNCOMMITTED = "claims/L91 must be committed before it is measured"


@NEEDS_GIT
@pytest.mark.parametrize("name", ["claim.toml", "measure.py"])
def test_a_declaration_is_the_last_commit_of_the_claim_and_refused_while_it_changes(repository, name, results):
    first = repository("rev-list", "--max-parents=0", "HEAD").strip()
    assert enter("L91").commit == first
    write(name, "2")
    with pytest.raises(ValueError, match=UNCOMMITTED):
        enter("L91")
    assert enter("L92").commit == repository("rev-parse", "HEAD").strip()  # another claim's change is its own
    repository("add", ".")
    repository("commit", "--quiet", "--message", "a change")
    (results / "L91" / "record.json").unlink()
    assert enter("L91").commit == repository("rev-parse", "HEAD").strip() != first


@NEEDS_GIT
def test_bounds_that_stand_were_declared_where_the_record_says_with_or_without_a_history(
    repository, restate, tmp_path, monkeypatch
):
    """In a clone of one commit, where bounds that change must be committed, and in no repository, where they wait."""
    ledger.save_record(dataclasses.replace(enter("L91"), commit="of old"))
    subprocess.run(["git", "clone", "--quiet", "--depth=1", ledger.CLAIMS.as_uri(), tmp_path / "x"], check=True)
    for folder in (tmp_path / "x", tmp_path):
        monkeypatch.setattr(ledger, "CLAIMS", folder)
        assert enter("L91").commit == "of old"
    restate("L91", bounds={"speed": Bound(low=6)})
    with pytest.raises(ValueError, match=UNCOMMITTED):
        enter("L91")
    monkeypatch.setattr(ledger, "CLAIMS", tmp_path / "x")
    write("claim.toml", "2")
    with pytest.raises(ValueError, match=UNCOMMITTED):
        enter("L91")


@NEEDS_GIT
@pytest.mark.parametrize("commit", sorted({record.commit for record in COMMITTED.values()}))
def test_the_bounds_of_a_record_stood_in_the_commit_that_it_names(commit):
    """Where that commit is at hand; else the record's hash tells of its bounds. M2's stood in its script there."""

    def git(*words):
        return subprocess.run(["git", "-C", ledger.CLAIMS, *words], capture_output=True, text=True)

    records = {claim_id: record for claim_id, record in COMMITTED.items() if record.commit == commit}
    for claim_id, record in records.items():
        under_condition = {label: b for label, b in ledger.claims()[claim_id].bounds.items() if b.only}
        bounds = under_condition | {m.label: Bound(m.low, m.high) for m in record.of_kind("expected")}
        assert ledger.bounds_hash(dataclasses.replace(MADE_UP["L91"], id=claim_id, bounds=bounds)) == record.bounds
    if git("merge-base", "--is-ancestor", commit, "HEAD").returncode != 0:
        assert git("cat-file", "-e", f"{commit}^{{commit}}").returncode != 0  # in this history, if it is anywhere
        return
    day = git("show", "--no-patch", "--format=%as", commit).stdout.strip()
    stated = {}
    for file in git("ls-tree", "-r", "--name-only", "--full-tree", commit).stdout.split("\n"):
        if file.endswith("/claims.toml"):  # all claims in one file, until 2026-12-01
            stated |= tomllib.loads(git("show", f"{commit}:{file}").stdout)
        elif file.endswith("/claim.toml"):
            stated[Path(file).parent.name] = tomllib.loads(git("show", f"{commit}:{file}").stdout)
    for claim_id, record in records.items():
        assert day <= record.day
        bounds = stated.get(claim_id, {}).get("bounds", {})
        held = {m.label: (m.low, m.high) for m in record.of_kind("expected")}
        declared = {label: (b.get("low", -math.inf), b.get("high", math.inf)) for label, b in bounds.items()}
        assert {label: declared.get(label) for label in held} == held or claim_id == "M2"


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_is_written_from_the_records_and_results_without_markers_stop_it(results, tmp_path, restate):
    entry = enter("L91", note=r"a \1 and a | bar")
    assert ledger.load_records() == {"L91": entry}
    readme = tmp_path / "docs" / "results.md"
    readme.parent.mkdir()
    readme.write_text("no <!-- /ledger --> and then <!-- ledger -->", encoding="utf-8")
    with pytest.raises(ValueError, match=r"results.md must hold the markers <!-- ledger --> and <!-- /ledger -->"):
        page.write(ledger.load_records(), tmp_path)
    assert not (results.parent / "README.md").exists()
    before, after = "# Title\n\nText “before”.\n\n", "\n\nText after.\n"
    readme.write_text(f"{before}<!-- ledger -->\n| old |\n<!-- /ledger -->{after}", encoding="utf-8")
    for _ in range(2):  # the second time changes nothing
        page.write(ledger.load_records(), tmp_path)
        counted = page.count_line({"L91": entry})
        assert readme.read_text(encoding="utf-8") == f"{before}<!-- ledger -->\n{counted}\n<!-- /ledger -->{after}"
        table = page.ledger_page({"L91": entry})
        assert (results.parent / "README.md").read_text(encoding="utf-8") == table


MISSES = expected("drift", 0.52, se=0.1, low=-0.301, high=0.301)
ROWS = {
    "whole": ([expected("met", 1, low=0)], "", {"missed": "unused", "mark": "‡"}, "● **reproduced**"),
    "a mark": ([expected("met", 1, low=0)], "60 images", {"mark": "‡"}, "◐ **in part**‡"),
    "and words": ([expected("met", 1, low=0)], "60 images", {"mark": "‡", "narrow": "few"}, "◐ **in part**‡: few"),
    "unmet": (
        [MISSES, expected("c", 5, low=6, yardstick=True)],
        "60 images",
        {"narrow": "few"},
        "✕ **not reproduced**: drift: 0.5 ± 0.2   expected −0.301 to 0.301; c: 5   expected at least 6; few",
    ),
    "a clause": ([MISSES], "", {"missed": "it is {drift}"}, "✕ **not reproduced**: it is 0.5 ± 0.2"),
}


@pytest.mark.parametrize("case", ROWS)
def test_what_is_not_whole_says_every_reason_and_a_mark_stands_for_the_commonest(case, restate):
    measurements, narrower, fields, word = ROWS[case]
    restate("L91", bounds={m.label: Bound(m.low, m.high, m.yardstick) for m in measurements}, found="|x|", **fields)
    row = page.row(ledger.record("L91", measurements, narrower=narrower))
    assert row == rf"| [L91](claims/L91/record.json) Chains are fast (§ 3.2). | At least 5. | \|x\| | {word} |"


def test_a_claim_may_be_told_in_anothers_row_an_identity_is_checked_and_a_known_number_admitted(restate):
    restate("L92", beside="L91", identity=True, known=True)
    enter("L91")
    enter("L92")
    records = ledger.load_records()
    (row,) = page.rows_of(records).values()
    claims = "[L91](claims/L91/record.json) Chains are fast (§ 3.2). [L92](claims/L92/record.json) Chains end (§ 4.3)."
    assert row == (f"| {claims} | At least 5. An end.° | At 9. They do. | L91 ● **reproduced**; L92 ● **checked** |")
    assert "For 1 of 2 rows, marked °," in page.ledger_page(records)
    assert page.count_line(records).endswith("Of the 2 not about images, we found 1 reproduced in full and 1 checked.")


PAGE = page.ledger_page(COMMITTED)


def n_words(text):
    """How many words a reader sees: what holds a letter or a digit, between spaces."""
    return len(re.findall(r"\S*[^\W_]\S*", re.sub(r"\]\([^)]*\)", "]", text)))


def test_the_page_tells_every_claim_once_those_that_carry_the_paper_first_and_explains_each_letter():
    told = re.findall(r"^- ([A-Z]\d+) |\[([A-Z]\d+)\]\(", PAGE, re.MULTILINE)
    told = [first or second for first, second in told]
    assert sorted(told) == sorted(ledger.claims())
    main = {i for i, claim in ledger.claims().items() if claim.main}
    words = {i: ledger.reads(record) for i, record in COMMITTED.items()}
    decided = {i for i, word in words.items() if word in page.DECIDED}
    assert {i for i, word in words.items() if word == "not reproduced"} <= main
    assert {*told[: len(main & decided)]} == main & decided
    assert {*told[: len(decided)]} == decided
    for letter, meaning in ledger.LETTERS.items():
        assert PAGE.count(f"{letter}: {meaning}") == 1
    assert list(ledger.claims()) == sorted(told, key=lambda i: ("SMLNIF".index(i[0]), int(i[1:])))


def test_the_head_is_read_in_a_minute_the_tables_in_ten_and_no_cell_is_a_paragraph():
    head, _, body = PAGE.partition("\n## ")
    assert n_words(head) <= 280
    assert n_words(body) <= 1_350
    cells = [cell for line in body.splitlines() for cell in re.split(r"(?<!\\)\|", line) if "---" not in cell]
    assert [cell for cell in cells if n_words(cell) > 45] == []


def test_the_count_tells_points_from_images(restate):
    bounds = {claim_id: ledger.bounds_hash(claim) for claim_id, claim in MADE_UP.items()}
    words = {"L91": "reproduced", "L92": "waits for a GPU", "I91": "reproduced in part"}
    records = {i: Record(i, status, (), bounds=bounds[i]) for i, status in words.items()}
    assert page.count_line(records) == (
        "The ledger has 3 statements of the paper. Of the 2 not about images, we found 1 reproduced in full and 1 "
        "waiting for a GPU. Of the 1 about images, we found 1 reproduced in part."
    )
