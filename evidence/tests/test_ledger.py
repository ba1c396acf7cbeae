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
from ledger import Bound, Claim, Measurement, Record, guard, reported, settle
from sbgm.measure import Estimate
from sbgm.measure.estimates import share

COMMITTED = ledger.load_records()
DECLARATION = ledger.declaration
CLAIM = Claim("X1", "1", "a claim", "measure", "expect", "found")
SPEED = {"speed": Bound(low=5), "control: rest": Bound(high=1, control=True)}
MADE_UP = {
    "L91": Claim("L91", "3.2", "chains are fast", "a clock", "at least 5", "At {speed}.", bounds=SPEED),
    "L92": Claim("L92", "4.3", "chains end", "a clock", "an end", "They do.", bounds={"speed": Bound(low=5)}),
    "I91": Claim("I91", "5", "images are sharp", "an eye", "at least 5", "{speed}.", images=True, bounds=SPEED),
}


def expected(label, value, **numbers):
    """A number with a bound, as `ledger.declared` makes it of one in a claim.toml."""
    return Measurement("expected", label, value, **numbers)


@pytest.fixture
def restate(monkeypatch):
    """The ledger holds the claims of MADE_UP alone; restate("L91", bounds, field=…) lets one say something else."""
    stated = dict(MADE_UP)
    monkeypatch.setattr(ledger, "claims", lambda: stated)

    def change(claim_id, bounds=None, **fields):
        if bounds is not None:
            fields["bounds"] = bounds
        stated[claim_id] = dataclasses.replace(stated[claim_id], **fields)

    return change


def enter(claim_id, value=9.0, **words):
    """Settle a made-up claim with a value for each of its bounds."""
    numbers = {label: 0.5 if bound.control else value for label, bound in ledger.claims()[claim_id].bounds.items()}
    return settle(claim_id, [ledger.declared(claim_id, label, number) for label, number in numbers.items()], **words)


# --- what the claims declare, and what their records were held to -----------------------------------------------------


def test_every_claim_says_where_what_and_how():
    for claim in ledger.claims().values():
        assert all((claim.section, claim.claim, claim.measure, claim.expect, claim.found))


@pytest.mark.parametrize("claim_id", COMMITTED)
def test_a_committed_record_bears_its_word_and_has_its_bounds_and_its_file(claim_id, committed):
    """Those bounds alone may lack that are measured under a condition, such as an FID at the paper's width."""
    claim, record = ledger.claims()[claim_id], COMMITTED[claim_id]
    assert ledger.word(claim, record.measurements, record.narrower) == record.status
    assert ledger.reads(record) in (record.status, ledger.WAITS)
    if ledger.reads(record) != ledger.WAITS:
        held = {m.label: Bound(m.low, m.high, m.yardstick) for m in record.of_kind("expected")}
        assert held == {label: b for label, b in claim.bounds.items() if label in held or not b.only}
    assert datetime.date.fromisoformat(record.day) <= datetime.date.today()
    assert re.fullmatch("[0-9a-f]{40}", record.commit)
    if "file" in record.facts:
        assert ledger.attached_file(record).is_file()


def test_records_come_in_the_papers_order_whatever_else_the_folder_holds(tmp_path, restate):
    for claim_id in ("I91", "L92", "L91"):
        ledger.save_record(Record(claim_id, "reproduced", (reported("x", 1.0),)), tmp_path)
    (tmp_path / "overview.png").write_bytes(b"")
    (tmp_path / "X9").mkdir()
    assert list(ledger.load_records(tmp_path)) == ["L91", "L92", "I91"]
    assert ledger.load_records(tmp_path / "missing") == {}
    assert sorted(["F1", "I2", "L10", "L9", "M4", "S1"], key=ledger._turn) == ["S1", "M4", "L9", "L10", "I2", "F1"]


UNLIKE = {  # bounds of L91 that are not its record's
    "another end": SPEED | {"speed": Bound(low=6)},
    "gone": {"speed": Bound(low=5)},
    "one more": SPEED | {"length": Bound(low=1)},
    "another label": {"speed of a chain": Bound(low=5), "control: rest": Bound(high=1, control=True)},
}


