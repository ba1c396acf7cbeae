"""The command line: the ledger printed and written, and a recorded claim measured on tiny runs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import claims
import M2
from claims import Settled, expected, reported, settle
from M2 import Figure1
from sbgm import cli as command
from sbgm.data import DataNotFoundError, load_images
from sbgm.files import read_facts
from sbgm.measure import records
from sbgm.train.runs import Run
from sbgm.training import Step

ROOT = Path(__file__).resolve().parent.parent
RECORDED = Settled("M2", "reproduced", (expected("ratio", 68.9, low=5),), facts={"iterations": 6000})


def test_ctrl_c_while_torch_loads_is_one_line(tmp_path):
    """Torch takes seconds to load; here it takes for ever."""
    (tmp_path / "torch.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(600)")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "sbgm", "sample", "mnist_ncsn", "--out", str(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as started:
        assert started.stdout.readline() == "loading\n"
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=60)
    assert (started.returncode, said) == (130, "Stopped.\n")


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    """Ledger and committed records of our own."""
    monkeypatch.setenv("SBGM_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setattr(records, "results_folder", lambda: tmp_path / "results")
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
        claims.ledger(write=True, readme=path)
        records = claims.load_records(folders / "results")
        assert list(records) == ["S1", "M2"]
        assert records["M2"] == RECORDED
        text = path.read_text(encoding="utf-8")
        assert text == f"{before}<!-- ledger -->\n2 claims: 2 reproduced whole\n<!-- /ledger -->{after}"
        table = (folders / "results" / "README.md").read_text(encoding="utf-8")
        assert table == f"{claims.HEAD}\n{claims.ledger_table(records)}\n"
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
        claims.ledger(write=True, readme=path)
    assert path.read_text(encoding="utf-8") == text
    assert not (folders / "results").exists()


def test_the_repositorys_readme_has_the_markers():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- ledger -->") == text.count("<!-- /ledger -->") == 1


@pytest.mark.parametrize("arguments", [[], ["tran"], ["evaluate"]])
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
    monkeypatch.setattr(M2, "load_images", lambda name: {"cifar10": images}[name])
    monkeypatch.setattr(M2, "M2_SETTINGS", Figure1(0.0, channels=8, batch_size=2))
    return images


RUNS = ["raw_0", "noised_0", "raw_1", "noised_1"]


def test_a_run_too_short_for_the_claim_is_not_recorded_and_goes_on_later(tiny, folders, capsys):
    arguments = ["evaluate", "--claim", "M2", "--folder", str(folders / "runs"), "--iterations"]
    assert command.main([*arguments, "52"]) == 1
    err = capsys.readouterr().err
    assert "and was not recorded; --accept records it" in err
    assert "iterations: 52   expected at least 5000" in err
    assert "52/52" in err  # the progress bar
    assert not (folders / "results").exists()
    runs = {name: Run(folders / "runs" / name) for name in RUNS}
    first = {name: run.load({})["losses"] for name, run in runs.items()}
    assert len({float(losses[-1]) for losses in first.values()}) == 4  # other noise, and other seeds
    assert command.main([*arguments, "54"]) == 1
    for name, losses in first.items():
        more = runs[name].load({})["losses"]
        assert len(more) == 54
        assert torch.equal(more[:52], losses)


@pytest.mark.parametrize("n", ["0", "-5"])
def test_a_bad_number_of_iterations_is_named(n, tiny, folders, capsys):
    assert command.main(["evaluate", "--claim", "M2", "--folder", str(folders / "runs"), "--iterations", n]) == 1
    assert "sbgm: --iterations must be at least 1" in capsys.readouterr().err


def curves(images, settings, folder, save_every):
    """Stands in for the training: the noised curve settles, the raw one falls and swings more and more."""
    draw = torch.Generator().manual_seed(settings.seed)
    for step in range(1, settings.n_iterations + 1):
        swing = float(torch.randn((), generator=draw))
        loss = -6e5 * (1 + 0.03 * swing) if settings.noise_std else -5e8 * (1 + 2 * swing) * step / 5000
        yield Step(step, loss if step > 10 else 100 + swing)


def measured_m2(folders, *options):
    return command.main(["evaluate", "--claim", "M2", "--folder", str(folders / "runs"), *options])


def test_a_run_that_meets_what_was_expected_is_recorded_with_all_it_takes(tiny, folders, capsys, monkeypatch):
    monkeypatch.setattr(M2, "train_figure1", curves)
    assert measured_m2(folders) == 0
    assert capsys.readouterr().out.startswith("M2 (§ 3.1, Fig. 1) on raw images")
    record = claims.load_record("M2")
    path = claims.attached_file(record)
    shipped = load_file(path)
    assert {name: curve.shape for name, curve in shipped.items()} == {"raw": (2, 5000), "noised": (2, 5000)}
    assert record.facts["iterations"] == 5000
    assert (record.facts["channels"], record.facts["batch_size"], record.facts["seeds"]) == (8, 2, 2)
    assert record.facts["torch"] == torch.__version__
    assert "cores" in record.facts["hardware"]
    assert record.facts["command"] == "python -m sbgm evaluate --claim M2 --iterations 5000 --seeds 2"
    assert "50 training images" in record.data
    assert record.status == "reproduced in part"
    values = {c.label: c.value for c in record.measurements}
    assert values["noised: sd/|mean|, last third, detrended"] == pytest.approx(0.03, rel=0.1)
    assert values["raw over noised sd/|mean|, last third, detrended"] == pytest.approx(2 / 0.03, rel=0.1)
    assert values["raw: mean of iterations 51 to 100 less that of 1 to 10"] < -5e6
    json.loads((folders / "results" / "M2.json").read_text(encoding="utf-8"))
    # the numbers follow from the shipped curves alone
    again = M2.m2_measurements(**shipped, dim=tiny[0].numel())
    assert [c.value for c in again] == pytest.approx([c.value for c in record.measurements], rel=1e-4)


def test_finished_runs_are_taken_from_the_results_and_only_the_missing_ones_are_made(
    tiny, folders, capsys, monkeypatch
):
    made = []

    def counted(images, settings, folder, save_every):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(folder.name)
        return curves(images, settings, folder, save_every)

    monkeypatch.setattr(M2, "train_figure1", counted)
    assert measured_m2(folders) == 130
    assert made == RUNS[:2]
    kept = sorted((folders / "results" / "M2").iterdir())
    assert [path.stem for path in kept] == sorted(RUNS[:2])
    assert read_facts(kept[0])["noise_std"] == 0.01
    assert not (folders / "results" / "M2.json").exists()
    made.clear()
    assert measured_m2(folders, "--seeds", "1") == 0  # both are there
    assert made == []
    assert load_file(claims.attached_file(claims.load_record("M2")))["raw"].shape == (1, 5000)


def test_a_curve_of_other_settings_is_not_taken(tiny, folders, capsys, monkeypatch):
    monkeypatch.setattr(M2, "train_figure1", curves)
    assert measured_m2(folders, "--seeds", "1") == 0
    monkeypatch.setattr(M2, "M2_SETTINGS", Figure1(0.0, channels=16, batch_size=2))
    monkeypatch.setattr(M2, "train_figure1", lambda *_, **__: pytest.fail("made anew, as it should be"))
    with pytest.raises(pytest.fail.Exception, match="made anew"):
        measured_m2(folders)


def no_cifar10(name):
    raise DataNotFoundError("CIFAR-10 is not in /nowhere. Run …")


def test_what_goes_wrong_is_one_line_without_a_traceback(folders, capsys, monkeypatch):
    monkeypatch.setattr(M2, "load_images", no_cifar10)
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

    monkeypatch.setattr(M2, "train_figure1", interrupted)
    assert command.main(["evaluate", "--claim", "M2", "--folder", str(folders / "runs")]) == 130
    assert "The same command goes on from what is in" in capsys.readouterr().err


def test_runs_are_kept_in_the_repositorys_ignored_folder_unless_told_otherwise():
    assert M2.measure.parser().parse_args([]).folder == ROOT / "runs" / "M2"
