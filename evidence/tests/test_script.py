"""Measuring a claim from the command line, and the record that it writes."""

import datetime
import inspect
import json
import shlex
import shutil
import sys
from importlib import import_module

import pytest
import torch

import command_line
import curve
import ledger
from ledger import Measurement, record
from sbgm.files import file_hash, load_tensors
from sbgm.images.weights import weights_file

HOLDS, FAILS, UNSURE = (
    Measurement("expected", name, x, high=2, se=0.1) for name, x in (("a", 1), ("too large", 3), ("near", 1.9))
)
WORDS = {"data": "d", "note": "n"}
SAMPLES = {"samples": torch.zeros(2, 1, 4, 4, dtype=torch.uint8)}


def test_a_record_holds_its_file_its_facts_the_commit_and_what_was_typed(results, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/evidence", "I6", "--earlier", "a b.st", "--compile"])
    made = record("I6", [HOLDS], SAMPLES, networks=["mnist_ncsn"], facts={"seed": 0}, **WORDS)
    assert ledger.load_record("I6") == made
    assert (made.day, made.commit) == (datetime.date.today().isoformat(), "the commit of the bounds")
    assert load_tensors(ledger.attached_file(made))[0]["samples"].shape == (2, 1, 4, 4)
    assert list(made.facts) == ["seed", "weights of mnist_ncsn", "hardware", "torch", "command", "file", "sha256"]
    assert made.facts["command"] == "python evidence I6 --earlier 'a b.st' --compile"
    monkeypatch.setattr(sys, "argv", ["evidence/curve.py", "own_network"])
    assert record("I6", [HOLDS]).facts["command"] == "python evidence/curve.py own_network"


@pytest.mark.parametrize(("outcome", "word"), [(FAILS, "not reproduced"), (UNSURE, "inconclusive")])
def test_a_word_is_what_comes_out(results, outcome, word):
    made = record("I6", [HOLDS, outcome], SAMPLES, **WORDS)
    assert ledger.details(made).splitlines()[0].endswith(f"plain Langevin dynamics fails: {word}")
    assert ledger.load_record("I6").measurements == (HOLDS, outcome)


def test_nothing_is_recorded_while_bounds_are_not_committed_or_where_a_guard_fails(results, monkeypatch):
    for value in (1, float("nan")):
        with pytest.raises(AssertionError, match=r"what we found has changed\nx: \S+   guard at least 2$"):
            record("I6", [HOLDS, ledger.guard("x", value, low=2)], SAMPLES, **WORDS)

    def uncommitted(claim_id):
        raise ValueError("claim.toml must be committed")

    monkeypatch.setattr(ledger, "declaration", uncommitted)
    monkeypatch.setattr(command_line, "declaration", uncommitted)
    monkeypatch.setattr(sys, "argv", ["evidence", "L10"])
    for measured in (lambda: record("I6", [HOLDS], SAMPLES, **WORDS), command_line.main):
        with pytest.raises(ValueError, match=r"claim\.toml must be committed"):
            measured()
    assert not results.exists()


def test_a_record_by_a_file_that_does_not_ship_can_be_read(results, tmp_path):
    file = shutil.copy(weights_file("mnist_ncsn"), tmp_path / "average.safetensors")
    made = record("I6", [HOLDS], SAMPLES, networks=[str(file)], **WORDS)
    assert ledger.load_record("I6") == made
    assert made.facts["sha256 of average"] == file_hash(file)


# --- the command line -------------------------------------------------------------------------------------------------

COMMITTED = ledger.load_records()


@pytest.fixture
def typed(monkeypatch):
    """typed("python evidence L5 …"): the arguments with which such a line measures, in place of the measurement."""

    originals = {}

    def arguments(line):
        python, script, *words = shlex.split(line)
        assert python == "python"
        taken = {}

        def measured(**options):
            taken.update(options)
            return COMMITTED["L5"]

        module = curve if script == "evidence/curve.py" else import_module(f"claims.{words[0]}.measure")
        name = "measure_curve" if module is curve else "measure"
        parameters = inspect.signature(originals.setdefault(module, getattr(module, name))).parameters
        monkeypatch.setattr(module, name, measured)
        monkeypatch.setattr(sys, "argv", [script, *words])
        curve.main() if module is curve else command_line.main()
        assert taken.keys() <= parameters.keys()
        return taken

    return arguments


@pytest.mark.parametrize("claim_id", ledger.claims())
def test_every_claim_says_what_it_takes(claim_id, typed, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        typed(f"python evidence {claim_id} --help")
    said = capsys.readouterr().out
    assert said.partition("\n\n")[2].startswith(f"{claim_id}")
    typed(f"python evidence {claim_id}")


def test_an_unknown_claim_is_told_which_there_are(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["evidence", "L99"])
    with pytest.raises(SystemExit, match="ID is one of F1, F2"):
        command_line.main()


FACTS = {name: committed.facts for name, committed in COMMITTED.items()}
for path in ledger.results_folder().glob(f"{curve.CURVE}*.json"):
    FACTS[path.stem] = json.loads(path.read_text(encoding="utf-8"))["facts"]


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_command_of_a_record_measures_it_with_the_settings_of_the_record(name, typed):
    options = typed(FACTS[name]["command"])
    settings = {option: value for option, value in options.items() if option in FACTS[name]}
    assert settings == {option: FACTS[name][option] for option in settings}
    if name.startswith(curve.CURVE):
        assert options["network"] == name.removeprefix(curve.CURVE)
    else:
        assert FACTS[name]["command"].split()[2] == name
