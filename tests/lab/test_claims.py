"""The ledger: what may enter it, what is kept, and how it is shown."""

import dataclasses
import datetime
import functools
import hashlib
import math
import re
import tomllib
from pathlib import Path
from types import MappingProxyType

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import claims
import make_ledger
from claims import Bound, Claim, Measurement, Record, guard, reported, settle
from records import results_folder
from sbgm.measure import Estimate
from sbgm.measure.estimates import share

COMMITTED = claims.load_records(results_folder())
TODAY = datetime.date.today()
CLAIM = Claim("X1", "1", "a claim", TODAY, "measure", "expect", "found")
DECLARED = ("S8", "S9", "L11", "I12", "I13")
"""Claims whose bounds are declared, and which are not measured yet."""


def expected(label, value, **numbers):
    """A number with a bound, as `claims.declared` makes it of one in claims.toml."""
    return Measurement("expected", label, value, **numbers)


def test_every_claim_says_where_what_and_how_and_all_have_a_record(committed):
    for claim in claims.claims().values():
        assert all((claim.section, claim.claim, claim.declared, claim.measure, claim.expect, claim.found))
    assert list(claims.load_records(committed)) == [i for i in claims.claims() if i not in DECLARED]


@pytest.mark.parametrize("claim_id", COMMITTED)
def test_a_committed_record_was_held_to_the_bounds_and_marks_of_its_claim(claim_id):
    """Looked up in the record's own numbers, beside `reads`."""
    assert claims.reads(COMMITTED[claim_id]) in (COMMITTED[claim_id].status, claims.WAITS)
    for m in COMMITTED[claim_id].of_kind("expected"):
        if not claims.is_older(COMMITTED[claim_id]):
            bound = claims.claims()[claim_id].bounds[m.label]
            assert (m.low, m.high, m.yardstick) == (bound.low, bound.high, bound.control), m


@pytest.fixture
def restate(monkeypatch):
    """Let claims.toml say something else of one claim: other fields, and other bounds by label; None takes one away."""
    by_id, *rest = claims._file()

    def change(claim_id, bounds=MappingProxyType({}), **fields):
        changed = {**by_id[claim_id].bounds, **bounds}
        fields["bounds"] = {label: bound for label, bound in changed.items() if bound is not None}
        claim = dataclasses.replace(by_id[claim_id], **fields)
        monkeypatch.setattr(claims, "_file", lambda: ({**by_id, claim_id: claim}, *rest))

    return change


