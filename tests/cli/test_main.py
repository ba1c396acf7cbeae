"""The command line: the ledger printed and written, and a recorded claim measured on tiny runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import claims
import M2
from claims import reported, settle
from sbgm import cli as command
from sbgm.data import DataNotFoundError
from sbgm.measure import records

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = claims.load_records(records.results_folder())
RECORDED = COMMITTED["M2"]


def test_ctrl_c_while_torch_loads_is_one_line(tmp_path):
    """Torch takes seconds to load; here it takes for ever."""
    (tmp_path / "torch.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(600)")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "sbgm", "sample", "mnist_ncsn", "--out", str(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background ignores it
    with subprocess.Popen(command, env=environment, **pipes) as started:
        assert started.stdout.readline() == "loading\n"
        started.send_signal(signal.SIGINT)
        try:
            _, said = started.communicate(timeout=500)
        finally:
            started.kill()
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
    settle("S5", COMMITTED["S5"].measurements)
    assert command.main(["ledger"]) == 0
    assert capsys.readouterr().out == claims.ledger_table(claims.current_records()) + "\n"
    assert list(claims.load_records(folders / "results")) == ["M2"]  # printing commits nothing


def readme(folder, text):
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_writing_enters_runs_in_the_records_the_table_and_the_readme(capsys, folders):
    claims.save_record(RECORDED, folders / "results")
    settle("M2", [reported("short run", 9)])
    settle("S1", [*COMMITTED["S1"].measurements, reported(r"a \1 and a | bar", 1)])
    before, after = "# Title\n\nText “before”.\n\n", "\n\nText after.\n"
    path = readme(folders, f"{before}<!-- ledger -->\n| old |\n<!-- /ledger -->{after}")
    for _ in range(2):  # the second time changes nothing
        claims.ledger(write=True, readme=path)
        records = claims.load_records(folders / "results")
        assert list(records) == ["S1", "M2"]
        assert records["M2"] == RECORDED
        text = path.read_text(encoding="utf-8")
        assert text == f"{before}<!-- ledger -->\n{claims.count_line(records)}\n<!-- /ledger -->{after}"
        table = (folders / "results" / "README.md").read_text(encoding="utf-8")
        assert table == f"{claims.HEAD}\n{claims.ledger_table(records)}\n"
    assert sorted(p.name for p in folders.iterdir()) == ["README.md", "ledger", "results"]


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        "<!-- ledger --> and no end",
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


@pytest.mark.parametrize("arguments", [[], ["tran"], ["evaluate"]])
def test_wrong_commands_are_refused_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert "usage: sbgm" in capsys.readouterr().err


# --- evaluate --------------------------------------------------------------------------------------------------------


def no_cifar10(name):
    raise DataNotFoundError("CIFAR-10 is not in /nowhere. Run …")


def test_what_goes_wrong_is_one_line_without_a_traceback(folders, capsys, monkeypatch):
    monkeypatch.setattr(M2, "load_images", no_cifar10)
    assert command.main(["evaluate", "--claim", "M2", "--folder", str(folders / "runs")]) == 1
    assert capsys.readouterr().err == "sbgm: CIFAR-10 is not in /nowhere. Run …\n"


def test_ctrl_c_says_how_to_go_on(folders, capsys, monkeypatch):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(M2, "load_images", interrupted)
    assert command.main(["evaluate", "--claim", "M2", "--folder", str(folders / "runs")]) == 130
    assert "The same command goes on from what is in" in capsys.readouterr().err


def test_runs_are_kept_in_the_repositorys_ignored_folder_unless_told_otherwise():
    assert M2.measure.parser().parse_args([]).folder == ROOT / "runs" / "M2"
