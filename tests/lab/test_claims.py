"""The ledger: what may enter it, what is kept, and how it is shown."""

import dataclasses
import json
import math

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import claims
import make_ledger
from claims import Record, expected, guard, reported, settle
from sbgm.measure import Estimate
from sbgm.measure.estimates import share


def test_every_claim_says_where_what_and_how_and_all_have_a_record(committed):
    for claim in claims.claims().values():
        assert all((claim.section, claim.claim, claim.measure, claim.expect, claim.found))
    assert list(claims.load_records(committed)) == list(claims.claims())


def test_every_bound_that_decides_a_committed_word_is_declared_and_only_controls_are_excused(committed):
    known = claims.load_records(committed)
    assert known.keys() == claims.claims().keys()
    for claim_id, claim in claims.claims().items():
        found, declared = known[claim_id].of_kind("expected"), {**claim.bounds, **claim.anew}
        assert {m.label for m in found} in (claim.bounds.keys(), claim.anew.keys(), declared.keys()), claim_id
        for m in found:
            bound = declared[m.label]
            assert (m.low, m.high, m.yardstick and not bound.control) == (bound.low, bound.high, False), m


def test_a_new_measurement_is_held_to_what_was_declared():
    measured = claims.declared("I11", "samples of each", 999)
    assert (measured.low, measured.yardstick, claims.word([measured])) == (1_000, True, "inconclusive")
    assert claims.word([claims.declared("N3", "squared error, sliced over denoising", 2.5, se=0.1)]) == "not reproduced"
    with pytest.raises(KeyError, match="speed"):
        claims.declared("I11", "speed", 1)


# --- the word ---------------------------------------------------------------------------------------------------------

UNMET = claims.declared("I5", "samples a cell", 299)  # a control
WORDS = {  # what was measured, and the word that it bears
    "whole": ([expected("x", 0.6, low=0.5, se=0.05)], {}, "reproduced"),
    "narrower": ([expected("x", 0.6, low=0.5, se=0.05)], {"narrower": "half the width"}, "reproduced in part"),
    "straddles": ([expected("x", 0.6, low=0.5, se=0.051)], {"narrower": "half the width"}, "inconclusive"),
    "straddles from outside": ([expected("x", 0.4, low=0.5, se=0.051)], {}, "inconclusive"),
    "misses": ([expected("x", 0.4, low=0.5, se=0.04)], {"granted": "reported"}, "not reproduced"),
    "misses that of a control": ([UNMET], {}, "inconclusive"),
    "one of two": ([UNMET, expected("y", 1, high=0)], {}, "not reproduced"),
    "without error, on the bound": ([expected("x", 1, low=1, high=1)], {}, "reproduced"),
    "not a number": ([expected("x", math.nan, low=0)], {}, "not reproduced"),
    "infinite": ([expected("x", math.inf, high=0)], {}, "not reproduced"),
    "nothing expected": ([reported("x", 1), guard("y", 1, low=0)], {}, "reported"),
    "granted": ([expected("x", 1, low=0)], {"granted": "waits for a GPU"}, "waits for a GPU"),
    "guards decide nothing": ([expected("x", 1, low=0), guard("y", 1, low=2)], {}, "reproduced"),
}


@pytest.mark.parametrize("case", WORDS)
def test_the_word_follows_from_what_was_expected(case):
    measurements, options, bears = WORDS[case]
    assert claims.word(measurements, **options) == bears


def test_an_estimate_brings_its_standard_error():
    assert expected("x", Estimate(0.5, 0.1), low=0) == expected("x", 0.5, se=0.1, low=0)
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
    ("claim_id", "measurements", "status", "says"),
    [
        ("I12", [reported("x", 1)], None, "claim_id must be one of 'S1', .*, got 'I12'"),
        ("L3", [reported("x", 1)], "reproduced", "status must be one of 'reported', 'waits for a GPU', got 'repr"),
        ("L3", [], None, "measurements must hold at least one measurement"),
    ],
)
def test_what_is_no_claim_of_the_ledger_is_refused(ledger, claim_id, measurements, status, says):
    with pytest.raises(ValueError, match=says):
        settle(claim_id, measurements, status=status)
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


