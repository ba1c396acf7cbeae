"""The ledger: what may enter it, the word that follows, what is kept, and how it is shown."""

import dataclasses
import datetime
import hashlib
import math
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

import ledger
from ledger import Bound, Claim, Measurement, Record, guard, reported, settle
from sbgm.measure import Estimate
from sbgm.measure.estimates import share

COMMITTED = ledger.load_records()
DECLARATION = ledger.declaration
CLAIM = Claim("X1", "1", "a claim", "measure", "expect", "found")


def expected(label, value, **numbers):
    """A number with a bound, as `ledger.declared` makes it of one in claims.toml."""
    return Measurement("expected", label, value, **numbers)


# --- what claims.toml declares, and what the records were held to -----------------------------------------------------


def test_every_claim_says_where_what_and_how():
    for claim in ledger.claims().values():
        assert all((claim.section, claim.claim, claim.measure, claim.expect, claim.found))


@pytest.mark.parametrize("claim_id", COMMITTED)
def test_a_committed_record_bears_its_word_and_has_its_file(claim_id, committed):
    claim, record = ledger.claims()[claim_id], COMMITTED[claim_id]
    assert ledger.word(claim, record.measurements, record.narrower) == record.status
    assert ledger.reads(record) in (record.status, ledger.WAITS)
    assert datetime.date.fromisoformat(record.day) <= datetime.date.today()
    assert re.fullmatch("[0-9a-f]{40}", record.commit)
    if "file" in record.facts:
        assert ledger.attached_file(record).is_file()


def test_records_come_in_the_papers_order_whatever_else_the_folder_holds(tmp_path):
    for claim_id in ("F4", "M2", "S1", "L10", "L2"):
        ledger.save_record(Record(claim_id, "reproduced", (reported("x", 1.0),)), tmp_path)
    (tmp_path / "overview.png").write_bytes(b"")
    (tmp_path / "X9").mkdir()
    assert list(ledger.load_records(tmp_path)) == ["S1", "M2", "L2", "L10", "F4"]
    assert ledger.load_records(tmp_path / "missing") == {}


@pytest.fixture
def restate(monkeypatch):
    """Let claims.toml say something else of one claim: other fields, and other bounds by label; None takes one away."""
    by_id = ledger.claims()

    def change(claim_id, bounds=MappingProxyType({}), **fields):
        changed = {**by_id[claim_id].bounds, **bounds}
        fields["bounds"] = {label: bound for label, bound in changed.items() if bound is not None}
        claim = dataclasses.replace(by_id[claim_id], **fields)
        monkeypatch.setattr(ledger, "claims", lambda: {**by_id, claim_id: claim})

    return change


EQUAL = "the same with equal weights"
UNLIKE = {  # bounds of L3 that are not its record's
    "another end": {EQUAL: Bound(0.49, 0.505)},
    "a control": {EQUAL: Bound(0.49, 0.51, True)},
    "gone": {EQUAL: None},
    "one more": {"speed": Bound(low=1)},
    "another label": {EQUAL: None, "the same with weights of a half": Bound(0.49, 0.51)},
}


@pytest.mark.parametrize("case", UNLIKE)
def test_a_bound_that_is_not_its_records_waits_to_be_measured_again_on_every_page(case, restate, results):
    ledger.save_record(COMMITTED["L3"])
    assert ledger.reads(COMMITTED["L3"]) == "reproduced"
    restate("L3", UNLIKE[case])
    waits = ledger.current_records()
    assert "*Waits to be measured again*: " in ledger.ledger_page(waits)
    assert ledger.count_line(waits).endswith("1 not on images: 1 waiting to be measured again")
    again = settle("L3", [ledger.declared("L3", label, 0.5) for label in ledger.claims()["L3"].bounds])
    assert ledger.current_records() == {"L3": again}
    assert ledger.reads(again) == again.status


def test_what_waits_is_told_without_a_number_and_what_is_not_measured_by_its_name(restate):
    restate("L3", {"share, new": Bound(low=1)}, found="The share at π = ½ is {share, new}.")
    page = ledger.ledger_page({i: record for i, record in COMMITTED.items() if i != "L4"})
    sentence = ledger.claims()["L3"].sentence
    assert f"\n- [L3](claims/L3/record.json) {sentence} *Waits to be measured again*: its bounds have" in page
    assert f"\n- L4 {ledger.claims()['L4'].sentence} *Declared, and not measured yet.*\n" in page