EQUAL = "the same with equal weights"
UNLIKE = {  # a bound of L3 that is not its record's, and how the message has both
    "another end": ({EQUAL: Bound(0.49, 0.505)}, "held to 0.49 to 0.51, unless .* got 0.49 to 0.505, declared"),
    "a control": (
        {EQUAL: Bound(0.49, 0.51, True)},
        "held to 0.49 to 0.51, unless .* got 0.49 to 0.51 as a control, declared",
    ),
    "gone": ({EQUAL: None}, "“the same with equal weights” is held to 0.49 to 0.51, unless .* got nothing, declared"),
    "one more": ({"speed": Bound(low=1)}, "“speed” is held to nothing, unless .* got at least 1, declared"),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_a_bound_that_is_not_its_records_is_refused_under_its_old_day_and_waits_under_a_new_one(case, restate, results):
    bounds, message = UNLIKE[case]
    claims.save_record(COMMITTED["L3"], results)
    restate("L3", bounds)
    for page in (make_ledger.ledger_table, make_ledger.count_line, functools.partial(make_ledger.verdict, lab="x")):
        with pytest.raises(
            ValueError, match=f"^L3.bounds must be those of .* 2026-11-29, .*{message} .*measure again$"
        ):
            page(make_ledger.current_records())
    restate("L3", bounds, declared=TODAY)
    waits = make_ledger.current_records()
    assert "Measured before, on 2026-11-29. | **waits to be measured again** |" in make_ledger.ledger_table(waits)
    assert make_ledger.count_line(waits).endswith("1 in one and two dimensions: 1 waits to be measured again")
    assert "- **Waits to be measured again**: Langevin dynamics gets" in make_ledger.verdict(waits, "x")
    again = settle("L3", [claims.declared("L3", label, 0.5) for label in claims.claims()["L3"].bounds])
    assert make_ledger.current_records() == {"L3": again}
    assert claims.reads(again) == again.status


def test_a_record_lacks_those_bounds_alone_that_are_measured_under_a_condition():
    """Such as I2's FID, which is bounded at the paper's width."""
    for claim_id, record in COMMITTED.items():
        if claims.is_older(record):
            continue
        bounds = claims.claims()[claim_id].bounds
        assert bounds.keys() - claims.held_to(record).keys() == {label for label in bounds if bounds[label].only}


def test_a_record_older_than_its_bounds_keeps_its_numbers_and_says_which_bounds_wait():
    """By the days alone: the same numbers, measured on the day of the bounds, lack what the sentence asks for."""
    day = claims.claims()["L8"].declared
    old = Record("L8", "reproduced", (expected("share, five networks", 0.79, low=0.75),))
    older = dataclasses.replace(old, day=(day - datetime.timedelta(days=1)).isoformat())
    assert make_ledger.outcome(older) == "share, five networks: 0.79."
    assert make_ledger.reasons(older) == "not yet measured: “share less the exact scores', ten networks”"
    new = dataclasses.replace(old, day=day.isoformat())
    assert claims.waiting(new) == []
    with pytest.raises(KeyError, match="ten networks"):
        make_ledger.outcome(new)


def test_a_new_measurement_is_held_to_what_was_declared():
    measured = claims.declared("I6", "annealed over the nearer control", 2)
    assert (measured.high, measured.yardstick, claims.word(CLAIM, [measured])) == (1, True, "inconclusive")
    ratio = claims.declared("L1", "log₁₀ of error far over near, six networks", 0.4, se=0.02)
    assert claims.word(CLAIM, [ratio]) == "not reproduced"
    with pytest.raises(KeyError, match="speed"):
        claims.declared("I6", "speed", 1)


def test_a_claim_is_older_than_its_record_or_the_record_is_said_to_be_older():
    """By the days alone: of declaration in claims.toml, of the measurement in the record."""
    day = claims.claims()["L3"].declared
    for shift, older in ((-1, True), (0, False), (1, False)):
        measured = (day + datetime.timedelta(days=shift)).isoformat()
        record = Record("L3", "reproduced", COMMITTED["L3"].measurements, day=measured)
        assert claims.is_older(record) == older
        assert make_ledger.measured(record).endswith(f" Measured before, on {measured}." if older else f" ({measured})")


# --- seeds and words of bounds ----------------------------------------------------------------------------------------


def first_seed(claim_id):
    """The seed of a claim before bounds counted."""
    return int(hashlib.sha256(f"20261129 {claim_id}".encode()).hexdigest()[:8], 16)


def test_a_claim_whose_bounds_stand_since_2026_11_30_keeps_its_seed():
    seeds = {claim_id: claims.seed(claim_id) for claim_id in claims.claims()}
    assert len(set(seeds.values())) == len(seeds)
    stand = [i for i, claim in claims.claims().items() if claim.declared <= datetime.date(2026, 11, 30)]
    assert {i: seeds[i] for i in stand} == {i: first_seed(i) for i in stand}
    *_, first_bounds = claims._file()
    assert hashlib.sha256(" ".join(first_bounds).encode()).hexdigest()[:16] == "11a89505f7433d73"  # nothing is added


@pytest.mark.parametrize("claim_id", claims.claims())
def test_a_changed_bound_changes_the_seed_of_its_claim_and_of_no_other(claim_id, restate):
    before = {i: claims.seed(i) for i in claims.claims()}
    bounds = claims.claims()[claim_id].bounds
    controls = {label: dataclasses.replace(bound, control=not bound.control) for label, bound in bounds.items()}
    restate(claim_id, controls, declared=TODAY, measure="other words", expect="other words")
    assert {i: claims.seed(i) for i in before} == before
    seeds = [before[claim_id]]
    for label, bound in bounds.items():
        for other in (Bound(bound.low, 7), Bound(-7, bound.high), None):
            restate(claim_id, {label: other})
            assert [i for i in before if claims.seed(i) != before[i]] == [claim_id]
            seeds.append(claims.seed(claim_id))
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
}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("{a} or {b}; {c}, {d}", "0.49 to 0.51 or at least 0.699; at most 0.01, −3 to 3"),
        ("{e}", "0.78 to 0.80"),
        ("{end of d}, {end of c}, above {end of b}, off by {end of a}", "3, 0.01, above 0.699, off by 0.01"),
        ("{10^b} times, {10^g}", "at least 5 times, 0.5 to 2"),
        ("{c in %}, {end of c in %}", "at most 1 %, 1 %"),
        ("{f in words} switch, {d in words}, {10^end of g in words}", "no switch, −3 to 3, two"),
        ("{b*}", "at least 0.699"),
    ],
)  # fmt: skip
def test_a_sentence_takes_its_numbers_from_the_bounds(words, told):
    assert claims.with_bounds(words, STATED) == told


