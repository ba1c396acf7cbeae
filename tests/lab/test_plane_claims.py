"""Scripts of claims in the plane: each measures, on a small case, all that its claim asks for."""

import dataclasses
import functools
import math

import pytest

import F1
import F2
import L7
import L8
import ledger
import N3
from L10 import relaxation
from recipes import FIGURE2_AUTHORS, MixtureTraining


@pytest.fixture
def small(monkeypatch):
    """Trainings of a few steps, and few networks and chains."""
    monkeypatch.setattr(L7, "FIGURE2_AUTHORS", dataclasses.replace(FIGURE2_AUTHORS, n_steps=20))
    monkeypatch.setattr(L7, "N_SEEDS", 2)
    monkeypatch.setattr(L8, "SETTINGS", MixtureTraining(n_steps=20))
    monkeypatch.setattr(L8, "N_NETWORKS", 2)
    monkeypatch.setattr(N3, "N_STEPS", 20)
    monkeypatch.setattr(F1, "MixtureTraining", functools.partial(MixtureTraining, n_steps=150))
    monkeypatch.setattr(F1, "RUNS", [("two", 0, "exact"), ("two", 0, "denoising"), ("two", 0, "energy gradient")])
    for script in (F1, L8, N3):
        monkeypatch.setattr(script, "N_CHAINS", 400)


@pytest.mark.parametrize("script", [L7, L8, F2, N3, F1])
def test_a_script_measures_each_bound_and_each_number_of_its_sentence(script, small, results, tmp_path):
    record = script.measure(tmp_path)
    bounds = ledger.claims()[record.id].bounds
    assert {m.label for m in record.of_kind("expected")} == set(bounds)
    assert ledger.outcome(record)
    again = script.measure(tmp_path)  # from what is in the folder
    assert again.measurements == record.measurements


def test_a_chain_forgets_its_side_as_fast_as_a_gaussian_of_the_same_variance_where_the_modes_have_merged():
    sigma = 20.0
    steps, off = relaxation(sigma, 1.0)
    contraction = 1 - 0.1 * sigma**2 / 2 / (sigma**2 + 4 * 0.2 * 0.8 * 50)
    assert steps == pytest.approx(-1 / math.log(contraction), rel=0.03)
    assert off < 1e-12