@pytest.mark.parametrize("case", UNLIKE)
def test_a_bound_that_is_not_its_records_waits_to_be_measured_again_on_every_page(case, restate):
    record = ledger.save_record(enter("L91"))
    assert ledger.reads(record) == "reproduced"
    restate("L91", UNLIKE[case])
    waits = ledger.current_records()
    assert "*Waits to be measured again*: " in ledger.ledger_page(waits)
    assert ledger.count_line(waits).endswith("Of the 1 not about images, we found 1 waiting to be measured again.")
    assert str(ledger.settle_again("L91")) == "L91 waits to be measured again"
    again = enter("L91")
    assert ledger.current_records() == {"L91": again}
    assert ledger.reads(again) == again.status == "reproduced"


def test_what_waits_is_told_without_a_number_and_what_is_not_measured_by_its_name(restate):
    records = {"L91": enter("L91")}
    restate("L91", SPEED | {"new": Bound(low=1)}, found="The share at π = ½ is {new}.")
    page = ledger.ledger_page(records)
    told = "[L91](claims/L91/record.json) Chains are fast (§ 3.2). *Waits to be measured again*: its bounds have"
    assert f"\n- {told}" in page
    assert "\n- L92 Chains end (§ 4.3). *Declared, and not measured yet.*\n" in page


def test_a_records_seed_is_the_seed_while_its_bounds_stand_and_a_changed_bound_changes_it(restate):
    before = {claim_id: ledger.seed(claim_id) for claim_id in MADE_UP}
    assert len(set(before.values())) == 3
    record = enter("L91")
    assert (record.seed, record.bounds) == (before["L91"], ledger.bounds_hash(MADE_UP["L91"]))
    ledger.save_record(dataclasses.replace(record, seed=7))  # drawn when a seed came about in another way
    assert ledger.seed("L91") == enter("L91").seed == 7
    controls = {label: dataclasses.replace(bound, control=not bound.control) for label, bound in SPEED.items()}
    restate("L91", controls, measure="other words", expect="other words")
    assert ledger.seed("L91") == 7
    seeds = [*before.values(), 7]
    for other in (SPEED | {"speed": Bound(low=6)}, SPEED | {"speed": Bound(5, 7)}, {"speed": SPEED["speed"]}):
        restate("L91", other)
        seeds.append(ledger.seed("L91"))
        assert ledger.seed("L92") == before["L92"]
    assert len(set(seeds)) == len(seeds)


STATED = {
    "a": Bound(0.49, 0.51),
    "b": Bound(low=0.699),
    "b, too": Bound(low=0.699),
    "c": Bound(high=0.01),
    "d": Bound(-3, 3),
    "e": Bound(0.78, 0.8),
    "f": Bound(0, 0),
    "g": Bound(-0.301, 0.301),
    "h": Bound(high=1e-6),
}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("{a} or {b}; {c}, {d}", "0.49 to 0.51 or at least 0.699; at most 0.01, −3 to 3"),
        ("{e}, {h}, {end of h}", "0.78 to 0.8, at most 10⁻⁶, 10⁻⁶"),
        ("{end of d}, {end of c}, above {end of b}, off by {end of a}", "3, 0.01, above 0.699, off by 0.01"),
        ("{10^b} times, {10^g}", "at least 5 times, 0.5 to 2"),
        ("{c in %}, {end of c in %}", "at most 1 %, 1 %"),
        ("{f} switch, {10^end of g}", "0 switch, 2"),
        ("{b*}", "at least 0.699"),
    ],
)  # fmt: skip
def test_a_sentence_takes_its_numbers_from_the_bounds(words, told):
    assert ledger.with_bounds(words, STATED) == told


@pytest.mark.parametrize("named", ["speed", "b, *, *", "*"])
def test_a_sentence_that_names_no_bound_or_unlike_ones_is_refused(named):
    with pytest.raises(ValueError, match="must name one bound, or bounds that are alike, got '" + re.escape(named)):
        ledger.with_bounds(f"within {{{named}}}", STATED)


WRITTEN = {
    file.parent.name: tomllib.loads(file.read_text(encoding="utf-8")) for file in ledger.CLAIMS.glob("*/claim.toml")
}
IN_WORDS = {"twofold": "2", "fourfold": "4", "factor of two": "factor of 2", "10⁻⁶": "1e-06", "−": "-"}
NO_BOUNDS = {"S6": "kurtosis 3", "S7": "kurtosis 3", "L6": "chapter 4", "N1": "λ = 1", "N2": "σ ≤ 0.1"}
"""Numbers in `expect` that happen to be those of a bound."""


