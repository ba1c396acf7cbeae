"""A script of a claim: its command, and its record."""

import importlib
import json
import runpy
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated
from unittest import mock

import pytest
import torch

import claims
import M2
import records
from claims import Found, Measurement, measure_claim
from drawing import CPU, Machine
from sbgm.files import file_hash, load_tensors
from sbgm.guard import Count
from sbgm.images.weights import weights_file

LAB = Path(claims.__file__).parent
SCRIPTS = sorted(path.stem for path in LAB.glob("[A-Z]*.py"))
HOLDS, FAILS, UNSURE = (
    Measurement("expected", name, x, high=2, se=0.1) for name, x in (("a", 1), ("too large", 3), ("near", 1.9))
)


class Script:
    """The function of a script, which finds what it is told to, and keeps its arguments in `asked`."""

    def __init__(self, *measurements):
        self.measurements = measurements

    def measure(
        self,
        folder: Path,
        n_samples: Annotated[Count, "samples, of which there are few"] = 3,
        weights: Annotated[str | None, "a network"] = None,
        earlier: Annotated[list[str] | None, "others"] = None,
        others: Annotated[list[Path] | None, "files"] = None,
        fid_weights: Annotated[Path | None, "a file"] = None,
        machine: Machine = CPU,
    ) -> Found:
        """Measure it."""
        self.asked = {"folder": folder, "n": n_samples, "w": weights, "fid": fid_weights, "machine": machine}
        tensors = {"samples": torch.zeros(2, 1, 4, 4, dtype=torch.uint8)}
        return Found(self.measurements, tensors, data="d", note="n", networks=["mnist_ncsn"], facts={"seed": 0})


def test_a_record_holds_the_file_the_facts_and_the_command_that_makes_it(results, tmp_path):
    script = Script(HOLDS)
    settings = {"n_samples": 5, "earlier": ["a b.st", "c.st"], "fid_weights": Path("here.pth")}
    settings["others"] = [Path("there.st")]
    settings["machine"] = Machine("cpu", compile=True)
    record = measure_claim("I6", script.measure, tmp_path, **settings)
    assert claims.load_record("I6") == record
    assert repr(record) == "I6 reproduced"
    assert load_tensors(claims.attached_file(record))[0]["samples"].shape == (2, 1, 4, 4)
    facts = ["n_samples", "earlier", "seed", "weights of mnist_ncsn", "hardware", "torch", "command", "file", "sha256"]
    assert list(record.facts) == facts  # what is None, or a file of this machine's, is none
    assert record.facts["n_samples"] == 5
    assert record.facts["command"] == "python notebooks/lab/I6.py --n-samples 5 --earlier 'a b.st' c.st --compile"
    words = shlex.split(record.facts["command"])[2:]
    assert claims.run("I6", script.measure, words=[*words, "--device", "cpu", "--folder", str(tmp_path)]) == 0
    assert script.asked["machine"] == Machine("cpu", compile=True)  # and it comes back
    assert claims.load_record("I6").facts == record.facts


@pytest.mark.parametrize(("outcome", "word"), [(FAILS, "not reproduced"), (UNSURE, "inconclusive")])
def test_a_word_is_what_comes_out(results, tmp_path, outcome, word, capsys):
    script = Script(HOLDS, outcome)
    assert claims.run("I6", script.measure, words=["--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(f"plain Langevin dynamics fails: {word}")
    record = claims.load_record("I6")
    assert (record.status, record.measurements, record.day) == (word, (HOLDS, outcome), claims.today())


def test_the_options_are_those_of_the_signature(results, capsys, tmp_path):
    script = Script(HOLDS)
    parser = claims.parser_of(script.measure, "samples")
    assert parser.parse_args([]).folder.parts[-2:] == ("runs", "samples")
    assert claims.run("I6", script.measure, words=["--folder", str(tmp_path)]) == 0
    assert script.asked == {"folder": tmp_path, "n": 3, "w": None, "fid": None, "machine": Machine()}
    assert capsys.readouterr().out.startswith("I6 (§ 5, C.1) ")
    assert "--n-samples N samples, of which there are few (3)" in " ".join(parser.format_help().split())


def test_what_is_wrong_is_one_line_that_names_the_flag(capsys, tmp_path):
    assert claims.run("I6", Script(HOLDS).measure, words=["--device", "nowhere"]) == 1
    assert ": --device must be one of this machine's, such as cpu, got nowhere" in capsys.readouterr().err
    for flag in ("--n-samples", "--threads"):
        assert claims.run("I6", Script(HOLDS).measure, words=[flag, "0"]) == 1
        assert f": {flag} must be at least 1, got 0" in capsys.readouterr().err


def test_a_record_by_a_file_that_does_not_ship_can_be_read(results, tmp_path):
    file = shutil.copy(weights_file("mnist_ncsn"), tmp_path / "average.safetensors")
    found = Script(HOLDS).measure(tmp_path)._replace(networks=[str(file)])
    record = measure_claim("I6", lambda folder: found, tmp_path)
    assert claims.load_record("I6") == record
    assert record.facts["sha256 of average"] == file_hash(file)


def test_ctrl_c_in_a_measurement_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(M2, "load_images", mock.Mock(side_effect=KeyboardInterrupt))
    assert claims.run("M2", M2.measure, words=["--folder", str(tmp_path)]) == 130
    assert f"The same command goes on from what is in {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_says_what_it_takes_and_ends_in_its_own_claim(name):
    module = importlib.import_module(name)
    said = claims.parser_of(module.measure, name).format_help()
    assert module.measure.__doc__.splitlines()[0] in said
    assert f'sys.exit(run("{name}", measure' in (LAB / f"{name}.py").read_text(encoding="utf-8")


def test_a_script_is_loaded_once_and_the_packages_command_line_is_not(tmp_path, monkeypatch):
    for name in ("L10", "sbgm.__main__"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "argv", ["L10.py", "--folder", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_path(str(LAB / "L10.py"), run_name="__main__")
    assert {"L10", "sbgm.__main__"} & sys.modules.keys() == set()


CONTENTS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in records.results_folder().glob("*.json")}
FACTS = {name: content["facts"] for name, content in CONTENTS.items() if "command" in content["facts"]}


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_command_of_a_record_is_one_of_its_script_with_the_settings_of_the_record(name):
    is_curve = name.startswith(records.CURVE)
    script = "curve" if is_curve else name
    python, path, *words = shlex.split(FACTS[name]["command"])
    assert (python, path) == ("python", f"notebooks/lab/{script}.py")
    module = importlib.import_module(script)
    measure = module.measure_curve if is_curve else module.measure
    options = vars(claims.parser_of(measure, name).parse_args(words))
    assert not is_curve or options["network"] == name.removeprefix(records.CURVE)
    settings = {option: value for option, value in options.items() if option in FACTS[name] and value is not None}
    assert settings == {option: FACTS[name][option] for option in settings}
