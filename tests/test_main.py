"""The command line: the ledger printed and written, and a recorded claim measured on tiny runs."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sbgm import cli as command
from sbgm.cli import ledger
from sbgm.data import DataNotFoundError, load_images
from sbgm.lab import Figure1, claims, figure1, recorded
from sbgm.lab.claims import Settled, expected, reported, settle
from sbgm.lab.runs import Run
from sbgm.training import Step

ROOT = Path(__file__).resolve().parent.parent
WRITE = argparse.Namespace(write=True)
RECORDED = Settled("M2", "reproduced", (expected("ratio", 68.9, low=5),), facts={"iterations": 6000})


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    """Ledger and committed records of our own."""
    monkeypatch.setenv("SBGM_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setattr(claims, "results_folder", lambda: tmp_path / "results")
    return tmp_path


def run(*arguments):
    """`python -m sbgm …` in a process of its own: exit status, standard output, standard error."""
    done = subprocess.run([sys.executable, "-m", "sbgm", *arguments], capture_output=True, text=True, env=os.environ)
    return done.returncode, done.stdout, done.stderr


# --- ledger ----------------------------------------------------------------------------------------------------------


def test_the_ledger_is_printed_from_runs_and_records(capsys, folders):
    claims.save_record(RECORDED, folders / "results")
    settle("S5", [reported("ratio", 2.5)])
    assert command.main(["ledger"]) == 0
    assert capsys.readouterr().out == claims.ledger_table(claims.current_records()) + "\n"
    assert list(claims.load_records(folders / "results")) == ["M2"]  # printing commits nothing


def test_the_ledger_is_printed_by_the_module(folders):
    settle("L9", [expected("a weight", 0.123, low=0)])
    status, out, err = run("ledger")
    assert (status, err) == (0, "")
    assert "| a weight: 0.123 | reproduced |" in out


def readme(folder, text):
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_writing_enters_runs_in_the_records_the_table_and_the_readme(capsys, folders):
    claims.save_record(RECORDED, folders / "results")
    settle("M2", [reported("short run", 9)])
    settle("S1", [expected(r"a \1 and a | bar", 1, low=0)])
    before, after = "# Title\n\nText “before”.\n\n", "\n\nText after.\n"
    path = readme(folders, f"{before}<!-- ledger -->\n| old |\n<!-- /ledger -->{after}")
    for _ in range(2):  # the second time changes nothing
        assert ledger.run(WRITE, path) == 0
        records = claims.load_records(folders / "results")
        assert list(records) == ["S1", "M2"]
        assert records["M2"] == RECORDED
        text = path.read_text(encoding="utf-8")
        assert text == f"{before}<!-- ledger -->\n2 claims: 2 reproduced whole\n<!-- /ledger -->{after}"
        table = (folders / "results" / "README.md").read_text(encoding="utf-8")
        assert table == f"{ledger.HEAD}\n{claims.ledger_table(records)}\n"
    assert sorted(p.name for p in folders.iterdir()) == ["README.md", "ledger", "results"]


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        "<!-- ledger --> and no end",
        "no start <!-- /ledger -->",
        "<!-- /ledger --> the wrong way round <!-- ledger -->",
        "<!-- ledger --><!-- ledger --> twice <!-- /ledger -->",
    ],
)
def test_a_readme_without_its_markers_is_named_and_nothing_is_written(folders, text):
    settle("S1", [reported("x", 1)])
    path = readme(folders, text)
    with pytest.raises(ValueError, match=r"README.md must hold the markers <!-- ledger --> and <!-- /ledger --> once"):
        ledger.run(WRITE, path)
    assert path.read_text(encoding="utf-8") == text
    assert not (folders / "results").exists()


def test_the_repositorys_readme_has_the_markers():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- ledger -->") == text.count("<!-- /ledger -->") == 1


@pytest.mark.parametrize("arguments", [[], ["tran"], ["evaluate"], ["evaluate", "--claim", "S1"]])
def test_wrong_commands_are_refused_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert "usage: sbgm" in capsys.readouterr().err


# --- evaluate --------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    """Fifty small images in place of CIFAR-10, and a network that trains on them in no time."""
    images = load_images("photo_patches", "test")[:50, :, :8, :8].clone()
    monkeypatch.setattr(figure1, "load_images", lambda name: {"cifar10": images}[name])
    monkeypatch.setattr(Figure1, "laptop", classmethod(lambda cls, std, n: cls(std, 8, batch_size=2, n_iterations=n)))
    return images


def test_a_run_too_short_for_the_claim_is_not_recorded_and_goes_on_later(tiny, folders, capsys):
    arguments = ["evaluate", "--claim", "M2", "--folder", str(folders / "runs"), "--iterations"]
    assert command.main([*arguments, "12"]) == 1
    err = capsys.readouterr().err
    assert "and was not recorded; --accept records it" in err
    assert "iterations: 12   expected at least 5000" in err
    assert "12/12" in err  # the progress bar
    assert not (folders / "results").exists()
    runs = {std: Run(folders / "runs" / f"noise_{std}") for std in ("0", "0.01")}
    first = {std: run.load({})["losses"] for std, run in runs.items()}
    assert command.main([*arguments, "20"]) == 1
    for std, losses in first.items():
        more = runs[std].load({})["losses"]
        assert len(more) == 20
        assert torch.equal(more[:12], losses)


@pytest.mark.parametrize("n", ["0", "-5"])
def test_a_bad_number_of_iterations_is_named(n, tiny, folders, capsys):
    assert command.main(["evaluate", "--claim", "M2", "--folder", str(folders / "runs"), "--iterations", n]) == 1
    assert "sbgm: --iterations must be at least 1" in capsys.readouterr().err


def curves(images, settings, folder):
    """Stands in for the training: the noised curve settles, the raw one swings more and more."""
    draw = torch.Generator().manual_seed(settings.seed)
    for step in range(1, settings.n_iterations + 1):
        swing = float(torch.randn((), generator=draw))
        loss = -6e5 * (1 + 0.03 * swing) if settings.noise_std else -5e8 * (1 + 2 * swing) * step / 6000
        yield Step(step, loss)


def test_a_run_that_meets_what_was_expected_is_recorded_with_all_it_takes(tiny, folders, capsys, monkeypatch):
    monkeypatch.setattr(figure1, "train_figure1", curves)
    assert command.main(["evaluate", "--claim", "M2", "--folder", str(folders / "runs")]) == 0
    assert capsys.readouterr().out.startswith("M2 (§ 3.1, Fig. 1) on raw images")
    record = claims.load_record("M2")
    path = claims.attached_file(record)
    shipped = load_file(path)
    assert {name: len(curve) for name, curve in shipped.items()} == {"raw": 6000, "noised": 6000}
    assert record.facts["iterations"] == 6000
    assert (record.facts["channels"], record.facts["batch_size"], record.facts["seed"]) == (8, 2, 0)
    assert record.facts["torch"] == torch.__version__
    assert "cores" in record.facts["hardware"]
    assert record.facts["command"] == "python -m sbgm evaluate --claim M2 --iterations 6000"
    assert "50 training images" in record.data
    values = {c.label: c.value for c in record.measurements}
    assert values["noised: sd/|mean|, last third, detrended"] == pytest.approx(0.03, rel=0.1)
    assert values["raw over noised sd/|mean|, last third, detrended"] == pytest.approx(2 / 0.03, rel=0.1)
    json.loads((folders / "results" / "M2.json").read_text(encoding="utf-8"))
    # the numbers follow from the shipped curves alone
    again = figure1.m2_measurements(shipped["raw"], shipped["noised"], dim=tiny[0].numel())
    assert [c.value for c in again] == pytest.approx([c.value for c in record.measurements], rel=1e-4)


def no_cifar10(name):
    raise DataNotFoundError("CIFAR-10 is not in /nowhere. Run …")


def test_what_goes_wrong_is_one_line_without_a_traceback(folders, capsys, monkeypatch):
    monkeypatch.setattr(figure1, "load_images", no_cifar10)
    assert command.main(["evaluate", "--claim", "M2", "--folder", str(folders / "runs")]) == 1
    assert capsys.readouterr().err == "sbgm: CIFAR-10 is not in /nowhere. Run …\n"


def test_without_cifar10_the_module_says_what_to_do(folders, monkeypatch):
    monkeypatch.setenv("SBGM_DATA", str(folders / "empty"))
    status, out, err = run("evaluate", "--claim", "M2", "--folder", str(folders / "runs"))
    assert (status, out) == (1, "")
    assert err.startswith("sbgm: CIFAR-10 is not in")
    assert len(err.splitlines()) == 1


def test_ctrl_c_says_how_to_go_on(tiny, folders, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(figure1, "train_figure1", interrupted)
    assert command.main(["evaluate", "--claim", "M2", "--folder", str(folders / "runs")]) == 130
    assert "The same command goes on from what is in" in capsys.readouterr().err


def test_runs_are_kept_in_the_repositorys_ignored_folder_unless_told_otherwise(monkeypatch):
    asked = []

    def evaluate(claim_id, folder, **options):
        asked.append((claim_id, folder, options))
        return RECORDED

    monkeypatch.setattr(recorded, "evaluate", evaluate)
    command.main(["evaluate", "--claim", "M2"])
    assert asked == [("M2", ROOT / "runs" / "M2", {"accept": False})]
