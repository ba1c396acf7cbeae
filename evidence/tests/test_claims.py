"""Every claim: a quick one is measured again, and the numbers of a long one derive from the file that it kept."""

import math
import shutil
from importlib import import_module

import pytest

import ledger

RECORDS = ledger.load_records()
QUICK = [claim_id for claim_id, record in RECORDS.items() if "file" not in record.facts]
NOT_KEPT = ("F3", "I2", "I5", "I7", "I11")
"""Claims whose file shows what they rest on and does not hold all of it: they are measured again by their command."""
NEED_MNIST = ("I1", "I6")
"""Claims whose file holds samples, which are compared with MNIST."""
DERIVED = [
    pytest.param(claim_id, marks=pytest.mark.mnist) if claim_id in NEED_MNIST else claim_id
    for claim_id in RECORDS
    if claim_id not in (*QUICK, *NOT_KEPT)
]


@pytest.fixture
def copied(results, monkeypatch):
    """A copy of the committed records, which are written there; what ships of them is read where it lies."""
    shutil.copytree(ledger.CLAIMS, results, ignore=shutil.ignore_patterns("*.py", "runs", "__pycache__"))
    monkeypatch.setattr(ledger, "results_folder", lambda: RESULTS)


RESULTS = ledger.results_folder()


BOOTSTRAPPED = ("N4", "I8")
"""Claims whose ± was a bootstrap's of another seed (HISTORY.md)."""
MAGNIFIES = ("M4",)
"""Trains without noise, where no loss has a floor: how a processor rounds moves its numbers by 0.5 s.e."""


def assert_agree(numbers, record):
    """The record has these numbers, held to the same bounds, but for what processors round differently."""
    of_errors = 0.05 if record.id in (*BOOTSTRAPPED, *MAGNIFIES) else 1e-3
    for m in numbers:
        recorded = record.measurement(m.label)
        rounding = 0.01 if m.label.endswith("in s.e.") else 1e-6  # its unit is 1 s.e., and it may be near 0
        if record.id in MAGNIFIES:
            rounding += recorded.se or 0
        assert (m.kind, m.low, m.high, m.yardstick) == (recorded.kind, recorded.low, recorded.high, recorded.yardstick)
        assert math.isclose(m.value, recorded.value, rel_tol=1e-3, abs_tol=rounding), (m, recorded)
        assert math.isclose(m.se or 0, recorded.se or 0, rel_tol=of_errors, abs_tol=1e-6), (m, recorded)


@pytest.mark.parametrize("claim_id", QUICK)
def test_a_quick_claim_is_measured_again_and_agrees_with_its_record(claim_id, copied):
    again = import_module(f"claims.{claim_id}.measure").measure()
    assert_agree(again.measurements, RECORDS[claim_id])
    assert len(again.measurements) == len(RECORDS[claim_id].measurements)
    assert again.status == RECORDS[claim_id].status
    assert ledger.outcome(again)


@pytest.mark.parametrize("claim_id", DERIVED)
def test_the_numbers_of_a_long_claim_derive_from_its_file(claim_id, committed):
    record = ledger.load_record(claim_id)
    kept = record.table if record.facts["file"].endswith(".csv") else record.tensors
    numbers = import_module(f"claims.{claim_id}.measure").measurements(kept)
    assert_agree(numbers, record)
    assert {m.label for m in numbers} >= {m.label for m in record.of_kind("expected")}
