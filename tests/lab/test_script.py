"""A script of a claim: its command, its record, and that a failure is entered only if one accepts it."""

import argparse
from pathlib import Path

import pytest
import torch

import claims
from claims import Found, NotReproducedError, claim, expected
from drawing import CPU, Machine
from sbgm import cli
from sbgm.checked import Count
from sbgm.cli.options import lab_script
from sbgm.files import load_tensors
from sbgm.measure import records

HOLDS, FAILS, UNSURE = (expected(name, x, high=2, se=0.1) for name, x in (("a", 1), ("too large", 3), ("near", 1.9)))


@pytest.fixture
def script():
    """A script that finds what is put into `found`, and keeps its arguments in `asked`."""

    @claim("I6", folder="samples")
    def measure(
        folder: Path, n_samples: Count = 3, weights: str | None = None, fid_weights: Path | None = None, machine=CPU
    ) -> Found:
        """Measure it.

        Args:
            n_samples: samples, of
                which there are few
            weights: a network
            fid_weights: a file
        """
        measure.asked = {"folder": folder, "n": n_samples, "w": weights, "fid": fid_weights, "machine": machine}
        tensors = {"samples": torch.zeros(2, 1, 4, 4, dtype=torch.uint8)}
        return Found(measure.found, tensors, data="d", note="n", networks=["mnist_ncsn"], facts={"seed": 0})

    measure.found = [HOLDS]
    return measure


def test_a_record_holds_the_file_the_facts_and_the_command_that_makes_it(script, results, tmp_path):
    record = script(tmp_path, n_samples=5, fid_weights=Path("here.pth"), machine=Machine("cpu", compile=True))
    assert claims.load_record("I6") == record
    assert repr(record) == "I6 reproduced"
    assert load_tensors(claims.attached_file(record))[0]["samples"].shape == (2, 1, 4, 4)
    assert claims.check_weights(record).facts["n_samples"] == 5
    facts = ["n_samples", "seed", "weights of mnist_ncsn", "hardware", "torch", "command", "file", "sha256"]
    assert list(record.facts) == facts  # what is None, or a file of this machine's, is none
    assert record.facts["command"] == "python -m sbgm evaluate --claim test_script --n-samples 5 --compile"
    options = script.parser().parse_args(record.facts["command"].split()[6:])  # and it comes back
    script.run(options)
    assert script.asked["machine"] == Machine(compile=True)
    assert claims.load_record("I6").facts == record.facts


@pytest.mark.parametrize(("found", "word"), [(FAILS, "not reproduced"), (UNSURE, "inconclusive")])
def test_a_failure_is_entered_only_if_one_accepts_it(script, results, tmp_path, found, word):
    script.found = [HOLDS, found]
    with pytest.raises(NotReproducedError, match=rf"I6 {word} and was not recorded; --accept(?s:.*){found.label}: "):
        script(tmp_path)
    assert not results.exists()
    record = script(tmp_path, accept=True)
    assert repr(record) == f"I6 {word}"
    assert claims.load_record("I6") == record
    assert record.measurements == (HOLDS, found)


def test_the_options_are_those_of_the_signature(script, results, capsys, tmp_path):
    options = script.parser().parse_args([])
    assert options.folder.parts[-2:] == ("runs", "samples")
    script.run(argparse.Namespace(**vars(options) | {"folder": tmp_path}))
    assert script.asked == {"folder": tmp_path, "n": 3, "w": None, "fid": None, "machine": CPU}
    assert capsys.readouterr().out.startswith("I6 (§ 5, C.1) ")
    said = " ".join(script.parser().format_help().split())
    assert "--n-samples N_SAMPLES samples, of which there are few (3)" in said
    with pytest.raises(ValueError, match="device must be one of this machine's"):
        script.run(script.parser().parse_args(["--device", "nowhere"]))


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(claims.__file__).parent.glob("[A-Z]*.py")))
def test_every_script_says_what_it_takes(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["evaluate", "--claim", name, "--help"])
    assert stopped.value.code == 0
    assert f"usage: sbgm evaluate --claim {name} " in capsys.readouterr().out


RECORDS = {i: r for i, r in claims.load_records(records.results_folder()).items() if "command" in r.facts}


@pytest.mark.parametrize("claim_id", sorted(RECORDS))
def test_a_recorded_command_still_runs_and_is_recorded_as_it_was(claim_id, results, monkeypatch):
    """Its function is stood in for by one that finds what the record holds."""
    record = RECORDS[claim_id]
    *_, name = record.facts["command"].partition(" --claim ")
    name, *words = name.split()
    script, seen = lab_script(name, "").measure, {}
    options = script.parser().parse_args([*words, "--accept"])

    def stand_in(folder, **settings):
        seen.update(settings)
        return Found(record.measurements, {"x": torch.zeros(1)}, record.data, record.note, record.narrower)

    monkeypatch.setattr(script, "function", stand_in)
    monkeypatch.setattr(claims, "_settled", lambda *_, **__: record)
    script.run(options)
    again = claims.load_record(claim_id).facts
    assert again["command"] == record.facts["command"]
    kept = seen.keys() & record.facts.keys() & again.keys()
    assert {key: again[key] for key in kept} == {key: record.facts[key] for key in kept}