def test_a_record_lacks_those_bounds_alone_that_are_measured_under_a_condition(restate):
    """Such as I2's FID, which is bounded at the paper's width."""
    held = {m.label for m in COMMITTED["I2"].of_kind("expected")}
    assert ledger.claims()["I2"].bounds.keys() - held == {"FID, 50,000 samples"}
    assert ledger.reads(COMMITTED["I2"]) == COMMITTED["I2"].status
    restate("I2", {"FID, 50,000 samples": Bound(high=25.32)})
    assert ledger.reads(COMMITTED["I2"]) == ledger.WAITS


def first_seed(claim_id):
    """The seed of a claim before bounds counted."""
    return int(hashlib.sha256(f"20261129 {claim_id}".encode()).hexdigest()[:8], 16)


def test_a_claim_whose_bounds_stand_since_2026_11_30_keeps_its_seed():
    seeds = {claim_id: ledger.seed(claim_id) for claim_id in ledger.claims()}
    assert len(set(seeds.values())) == len(seeds)
    stand = [i for i, claim in ledger.claims().items() if ledger.bounds_hash(claim) in ledger.FIRST_BOUNDS]
    assert {i: seeds[i] for i in stand} == {i: first_seed(i) for i in stand}
    assert seeds["L3"] == 200732396
    of_first = hashlib.sha256(" ".join(ledger.FIRST_BOUNDS).encode()).hexdigest()
    assert of_first[:16] == "11a89505f7433d73"  # nothing is added


@pytest.mark.parametrize("claim_id", ledger.claims())
def test_a_changed_bound_changes_the_seed_of_its_claim_and_of_no_other(claim_id, restate):
    before = {i: ledger.seed(i) for i in ledger.claims()}
    bounds = ledger.claims()[claim_id].bounds
    controls = {label: dataclasses.replace(bound, control=not bound.control) for label, bound in bounds.items()}
    restate(claim_id, controls, measure="other words", expect="other words")
    assert {i: ledger.seed(i) for i in before} == before
    seeds = [before[claim_id]]
    for label, bound in bounds.items():
        for other in (Bound(bound.low, 7), Bound(-7, bound.high), None):
            restate(claim_id, {label: other})
            assert [i for i in before if ledger.seed(i) != before[i]] == [claim_id]
            seeds.append(ledger.seed(claim_id))
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

UNMET = ledger.declared("S4", "half-width over the trace, the larger", 0.02)  # a control
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


OUR_OWN = {  # bounds that no sentence of the paper states, by a part of their labels
    "S4": "variance", "L5": "less their law", "L6": "threshold", "N1": "twins", "N3": "std off", "N5": "constant α",
    "I6": "annealed over", "I8": "retrieved parts", "I11": "control", "F1": "std off",
}  # fmt: skip


@pytest.mark.parametrize("claim_id", OUR_OWN)
def test_only_a_bound_that_tests_the_papers_statement_makes_it_not_reproduced(claim_id):
    missed = {label: ledger.declared(claim_id, label, math.nan) for label in ledger.claims()[claim_id].bounds}
    words = {label: ledger.word(CLAIM, [number]) for label, number in missed.items()}
    assert {word for label, word in words.items() if OUR_OWN[claim_id] in label} == {"inconclusive"}
    assert "not reproduced" in words.values()


def test_a_number_is_held_to_its_declared_bound_and_an_estimate_brings_its_standard_error():
    label = "distance to ∇log p over distance to ∇log q_σ"
    assert ledger.declared("S2", label, Estimate(0.5, 0.1)) == expected(label, 0.5, se=0.1, low=5)
    with pytest.raises(KeyError, match="speed"):
        ledger.declared("S2", "speed", 1)
    assert reported("x", share(9, 100)).se == pytest.approx(math.sqrt(0.09 * 0.91 / 100))
    assert guard("x", torch.tensor(2.0), high=3) == guard("x", 2, high=3)


# --- entering ---------------------------------------------------------------------------------------------------------

