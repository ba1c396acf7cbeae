"""A script of a claim: its command, and its record."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Annotated
from unittest import mock

import pytest
import torch

import claims
import curve
import M2
from claims import Found, Measurement, measure_claim
from drawing import CPU, Machine
from sbgm.files import load_tensors
from sbgm.guard import Count
from sbgm.measure import records

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
        fid_weights: Annotated[Path | None, "a file"] = None,
        machine: Machine = CPU,
    ) -> Found:
        """Measure it."""
        self.asked = {"folder": folder, "n": n_samples, "w": weights, "fid": fid_weights, "machine": machine}
        tensors = {"samples": torch.zeros(2, 1, 4, 4, dtype=torch.uint8)}
        return Found(self.measurements, tensors, data="d", note="n", networks=["mnist_ncsn"], facts={"seed": 0})


def test_a_record_holds_the_file_the_facts_and_the_command_that_makes_it(results, tmp_path):
    script = Script(HOLDS)
    settings = {"n_samples": 5, "fid_weights": Path("here.pth"), "machine": Machine("cpu", compile=True)}
    record = measure_claim("I6", script.measure, tmp_path, **settings)
    assert claims.load_record("I6") == record
    assert repr(record) == "I6 reproduced"
    assert load_tensors(claims.attached_file(record))[0]["samples"].shape == (2, 1, 4, 4)
    facts = ["n_samples", "seed", "weights of mnist_ncsn", "hardware", "torch", "command", "file", "sha256"]
    assert list(record.facts) == facts  # what is None, or a file of this machine's, is none
    assert record.facts["n_samples"] == 5
    assert record.facts["command"] == "python notebooks/lab/I6.py --n-samples 5 --compile"
    words = record.facts["command"].split()[2:]
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
    with pytest.raises(SystemExit, match="2"):
        claims.run("I6", Script(HOLDS).measure, words=["--n-samples", "0"])
    assert "argument --n-samples: it must be at least 1, got 0" in capsys.readouterr().err


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


ROUTE = """
import inspect, runpy, sys
from pathlib import Path
lab, folder = sys.argv[1:]
sys.argv = ["L10.py", "--folder", folder]
sys.path.insert(0, lab)  # as `python notebooks/lab/L10.py` does
import sbgm.measure.records as records
records.results_folder = lambda: Path(folder) / "results"
entered = set()
sys.setprofile(lambda frame, event, argument: entered.add(frame.f_code))
try:
    runpy.run_path(f"{lab}/L10.py", run_name="__main__")
finally:
    sys.setprofile(None)
    root = str(Path(lab).parents[1])
    functions = [code for code in entered if code.co_flags & inspect.CO_OPTIMIZED]  # no modules, no class bodies
    places = f"{root}/sbgm/", f"{root}/notebooks/"
    files = {code.co_filename for code in functions if code.co_filename.startswith(places)}
    print("L10" in sys.modules, "sbgm.__main__" in sys.modules, *sorted(files), sep="\\n", file=sys.stderr)
"""


def test_a_script_is_a_short_way_from_its_command_to_its_record(tmp_path):
    """It is loaded once, the command line of the package is not, and functions of few files of the project run."""
    words = [sys.executable, "-c", ROUTE, str(LAB), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert "L10 (§ " in done.stdout, done.stderr
    again, command_line, *files = done.stderr.splitlines()
    assert (again, command_line) == ("False", "False")
    assert len(files) <= 9, files


RECORDS = {i: r for i, r in claims.load_records(records.results_folder()).items() if "command" in r.facts}


@pytest.mark.parametrize("claim_id", sorted(i for i, record in RECORDS.items() if not claims.is_older(record)))
def test_the_settings_of_a_record_are_options_of_its_script(claim_id):
    """Of a record that is older than its bounds, the script may since have become another."""
    words = RECORDS[claim_id].facts["command"].split()
    words = words[words.index(f"notebooks/lab/{claim_id}.py") + 1 :]
    options = claims.parser_of(importlib.import_module(claim_id).measure, claim_id).parse_args(words)
    for name, value in vars(options).items():
        if name in RECORDS[claim_id].facts and value is not None:
            assert RECORDS[claim_id].facts[name] == value


def test_a_curves_command_is_that_of_its_script():
    words = ["mnist_ncsn", "--n-samples", "150", "--device", "cpu"]
    options = claims.parser_of(curve.measure_curve, "samples").parse_args(words)
    assert (options.network, options.n_samples, options.device) == ("mnist_ncsn", 150, "cpu")