@pytest.mark.parametrize("claim_id", ledger.claims())
def test_no_number_of_a_bound_is_typed_by_hand(claim_id):
    """It stands in braces wherever words state it, so neither can change alone; "rises" and "nearer" state none."""
    written = WRITTEN[claim_id]
    words = re.sub(r"{.+?}", "", f"{written['expect']} {written.get('missed', '')}")
    words = words.replace(NO_BOUNDS.get(claim_id, "nothing"), "")
    for name, number in IN_WORDS.items():
        words = words.replace(name, number)
    typed = set(re.findall(r"\d[\d.e-]*(?: %)?", words))
    for label, bound in ledger.claims()[claim_id].bounds.items():
        sides = {abs(side) for side in (bound.low, bound.high, (bound.high - bound.low) / 2) if math.isfinite(side)}
        factors = {10**side for side in sides} if label.startswith("log₁₀") else set()
        assert typed & {f"{number:g}" for number in sides} == set()
        assert typed & {f"{100 * number:g} %" for number in sides} == set()
        assert typed & {f"{number:.3g}" for number in factors} == set()


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
    "without error, on the bound": ([expected("x", 1, low=1, high=1)], {}, "reproduced"),
    "not a number": ([expected("x", math.nan, low=0)], {}, "not reproduced"),
    "infinite": ([expected("x", math.inf, high=0)], {}, "not reproduced"),
    "nothing expected": ([reported("x", 1), guard("y", 1, low=0)], {}, "reported"),
    "arithmetic": ([expected("x", 1, low=0)], {"reported": "arithmetic"}, "reported"),
    "nothing that decides yet": ([reported("x", 1)], {"waits": "months"}, "waits for a GPU"),
    "waits no more": ([expected("x", 1, low=0)], {"waits": "months"}, "reproduced"),
    "guards decide nothing": ([expected("x", 1, low=0), guard("y", 1, low=2)], {}, "reproduced"),
}


@pytest.mark.parametrize("case", WORDS)
def test_the_word_follows_from_what_was_expected(case):
    measurements, options, bears = WORDS[case]
    narrower = options.pop("narrower", "")
    assert ledger.word(dataclasses.replace(CLAIM, **options), measurements, narrower) == bears


def test_a_number_is_held_to_its_declared_bound_and_an_estimate_brings_its_standard_error(restate):
    assert ledger.declared("L91", "speed", Estimate(0.5, 0.1)) == expected("speed", 0.5, se=0.1, low=5)
    assert ledger.declared("L91", "control: rest", 2).yardstick
    with pytest.raises(KeyError, match="length"):
        ledger.declared("L91", "length", 1)
    assert reported("x", share(9, 100)).se == pytest.approx(math.sqrt(0.09 * 0.91 / 100))
    assert guard("x", torch.tensor(2.0), high=3) == guard("x", 2, high=3)


# --- entering ---------------------------------------------------------------------------------------------------------

RECORD = Record(
    "L92",
    "reproduced",
    (expected("speed", 68.9, low=5.0), guard("move", 0.0, high=0.1, se=0.001), reported("raw", -1e300)),
    data="CIFAR-10",
    note="½ of one run – “so to say”",
    day="2026-11-27",
    commit="12ab",
    bounds=ledger.bounds_hash(MADE_UP["L92"]),
    facts={"iterations": 6000, "hardware": "two cores", "command": "python evidence/measure.py L92"},
)


@pytest.mark.parametrize("value", [0.48, 0.52, math.nan, math.inf, -math.inf])
def test_a_guard_that_fails_raises_with_its_numbers_and_enters_nothing(value, restate):
    good = expected("chains", 1280, low=1280)
    with pytest.raises(
        AssertionError, match=r"what we found has changed\nfraction: .* guarded: 0\.499 to 0\.519"
    ) as raised:
        settle("L91", [good, guard("fraction", value, low=0.499, high=0.519)])
    assert "chains" not in str(raised.value)
    assert not ledger.ledger_folder().exists()


def test_what_measures_nothing_and_what_is_no_claim_is_refused(restate):
    with pytest.raises(ValueError, match="measurements must hold at least one measurement"):
        settle("L91", [])
    with pytest.raises(KeyError, match="X1"):
        settle("X1", [reported("x", 1)])
    assert not ledger.ledger_folder().exists()