RECORD = Record(
    "M2",
    "reproduced",
    (
        expected("ratio", 68.9, low=5.0),
        guard("move", 0.0, high=0.1, se=0.001),
        reported("raw", -1e300),
    ),
    data="CIFAR-10",
    note="½ of one run – “so to say”",
    day="2026-11-27",
    commit="12ab",
    facts={"iterations": 6000, "hardware": "two cores", "command": "python evidence/measure.py M2"},
)


@pytest.mark.parametrize("value", [0.48, 0.52, math.nan, math.inf, -math.inf])
def test_a_guard_that_fails_raises_with_its_numbers_and_enters_nothing(value):
    good = expected("chains", 1280, low=1280)
    with pytest.raises(
        AssertionError, match=r"what we found has changed\nfraction: .* guarded: 0\.499 to 0\.519"
    ) as raised:
        settle("L3", [good, guard("fraction", value, low=0.499, high=0.519)])
    assert "chains" not in str(raised.value)
    assert not ledger.ledger_folder().exists()


@pytest.mark.parametrize(
    ("claim_id", "measurements", "says"),
    [
        ("X1", [reported("x", 1)], "claim_id must be one of 'S1', .*, got 'X1'"),
        ("L3", [], "measurements must hold at least one measurement"),
    ],
)
def test_what_is_no_claim_of_the_ledger_is_refused(claim_id, measurements, says):
    with pytest.raises(ValueError, match=says):
        settle(claim_id, measurements)
    assert not ledger.ledger_folder().exists()


def test_a_recorded_claim_is_confirmed_as_it_is_recorded(results, restate):
    gone = dict.fromkeys(ledger.claims()["M2"].bounds)
    restate("M2", gone | {"ratio": Bound(low=5.0)})
    ledger.save_record(RECORD)
    assert ledger.load_record("M2") == RECORD
    again = ledger.settle_again("M2", [guard("short run", 9, low=5)])
    confirmed = (*RECORD.measurements, guard("short run", 9, low=5))
    assert again == dataclasses.replace(RECORD, measurements=confirmed)
    assert not ledger.ledger_folder().exists()
    restate("M2", gone | {"ratio": Bound(low=6.0)})
    assert str(ledger.settle_again("M2")) == "M2 waits to be measured again"
    with pytest.raises(AssertionError, match="what we found has changed\nshort run: 4"):
        ledger.settle_again("M2", [guard("short run", 4, low=5)])
    ledger.save_record(dataclasses.replace(RECORD, status="reproduced in part"))
    with pytest.raises(
        AssertionError, match="M2 is recorded as 'reproduced in part', but its numbers bear 'reproduced'"
    ):
        ledger.settle_again("M2")
    with pytest.raises(FileNotFoundError, match=r"I1/record\.json is missing"):
        ledger.settle_again("I1")


def test_an_attached_file_is_refused_unless_it_is_the_recorded_one(tmp_path):
    path = tmp_path / "M2" / "record.csv"
    path.parent.mkdir()
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2's example
    record = Record("M2", "reproduced", (reported("x", 1.0),), facts={"file": "record.csv", "sha256": digest})
    assert ledger.attached_file(record, tmp_path) == path
    for damage in (lambda: path.write_bytes(b"abd"), path.unlink):
        damage()
        with pytest.raises(ValueError, match=r"M2/record\.csv is missing or not the file that was recorded"):
            ledger.attached_file(record, tmp_path)
    with pytest.raises(ValueError, match="the record of M2 names no file"):
        ledger.attached_file(RECORD, tmp_path)


def test_runs_come_before_records_but_leave_recorded_claims_standing(results):
    ledger.save_record(RECORD)
    ledger.save_record(Record("S1", "reproduced", (reported("x", 1.0),)))
    ledger.save_record(Record("L2", "reproduced", (expected("x", 1.0, high=2),)))
    other = ledger.save_record(Record("L9", "reported", (reported("x", 1.0),)))
    settle("M2", [guard("short run", 9, low=5)])
    settle("L9", [reported("x", 1.0001)])  # the same number, on a processor that rounds otherwise
    new = settle("S1", [reported("x", 1.1)])
    again = settle("L2", [expected("x", 1.0, high=3)])  # held to another bound
    assert ledger.current_records() == {"S1": new, "M2": RECORD, "L2": again, "L9": other}


