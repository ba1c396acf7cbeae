"""Scripts of claims in the plane: each measures, on a small case, all that its claim asks for."""

import dataclasses
import functools

import pytest

import claims
import F1
import F2
import L7
import L8
import make_ledger
import N3
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
    record = claims.measure_claim(script.__name__, script.measure, tmp_path)
    bounds = claims.claims()[record.id].bounds
    assert {m.label for m in record.of_kind("expected")} == set(bounds)
    assert make_ledger.outcome(record)
    again = claims.measure_claim(script.__name__, script.measure, tmp_path)  # from what is in the folder
    assert again.measurements == record.measurements


def test_annealed_shares_of_learned_scores_are_held_against_the_exact_ones(small, results, tmp_path):
    """Three scores, two modes: 4 + 3 + 4 samplers; each mode has a std, and 2 annealed shares of each learned score."""
    numbers = claims.measure_claim("F1", F1.measure, tmp_path).numbers
    assert numbers["combinations"].value == 11
    assert numbers["numbers that the worst std is of"].value == 22
    assert numbers["weights that the worst annealed one is of"].value == 4
