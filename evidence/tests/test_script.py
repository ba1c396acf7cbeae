"""Scripts of claims: the record that they write, and their command lines."""

import datetime
import inspect
import json
import runpy
import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import ledger
from curve import CURVE
from ledger import Measurement, record
from sbgm.files import file_hash, load_tensors
from sbgm.images.weights import weights_file

LAB = Path(ledger.__file__).parent
SCRIPTS = [path.parent.name for path in LAB.glob("claims/*/measure.py")]
HOLDS, FAILS, UNSURE = (
    Measurement("expected", name, x, high=2, se=0.1) for name, x in (("a", 1), ("too large", 3), ("near", 1.9))
)
QUICK = "L10"
"""A claim that its script measures in seconds."""
WORDS = {"data": "d", "note": "n"}
SAMPLES = {"samples": torch.zeros(2, 1, 4, 4, dtype=torch.uint8)}


def test_a_record_holds_its_file_its_facts_the_commit_and_what_was_typed(results, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/evidence/measure.py", "I6", "--earlier", "a b.st", "--compile"])
    made = record("I6", [HOLDS], SAMPLES, networks=["mnist_ncsn"], facts={"seed": 0}, **WORDS)
    assert ledger.load_record("I6") == made
    assert repr(made) == "I6 reproduced"
    assert (made.day, made.commit) == (datetime.date.today().isoformat(), "the commit of the bounds")
    assert load_tensors(ledger.attached_file(made))[0]["samples"].shape == (2, 1, 4, 4)
    assert list(made.facts) == ["seed", "weights of mnist_ncsn", "hardware", "torch", "command", "file", "sha256"]
    assert made.facts["command"] == "python evidence/measure.py I6 --earlier 'a b.st' --compile"


@pytest.mark.parametrize(("outcome", "word"), [(FAILS, "not reproduced"), (UNSURE, "inconclusive")])
def test_a_word_is_what_comes_out(results, outcome, word):
    made = record("I6", [HOLDS, outcome], SAMPLES, **WORDS)
    assert ledger.details(made).splitlines()[0].endswith(f"plain Langevin dynamics fails: {word}")
    assert ledger.load_record("I6").measurements == (HOLDS, outcome)


def test_nothing_is_recorded_while_bounds_are_not_committed_or_where_a_guard_fails(results, monkeypatch):
    with pytest.raises(AssertionError, match="what we found has changed"):
        record("I6", [HOLDS, ledger.guard("x", 1, low=2)], SAMPLES, **WORDS)

    def uncommitted(claim_id):
        raise ValueError("claim.toml must be committed")

    monkeypatch.setattr(ledger, "declaration", uncommitted)
    with pytest.raises(ValueError, match=r"claim\.toml must be committed"):
        record("I6", [HOLDS], SAMPLES, **WORDS)
    monkeypatch.setattr(sys, "argv", ["measure.py", QUICK])
    with pytest.raises(ValueError, match=r"claim\.toml must be committed"):
        ledger.script_options("", QUICK, claims=[QUICK])
    assert not results.exists()


def test_a_record_by_a_file_that_does_not_ship_can_be_read(results, tmp_path):
    file = shutil.copy(weights_file("mnist_ncsn"), tmp_path / "average.safetensors")
    made = record("I6", [HOLDS], SAMPLES, networks=[str(file)], **WORDS)
    assert ledger.load_record("I6") == made
    assert made.facts["sha256 of average"] == file_hash(file)


def is_claim(script):
    return (LAB / "claims" / script).is_dir()


def module_of(script):
    return import_module(f"claims.{script}.measure" if is_claim(script) else script)


def command_of(script):
    return ["evidence/measure.py", script] if is_claim(script) else [f"evidence/{script}.py"]


class Parsed(Exception):
    """Raised in place of the measurement, with the options that a script has read."""


@pytest.fixture
def options_of(monkeypatch):
    """options_of(script, words): what a script takes from its command line, before it measures anything."""
    read = ledger.script_options

    def stop(*arguments, **settings):
        raise Parsed(read(*arguments, **settings))

    def options(script, words):
        module = module_of(script)
        monkeypatch.setattr(module, "script_options", stop)
        monkeypatch.setattr(sys, "argv", [*command_of(script), *words])
        with pytest.raises(Parsed) as parsed:
            module.main()
        return parsed.value.args[0]

    return options


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_every_script_says_what_it_takes_and_records_its_own_claims(name, options_of, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        options_of(name, ["--help"])
    said = capsys.readouterr().out
    source = Path(module_of(name).__file__).read_text(encoding="utf-8")
    assert source.removeprefix('"""').partition("\n")[0].removesuffix('"""') in said.replace("\n", " ")
    assert ("--device" in said) == ("machine: Machine" in source)


COMMITTED = ledger.load_records()
FACTS = {name: committed.facts for name, committed in COMMITTED.items() if "command" in committed.facts}
for path in ledger.results_folder().glob(f"{CURVE}*.json"):
    FACTS[path.stem] = json.loads(path.read_text(encoding="utf-8"))["facts"]


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_command_of_a_record_is_one_of_its_script_with_the_settings_of_the_record(name, options_of):
    script = "curve" if name.startswith(CURVE) else name
    python, *words = shlex.split(FACTS[name]["command"])
    start = command_of(script)
    assert [python, *words[: len(start)]] == ["python", *start]
    options = options_of(script, words[len(start) :])
    assert script != "curve" or options["network"] == name.removeprefix(CURVE)
    measure = module_of(script).measure_curve if script == "curve" else module_of(script).measure
    assert options.keys() - {"folder"} <= inspect.signature(measure).parameters.keys()
    settings = {option: value for option, value in options.items() if option in FACTS[name]}
    assert settings == {option: FACTS[name][option] for option in settings}


def test_a_script_measures_and_prints_its_record(results, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["measure.py", QUICK, "--folder", str(tmp_path)])
    runpy.run_path(str(LAB / "measure.py"), run_name="__main__")
    claim = ledger.claims()[QUICK]
    title = f"{QUICK} ({claim.place}) {claim.claim}: {COMMITTED[QUICK].status}\n"
    assert capsys.readouterr().out.startswith(title)
    numbers = ledger.load_record(QUICK).measurements
    committed = [m.value for m in COMMITTED[QUICK].measurements]
    assert [m.value for m in numbers[:9]] == pytest.approx(committed[:9], rel=1e-6)