# --- the commit in which bounds were declared -------------------------------------------------------------------------


NEEDS_GIT = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with the claim L3 in its first commit, and another claim in its second; git(…) is done in it."""
    home = tmp_path / "repository"
    monkeypatch.setattr(ledger, "CLAIMS", home)

    def git(*words):
        settings = ["-c", "user.name=n", "-c", "user.email=n@n"]
        return subprocess.run(["git", "-C", home, *settings, *words], check=True, capture_output=True, text=True).stdout

    for claim_id in ("L3", "L4"):
        (home / claim_id).mkdir(parents=True)
        if claim_id == "L3":
            git("init", "--quiet")
        (home / claim_id / "claim.toml").write_text("1")
        git("add", claim_id)
        git("commit", "--quiet", "--message", claim_id)
    return git


UNCOMMITTED = r"claims/L3/claim\.toml must be committed before it is measured"


@NEEDS_GIT
def test_a_declaration_is_the_last_commit_of_the_claim_and_refused_while_it_changes(repository, tmp_path):
    first = repository("rev-list", "--max-parents=0", "HEAD").strip()
    assert DECLARATION("L3") == first
    (ledger.CLAIMS / "L3" / "claim.toml").write_text("2")
    with pytest.raises(ValueError, match=UNCOMMITTED):
        DECLARATION("L3")
    assert DECLARATION("L4") == repository("rev-parse", "HEAD").strip()  # another claim's change is its own
    repository("commit", "--all", "--quiet", "--message", "a bound changes")
    assert DECLARATION("L3") == repository("rev-parse", "HEAD").strip() != first


@NEEDS_GIT
def test_the_bounds_of_a_record_stood_in_the_commit_that_it_names():
    """M2's stood in its script there, before claims.toml had any. A commit that was rebased has another name."""

    def git(*words):
        return subprocess.run(["git", "-C", ledger.CLAIMS, *words], capture_output=True, text=True)

    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("needs the whole history")
    for commit in {record.commit for record in COMMITTED.values()}:
        assert git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0, commit
        day = git("show", "--no-patch", "--format=%as", commit).stdout.strip()
        files = git("ls-tree", "-r", "--name-only", "--full-tree", commit).stdout.split("\n")
        stated = {}
        for file in files:
            if file.endswith("/claims.toml"):  # all claims in one file, until 2026-12-01
                stated |= tomllib.loads(git("show", f"{commit}:{file}").stdout)
            elif file.endswith("/claim.toml"):
                stated[Path(file).parent.name] = tomllib.loads(git("show", f"{commit}:{file}").stdout)
        for claim_id, record in COMMITTED.items():
            if record.commit != commit:
                continue
            assert day <= record.day
            bounds = stated.get(claim_id, {}).get("bounds", {})
            held = {m.label: (m.low, m.high) for m in record.of_kind("expected")}
            declared = {label: (b.get("low", -math.inf), b.get("high", math.inf)) for label, b in bounds.items()}
            assert {label: declared.get(label) for label in held} == held or claim_id == "M2"


@NEEDS_GIT
def test_without_the_whole_history_no_commit_is_named(repository, tmp_path, monkeypatch):
    subprocess.run(["git", "clone", "--quiet", "--depth=1", ledger.CLAIMS.as_uri(), tmp_path / "x"], check=True)
    monkeypatch.setattr(ledger, "CLAIMS", tmp_path / "x")
    assert DECLARATION("L3") == ""
    (ledger.CLAIMS / "L3" / "claim.toml").write_text("2")
    with pytest.raises(ValueError, match=UNCOMMITTED):
        DECLARATION("L3")
    monkeypatch.setattr(ledger, "CLAIMS", tmp_path)  # in no repository
    assert DECLARATION("L3") == ""