def test_a_recorded_claim_is_confirmed_as_it_is_recorded(restate):
    ledger.save_record(RECORD)
    assert ledger.load_record("L92") == RECORD
    again = ledger.settle_again("L92", [guard("short run", 9, low=5)])
    confirmed = (*RECORD.measurements, guard("short run", 9, low=5))
    assert again == dataclasses.replace(RECORD, measurements=confirmed)
    assert not ledger.ledger_folder().exists()
    with pytest.raises(AssertionError, match="what we found has changed\nshort run: 4"):
        ledger.settle_again("L92", [guard("short run", 4, low=5)])
    ledger.save_record(dataclasses.replace(RECORD, status="reproduced in part"))
    with pytest.raises(
        AssertionError, match="L92 is recorded as 'reproduced in part', but its numbers bear 'reproduced'"
    ):
        ledger.settle_again("L92")
    with pytest.raises(FileNotFoundError, match=r"L91/record\.json is missing"):
        ledger.settle_again("L91")


def test_an_attached_file_is_refused_unless_it_is_the_recorded_one(tmp_path, restate):
    path = tmp_path / "L91" / "record.csv"
    path.parent.mkdir()
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2's example
    record = Record("L91", "reproduced", (reported("x", 1.0),), facts={"file": "record.csv", "sha256": digest})
    assert ledger.attached_file(record, tmp_path) == path
    for damage in (lambda: path.write_bytes(b"abd"), path.unlink):
        damage()
        with pytest.raises(ValueError, match=r"L91/record\.csv is missing or not the file that was recorded"):
            ledger.attached_file(record, tmp_path)
    with pytest.raises(ValueError, match="the record of L92 names no file"):
        ledger.attached_file(RECORD, tmp_path)


def test_what_a_chapter_loads_of_a_record_lies_with_what_ships(restate, shipped):
    restate("I91", ships=["I91.csv"])
    assert ledger.record_file("I91", suffix=".csv") == shipped / "I91.csv"
    assert ledger.record_file("I91") == ledger.claims_folder() / "I91" / "record.json"


def test_the_records_that_chapters_load_ship_and_no_other(committed):
    named = set()
    for chapter in ledger.CLAIMS.parents[1].glob("notebooks/*.ipynb"):
        cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        named |= set(re.findall(r'"([SMLNIF]\d+)(?:\.\w+)?"', code))
    ships = {claim_id: claim.ships for claim_id, claim in ledger.claims().items() if claim.ships}
    assert named == set(ships)
    assert all((committed / name).is_file() for names in ships.values() for name in names)


def test_runs_come_before_records_but_leave_recorded_claims_standing(restate):
    ledger.save_record(RECORD)
    held = ledger.save_record(enter("L91"))
    ledger.save_record(Record("I91", "reproduced", (reported("x", 1.0),)))
    settle("L92", [guard("short run", 9, low=5)])  # of a claim that a script measures
    enter("L91", 9.0001)  # the same number, on a processor that rounds otherwise
    new = settle("I91", [reported("x", 1.1)])
    assert ledger.current_records() == {"L91": held, "L92": RECORD, "I91": new}
    again = enter("L91", 10)
    assert ledger.current_records()["L91"] == again


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
        state(claim_id, "1")
        git("add", claim_id)
        git("commit", "--quiet", "--message", claim_id)
    return git


def state(claim_id, words):
    (ledger.CLAIMS / claim_id).mkdir(exist_ok=True)
    (ledger.CLAIMS / claim_id / "claim.toml").write_text(words)


UNCOMMITTED = r"claims/L91/claim\.toml must be committed before it is measured"


@NEEDS_GIT
def test_a_declaration_is_the_last_commit_of_the_claim_and_refused_while_it_changes(repository):
    first = repository("rev-list", "--max-parents=0", "HEAD").strip()
    assert enter("L91").commit == first
    state("L91", "2")
    with pytest.raises(ValueError, match=UNCOMMITTED):
        enter("L91")
    assert enter("L92").commit == repository("rev-parse", "HEAD").strip()  # another claim's change is its own
    repository("commit", "--all", "--quiet", "--message", "a bound changes")
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
    restate("L91", {"speed": Bound(low=6)})
    with pytest.raises(ValueError, match=UNCOMMITTED):
        enter("L91")
    monkeypatch.setattr(ledger, "CLAIMS", tmp_path / "x")
    state("L91", "2")
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
        assert ledger.bounds_hash(dataclasses.replace(CLAIM, id=claim_id, bounds=bounds)) == record.bounds
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