@pytest.mark.parametrize("named", ["speed", "b, *, *", "*"])
def test_a_sentence_that_names_no_bound_or_unlike_ones_is_refused(named):
    with pytest.raises(ValueError, match="must name one bound, or bounds that are alike, got '" + re.escape(named)):
        claims.with_bounds(f"within {{{named}}}", STATED)


WRITTEN = tomllib.loads((Path(claims.__file__).parent / "claims.toml").read_text(encoding="utf-8"))
IN_WORDS = {"no ": "0 ", "twofold": "2", "fourfold": "4", "factor of two": "factor of 2", "10⁻⁶": "1e-06", "−": "-"}
NO_BOUNDS = {"S6": "kurtosis 3", "S7": "kurtosis 3", "L6": "chapter 4", "N1": "λ = 1", "N2": "σ ≤ 0.1"}
"""Numbers in `expect` that happen to be those of a bound."""


@pytest.mark.parametrize("claim_id", claims.claims())
def test_no_number_of_a_bound_is_typed_by_hand(claim_id):
    """It stands in braces wherever words state it, so neither can change alone; "rises" and "nearer" state none."""
    written = WRITTEN[claim_id]
    words = re.sub(r"{.+?}", "", f"{written['expect']} {written.get('missed', '')}")
    words = words.replace(NO_BOUNDS.get(claim_id, "nothing"), "")
    for name, number in IN_WORDS.items():
        words = words.replace(name, number)
    typed = set(re.findall(r"\d[\d.e-]*(?: %)?", words))
    for label, bound in claims.claims()[claim_id].bounds.items():
        sides = {abs(side) for side in (bound.low, bound.high, (bound.high - bound.low) / 2) if math.isfinite(side)}
        factors = {10**side for side in sides} if label.startswith("log₁₀") else set()
        assert typed & {f"{number:g}" for number in sides} == set()
        assert typed & {f"{100 * number:g} %" for number in sides} == set()
        assert typed & {f"{number:.3g}" for number in factors} == set()


# --- the verdict ------------------------------------------------------------------------------------------------------

UNMET = claims.declared("S4", "half-width over the trace, the larger", 0.02)  # a control
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
    assert claims.word(dataclasses.replace(CLAIM, **options), measurements, narrower) == bears


OUR_OWN = {  # bounds that no sentence of the paper states, by a part of their labels
    "S4": "variance", "L5": "less their law", "L6": "threshold", "N1": "twins", "N3": "std off", "N5": "constant α",
    "I6": "annealed over", "I8": "retrieved parts", "I11": "control", "F1": "std off",
}  # fmt: skip


@pytest.mark.parametrize("claim_id", OUR_OWN)
def test_only_a_bound_that_tests_the_papers_statement_makes_it_not_reproduced(claim_id):
    missed = {label: claims.declared(claim_id, label, math.nan) for label in claims.claims()[claim_id].bounds}
    words = {label: claims.word(CLAIM, [number]) for label, number in missed.items()}
    assert {word for label, word in words.items() if OUR_OWN[claim_id] in label} == {"inconclusive"}
    assert "not reproduced" in words.values()


def test_an_estimate_brings_its_standard_error():
    label = "distance to ∇log p over distance to ∇log q_σ"
    assert claims.declared("S2", label, Estimate(0.5, 0.1)) == expected(label, 0.5, se=0.1, low=5)
    assert reported("x", share(9, 100)).se == pytest.approx(math.sqrt(0.09 * 0.91 / 100))
    assert guard("x", torch.tensor(2.0), high=3) == guard("x", 2, high=3)


# --- settle -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.48, 0.52, math.nan, math.inf, -math.inf])
def test_a_guard_that_fails_raises_with_its_numbers_and_enters_nothing(ledger, value):
    good = expected("chains", 1280, low=1280)
    with pytest.raises(
        AssertionError, match=r"what we found has changed\nfraction: .* guarded: 0\.499 to 0\.519"
    ) as raised:
        settle("L3", [good, guard("fraction", value, low=0.499, high=0.519)])
    assert "chains" not in str(raised.value)
    assert not ledger.exists()