@NEEDS_GIT
def test_a_notebook_enters_no_claim_while_bounds_are_not_committed(repository, monkeypatch):
    monkeypatch.setattr(ledger, "declaration", DECLARATION)
    assert settle("L3", [reported("chains", 1280)]).commit == repository("rev-list", "--max-parents=0", "HEAD").strip()
    (ledger.CLAIMS / "L3" / "claim.toml").write_text("2")
    with pytest.raises(ValueError, match=UNCOMMITTED):
        settle("L3", [reported("chains", 1280)])


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_ledger_is_written_from_what_notebooks_entered_and_from_records(results, tmp_path):
    ledger.save_record(COMMITTED["M2"])
    settle("M2", [reported("short run", 9)])
    settle("S1", [*COMMITTED["S1"].measurements, reported(r"a \1 and a | bar", 1)])
    before, after = "# Title\n\nText “before”.\n\n", "\n\nText after.\n"
    page = tmp_path / "README.md"
    page.write_text(f"{before}<!-- ledger -->\n| old |\n<!-- /ledger -->{after}", encoding="utf-8")
    for _ in range(2):  # the second time changes nothing
        ledger.write(ledger.current_records(), tmp_path)
        written = ledger.load_records()
        assert list(written) == ["S1", "M2"]
        assert written["M2"] == COMMITTED["M2"]
        assert written["S1"].commit == "the commit of the bounds"  # of `declaration`
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
def test_a_readme_without_its_markers_is_named_and_nothing_is_written(results, tmp_path, text):
    settle("S1", COMMITTED["S1"].measurements)
    page = tmp_path / "README.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"README.md must hold the markers <!-- ledger --> and <!-- /ledger --> once"):
        ledger.write(ledger.current_records(), tmp_path)
    assert page.read_text(encoding="utf-8") == text
    assert not results.exists()


def test_what_is_not_whole_says_every_reason_and_a_mark_stands_for_the_commonest(restate):
    met, straddles = expected("met", 1, low=0), expected("straddles", 3, se=1, low=2)
    misses = expected("drift", 0.5, low=-0.301, high=0.301)
    for claim_id, measurements, narrower, missed, word in (
        ("L2", [met], "", "unused", "**reproduced**"),
        ("M1", [met], "", "", "**reported**: arithmetic"),  # as claims.toml says
        ("L2", [met], "60 images", "", "**in part**: 60 images"),
        ("L2", [met], ledger.MARKS["‡"], "", "**in part**‡"),
        ("L2", [met], f"{ledger.MARKS['†']}; at T = 5", "", "**in part**†: at T = 5"),
        ("S8", [met], "in the record's words", "", "**in part**: a perceptron"),  # as claims.toml says
        (
            "L2",
            [met, straddles, expected("large", 4, high=3)],
            "60 images",
            "",
            "**not reproduced**: “straddles” is 3 ± 2, not clearly at least 2; “large” is 4, not at most 3; 60 images",
        ),
        ("L2", [expected("c", 5, low=6, yardstick=True)], "", "", "**inconclusive**: “c” is 5, not at least 6"),
        ("L2", [misses], "", "", "**not reproduced**: “drift” is 0.500, not −0.301 to 0.301"),
        ("L2", [misses], "60 images", "it is {drift}", "**not reproduced**: it is 0.500; 60 images"),
    ):
        own = dict.fromkeys(m.label for m in COMMITTED[claim_id].of_kind("expected"))
        bounds = {m.label: Bound(m.low, m.high, m.yardstick) for m in measurements}
        restate(claim_id, {**own, **bounds}, missed=missed, found="")
        row = ledger.row(settle(claim_id, measurements, narrower=narrower))
        assert row.endswith(f" | {word} |")


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
    assert ledger.filled(words, Record("L3", "reproduced", tuple(numbers))) == told
    with pytest.raises(KeyError, match="speed"):
        ledger.filled("{speed}", COMMITTED["L3"])


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


def test_the_count_tells_points_from_images():
    statuses = ["reproduced", "not reproduced", "reproduced", "waits for a GPU"]
    ids = ["L1", "L2", "L3", "L4"]
    records = {i: dataclasses.replace(COMMITTED[i], status=status) for i, status in zip(ids, statuses, strict=True)}
    plane = "4 not on images: 2 reproduced in full, 1 not reproduced, 1 waiting for a GPU"
    assert ledger.count_line(records) == f"4 claims, {plane}"
    records |= {i: dataclasses.replace(COMMITTED[i], status="reproduced in part") for i in ("I1", "N2")}
    assert ledger.count_line(records) == f"6 claims, {plane}; 2 on images: 2 in part"