def test_the_details_tell_what_was_expected_from_guards():
    measurements = [
        expected("PSNR", 40.02, se=0.01, low=39.9, high=40.1),
        guard("SSIM", 0.949, low=0.9),
        reported("images", 60),
    ]
    settled = settle("M1", measurements, narrower="60 images", data="photo patches", note="A note.")
    assert claims.details(settled).splitlines() == [
        "M1 (§ 3.1) noise of variance 0.0001 is all but invisible: reproduced in part",
        "  PSNR: 40 ± 0.02   expected 39.9 to 40.1",
        "  SSIM: 0.949   guarded: at least 0.9",
        "  images: 60",
        "  in part: 60 images",
        "  data: photo patches",
        "  A note.",
    ]


def test_what_is_not_whole_says_why_with_the_number_that_decides():
    met, straddles = expected("met", 1, low=0), expected("straddles", 3, se=1, low=2)
    for measurements, narrower, why in (
        ([met], "", "the decibels are arithmetic"),  # as claims.toml says of M1 where no number does
        ([met], "60 images", "60 images"),
        ([met, straddles], "", "“straddles” is 3 ± 2, where at least 2 was expected, and two standard errors"),
        ([met, straddles, expected("misses", 4, high=3)], "", "“misses” is 4, where at most 3 was expected"),
        ([UNMET], "", "“samples a cell” is 299, where at least 300 was expected"),
    ):
        assert claims.why(settle("M1", measurements, narrower=narrower)).startswith(why)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.2, "0.1 to 0.2"),
        (5, math.inf, "at least 5"),
        (-math.inf, 0.1, "at most 0.1"),
        (4, 4, "4"),
        (-math.inf, math.inf, "any"),
    ],
)
def test_an_interval_in_words(low, high, words):
    assert claims.interval(low, high) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [(6000, "6000"), (8593.4, "8590"), (0.034715, "0.0347"), (-6.56e6, "-6.56e+06"), (68.87, "68.9"), (0, "0")],
)
def test_numbers_have_three_digits_and_counts_all(value, text):
    assert str(reported("x", value)) == f"x: {text}"


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
    facts={"iterations": 6000, "learning_rate": 0.001, "hardware": "two cores"},
)


def test_a_record_comes_back_as_it_was_and_is_strict_json(tmp_path):
    claims.save_record(RECORD, tmp_path)
    assert claims.load_records(tmp_path) == {"M2": RECORD}
    (path,) = tmp_path.iterdir()
    json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert "½ of one run" in path.read_text(encoding="utf-8")


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
    claims.save_record(Record("S1", "reproduced", (reported("x", 1.0),)), results)
    other = claims.save_record(Record("L9", "reported", (reported("x", 1.0),)), results)
    settle("M2", [guard("short run", 9, low=5)])
    new = settle("S1", [reported("x", 1.1)])
    assert list(make_ledger.current_records().items()) == [("S1", new), ("M2", RECORD), ("L9", other)]


def test_the_committed_records_bear_their_words_and_have_their_files(committed):
    for record in claims.load_records(committed).values():
        granted = record.status if record.status in claims.GRANTED else None
        assert claims.word(record.measurements, narrower=record.narrower, granted=granted) == record.status
        if record.facts:
            assert claims.attached_file(record, committed).is_file()


# --- the table --------------------------------------------------------------------------------------------------------


ALL = {
    "F4": [expected("training step, energy over score network", 1.84, low=1)],
    "I6": [
        expected("Fréchet distance, one level over annealed", 3, se=2, low=5),
        reported("Fréchet distance, one level", -63.1, se=0.5),
        reported("Fréchet distance, annealed", 2.26),
    ],
    "L8": [expected("share of the chains in (5, 5), five networks", 0.79, low=0.75, high=0.85)],
}


def entries():
    return {claim_id: settle(claim_id, measurements) for claim_id, measurements in ALL.items()}