@pytest.mark.parametrize(
    ("claim_id", "measurements", "says"),
    [
        ("X1", [reported("x", 1)], "claim_id must be one of 'S1', .*, got 'X1'"),
        ("L3", [], "measurements must hold at least one measurement"),
    ],
)
def test_what_is_no_claim_of_the_ledger_is_refused(ledger, claim_id, measurements, says):
    with pytest.raises(ValueError, match=says):
        settle(claim_id, measurements)
    assert not ledger.exists()


def test_a_recorded_claim_is_entered_as_it_is_recorded(ledger, results):
    claims.save_record(RECORD, results)
    again = claims.settle_again("M2", [guard("short run", 9, low=5)])
    assert again.measurements == (*RECORD.measurements, guard("short run", 9, low=5))
    assert (again.status, again.note) == (RECORD.status, RECORD.note)
    with pytest.raises(AssertionError, match="what we found has changed\nshort run: 4"):
        claims.settle_again("M2", [guard("short run", 4, low=5)])
    claims.save_record(dataclasses.replace(RECORD, status="reproduced in part"), results)
    with pytest.raises(
        AssertionError, match="M2 is recorded as 'reproduced in part', but its numbers bear 'reproduced'"
    ):
        claims.settle_again("M2")


def test_what_is_not_whole_says_every_reason():
    met, straddles = expected("met", 1, low=0), expected("straddles", 3, se=1, low=2)
    for claim_id, measurements, narrower, reasons in (
        ("L2", [met], "", ""),
        ("M1", [met], "", "the decibels are arithmetic"),  # as claims.toml says
        ("L2", [met], "60 images", "60 images"),
        (
            "L2",
            [met, straddles, expected("misses", 4, high=3)],
            "60 images",
            "“straddles” is 3.0 ± 2.0, not clearly at least 2; “misses” is 4, not at most 3; 60 images",
        ),
        ("L2", [UNMET], "", "“half-width over the trace, the larger” is 0.02, not at most 0.01"),
        ("L2", [expected("drift", 0.5, low=-0.301, high=0.301)], "", "“drift” is 0.5, not −0.301 to 0.301"),
    ):
        assert make_ledger.reasons(settle(claim_id, measurements, narrower=narrower)) == reasons


# --- records ----------------------------------------------------------------------------------------------------------

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
    facts={
        "iterations": 6000,
        "learning_rate": 0.001,
        "hardware": "two cores",
        "command": "python notebooks/lab/M2.py",
    },
)


def test_records_come_in_the_papers_order_whatever_else_the_folder_holds(tmp_path):
    for claim_id in ("F4", "M2", "S1", "L10", "L2"):
        claims.save_record(Record(claim_id, "reproduced", (reported("x", 1.0),)), tmp_path)
    (tmp_path / "overview.png").write_bytes(b"")
    (tmp_path / "X9.json").write_text("{}")
    assert list(claims.load_records(tmp_path)) == ["S1", "M2", "L2", "L10", "F4"]
    assert claims.load_records(tmp_path / "missing") == {}


def test_an_attached_file_is_refused_unless_it_is_the_recorded_one(tmp_path):
    path = tmp_path / "curves"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2's example
    record = Record("M2", "reproduced", (reported("x", 1.0),), facts={"file": "curves", "sha256": digest})
    assert claims.attached_file(record, tmp_path) == path
    for damage in (lambda: path.write_bytes(b"abd"), path.unlink):
        damage()
        with pytest.raises(ValueError, match="curves is missing or not the file that M2 was recorded with"):
            claims.attached_file(record, tmp_path)
    with pytest.raises(ValueError, match="the record of M2 names no file"):
        claims.attached_file(RECORD, tmp_path)


def test_runs_come_before_records_but_leave_recorded_claims_standing(ledger, results):
    claims.save_record(RECORD, results)
    before, today = "2026-11-26", TODAY.isoformat()
    claims.save_record(Record("S1", "reproduced", (reported("x", 1.0),), day=today), results)
    claims.save_record(Record("L2", "reported", (reported("x", 1.0),), day=before), results)
    other = claims.save_record(Record("L9", "reported", (reported("x", 1.0),), day=today), results)
    settle("M2", [guard("short run", 9, low=5)])
    settle("L9", [reported("x", 1.0001)])  # the same number, on a processor that rounds otherwise
    new = settle("S1", [reported("x", 1.1)])
    again = settle("L2", [reported("x", 1.0)])  # where the record is older than its bounds
    assert make_ledger.current_records() == {"S1": new, "M2": RECORD, "L2": again, "L9": other}