def test_the_ledger_is_written_from_what_notebooks_entered_and_from_records(results, tmp_path, restate):
    ledger.save_record(RECORD)
    settle("L92", [reported("short run", 9)])
    enter("L91", note=r"a \1 and a | bar")
    before, after = "# Title\n\nText “before”.\n\n", "\n\nText after.\n"
    page = tmp_path / "README.md"
    page.write_text(f"{before}<!-- ledger -->\n| old |\n<!-- /ledger -->{after}", encoding="utf-8")
    for _ in range(2):  # the second time changes nothing
        ledger.write(ledger.current_records(), tmp_path)
        written = ledger.load_records()
        assert list(written) == ["L91", "L92"]
        assert written["L92"] == RECORD
        assert written["L91"].commit == "the commit of the bounds"  # of `declaration`
        text = page.read_text(encoding="utf-8")
        assert text == f"{before}<!-- ledger -->\n{ledger.count_line(written)}\n<!-- /ledger -->{after}"
        assert (results.parent / "README.md").read_text(encoding="utf-8") == ledger.ledger_page(written)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "evidence", "ledger"]


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        "<!-- ledger --> and no end",
        "<!-- ledger --><!-- ledger --> twice <!-- /ledger -->",
    ],
)
def test_a_readme_without_its_markers_is_named_and_nothing_is_written(results, tmp_path, text, restate):
    enter("L91")
    page = tmp_path / "README.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"README.md must hold the markers <!-- ledger --> and <!-- /ledger --> once"):
        ledger.write(ledger.current_records(), tmp_path)
    assert page.read_text(encoding="utf-8") == text
    assert not results.exists()


MET, STRADDLES = expected("met", 1, low=0), expected("straddles", 3, se=1, low=2)
MISSES = expected("drift", 0.5, low=-0.301, high=0.301)
UNMET_WORDS = "“straddles” is 3 ± 2, not clearly at least 2; “large” is 4, not at most 3"
ROWS = {
    "nothing": ([MET], "", {"missed": "unused"}, "**reproduced**"),
    "of the claim": ([MET], "", {"reported": "arithmetic"}, "**reported**: arithmetic"),
    "of the record": ([MET], "60 images", {}, "**in part**: 60 images"),
    "a mark": ([MET], ledger.MARKS["‡"], {}, "**in part**‡"),
    "a mark and more": ([MET], f"{ledger.MARKS['†']}; at T = 5", {}, "**in part**†: at T = 5"),
    "shorter": ([MET], "in the record's words", {"narrow": "a perceptron"}, "**in part**: a perceptron"),
    "each": (
        [MET, STRADDLES, expected("large", 4, high=3)],
        "60 images",
        {},
        f"**not reproduced**: {UNMET_WORDS}; 60 images",
    ),
    "a control": ([expected("c", 5, low=6, yardstick=True)], "", {}, "**inconclusive**: “c” is 5, not at least 6"),
    "below": ([MISSES], "", {}, "**not reproduced**: “drift” is 0.500, not −0.301 to 0.301"),
    "a clause": ([MISSES], "60 images", {"missed": "it is {drift}"}, "**not reproduced**: it is 0.500; 60 images"),
}


@pytest.mark.parametrize("case", ROWS)
def test_what_is_not_whole_says_every_reason_and_a_mark_stands_for_the_commonest(case, restate):
    measurements, narrower, fields, word = ROWS[case]
    bounds = {m.label: Bound(m.low, m.high, m.yardstick) for m in measurements}
    restate("L91", bounds, found="", **fields)
    row = ledger.row(settle("L91", measurements, narrower=narrower))
    disc = "●" if word.startswith("**reproduced") else "◐" if word.startswith("**in part") else "○"
    assert row.endswith(f" | {word} |" if word.startswith("**reported") else f" | {disc} {word} |")