def test_a_row_of_the_ledger_says_all_in_sentences():
    lines = make_ledger.ledger_table(entries()).splitlines()
    assert lines[:2] == ["| id | § | the paper says | expected | measured here | word |", "|---|---|---|---|---|---|"]
    assert lines[3:] == [
        "| I6 | 5, C.1 | One small noise level with plain Langevin dynamics fails. | A Fréchet distance of at least 5 "
        "times that of annealed samples. Declared after it was measured, on 2026-11-27. | The distance is 3 ± 4 "
        "times as large: "
        "−63.1 ± 1 against 2.26. | **Inconclusive**: “Fréchet distance, one level over annealed” is 3 ± 4, where at "
        "least 5 was expected, and two standard errors reach across the bound. |",
        "| L8 | 4.3 | Annealing works with a learned noise conditional score. | 0.8 ± 0.05 of the chains in the mode "
        "at (5, 5). A pilot gave 0.796, before the project's first commit (2026-11-24). Declared after it "
        "was measured, on 2026-11-27. | "
        "The chains of five networks have a share of 0.79. | **Reproduced**. |",
    ]


def test_a_row_says_what_was_known_when_the_bounds_of_a_new_measurement_were_declared():
    new = claims.claims()["I6"].anew
    found = [claims.declared("I6", label, max(0, bound.low)) for label, bound in new.items()]
    row = make_ledger.ledger_table({"I6": settle("I6", [*found, *ALL["I6"][1:]])}).splitlines()[-1]
    assert "samples. Declared before it was measured, on 2026-11-27. Known when they were set: 27.9 ± 12.3 of" in row


def chapter(folder, *sources):
    """A chapter 4 of Markdown cells, whose lab notebook enters two claims."""
    (folder / "lab").mkdir(exist_ok=True)
    lab = new_notebook(cells=[new_code_cell('settle("L8", [])\nsettle_again(\n    "F4")')])
    nbformat.write(lab, folder / "lab" / "04_lab.ipynb")
    nbformat.write(new_notebook(cells=list(map(new_markdown_cell, sources))), path := folder / "04_chapter.ipynb")
    return path


def test_a_chapter_ends_with_the_verdict_on_its_own_claims(tmp_path):
    path = chapter(tmp_path, "# A chapter", make_ledger.VERDICT, "## What to read next")
    once = make_ledger.with_verdict(path, entries())
    cells = nbformat.reads(once, as_version=4).cells
    assert [cell.source for cell in cells[::2]] == ["# A chapter", "## What to read next"]
    head, _, link, _, *rows = cells[1].source.splitlines()
    assert head == make_ledger.VERDICT
    assert "[lab notebook](lab/04_lab.ipynb)" in link
    assert rows == [
        f"- **Reproduced**: {claims.claims()['F4'].claim} (F4); "
        "annealing works with a learned noise conditional score (L8)."
    ]
    path.write_text(once, encoding="utf-8")
    assert make_ledger.with_verdict(path, entries()) == once  # the command changes nothing twice


def test_a_chapter_without_the_cell_gets_no_verdict_and_one_without_claims_is_refused(tmp_path):
    path = chapter(tmp_path, "# A chapter", f"# Another\n{make_ledger.VERDICT}")
    before = nbformat.read(path, as_version=4)
    assert nbformat.reads(make_ledger.with_verdict(path, entries()), as_version=4) == before
    path = chapter(tmp_path, make_ledger.VERDICT).rename(tmp_path / "10_chapter.ipynb")
    with pytest.raises(ValueError, match=r"10_chapter\.ipynb has a cell .*, but lab/10_lab\.ipynb enters no claim"):
        make_ledger.with_verdict(path, entries())


def test_the_count_tells_points_from_images():
    statuses = ["reproduced", "not reproduced", "reproduced", "waits for a GPU"]
    records = {f"L{i}": Record(f"L{i}", status, ()) for i, status in enumerate(statuses, start=1)}
    plane = "4 in one and two dimensions: 2 reproduced whole, 1 not reproduced, 1 waiting for a GPU"
    assert make_ledger.count_line(records) == f"4 claims, {plane}"
    records |= {i: Record(i, "reproduced in part", ()) for i in ("I1", "N2")}
    assert make_ledger.count_line(records) == f"6 claims, {plane}; 2 on images: 2 in part"