def test_the_committed_records_bear_their_words_and_have_their_files(committed):
    for record in claims.load_records(committed).values():
        claim = claims.claims()[record.id]
        assert claims.word(claim, record.measurements, record.narrower) == record.status
        assert datetime.date.fromisoformat(record.day) <= TODAY
        if "file" in record.facts:
            assert claims.attached_file(record, committed).is_file()


@pytest.mark.parametrize("claim_id", COMMITTED)
def test_a_committed_record_is_written_to_the_same_bytes(claim_id, committed, tmp_path):
    claims.save_record(COMMITTED[claim_id], tmp_path)
    assert (tmp_path / f"{claim_id}.json").read_bytes() == (committed / f"{claim_id}.json").read_bytes()


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "se", "text"),
    [
        (2e-08, None, "less than 0.0001"),
        (-3e-12, None, "less than 0.0001"),
        (0.00678, None, "0.00678"),
        (3.4e11, None, "3.4·10¹¹"),
        (698.0, 45.4, "698 ± 91"),
        (16.8, 6.25, "16.8 ± 12.5"),
        (-0.98312, 0.00047, "−0.9831 ± 0.0009"),
        (-0.98362, 0.0001, "−0.9836 ± 0.0002"),
        (-0.0004, 0.0022, "0.000 ± 0.004"),
        (1.0, 0.0, "1"),
        (12.0, None, "12"),
    ],
)
def test_a_number_in_the_table_has_no_exponent_and_no_more_digits_than_its_error_bears(value, se, text):
    assert make_ledger.plain(reported("x", value, se=se)) == text


def chapter(folder, *sources):
    """A chapter 4 of Markdown cells, whose lab notebook enters two claims."""
    (folder / "lab").mkdir(exist_ok=True)
    lab = new_notebook(cells=[new_code_cell('settle("L3", [])\nsettle_again(\n    "F4")')])
    nbformat.write(lab, folder / "lab" / "04_lab.ipynb")
    nbformat.write(new_notebook(cells=list(map(new_markdown_cell, sources))), path := folder / "04_chapter.ipynb")
    return path


def test_a_chapter_ends_with_the_verdict_on_its_own_claims(tmp_path):
    path = chapter(tmp_path, "# A chapter", make_ledger.VERDICT, "## What to read next")
    once = make_ledger.with_verdict(path, COMMITTED)
    cells = nbformat.reads(once, as_version=4).cells
    assert [cell.source for cell in cells[::2]] == ["# A chapter", "## What to read next"]
    head, _, link, _, *rows = cells[1].source.splitlines()
    assert head == make_ledger.VERDICT
    assert "[lab notebook](lab/04_lab.ipynb)" in link
    assert rows == [
        f"- **Reproduced**: {claims.claims()['L3'].claim} (L3).",
        f"- **Reported**: {claims.claims()['F4'].claim} (F4).",
    ]
    path.write_text(once, encoding="utf-8")
    assert make_ledger.with_verdict(path, COMMITTED) == once  # the command changes nothing twice


def test_a_chapter_without_the_cell_gets_no_verdict_and_one_without_claims_is_refused(tmp_path):
    path = chapter(tmp_path, "# A chapter", f"# Another\n{make_ledger.VERDICT}")
    before = nbformat.read(path, as_version=4)
    assert nbformat.reads(make_ledger.with_verdict(path, COMMITTED), as_version=4) == before
    path = chapter(tmp_path, make_ledger.VERDICT).rename(tmp_path / "10_chapter.ipynb")
    with pytest.raises(ValueError, match=r"10_chapter\.ipynb has a cell .*, but lab/10_lab\.ipynb enters no claim"):
        make_ledger.with_verdict(path, COMMITTED)


def test_the_count_tells_points_from_images():
    statuses = ["reproduced", "not reproduced", "reproduced", "waits for a GPU"]
    ids = ["L1", "L2", "L3", "L4"]
    records = {i: dataclasses.replace(COMMITTED[i], status=status) for i, status in zip(ids, statuses, strict=True)}
    plane = "4 in one and two dimensions: 2 reproduced whole, 1 not reproduced, 1 waiting for a GPU"
    assert make_ledger.count_line(records) == f"4 claims, {plane}"
    records |= {i: dataclasses.replace(COMMITTED[i], status="reproduced in part") for i in ("I1", "N2")}
    assert make_ledger.count_line(records) == f"6 claims, {plane}; 2 on images: 2 in part"