@pytest.mark.parametrize(
    ("value", "se", "text"),
    [
        (6.7e-12, None, "7·10⁻¹²"),
        (-3e-12, None, "−3·10⁻¹²"),
        (0.00678, None, "0.00678"),
        (0.01774, None, "0.0177"),
        (3.48e11, None, "3.48·10¹¹"),
        (99.96, None, "100"),
        (7589.3, None, "7,590"),
        (12.0, None, "12"),
        (4_999.0, None, "4,999"),
        (1.0, 0.0, "1"),
        (math.inf, None, "inf"),
        (698.0, 45.4, "700 ± 90"),
        (779.0, 90.0, "780 ± 180"),
        (8654.0, 13.0, "8,650 ± 30"),
        (16.8, 6.25, "17 ± 12"),
        (0.0374, 0.006, "0.037 ± 0.012"),
        (-0.0004, 0.0022, "0.000 ± 0.004"),
        (4.261, 0.0105, "4.26 ± 0.02"),
        (-0.98362, 0.0001, "−0.984"),
    ],
)
def test_a_number_has_three_digits_and_no_more_than_its_error_bears(value, se, text):
    assert ledger.plain(value, se) == text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("{share} of them, {share in %}", "0.513 ± 0.004 of them, 51.3 ± 0.4 %"),
        ("{10^log} times, {10^-log} times", "17 (8.7 to 35) times, 0.058 (0.029 to 0.11) times"),
        ("{10^exact}", "100 (100 to 100)"),
        ("{share in 2 digits} or {many in 1 digit}", "0.51 or 3·10¹¹"),
        ("within {largest of z, *}, or {largest of z, * in 1 digit}", "within 1.50, or 2"),
        ("{share in % in 2 digits}", "51 %"),
    ],
)  # fmt: skip
def test_a_sentence_takes_its_numbers_from_the_record(words, told):
    numbers = [reported("share", 0.5131, se=0.002), reported("log", 1.24, se=0.15), reported("exact", 2)]
    numbers += [reported("many", 3.4e11), reported("z, one", -1.5), reported("z, two", 1.25)]
    record = Record("L91", "reproduced", tuple(numbers))
    assert ledger.filled(words, record) == told
    with pytest.raises(KeyError, match="speed"):
        ledger.filled("{speed}", record)


PAGE = ledger.ledger_page(COMMITTED)
HEAD, _, BODY = PAGE.partition("\n## ")
CELLS = [cell for line in BODY.splitlines() for cell in re.split(r"(?<!\\)\|", line) if "---" not in cell]


def n_words(text):
    """How many words a reader sees: what holds a letter or a digit, between spaces."""
    return len(re.findall(r"\S*[^\W_]\S*", re.sub(r"\]\([^)]*\)", "]", text)))


def test_the_page_tells_every_claim_once_those_that_carry_the_paper_first_and_explains_each_letter():
    told = re.findall(r"^(?:\||-) \[?([A-Z]\d+)\b", PAGE, re.MULTILINE)
    assert sorted(told) == sorted(ledger.claims())
    main = {i for i, claim in ledger.claims().items() if claim.main}
    assert 15 <= len(main) <= 25
    words = {i: ledger.reads(record) for i, record in COMMITTED.items()}
    undecided = {i for i in told if words.get(i, "waits").startswith(("reported", "waits"))}
    assert {i for i, word in words.items() if word == "not reproduced"} <= main
    assert {*told[: len(main - undecided)]} == main - undecided
    assert {*told[len(told) - len(undecided) :]} == undecided
    for letter, meaning in ledger.LETTERS.items():
        assert PAGE.count(f"{letter}: {meaning}") == 1
        assert PAGE.index(f"{letter}: {meaning}") < PAGE.index(f"| [{letter}")
    assert {i[0] for i in ledger.claims()} == set(ledger.LETTERS)


def test_the_head_is_read_in_a_minute():
    assert n_words(HEAD) <= 200


def test_the_tables_are_read_in_ten_minutes():
    assert n_words(BODY) <= 1_500


def test_no_cell_is_a_paragraph():
    assert [cell for cell in CELLS if n_words(cell) > 45] == []


def test_the_count_tells_points_from_images(restate):
    records = {"L91": Record("L91", "reproduced", ()), "L92": Record("L92", "waits for a GPU", ())}
    records = {i: dataclasses.replace(r, bounds=ledger.bounds_hash(MADE_UP[i])) for i, r in records.items()}
    plane = "Of the 2 not about images, we found 1 reproduced in full and 1 waiting for a GPU."
    assert ledger.count_line(records) == f"We tested 2 statements. {plane}"
    bounds = ledger.bounds_hash(MADE_UP["I91"])
    records["I91"] = Record("I91", "reproduced in part", (), bounds=bounds)
    assert ledger.count_line(records) == (
        f"We tested 3 statements. {plane} Of the 1 about images, we found 1 reproduced in part."
    )
